"""What a result that is shown was made from, as a picture."""

from __future__ import annotations

from hoverfast_platform.catalogue import Catalogue
from hoverfast_platform.errors import StorageError
from hoverfast_platform.reports.lineage import Story, story_of
from hoverfast_platform.reports.lineage_graph import LineageGraph
from hoverfast_platform.viewer.library import Exhibit, Library


def draw_descent(exhibit: Exhibit, library: Library) -> str:
    """SVG of what a result was made from; what its file says, where no catalogue knows it.

    Raises:
        StorageError: If it is a slide without a result.
        CatalogueError: If the catalogue cannot be read.
    """
    summary = exhibit.summary()
    if summary is None:
        raise StorageError(f"{exhibit.name} has no result yet.", "Segment it first.")
    story = Story(summary.provenance)
    if library.catalogue is not None:
        with Catalogue.open(library.catalogue) as catalogue:
            found = catalogue.results.lineage(summary.provenance.segmentation_id).entries
            if found:
                story = story_of(catalogue, found[0])
    return LineageGraph.of(story).svg()
