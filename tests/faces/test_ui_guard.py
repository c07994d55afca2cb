"""Who may ask the inspector: the token, the host, the origin, and what every answer forbids."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from support.inspected import ORIGIN, Browser
from whatworks import Memory
from whatworks.ui.app import PAGES
from whatworks.ui.guard import HEADERS, MAX_BODY

PATHS = [
    "/",
    "/health",
    "/static/inspector.js",
    "/static/vendor/htmx.min.js",
    "/nosuch",
    *(f"/{page.name}.json" for page in PAGES),
]


@pytest.fixture(scope="module")
def memory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Memory]:
    with Memory.open(tmp_path_factory.mktemp("guarded") / "store", embedder="none") as memory:
        memory.add_pattern("retry", pattern_id="p")
        yield memory


@pytest.fixture
def browser(memory: Memory) -> Browser:
    return Browser(memory)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("token", [None, "", "wrong", "é"])
def test_nothing_is_answered_without_the_token(browser: Browser, path: str, token: str | None) -> None:
    answer = browser.stranger.get(path, params=None if token is None else {"token": token})
    assert answer.status_code == 401 and answer.text.count("\n") == 1
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    "cookie", ["whatworks_8000=wrong", "whatworks_8001={}", "=", 'a="', "whatworks_8000"]
)
def test_a_cookie_of_somebody_else_is_no_token(browser: Browser, cookie: str) -> None:
    headers = {"cookie": cookie.format(browser.session.cookie)}
    assert browser.stranger.get("/", headers=headers).status_code == 401


def test_the_address_opens_once_and_the_token_leaves_it(memory: Memory) -> None:
    browser = Browser(memory)
    browser.stranger.cookies.clear()
    token = browser.session.token
    answer = browser.stranger.get("/pattern", params={"token": token, "id": "p"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/pattern?id=p")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie and token not in cookie
    browser.stranger.cookies.clear()
    assert browser.stranger.get("/", params={"token": token}).status_code == 401


def test_the_way_from_the_token_leads_to_no_other_host(memory: Memory) -> None:
    browser = Browser(memory)
    browser.stranger.cookies.clear()
    answer = browser.stranger.get(f"{ORIGIN}//evil.example/", params={"token": browser.session.token})
    assert answer.headers["location"] == "/evil.example/"


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8000",
        "127.0.0.1",
        "127.0.0.1:8001",
        "127.0.0.1.evil.example:8000",
        "",
    ],
)
@pytest.mark.parametrize("path", ["/", "/overview.json", "/static/inspector.css"])
def test_a_name_that_somebody_pointed_at_this_machine_is_refused(
    browser: Browser, host: str, path: str
) -> None:
    answer = browser.client.get(path, headers={"host": host})
    assert answer.status_code == 403 and "host" in answer.text


@pytest.mark.parametrize(
    "origin", [None, "null", "http://evil.example", "http://127.0.0.1:8001", "https://127.0.0.1:8000"]
)
@pytest.mark.parametrize("path", ["/edit", "/forget", "/predict"])
def test_only_our_own_pages_write(
    browser: Browser, memory: Memory, origin: str | None, path: str
) -> None:
    fields = {"csrf": browser.session.csrf, "id": "p", "confirm": "p", "description": "x", "type": "x"}
    headers = {} if origin is None else {"origin": origin}
    answer = browser.client.post(path, data=fields, headers=headers)
    assert answer.status_code == 403
    assert memory.get_pattern("p").description == "retry"


@pytest.mark.parametrize("csrf", ["", "wrong"])
def test_a_form_without_its_secret_writes_nothing(browser: Browser, memory: Memory, csrf: str) -> None:
    assert browser.post("/forget", id="p", confirm="p", csrf=csrf).status_code == 403
    assert memory.get_patterns(["p"])


def test_a_write_cannot_be_asked_for_by_a_link(browser: Browser, memory: Memory) -> None:
    for path in ("/forget", "/edit"):
        browser.get(path, id="p", confirm="p", csrf=browser.session.csrf)
    assert memory.get_patterns(["p"])


def test_a_form_that_is_too_long_is_refused(browser: Browser) -> None:
    answer = browser.post("/predict", context="x" * MAX_BODY)
    assert answer.status_code == 413 and "expected at most" in answer.text


def test_a_form_without_a_length_is_refused(browser: Browser) -> None:
    def parts() -> Iterator[bytes]:
        yield b"context=x"

    headers = {"origin": ORIGIN, "content-type": "application/x-www-form-urlencoded"}
    assert browser.client.post("/predict", content=parts(), headers=headers).status_code == 413


@pytest.mark.parametrize(
    "path", ["/", "/health.json", "/nosuch", "/pattern?id=nobody", "/static/inspector.js"]
)
def test_every_answer_forbids_what_no_page_needs(browser: Browser, path: str) -> None:
    for answer in (browser.get(path), browser.stranger.get(path, headers={"cookie": ""})):
        for name, value in HEADERS.items():
            if name == "cache-control" and answer.status_code == 200 and path.startswith("/static"):
                assert answer.headers[name] == "private, no-cache"
            else:
                assert answer.headers[name] == value, (path, name)
    assert "unsafe" not in HEADERS["content-security-policy"]


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_no_other_method_does_anything(browser: Browser, method: str) -> None:
    answer = browser.client.request(method, "/forget?id=p", headers={"origin": ORIGIN})
    assert answer.status_code == 405


def test_the_guard_passes_on_no_websocket(browser: Browser) -> None:
    import asyncio

    said: list[Any] = []

    async def send(message: Any) -> None:
        said.append(message)

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    app: Any = browser.client.app
    asyncio.run(app({"type": "websocket", "path": "/", "headers": []}, receive, send))
    assert said == []
