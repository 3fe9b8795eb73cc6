"""Who may use the page: whoever has the address that the command printed, from the page itself, in small requests."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; object-src 'none'; base-uri 'self'; "
    "form-action 'self'; frame-ancestors 'none'"
)
"""The page loads nothing from, and sends nothing to, any other address, whatever an answer holds."""
HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)
LARGEST = 2**20
"""Most bytes of a request. The page has fields, and no files to upload."""
POSTED = ("queue/join", "cancel", "reset", "run", "api", "call")
"""The paths below ``/gradio_api/`` that the page posts to. Gradio has more, such as ``upload``."""
WITHOUT_COOKIE = "/manifest.json"
"""Browsers ask for it without cookies. It holds the page's title and no more."""
READ = ("GET", "HEAD", "OPTIONS")


class Guarded:
    """An application that answers with :data:`HEADERS`, and only to requests that carry its token.

    The token comes once in the query of the address that opens the page, and then in a cookie.
    """

    def __init__(self, app: ASGIApp, token: str, port: int) -> None:
        self.app, self.token = app, token
        self.cookie = f"themis-{port}"  # cookies of all ports of a host are one jar

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *HEADERS]
            await send(message)

        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] != "http":  # a web socket: the page has none
            await send({"type": "websocket.close", "code": 1008})
        else:
            request = Request(scope)
            answer = self._refusal(request)
            body = b"" if answer or request.method in READ else await _body(receive)
            if body is None:
                answer = PlainTextResponse(f"A request may have {LARGEST:,} bytes", 413)
            if answer is not None:
                await answer(scope, receive, guarded)
            else:
                await self.app(scope, receive if not body else _again(body, receive), guarded)

    def _refusal(self, request: Request) -> Response | None:
        if not from_the_page(request.method, request.headers):
            return PlainTextResponse("Other sites can't use this page", 403)
        if request.url.path == "/" and self._is_token(request.query_params.get("token")):
            opened = RedirectResponse("./", 303)
            opened.set_cookie(self.cookie, self.token, httponly=True, samesite="lax")
            return opened
        if request.url.path == WITHOUT_COOKIE and request.method == "GET":
            return None
        if not self._is_token(request.cookies.get(self.cookie)):
            return PlainTextResponse("Open the address that the command printed, with its token", 403)
        path = request.url.path.removeprefix("/gradio_api/")
        if request.method not in READ and not any(path == one or path.startswith(f"{one}/") for one in POSTED):
            return PlainTextResponse("The page takes no such request", 403)
        return None

    def _is_token(self, given: str | None) -> bool:
        return given is not None and secrets.compare_digest(given.encode(), self.token.encode())


def from_the_page(method: str, headers: Mapping[str, str]) -> bool:
    """Whether a request comes from the page itself, from its own address or a link to it, or from no browser.

    Browsers say so in headers that a site can't set: ``Sec-Fetch-Site``, and ``Origin`` where they lack the first.
    """
    if headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
        return method == "GET" and headers.get("sec-fetch-mode") == "navigate"
    origin = headers.get("origin")
    return origin is None or urlsplit(origin).netloc in (headers.get("host"), headers.get("x-forwarded-host"))


async def _body(receive: Receive) -> bytes | None:
    """A request's body; None if it is too large."""
    found = b""
    while True:
        message = await receive()
        found += message.get("body", b"")
        if len(found) > LARGEST:
            return None
        if not message.get("more_body"):  # the end, or the other side is gone
            return found


def _again(body: bytes, receive: Receive) -> Receive:
    """A receiver that gives a body that was read already, then what follows."""
    left: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return left.pop() if left else await receive()

    return again
