"""The one way in which commands write to the terminal."""

from __future__ import annotations

import click

from hoverfast_platform.texts import clean


def say(text: object = "", *, err: bool = False) -> None:
    """Write a line, without passwords and without characters that do something to a terminal.

    Args:
        text: Its parts may come from names of files and from other programs.
        err: To the error stream.
    """
    click.echo(clean(str(text)), err=err)
