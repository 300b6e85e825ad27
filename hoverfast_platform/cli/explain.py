"""``hoverfast explain``: cause and remedy of a kind of error."""

from __future__ import annotations

import click

from hoverfast_platform.cli.json_text import json_option, json_text
from hoverfast_platform.cli.say import say


@click.command("explain")
@click.argument("kind", required=False)
@json_option
def command(kind: str | None, as_json: bool) -> None:
    """Say what a KIND of error means, what usually causes it, and what to do.

    The kind stands in parentheses in a failure's message, such as missing_mpp. Without KIND all
    kinds are listed.
    """
    from hoverfast_platform.explanations import KINDS, explanation_of

    found = [explanation_of(one) for one in ([kind] if kind else KINDS)]
    if as_json:
        say(json_text(found[0] if kind else found))
    elif kind:
        say(f"{kind}\n\n{found[0].text}")
    else:
        width = max(map(len, KINDS))
        for one in found:
            say(f"{one.kind:{width}}  {one.what}")
