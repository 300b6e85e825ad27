"""The web application: addresses to answers. Another application can mount it under any path.

Every address below ``api/`` names a result by its key. The library decides which files that
means, so no address can lead to another file.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from hoverfast_platform.errors import (
    HoverFastError,
    MaskError,
    ReviewConflictError,
    SettingsError,
    ShareUnavailableError,
    SlideError,
    StorageError,
)
from hoverfast_platform.file_system_errors import file_system_failed
from hoverfast_platform.nuclei.nucleus import MEASUREMENTS
from hoverfast_platform.review.state import Drawn, Proposal, add_up
from hoverfast_platform.viewer.access import Access, Guard
from hoverfast_platform.viewer.descent import draw_descent
from hoverfast_platform.viewer.describe import describe_exhibit, describe_nucleus, list_exhibits
from hoverfast_platform.viewer.library import Library
from hoverfast_platform.viewer.showroom import Colouring, OpenExhibit, Showroom, as_json

STATIC = Path(__file__).parent / "static"
"""The built page; `make viewer` makes it."""

_MAX_BODY_BYTES = 1 << 20
_MOST_COMPARED = 2
"""How many other results "look here first" compares with the one that is shown."""

_KEPT = {"Cache-Control": "private, max-age=86400"}
"""Header for answers that never change: their address holds the segmentation's id."""


def is_built() -> bool:
    """Whether the front end was built: it is in the wheel, and `make viewer` builds it."""
    return (STATIC / "index.html").is_file()


def check_built() -> None:
    """Refuse to start without the page.

    Raises:
        SettingsError: If the front end was not built.
    """
    if not is_built():
        raise SettingsError(
            f"The viewer's page was not built: {STATIC} has no index.html.",
            "Run `make viewer` in the checkout; it brings its own Node.",
        )


def viewer_app(load: Callable[[], Library], access: Access, review_folder: Path) -> Starlette:
    """The application.

    Args:
        load: Returns what can be seen, for instance :func:`open_library` with its arguments.
        access: Who may see and who may write.
        review_folder: Where corrections are written.
    """
    room = Showroom(load, review_folder)
    pages = _Pages(room, access)
    one = "/api/slides/{key}"
    routes: list[BaseRoute] = [
        Route("/", pages.index),
        Route("/api/slides.json", pages.slides),
        Route(one + ".json", pages.slide),
        Route(one + "/thumbnail.jpg", pages.thumbnail),
        Route(one + "/image/{z:int}/{x:int}/{y:int}.jpg", pages.image),
        Route(one + "/nuclei/{z:int}/{x:int}/{y:int}.mvt", pages.outlines),
        Route(one + "/density/{z:int}/{x:int}/{y:int}.png", pages.density),
        Route(one + "/mask.png", pages.mask),
        Route(one + "/lineage.svg", pages.lineage),
        Route(one + "/nucleus/{row:int}.json", pages.nucleus),
        Route(one + "/torn.json", pages.torn),
        Route(one + "/queue.json", pages.queue),
        Route(one + "/review.json", pages.review),
        Route(one + "/review", pages.add_edit, methods=["POST"]),
    ]
    if (STATIC / "static").is_dir():  # else the page is not built, and its address says so
        routes.append(Mount("/static", StaticFiles(directory=STATIC / "static")))
    return Starlette(
        routes=routes,
        middleware=[Middleware(Guard, access=access)],
        exception_handlers={
            HoverFastError: _answer_error,  # type: ignore[dict-item]
            OSError: _answer_os_error,  # type: ignore[dict-item]
        },
    )


_STATUS: tuple[tuple[type[HoverFastError], int], ...] = (
    (ReviewConflictError, 409),
    (SettingsError, 400),
    (SlideError, 424),
    (MaskError, 404),
    (ShareUnavailableError, 503),
    (StorageError, 404),
)


def _answer_error(_request: Request, error: HoverFastError) -> Response:
    error = file_system_failed(error) or error
    status = next((code for kind, code in _STATUS if isinstance(error, kind)), 500)
    return JSONResponse({"error": str(error), "kind": error.kind}, status)


def _answer_os_error(request: Request, error: OSError) -> Response:
    """A share that fails is told as that; anything else is a defect of ours."""
    failed = file_system_failed(error)
    if failed is None:
        raise error
    return _answer_error(request, failed)


class _Pages:
    """One method per address; plain functions run in threads, so that reading blocks nobody."""

    def __init__(self, room: Showroom, access: Access) -> None:
        self._room, self._access = room, access

    def index(self, _request: Request) -> Response:
        """The page itself."""
        check_built()
        return FileResponse(STATIC / "index.html")

    def slides(self, _request: Request) -> Response:
        """JSON: every slide that can be seen: key, name, counts, whether it has nuclei."""
        return _json(list_exhibits(self._room.library))

    def slide(self, request: Request) -> Response:
        """JSON: one slide: scale, levels, measurements, provenance, warnings, what may be done."""
        shown = self._shown(request)
        may_write = self._access.may_write and self._access.knows_token(request)
        described = describe_exhibit(
            shown,
            self._room.library,
            self._room.others(shown),
            problem=self._room.problem(shown),
            may_write=may_write,
        )
        # Asked for next, and the longest to make: begun while the page arranges itself.
        ahead = BackgroundTask(shown.prepare) if shown.exhibit.table_path is not None else None
        return JSONResponse(as_json(described), background=ahead)

    def thumbnail(self, request: Request) -> Response:
        """JPEG of the whole slide, at most 240 px."""
        return _jpeg(self._shown(request).pictures.thumbnail(240))

    def image(self, request: Request) -> Response:
        """JPEG of a tile of the slide."""
        return _jpeg(self._shown(request).pictures.tile(*_tile(request)))

    def outlines(self, request: Request) -> Response:
        """Mapbox vector tile of the outlines.

        ``column``, ``low`` and ``high`` colour them by a measurement; ``against`` names another
        result of the slide to compare with.
        """
        shown = self._shown(request)
        other = request.query_params.get("against", "")
        if other:
            content = shown.difference_tile(*_tile(request), self._room.show(other))
        else:
            content = shown.vector_tile(*_tile(request), _colouring(request, shown))
        return Response(content, media_type="application/vnd.mapbox-vector-tile", headers=_KEPT)

    def density(self, request: Request) -> Response:
        """PNG of nuclei per area; with ``column``, ``low``, ``high`` of a mean measurement."""
        shown = self._shown(request)
        colouring = _colouring(request, shown) or Colouring("", 0.0, 1.0)
        content = shown.density.tile(
            *_tile(request), colouring.column, colouring.low, colouring.high
        )
        return Response(content, media_type="image/png", headers=_KEPT)

    def mask(self, request: Request) -> Response:
        """PNG of the tissue mask, with what was left out in colour."""
        return Response(self._shown(request).mask_png(), media_type="image/png")

    def lineage(self, request: Request) -> Response:
        """SVG of what the result was made from."""
        svg = draw_descent(self._shown(request).exhibit, self._room.library)
        return Response(svg, media_type="image/svg+xml")

    def nucleus(self, request: Request) -> Response:
        """JSON: the measurements of the nucleus in a row of the table."""
        return _json(describe_nucleus(self._shown(request), request.path_params["row"]))

    def torn(self, request: Request) -> Response:
        """JSON: what is wrong with the result's files; nothing if they are whole."""
        return _json({"problem": self._shown(request).torn})

    def queue(self, request: Request) -> Response:
        """JSON: fields that deserve a look first, with the reason."""
        shown = self._shown(request)
        others = [self._room.show(other.key) for other in self._room.others(shown)[:_MOST_COMPARED]]
        return _json([dataclasses.asdict(field) for field in shown.queue(others)])

    def review(self, request: Request) -> Response:
        """JSON: what people corrected so far."""
        return _json(_review(self._shown(request)))

    async def add_edit(self, request: Request) -> Response:
        """JSON: add one edit; the answer is that of ``review``.

        Needs ``--review`` and the header ``X-Hoverfast-Write: 1``; 409 where somebody changed the
        nucleus meanwhile.
        """
        if int(request.headers.get("content-length", _MAX_BODY_BYTES + 1)) > _MAX_BODY_BYTES:
            raise SettingsError("An edit has at most a megabyte, and says its length.", "")
        body = await request.body()
        return await run_in_threadpool(self._add_edit, request, body)

    def _add_edit(self, request: Request, body: bytes) -> Response:
        shown = self._shown(request)
        try:
            asked = json.loads(body)
            by = str(asked.pop("by", ""))[:80]
            proposal = Proposal.model_validate(asked)
        except (ValueError, AttributeError, TypeError) as error:
            raise SettingsError(f"This is not an edit: {error}", "Reload the page.") from error
        shown.check_rows(proposal)
        shown.review_log.add(proposal, by)
        n_nuclei = shown.save_review()
        return _json({**_review(shown), "n_nuclei": n_nuclei, "file": shown.review_path.name})

    def _shown(self, request: Request) -> OpenExhibit:
        return self._room.show(request.path_params["key"])


def _review(shown: OpenExhibit) -> dict[str, Any]:
    edits = shown.review_log.edits()
    state = add_up(edits)
    return {
        "last": state.last,
        "removed_rows": sorted(row for row in state.removed.values() if row >= 0),
        "n_removed": len(state.removed),
        "accepted": sorted(state.accepted),
        "accepted_rows": sorted(state.rows[name] for name in state.accepted & state.rows.keys()),
        "class_rows": [
            (state.rows[name], given)
            for name, given in state.classes.items()
            if name in state.rows and name not in state.removed
        ],
        "drawn": _drawn(state.drawn),
        "regions": _drawn(state.regions),
        "wrong_tiles": _drawn(state.wrong_tiles),
        "edits": [
            edit.model_dump(mode="json", include={"number", "kind", "by", "at", "undoes"})
            for edit in edits[-50:]
        ],
    }


def _drawn(outlines: dict[str, Drawn]) -> list[dict[str, Any]]:
    return [dataclasses.asdict(one) for one in outlines.values()]


def _tile(request: Request) -> tuple[int, int, int]:
    place = request.path_params
    return place["z"], place["x"], place["y"]


def _colouring(request: Request, shown: OpenExhibit) -> Colouring | None:
    asked = request.query_params
    column = asked.get("column", "")
    if not column:
        return None
    if column not in shown.lookup.columns:
        raise SettingsError(
            f"The nuclei have no measurement {column!r}.",
            f"They have {', '.join(m.column for m in MEASUREMENTS)}.",
        )
    try:
        return Colouring(column, float(asked["low"]), float(asked["high"]))
    except (KeyError, ValueError) as error:
        raise SettingsError("Colours need the numbers low and high.", "") from error


def _jpeg(content: bytes) -> Response:
    return Response(content, media_type="image/jpeg", headers=_KEPT)


def _json(value: Any) -> Response:
    return JSONResponse(as_json(value))
