"""No password and no control character leaves in a text, whichever way it takes."""

import csv
import dataclasses
import gzip
import html
import json
import logging
import re
import subprocess
import sys
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from hoverfast_platform.catalogue import Catalogue
from hoverfast_platform.catalogue.database import database_url
from hoverfast_platform.cli import main
from hoverfast_platform.cli.say import say
from hoverfast_platform.errors import CatalogueError, StorageError
from hoverfast_platform.files import one_name
from hoverfast_platform.reports.page import Heading, Links, Paragraph, Table, write_page
from hoverfast_platform.storage.foreign_table import read_table
from hoverfast_platform.storage.geojson import write_geojson
from hoverfast_platform.texts import cell, clean, markdown, one_line
from hoverfast_platform.use_cases.outcome import Outcome, each
from hoverfast_platform.use_cases.record import failure_record
from tests.builders import NAMESPACE, SLIDE, squares
from tests.conftest import REPOSITORY

HOSTILE = {
    "a\x1b]0;owned\x07.svs": r"a\x1b]0;owned\x07.svs",  # sets the terminal's title
    "a\x1b[2J.svs": r"a\x1b[2J.svs",  # wipes the screen
    "a\rb.svs": r"a\x0db.svs",
    "a\x9b31m.svs": r"a\x9b31m.svs",
    "a\u202egnp.svs": r"a\u202egnp.svs",  # reads as a.svs.png from the right
    b"a\xff.svs".decode("utf-8", "surrogateescape"): r"a\xff.svs",
    "postgresql://u:s3cr@et@host/db": "postgresql://u:***@host/db",
    "postgresql+psycopg2://u:s3cret@host/db gone": "postgresql+psycopg2://u:***@host/db gone",
    "host=db password=s3cret dbname=x": "host=db password=*** dbname=x",
    "host=db PASSWORD = 's3 cret' dbname=x": "host=db PASSWORD = *** dbname=x",
    "ñ 組織 #1.svs": "ñ 組織 #1.svs",
}
NAMES = (
    "![x](https://example.org/x.png).svs",
    "[here](javascript:alert(1)).svs",
    "<img src=https://example.org/x.png>.svs",
    "<script>alert(1)</script>.svs",
    "https://example.org/a.svs",
    "www.example.org.svs",
    "someone@example.org.svs",
    "a|b||c.svs",
    "a`b*c_d~~e~~.svs",
    "# heading.svs",
    "- list.svs",
    "1. list.svs",
    "a\nb\n\n# heading.svs",
    "a\\b.svs",
    "&lt;img&gt;.svs",
    '=HYPERLINK("https://example.org").svs',
    "+1-2.svs",
    "-1+cmd|' /C calc'!A0.svs",
    "@SUM(1).svs",
    "'=1+1.svs",
    "\t=1+1.svs",
    "'; DROP TABLE slides;--.svs",
    '"}],"x":[{"y":"',
    *HOSTILE,
)
"""Files can be called so, and slides come from elsewhere."""


@pytest.mark.parametrize("name", NAMES)
def test_markdown_shows_a_name_and_makes_nothing_of_it(name):
    renderer = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    page = renderer.render(f"| slide |\n|---|\n| {markdown(name)} |")

    made = set(re.findall(r"<(\w+)", page))
    assert made <= {"table", "thead", "tbody", "tr", "th", "td"}
    shown = html.unescape(re.search(r"<td>(.*)</td>", page).group(1))
    assert shown.split() == one_line(name).split()
    assert not re.search(r"https?:/|www\.|\w@\w", markdown(name))  # GitHub's kind makes links of it


@pytest.mark.parametrize("name", NAMES)
def test_no_spreadsheet_computes_a_name_and_we_read_it_back(name, tmp_path):
    shown = cell(name)
    path = tmp_path / "manifest.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["stem"], [shown]])

    assert not shown.startswith(("=", "+", "-", "@", "\t", "\r"))
    assert read_table(path, ("stem",)).rows[0]["stem"] == one_line(name).strip()


def test_numbers_in_a_table_stay_numbers():
    assert (cell("-0.25"), cell("+3"), cell("-1e-3")) == ("-0.25", "+3", "-1e-3")


@pytest.mark.parametrize("name", NAMES)
def test_pages_show_a_name_and_make_nothing_of_it(name, tmp_path):
    blocks = [
        Heading(name),
        Paragraph(name, "bad"),
        Table((name,), [(name,)]),
        Links([(".", name)]),
    ]
    page = write_page(tmp_path / "page.html", name, blocks).read_text(encoding="utf-8")

    assert not re.search(r"<(script|img)\b(?!.*data:image)", page.partition("<body")[2])
    assert "<script>alert" not in page
    if "<" in name:
        assert html.escape(name, quote=False).split()[0] in page


@pytest.mark.parametrize("name", NAMES)
def test_the_terminal_shows_a_name_and_does_nothing(name, capsys):
    say(name)

    assert capsys.readouterr().out == clean(name) + "\n"


@pytest.mark.parametrize("name", [n for n in NAMES if clean(n) == n])
def test_the_catalogue_and_a_result_keep_a_name_as_it_is(name, tmp_path):
    record = dataclasses.replace(SLIDE, name=name, path=f"/slides/{name}")
    with Catalogue.open(tmp_path / "catalogue.sqlite") as catalogue:
        key = catalogue.slides.register(record)
        catalogue.results.record_failure(failure_record(Path(record.path), StorageError(name)))

        assert catalogue.slides.all()[0].name == name
        assert catalogue.results.failures()[0].message == name
    assert one_name(key) == key
    write_geojson(
        tmp_path / "x.json.gz", [squares(2)], provenance={"name": name}, namespace=NAMESPACE
    )
    written = json.loads(gzip.decompress((tmp_path / "x.json.gz").read_bytes()))
    assert written["provenance"] == {"name": name}
    assert len(written["features"]) == 2


def test_a_defect_is_told_with_its_traceback_and_without_passwords():
    code = (
        "import sys\nfrom hoverfast_platform.cli import main\n"
        "def fail(**_): raise KeyError('postgresql://u:s3cret@h/d \\x1b[2J')\n"
        "main.hoverfast.get_command = fail\nmain.hoverfast.invoke = lambda context: fail()\n"
        "sys.argv = ['hoverfast', 'x']\nmain.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "postgresql://u:***@" in done.stderr
    assert "s3cret" not in done.stderr


@pytest.mark.parametrize(("hostile", "shown"), HOSTILE.items())
def test_every_way_out_of_the_process_gives_the_clean_text(hostile, shown, tmp_path):
    error, defect = StorageError(hostile, hostile), RuntimeError(hostile)
    log = logging.LogRecord("n", logging.ERROR, "", 1, "%s", (hostile,), None)

    assert clean(hostile) == shown
    assert (error.message, error.remedy, str(error)) == (shown, shown, f"{shown} {shown}")
    assert Outcome(1, error=error).failure_text == f"{shown} {shown}"
    assert Outcome(1, error=defect).failure_text == f"RuntimeError: {shown}"
    assert failure_record(tmp_path, error).message == shown
    assert failure_record(tmp_path, defect).message == f"RuntimeError: {shown}"
    assert main._CleanFormatter("%(message)s").format(log) == shown


@pytest.mark.parametrize("password", ["s3cr@et", "@s3cret", "12/s3cr@et", "s3:cr@e/t"])
def test_a_password_that_is_not_written_as_it_must_be_is_not_shown(password):
    with pytest.raises(CatalogueError, match="cannot be parsed") as caught:
        database_url(f"postgresql://user:{password}@host/name")

    shown = f"{caught.value} {caught.value.__cause__}"
    assert "s3" not in shown
    assert "et@" not in shown


def test_a_failure_that_cannot_be_recorded_stops_nobody(caplog):
    def make(item):
        raise StorageError(f"{item} cannot be read.")

    def full_disk(item, error):
        raise OSError("No space left on device")

    outcomes = list(each(["a", "b"], make, record_failure=full_disk))

    assert [str(outcome.error) for outcome in outcomes] == [
        "a cannot be read.",
        "b cannot be read.",
    ]
    assert "The failure of a (a cannot be read.) could not be recorded: No space" in caplog.text


def test_only_one_function_of_the_command_line_writes_to_the_terminal():
    for path in (REPOSITORY / "hoverfast_platform" / "cli").glob("*.py"):
        if path.name != "say.py":
            assert "click.echo(" not in path.read_text(), f"{path}: use say() of cli/say.py"
