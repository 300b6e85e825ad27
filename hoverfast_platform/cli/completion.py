"""``hoverfast completion``: the script that completes commands and options in a shell."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from hoverfast_platform.cli.say import say


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the script for a SHELL; add it to the file that the shell reads at its start.

    bash: hoverfast completion bash >> ~/.bashrc, zsh: >> ~/.zshrc, fish:
    > ~/.config/fish/completions/hoverfast.fish. It takes effect in new shells.
    """
    from hoverfast_platform.cli.main import hoverfast

    completion = get_completion_class(shell)
    assert completion is not None
    say(completion(hoverfast, {}, "hoverfast", "_HOVERFAST_COMPLETE").source())
