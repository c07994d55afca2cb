"""Who may ask the inspector: the browser that was given the token, and no other page in it."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qsl, urlencode

__all__ = ["CSP", "HEADERS", "MAX_BODY", "Guard", "Session"]

CSP = (
    "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": CSP,
    "x-frame-options": "DENY",
    "x-content-type-options": "nosniff",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    # Nothing goes to other hosts. "no-referrer" would take the Origin from our own forms as well.
    "referrer-policy": "same-origin",
    "cache-control": "no-store",
}
LOOPBACK = ("127.0.0.1", "localhost")
# A description is at most 64 KiB, and each byte of it may be sent as three.
MAX_BODY = 1 << 18


class Session:
    """The secrets of one run.

    ``token`` is what the address holds, good for one visit; ``cookie`` is what a
    browser gets for it, ``csrf`` what a form must bring back.
    """

    def __init__(self) -> None:
        self.token = secrets.token_urlsafe(24)
        self.cookie = secrets.token_urlsafe(24)
        self.csrf = secrets.token_urlsafe(24)

    def takes(self, token: str) -> bool:
        """Whether this is the token of the address, which is worth nothing afterwards."""
        if not _same(token, self.token):
            return False
        self.token = secrets.token_urlsafe(24)
        return True

    def wrote(self, csrf: str) -> bool:
        """Whether a form comes from one of our pages."""
        return _same(csrf, self.csrf)


class Guard:
    """Passes on what may ask; all else ends here with one line.

    Parameters
    ----------
    app
        The ASGI application behind it.
    session
        What to expect.
    port
        Where it is served: hosts and origins have to name it, so that no name
        that somebody else points at this machine will do (DNS rebinding).
    """

    def __init__(self, app: Any, session: Session, port: int) -> None:
        self._app = app
        self._session = session
        self._hosts = {f"{name}:{port}" for name in LOOPBACK}
        self._origins = {f"http://{host}" for host in self._hosts}
        # Cookies do not know ports: two inspectors on one machine must not take each other's.
        self._cookie = f"whatworks_{port}"

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return  # no websockets here
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        if refused := self._refusal(scope, headers):
            await _answer(send, *refused)
            return

        async def sent(message: Any) -> None:
            if message["type"] == "http.response.start":
                given = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                named = {name for name, _ in message["headers"]}
                message["headers"] = [
                    *message["headers"],
                    *(pair for pair in given if pair[0] not in named),
                ]
            await send(message)

        await self._app(scope, receive, sent)

    def _refusal(
        self, scope: Any, headers: Mapping[str, str]
    ) -> tuple[int, str, dict[str, str]] | None:
        if headers.get("host") not in self._hosts:
            return 403, "this host is not served here: use the address that whatworks ui printed", {}
        if not self._known(headers):
            query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
            token = query.pop("token", "")
            if scope["method"] == "GET" and self._session.takes(token):
                return 303, "", self._welcome(scope["path"], query)
            return (
                401,
                "no valid token: start whatworks ui again, and use the address that it prints",
                {},
            )
        if scope["method"] not in ("GET", "HEAD") and headers.get("origin") not in self._origins:
            return 403, "what writes must come from a page of the inspector", {}
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > MAX_BODY or "transfer-encoding" in headers:
            return 413, f"the form is too long; expected at most {MAX_BODY:,} bytes", {}
        return None

    def _known(self, headers: Mapping[str, str]) -> bool:
        try:
            found = SimpleCookie(headers.get("cookie", "")).get(self._cookie)
        except CookieError:
            return False
        return found is not None and _same(found.value, self._session.cookie)

    def _welcome(self, path: str, query: Mapping[str, str]) -> dict[str, str]:
        """Hand over the cookie, and go on without the token, which would stay in the history."""
        # A path of two slashes would lead to another host.
        target = "/" + path.lstrip("/\\") + (f"?{urlencode(query)}" if query else "")
        cookie = f"{self._cookie}={self._session.cookie}; Path=/; HttpOnly; SameSite=Strict"
        return {"location": target, "set-cookie": cookie}


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(), expected.encode())


async def _answer(send: Any, status: int, line: str, more: Mapping[str, str]) -> None:
    body = f"{line}\n".encode() if line else b""
    headers = {
        **HEADERS,
        **more,
        "content-type": "text/plain; charset=utf-8",
        "content-length": str(len(body)),
    }
    listed = [(name.encode(), value.encode("latin-1", "replace")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": listed})
    await send({"type": "http.response.body", "body": body})
