"""Who may see and who may write, and the headers that keep a page to itself.

The token is in the address that `hoverfast view` prints. It is exchanged at once for a cookie,
so that it neither stays in the address bar nor goes along when somebody copies a link.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from urllib.parse import urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hoverfast_platform.files import text_sha256

WRITE_HEADER = "x-hoverfast-write"
"""Header of every write: a page of another site must ask before it sends it, and is refused."""

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}


@dataclass(frozen=True)
class Access:
    """Rules of one viewer.

    Attributes:
        token: Whoever knows it may read, and may write where writing is switched on.
        anyone_may_read: Whether reading needs no token; for a viewer beside Dagster's UI, which
            asks for none either.
        may_write: Whether corrections can be saved at all.
        hosts: Host names under which the page may be asked for. Others are refused, so that a
            foreign name that somebody points at this machine reads nothing. ``*`` allows all,
            for a proxy.
    """

    token: str
    anyone_may_read: bool = False
    may_write: bool = False
    hosts: tuple[str, ...] = ("127.0.0.1", "localhost", "[::1]")

    @property
    def cookie(self) -> str:
        """Name of the cookie; two viewers on one machine have different ones."""
        return f"hoverfast-viewer-{text_sha256(self.token)[:8]}"

    def knows_token(self, request: Request) -> bool:
        """Whether a request carries the token."""
        given = request.cookies.get(self.cookie, "")
        return hmac.compare_digest(given.encode(), self.token.encode())

    def allows_host(self, headers: Headers) -> bool:
        """Whether a request asked for this machine by a name of its own."""
        name = headers.get("host", "").rsplit(":", 1)[0] or headers.get("host", "")
        return "*" in self.hosts or name in self.hosts


class Guard:
    """Lets requests in, and puts the headers on every answer."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app, self._access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        refusal = self._refusal(Request(scope))
        await (refusal or self._app)(scope, receive, send_guarded)

    def _refusal(self, request: Request) -> Response | None:
        access = self._access
        if not access.allows_host(request.headers):
            return PlainTextResponse("This name is not one of the viewer's.", 421)
        if "token" in request.query_params:
            return self._exchange(request)
        knows = access.knows_token(request)
        if request.method not in ("GET", "HEAD"):
            if not access.may_write:
                return PlainTextResponse("This viewer only shows. Start it with --review.", 403)
            if not knows or request.headers.get(WRITE_HEADER) != "1":
                return PlainTextResponse("Writing needs the address with the token.", 403)
            return None
        if knows or access.anyone_may_read:
            return None
        return PlainTextResponse(
            "This page needs the address with the token, which `hoverfast view` printed.", 401
        )

    def _exchange(self, request: Request) -> Response:
        given = request.query_params["token"]
        if not hmac.compare_digest(given.encode(), self._access.token.encode()):
            return PlainTextResponse("The token is of another viewer, or of an older start.", 401)
        rest = [(k, v) for k, v in request.query_params.multi_items() if k != "token"]
        answer = RedirectResponse(f"./?{urlencode(rest)}" if rest else "./", 303)
        is_https = request.headers.get("x-forwarded-proto", request.url.scheme) == "https"
        answer.set_cookie(
            self._access.cookie, given, httponly=True, samesite="strict", secure=is_https
        )
        return answer
