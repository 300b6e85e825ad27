"""``hoverfast models``: what ships with the platform."""

from __future__ import annotations

import click


@click.command("models")
def command() -> None:
    """List the models that ship with the platform."""
    from hoverfast_platform.model.registry import DEFAULT_MODEL, available_models

    for name, card in available_models().items():
        click.echo(f"{name}{' (default)' if name == DEFAULT_MODEL else ''}  {card.version}")
        click.echo(f"  {card.stain} at {card.mpp} um/px, licence {card.licence}")
        click.echo(f"  {card.description} {card.intended_use}")
        for m in card.metrics:
            click.echo(f"  {m.dataset}: Dice {m.dice:.3f}, AJI {m.aji:.3f}, PQ {m.pq:.3f}")
