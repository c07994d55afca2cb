"""The pages of the inspector, each as HTML and, under the same name with ``.json``, as data."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Any, NamedTuple

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from whatworks.errors import (
    InvalidInputError,
    ModelMismatchError,
    NotFoundError,
    StoreBusyError,
    WhatWorksError,
)
from whatworks.memory import Memory
from whatworks.ui import rendering
from whatworks.ui.asked import Asked, fields
from whatworks.ui.guard import MAX_BODY, Guard, Session
from whatworks.ui.views import advice, compare, health, overview, pattern, search, sources, tries
from whatworks.ui.writing import WRITES, Write

__all__ = ["PAGES", "Page", "build"]

STATUS: tuple[tuple[type[WhatWorksError], int], ...] = (
    (InvalidInputError, 400),
    (NotFoundError, 404),
    (ModelMismatchError, 409),
    (StoreBusyError, 503),
)


class Page(NamedTuple):
    """A page: its name, its title, and what it shows, made of the memory and what was asked.

    A ``part`` is loaded into another page, because it may take longer than that should.
    """

    name: str
    title: str
    show: Callable[[Memory, Asked], object]
    part: bool = False


PAGES = (
    Page("overview", "Overview", overview.overview),
    Page("calibration", "Calibration", overview.calibration, part=True),
    Page("search", "Patterns", search.search),
    Page("pattern", "Pattern", pattern.pattern),
    Page("contexts", "Contexts", pattern.contexts, part=True),
    Page("forget", "Forget", pattern.forget),
    Page("would-forget", "Forget", pattern.would_forget, part=True),
    Page("predict", "Predict", advice.predict),
    Page("why", "Why", advice.why),
    Page("diff", "What changed", advice.diff),
    Page("changes", "Changes", advice.changes, part=True),
    Page("compare", "Compare", compare.compare),
    Page("rates", "Tries", tries.rates),
    Page("related", "Related files", tries.related, part=True),
    Page("clusters", "Clusters", tries.clusters, part=True),
    Page("sources", "Sources", sources.sources),
    Page("findings", "Examination", health.findings, part=True),
)


def build(memory: Memory, session: Session, *, port: int) -> Guard:
    """The ASGI application for a memory, behind its guard.

    Parameters
    ----------
    memory
        Open as long as it is served.
    session
        What a browser has to show.
    port
        Where it will be served on the loopback.
    """
    return Guard(_Inspector(memory, session).app, session, port)


class _Inspector:
    def __init__(self, memory: Memory, session: Session) -> None:
        self._memory = memory
        self._session = session
        self._times = health.Latencies()
        self._templates = rendering.environment()
        of_health = Page("health", "Health", lambda memory, _: health.health(memory, self._times))
        routes: list[BaseRoute] = []
        for page in (*PAGES, of_health):
            path = "/" if page.name == "overview" else f"/{page.name}"
            routes.append(Route(path, self._endpoint(page, as_json=False)))
            routes.append(Route(f"/{page.name}.json", self._endpoint(page, as_json=True)))
        for write in WRITES:
            routes.append(Route(f"/{write.name}", self._writer(write), methods=["POST"]))
        routes.append(Mount("/static", _Static(packages=[("whatworks.ui", "static")])))
        self.app = Starlette(
            routes=routes,
            exception_handlers={
                WhatWorksError: self._failed,
                HTTPException: self._failed,
                Exception: self._failed,
            },
        )

    def _endpoint(self, page: Page, *, as_json: bool) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            start = perf_counter()
            asked = Asked(fields(request.url.query))
            response = await run_in_threadpool(self._shown, page, asked, as_json)
            self._times.add(request.url.path, 1_000 * (perf_counter() - start))
            return response

        return answer

    def _shown(self, page: Page, asked: Asked, as_json: bool) -> Response:
        data = page.show(self._memory, asked)
        if as_json:
            return Response(rendering.document(data), media_type="application/json")
        return self._html(f"{page.name}.html", page.title, data=data, asked=asked, name=page.name)

    def _html(self, template: str, title: str, *, status: int = 200, **values: Any) -> Response:
        text = rendering.page(self._templates, template, title=title, csrf=self._session.csrf, **values)
        return Response(text, status, media_type="text/html")

    def _writer(self, write: Write) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            given = fields(await _body(request))
            if not self._session.wrote(given.pop("csrf", "")):
                raise HTTPException(403, "the form is of another run: load its page again")
            target = await run_in_threadpool(write.do, self._memory, Asked(given))
            return RedirectResponse(target, 303)

        return answer

    async def _failed(self, request: Request, error: Exception) -> Response:
        status, line = _told(error)
        if request.url.path.endswith(".json"):
            body = rendering.document({"error": line})
            return Response(body, status, media_type="application/json")
        return self._html(
            "error.html", "Not found" if status == 404 else "That did not work",
            status=status, line=line, name="", asked=Asked({}),
        )  # fmt: skip


def _told(error: Exception) -> tuple[int, str]:
    """The status and the one line that an error is answered with."""
    if isinstance(error, HTTPException):
        missing = error.status_code == 404
        return error.status_code, "there is no such page" if missing else error.detail
    if isinstance(error, WhatWorksError):
        status = next((status for kind, status in STATUS if isinstance(error, kind)), 500)
        return status, " ".join(str(error).split())
    return 500, f"the inspector failed: {type(error).__name__}; the terminal has the details"


async def _body(request: Request) -> str:
    """The body of a form, no longer than the guard allows."""
    taken = bytearray()
    async for part in request.stream():
        taken += part
        if len(taken) > MAX_BODY:
            raise HTTPException(413, f"the form is too long; expected at most {MAX_BODY:,} bytes")
    try:
        return taken.decode("ascii")
    except UnicodeDecodeError as error:
        raise InvalidInputError(
            "the form is not URL-encoded; expected one of the inspector's"
        ) from error


class _Static(StaticFiles):
    """Files that say nothing of the store: the browser may keep them, and asks whether they changed."""

    async def get_response(self, path: str, scope: Any) -> Response:
        response = await super().get_response(path, scope)
        response.headers["cache-control"] = "private, no-cache"
        return response
