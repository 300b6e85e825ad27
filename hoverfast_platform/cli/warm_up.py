"""``hoverfast warm-up``: compile ahead what the first slide would wait for."""

from __future__ import annotations

import click

from hoverfast_platform.cli.say import say


@click.command("warm-up")
def command() -> None:
    """Compile the loops of post-processing, so that the first slide need not wait for it.

    Once per machine and version; run again, it only loads them. The code is kept beside the
    installed package, in the user's cache folder, or in NUMBA_CACHE_DIR; the exit code is 1 if
    it can be kept nowhere.
    """
    from hoverfast_platform.use_cases.warm_up import warm_up

    ready = warm_up()
    say(f"Compiled code is ready in {ready.folder} ({ready.seconds:.1f} s).")
