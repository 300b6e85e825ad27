"""Is a slide's file still the one that was registered?"""

from __future__ import annotations

from hoverfast_platform.catalogue import Catalogue
from hoverfast_platform.errors import AbsentSlideError, UnreadableSlideError
from hoverfast_platform.ingest.units import signature
from hoverfast_platform.slide.digest import slide_digest


def verified_content(catalogue: Catalogue, key: str) -> str:
    """Digest of the slide's content.

    A watched file with the size and times it was registered with is not read again.

    Raises:
        CatalogueError: If there is no such slide, or its file is known to have changed.
        AbsentSlideError: If the file is gone.
        UnreadableSlideError: If it holds something else.
    """
    path = catalogue.slides.path(key)
    if not path.exists():
        raise AbsentSlideError(
            f"{path} is not there any more.",
            "Put the file back or mount its folder, and it goes on by itself; a slide that was "
            "moved is found again in any watched folder.",
        )
    expected = catalogue.slides.digest(key)
    found = catalogue.files.known_content(str(path), signature(path))
    found = found or slide_digest(path)
    if found != expected:
        raise UnreadableSlideError(
            f"{path} changed since it was registered as {key}.",
            "The new content is registered as a slide of its own once it stands still.",
        )
    return found
