"""The ``hoverfast`` command: finds its subcommands, and turns errors into exit codes.

Commands are imported when they are called, so that ``--help`` is instant.
"""

from __future__ import annotations

import atexit
import contextlib
import difflib
import importlib
import io
import logging
import os
import sys
from traceback import format_exception
from typing import NoReturn

import click
from pydantic import ValidationError

from hoverfast_platform.access_errors import access_refused
from hoverfast_platform.cli.loudness import QUIET
from hoverfast_platform.cli.say import say
from hoverfast_platform.errors import HoverFastError
from hoverfast_platform.file_system_errors import file_system_failed
from hoverfast_platform.interruption import end_on_signals, is_interrupted
from hoverfast_platform.memory_errors import out_of_memory
from hoverfast_platform.texts import clean

_COMMANDS = {
    "infer_wsi": ("hoverfast_platform.cli.infer_wsi", "Find the nuclei of whole slide images."),
    "infer_roi": ("hoverfast_platform.cli.infer_roi", "Find the nuclei of flat images."),
    "mask": ("hoverfast_platform.cli.mask", "Find usable tissue and name artefacts."),
    "report": ("hoverfast_platform.cli.report", "One page about an output folder."),
    "summarise": (
        "hoverfast_platform.cli.summarise",
        "Counts and densities of slides and regions.",
    ),
    "cells": ("hoverfast_platform.cli.cells", "Cells around the nuclei of a result."),
    "neighbours": ("hoverfast_platform.cli.neighbours", "How nuclei lie among each other."),
    "convert": ("hoverfast_platform.cli.convert", "Results to QuPath, tables, OME-Zarr."),
    "up": ("hoverfast_platform.cli.up", "The platform with Dagster's page, in one folder."),
    "view": ("hoverfast_platform.cli.view", "Slides and their nuclei in the browser."),
    "corrections": ("hoverfast_platform.cli.corrections", "QuPath's corrections as labels."),
    "teacher-labels": (
        "hoverfast_platform.cli.teacher_labels",
        "Make a training set with a teacher.",
    ),
    "train": ("hoverfast_platform.cli.train", "Train a student on teacher labels."),
    "slide": ("hoverfast_platform.cli.slide", "What a slide file says of itself."),
    "models": ("hoverfast_platform.cli.models", "Models: list, show, promote, retire."),
    "evaluate": ("hoverfast_platform.cli.evaluate", "How good models are on a labelled set."),
    "catalogue": (
        "hoverfast_platform.cli.catalogue",
        "The metadata database: make, migrate, copy.",
    ),
    "artefacts": (
        "hoverfast_platform.cli.artefacts",
        "What machines share in an object store.",
    ),
    "forecast": ("hoverfast_platform.cli.forecast", "How long the disk lasts."),
    "bench": ("hoverfast_platform.cli.bench", "How fast this machine is, in how much memory."),
    "gpu-check": ("hoverfast_platform.cli.gpu_check", "Whether a GPU is right, and how fast."),
    "withdraw": ("hoverfast_platform.cli.withdraw", "What must not be used any more."),
    "warm-up": ("hoverfast_platform.cli.warm_up", "Compile ahead what the first slide needs."),
    "lineage": ("hoverfast_platform.cli.lineage", "Where a result came from."),
    "sample": ("hoverfast_platform.cli.sample", "A slide to try things on."),
    "doctor": ("hoverfast_platform.cli.doctor", "Whether this machine is ready."),
    "explain": ("hoverfast_platform.cli.explain", "Cause and remedy of a kind of error."),
    "completion": ("hoverfast_platform.cli.completion", "Completion for bash, zsh and fish."),
}
"""Name to module and one line of help; the module's ``command`` is the click command."""


def _spelling(name: str) -> str:
    """Dashes, underscores and capitals are the same."""
    return name.lower().replace("_", "-")


class _LazyGroup(click.Group):
    """A group whose listing needs no import of its commands."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            same = [name for name in _COMMANDS if _spelling(name) == _spelling(cmd_name)]
            if not same:
                near = difflib.get_close_matches(cmd_name, _COMMANDS, n=3)
                hint = f" Did you mean {' or '.join(near)}?" if near else ""
                raise click.UsageError(
                    f"There is no command {cmd_name!r}.{hint} `hoverfast --help` lists them.", ctx
                )
            (cmd_name,) = same
        command: click.Command = importlib.import_module(_COMMANDS[cmd_name][0]).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])


def _show_versions(context: click.Context, _option: click.Parameter, is_asked: bool) -> None:
    if is_asked and not context.resilient_parsing:
        from hoverfast_platform.machine.parts import versions

        width = max(map(len, versions()))
        for part, version in versions().items():
            say(f"{part:{width}}  {version}")
        context.exit()


@click.command(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_versions,
    help="Print the versions of the program and of its parts.",
)
@click.option("-v", "--verbose", is_flag=True, help="Log what happens inside.")
@click.option(
    "-q", "--quiet", is_flag=True, help="Results and failures only: no progress, notes or warnings."
)
@click.pass_context
def hoverfast(context: click.Context, verbose: bool, quiet: bool) -> None:
    """Find every cell nucleus in H&E whole slide images.

    Exit codes: 0 all is done, 1 something failed, 2 wrong usage, 130 interrupted. Results go to
    standard output; progress, warnings and failures to standard error.
    """
    if verbose and quiet:
        raise click.UsageError("--verbose and --quiet contradict each other: give one.", context)
    context.meta[QUIET] = quiet
    handler = logging.StreamHandler()
    handler.setFormatter(_CleanFormatter("%(levelname)s %(name)s: %(message)s"))
    level = logging.INFO if verbose else logging.ERROR if quiet else logging.WARNING
    logging.basicConfig(level=level, handlers=[handler])
    if not verbose:  # our own message says what is wrong with a file, and what to do
        logging.getLogger("tifffile").setLevel(logging.CRITICAL)


class _CleanFormatter(logging.Formatter):
    """Names of files and what libraries say, without passwords and control characters."""

    def format(self, record: logging.LogRecord) -> str:
        return clean(super().format(record))


def main() -> None:
    """Entry point. Exit codes: 0 all done, 1 something failed, 2 wrong usage, 130 interrupted."""
    _open_what_is_closed()
    end_on_signals()
    try:
        # Outside standalone mode click returns the exit code of a command that asked for one.
        sys.exit(hoverfast(prog_name="hoverfast", standalone_mode=False))
    except click.ClickException as error:
        shown = io.StringIO()
        error.show(shown)  # it repeats arguments, often names of files
        say(shown.getvalue().removesuffix("\n"), err=True)
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        _end_interrupted()
    except Exception as error:
        if is_interrupted():  # a library has given a signal on as an error of its own
            _end_interrupted()
        sys.exit(_shown(error))


def _end_interrupted() -> NoReturn:
    """End at once: under threads of libraries that still compute the interpreter would abort."""
    try:
        with contextlib.suppress(OSError):  # the terminal itself may be gone
            say("Interrupted. What was finished is kept; run the command again.", err=True)
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                with contextlib.suppress(OSError, ValueError):
                    stream.flush()
    finally:  # a second signal, as impatient people and `timeout` send it, adds nothing
        os._exit(130)


def _is_ours(module: str) -> bool:
    return module.partition(".")[0] == "hoverfast_platform"


def _shown(error: Exception) -> int:
    """The exit code for an error, once it is told; a defect of ours with its traceback."""
    named = out_of_memory(error) or access_refused(error) or file_system_failed(error)
    error = named or error
    if isinstance(error, ValidationError):
        for problem in error.errors():
            name = ".".join(str(part) for part in problem["loc"])
            say(f"Error: {name} = {problem['input']}: {problem['msg']}.", err=True)
        return 2
    if isinstance(error, ModuleNotFoundError) and not _is_ours(error.name or ""):
        say(f"Error: this needs the package {error.name!r}, which is not installed here.", err=True)
        say("A light bundle leaves packages to the machine: deploy/bundle/light.txt.", err=True)
        return 1
    if not isinstance(error, HoverFastError):
        say("".join(format_exception(error)), err=True)
        return 1
    say(f"Error ({error.kind}): {error}", err=True)
    return 1


def _open_what_is_closed() -> None:
    """Give standard streams that the caller closed to nobody.

    The next file to be opened would take their number, and what a library prints would land
    in it.
    """
    for number, mode in ((0, os.O_RDONLY), (1, os.O_WRONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, mode)  # takes the lowest free number


if __name__ == "__main__":
    main()
