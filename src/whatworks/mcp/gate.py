"""Who may ask over HTTP: nothing passes without a token, and nobody asks without end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic
from typing import Any, Protocol

from whatworks.spaces.tokens import Token

__all__ = ["AT_ONCE", "BURST", "GRANT", "PER_SECOND", "Finds", "Gate", "Limits"]

# Under which a request carries the token that it came with.
GRANT = "whatworks.token"
# An agent asks a few times a minute, and a test run that records each of its tests some tens of
# times a second for a while. A server answers several hundred a second: one token cannot take all.
PER_SECOND = 20.0
BURST = 200
# Forty threads answer; with more at once one token could make all others wait.
AT_ONCE = 8
SCHEME = b"bearer "


class Finds(Protocol):
    """What finds the token that a client sends, as ``spaces.tokens.Keys`` does."""

    def find(self, given: str, /) -> Token | None:
        """The token, ``None`` if it is none that is known."""


class Limits:
    """How often, and how often at once, each token may ask.

    A bucket for each (Turner 1986): ``burst`` requests, filled up with ``per_second``. There are as
    many as tokens have asked: those of removed ones go with ``keep``.
    """

    def __init__(
        self,
        *,
        per_second: float = PER_SECOND,
        burst: int = BURST,
        at_once: int = AT_ONCE,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._rate, self._burst, self._at_once, self._clock = per_second, burst, at_once, clock
        self._lock = threading.Lock()
        self._left: dict[str, tuple[float, float]] = {}  # what was left, and when
        self._asking: dict[str, int] = {}

    def enter(self, name: str) -> bool:
        """Whether a token may ask now; if so, ``leave`` has to follow."""
        with self._lock:
            now = self._clock()
            left, at = self._left.get(name, (float(self._burst), now))
            left = min(self._burst, left + (now - at) * self._rate)
            asking = self._asking.get(name, 0)
            if left < 1 or asking >= self._at_once:
                return False
            self._left[name], self._asking[name] = (left - 1, now), asking + 1
            self._forget_full(now)
            return True

    def leave(self, name: str) -> None:
        """A request is done."""
        with self._lock:
            self._asking[name] -= 1
            if not self._asking[name]:
                del self._asking[name]

    def _forget_full(self, now: float) -> None:
        """Buckets that are full again say nothing; so removed tokens leave none behind."""
        if len(self._left) > 2 * max(64, len(self._asking)):
            full = self._burst / self._rate
            self._left = {name: kept for name, kept in self._left.items() if now - kept[1] < full}


class Gate:
    """Passes on what carries a token; 401 to all else, 429 to who asks too much, 405 to streams.

    Parameters
    ----------
    app
        The ASGI application behind it; finds the token in the scope under ``GRANT``.
    keys
        Finds the token that a client sends.
    """

    def __init__(self, app: Any, keys: Finds, limits: Limits | None = None) -> None:
        self._app, self._keys = app, keys
        self._limits = limits or Limits()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return  # no websockets here
        token = self._keys.find(_bearer(scope))
        if token is None:
            await _refuse(send, 401, (b"www-authenticate", b"Bearer"))
        elif scope["method"] == "GET":  # a stream of what the server says by itself, which is nothing
            await _refuse(send, 405, (b"allow", b"POST"))
        elif not self._limits.enter(token.name):
            await _refuse(send, 429, (b"retry-after", b"1"))
        else:
            try:
                await self._app({**scope, GRANT: token}, receive, send)
            finally:
                self._limits.leave(token.name)


def _bearer(scope: Any) -> str:
    given: bytes = dict(scope["headers"]).get(b"authorization", b"")
    return (
        given[len(SCHEME) :].decode("latin-1").strip() if given[: len(SCHEME)].lower() == SCHEME else ""
    )


async def _refuse(send: Any, status: int, header: tuple[bytes, bytes]) -> None:
    headers = [header, (b"content-length", b"0")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body"})
