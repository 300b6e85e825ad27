"""``hoverfast withdraw``: what must not be used any more, and everything made of it."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import click

from hoverfast_platform.cli.catalogue_option import VARIABLE, CatalogueType
from hoverfast_platform.cli.say import say
from hoverfast_platform.cli.shared_option import HELP
from hoverfast_platform.cli.shared_option import VARIABLE as SHARED_VARIABLE


@click.command("withdraw")
@click.argument("kind", type=click.Choice(["slide", "labels", "patient"]))
@click.argument("subject")
@click.option(
    "--catalogue",
    required=True,
    envvar=VARIABLE,
    type=CatalogueType(),
    help="Catalogue that knows it: a catalogue.sqlite, or postgresql://...",
)
@click.option(
    "--shared", default="", envvar=SHARED_VARIABLE, help=f"{HELP} It is removed there, too."
)
@click.option("--carry-out", is_flag=True, help="Do it. Without this nothing is changed.")
@click.option("--reason", default="", help="Who asked for it, and when; kept for ever.")
def command(
    kind: str, subject: str, catalogue: Path | str, shared: str, carry_out: bool, reason: str
) -> None:
    """Withdraw SUBJECT, a slide, a label set or a patient: consent was taken back, for instance.

    Lists everything made of it: masks, results, training sets, reports with its pictures, models
    that learned from it, themselves or through others, and slides those models segmented. With
    --carry-out the files are removed, all of it is marked, and it is used by nothing any more; that
    it was removed is kept. The slide's own file is yours to remove.
    """
    from hoverfast_platform.catalogue import Catalogue
    from hoverfast_platform.catalogue.withdrawals import WithdrawnKind
    from hoverfast_platform.storage.shared_artefacts import SharedArtefacts
    from hoverfast_platform.use_cases.withdraw import plan_withdrawal, withdraw

    if carry_out and not reason.strip():
        raise click.UsageError("--carry-out needs a --reason: who asked for it, and when?")
    store = SharedArtefacts.at(Path(), shared)
    with Catalogue.open(catalogue) as opened:
        plan = plan_withdrawal(opened, cast("WithdrawnKind", kind), subject, store)
        for item in plan.reached:
            say(f"{item.kind:12}  {item.what}  {item.path or ''}".rstrip())
        for path in plan.to_remove:
            say(f"{'removed' if carry_out else 'to remove':12}  {path}")
        for name in plan.shared_to_remove:
            say(f"{'removed' if carry_out else 'to remove':12}  {name} in {shared}")
        say(f"{len(plan.slides_to_make_again)} other slides have nuclei of these models.")
        if not carry_out:
            say('Nothing was changed. To do it: --carry-out --reason "..."')
            return
        withdraw(opened, plan, reason=reason, shared=store)
    say(f"Withdrawn: {len(plan.reached)} entries marked, {len(plan.to_remove)} files removed.")
