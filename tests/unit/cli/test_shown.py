"""What the command line shows, to whom: versions, JSON, progress, quiet, exit codes, completion."""

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.shell_completion import get_completion_class
from click.testing import CliRunner

from hoverfast_platform import explanations
from hoverfast_platform.catalogue import Catalogue
from hoverfast_platform.cli import show
from hoverfast_platform.cli.loudness import QUIET
from hoverfast_platform.cli.main import hoverfast
from hoverfast_platform.errors import HoverFastError
from hoverfast_platform.explanations import KINDS, explanation_of
from hoverfast_platform.progress import Progress
from hoverfast_platform.storage.exporters.table import EXPORTERS
from hoverfast_platform.synthetic import write_synthetic_slide
from hoverfast_platform.version import __version__


def ask(*words):
    return CliRunner().invoke(hoverfast, words, catch_exceptions=False)


def program(*words):
    return [sys.executable, "-m", "hoverfast_platform.cli.main", *words]


def test_the_version_names_the_parts_without_importing_them():
    code = "import sys; sys.argv=['hoverfast','--version']\n" + (
        "from hoverfast_platform.cli.main import main\n"
        "try: main()\n"
        "except SystemExit as stop: assert not stop.code\n"
        "assert not {'torch', 'openvino', 'numba'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    parts = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    assert parts["hoverfast"] == __version__
    assert parts["torch"][0].isdigit()
    assert parts["openvino"][0].isdigit()


def listings(tmp_path):
    slide = tmp_path / "slide.tiff"
    write_synthetic_slide(slide, width_px=320, height_px=256)
    catalogue = tmp_path / "catalogue.sqlite"
    Catalogue.open(catalogue).close()
    return {
        "models": ("models",),
        "models list": ("models", "list"),
        "models of a catalogue": ("models", "list", "--catalogue", str(catalogue)),
        "a model's card": ("models", "show", "cross-organ"),
        "slide info": ("slide", "info", str(slide)),
        "slide formats": ("slide", "formats"),
        "forms of nuclei": ("convert", "--to"),
        "catalogue info": ("catalogue", "info", "--catalogue", str(catalogue)),
        "forecast": ("forecast", str(tmp_path)),
        "explain": ("explain",),
        "explain one": ("explain", "missing_mpp"),
        "doctor": ("doctor", "-o", str(tmp_path)),
    }


def test_every_listing_is_json_alone_when_asked(tmp_path):
    found = {}
    for name, words in listings(tmp_path).items():
        done = ask(*words, "--json")
        assert done.exit_code in (0, 1), name
        found[name] = json.loads(done.stdout)

    assert found["models"][0]["name"] == found["models list"][0]["name"] == "cross-organ"
    assert found["a model's card"]["mpp"] == 0.25
    assert found["slide info"]["width"] == 320
    assert found["slide info"]["mpp"] == {"x": 0.25, "y": 0.25}
    assert found["slide formats"][0]["suffixes"] == [".svs", ".tif"]
    assert [form["name"] for form in found["forms of nuclei"]] == [e.name for e in EXPORTERS]
    assert found["catalogue info"]["rows"]["slides"] == 0
    assert found["explain one"]["kind"] == "missing_mpp"


def test_every_kind_of_error_has_a_page_with_causes_and_a_remedy():
    assert {"missing_mpp", "storage", "defect"} < set(KINDS)
    assert HoverFastError.kind not in KINDS
    assert {path.stem for path in Path(explanations.__file__).parent.glob("*.md")} == set(KINDS)
    for kind in KINDS:
        text = explanation_of(kind).text
        assert "**Usual causes**\n\n- " in text, kind
        assert "**What to do**\n\n1. " in text, kind


def test_a_kind_that_there_is_not_is_answered_with_the_kinds():
    done = subprocess.run(program("explain", "mising"), capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert done.stderr.startswith("Error (wrong_setting): There is no kind of error 'mising'.")
    assert "missing_mpp" in done.stderr


def test_a_failure_names_its_kind(tmp_path):
    done = subprocess.run(
        program("slide", "info", str(tmp_path / "absent.svs")),
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error (absent_slide): ")


def test_quiet_and_verbose_contradict_each_other():
    done = ask("--quiet", "--verbose", "explain")

    assert done.exit_code == 2
    assert "contradict" in done.stderr


@click.command()
def three_tiles():
    """A step of three tiles with a note, as a command shows it."""
    with show.progress_bar("slide.svs", "tile") as bar:
        for n_done in (1, 2, 3):
            bar(Progress("segmenting", n_done, 3))
    show.show_each_note(["20x"])
    click.echo("a result")


def test_elsewhere_than_on_a_terminal_progress_is_lines_with_the_time():
    done = CliRunner().invoke(three_tiles)

    first, last = done.stderr.splitlines()  # the second tile came within ten seconds
    assert first.endswith(" slide.svs: 1 of 3 tiles")
    assert last.endswith(" slide.svs: 3 of 3 tiles")
    assert first[10] == "T"
    assert done.stdout == "  note: 20x\na result\n"


def test_a_terminal_has_a_bar_and_no_lines():
    code = (
        "import click; from tests.unit.cli.test_shown import three_tiles\n"
        "three_tiles(standalone_mode=False)"
    )
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    pytest.importorskip("termios").tcsetwinsize(theirs, (24, 80))
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=theirs)
    os.set_blocking(ours, False)
    shown = ""
    with contextlib.suppress(BlockingIOError):
        while piece := os.read(ours, 10_000):
            shown += piece.decode()
    os.close(ours)
    os.close(theirs)

    assert done.returncode == 0
    assert "slide.svs: 100%" in shown
    assert "of 3 tiles" not in shown


def test_quiet_leaves_the_results_alone():
    with click.Context(three_tiles) as context:
        context.meta[QUIET] = True
        done = CliRunner().invoke(three_tiles, parent=context)

    assert (done.stdout, done.stderr) == ("a result\n", "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_completes_commands(shell):
    done = ask("completion", shell)

    script = get_completion_class(shell)(hoverfast, {}, "hoverfast", "_HOVERFAST_COMPLETE").source()
    assert done.exit_code == 0
    assert done.stdout == f"{script}\n"  # nothing of it was cleaned away


def test_completion_knows_the_commands():
    done = subprocess.run(
        program(),
        env={**os.environ, "COMP_WORDS": "hoverfast inf", "COMP_CWORD": "1",
             "_HOVERFAST_COMPLETE": "bash_complete"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert "plain,infer_wsi" in done.stdout
