"""The link from an asset of a slide to the slide in the viewer."""

from __future__ import annotations

import dagster as dg

from hoverfast_platform.resources.artefact_folder import SlideView


def viewer_metadata(slide: SlideView, **shown: str) -> dict[str, dg.UrlMetadataValue]:
    """The entry ``viewer``; none where the deployment names no viewer.

    Args:
        slide: To open there.
        shown: What is switched on there, such as ``mask="1"``.
    """
    link = slide.viewer_link(**shown)
    return {} if link is None else {"viewer": dg.MetadataValue.url(link)}
