"""Where the body of an asset is written, as the UI links to it."""

from __future__ import annotations

from collections.abc import Iterable

import dagster as dg


def in_source(assets: Iterable[dg.AssetsDefinition]) -> list[dg.AssetsDefinition]:
    """The same assets; each says in which file, and from which line on, its body is."""
    return [
        asset
        for asset in dg.with_source_code_references(list(assets))
        if isinstance(asset, dg.AssetsDefinition)
    ]
