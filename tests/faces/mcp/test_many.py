"""One server for many namespaces: what a token opens is all that its client can reach."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from starlette.testclient import TestClient

from support.spaces import ask, call, filled, opened, result, said, served
from whatworks import Memory, StoreBusyError, StoreError
from whatworks.mcp import pool as pools
from whatworks.mcp.gate import Limits
from whatworks.mcp.pool import Pool
from whatworks.spaces import tokens

WRITING = {"record_outcome"}
METHODS = ("GET", "POST", "DELETE", "OPTIONS", "HEAD", "PUT")
INVALID_PARAMS = -32602
READING = {"suggest_pattern", "search_patterns", "explain_pattern", "compare_patterns"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    filled(tmp_path / "root", "web", "ops", "lab")
    return tmp_path / "root"


@pytest.fixture
def client(root: Path) -> Iterator[TestClient]:
    with served(root) as made:
        yield made


def token(root: Path, name: str, *namespaces: str, **options: Any) -> str:
    return tokens.add(root, name, namespaces, **options)[1]


def listed(client: TestClient, secret: str) -> dict[str, Any]:
    found = result(ask(client, secret, "tools/list"))
    return {tool["name"]: tool["inputSchema"] for tool in found["tools"]}


def test_with_one_namespace_the_tools_are_those_of_one_memory(root: Path, client: TestClient) -> None:
    ada = token(root, "ada", "web")
    tools = listed(client, ada)
    assert set(tools) == WRITING | READING
    assert not any("namespace" in schema["properties"] for schema in tools.values())
    found = call(client, ada, "search_patterns", query="way")
    assert [item["pattern_id"] for item in found["structuredContent"]["patterns"]] == ["way-web"]


def test_with_more_an_argument_chooses_among_the_tokens_own(root: Path, client: TestClient) -> None:
    ada = token(root, "ada", "web", "ops")
    for schema in listed(client, ada).values():
        assert schema["properties"]["namespace"]["enum"] == ["web", "ops"]
        assert "namespace" in schema["required"]
    for name in ("web", "ops"):
        assert f"way-{name}" in said(call(client, ada, "search_patterns", query="way", namespace=name))


def test_a_foreign_namespace_looks_like_one_that_is_not_there(root: Path, client: TestClient) -> None:
    for secret in (token(root, "ada", "web", "ops"), token(root, "bob", "web")):
        told = []
        for name in ("lab", "nix"):
            found = call(client, secret, "search_patterns", query="way", namespace=name)
            assert found["isError"]
            told.append(said(found).replace(name, "?"))
        assert told[0] == told[1]
        assert "expected one of web" in told[0]


@pytest.mark.parametrize("name", ["../web", "web/../ops", "", ".", "WEB", "web\0", ["web"], 7, None])
def test_a_namespace_that_is_no_name_reaches_nothing(
    root: Path, client: TestClient, name: object
) -> None:
    ada = token(root, "ada", "web", "ops")
    found = call(client, ada, "search_patterns", query="way", namespace=name)
    assert found["isError"]
    assert "way-" not in str(found)


def test_a_token_that_may_only_read_sees_no_writing_tool_and_is_refused(
    root: Path, client: TestClient
) -> None:
    ada = token(root, "ada", "web", writes=False)
    assert set(listed(client, ada)) == READING
    found = call(client, ada, "record_outcome", pattern="way-web", outcome=0.0)
    assert found["isError"]
    assert "may only read" in said(found)
    assert "way-web" in said(call(client, ada, "suggest_pattern", situation="a case"))
    with Memory.open(root / "web", embedder="none", durability="process") as memory:
        assert memory.stats().events == 1


def test_nobody_forgets_over_http(root: Path, client: TestClient) -> None:
    ada = token(root, "ada", "web")
    found = call(client, ada, "forget_pattern", pattern_id="way-web", confirm=True)
    assert found["isError"]
    assert "way-web" in said(call(client, ada, "explain_pattern", pattern_id="way-web"))


def test_each_token_is_a_source_of_its_own(root: Path, client: TestClient) -> None:
    secrets = {"ada": token(root, "ada", "web"), "ci": token(root, "ci-1", "web", source="ci")}
    for secret in secrets.values():
        found = call(client, secret, "record_outcome", pattern="way-web", outcome=1, outcome_id="one")
        assert not found.get("isError"), said(found)
    with Memory.open(root / "web", embedder="none", durability="process") as memory:
        told = {(event.source, event.channel, event.event_id) for event in memory.events("way-web")}
    assert {("ada", "mcp-http", "ada/one"), ("ci", "mcp-http", "ci/one")} <= told


def test_resources_are_those_of_the_tokens_namespaces(root: Path, client: TestClient) -> None:
    one, two = token(root, "one", "web"), token(root, "two", "web", "ops")
    uris = [item["uri"] for item in result(ask(client, one, "resources/list"))["resources"]]
    assert uris == ["whatworks://summary"]
    (found,) = result(ask(client, one, "resources/read", uri=uris[0]))["contents"]
    assert found["text"].startswith("1 patterns")
    templates = result(ask(client, two, "resources/templates/list"))["resourceTemplates"]
    assert [item["uriTemplate"] for item in templates] == [
        "whatworks://pattern/{pattern_id}?namespace=web",
        "whatworks://pattern/{pattern_id}?namespace=ops",
    ]
    (found,) = result(
        ask(client, two, "resources/read", uri="whatworks://pattern/way-ops?namespace=ops")
    )["contents"]
    assert "the way of ops" in found["text"]
    for uri in (
        "whatworks://summary", "whatworks://summary?namespace=lab", "whatworks://summary?namespace=nix",
        "whatworks://pattern/way-ops?namespace=web", "whatworks://pattern/\U0010ffff?namespace=web",
    ):  # fmt: skip
        found = result(ask(client, two, "resources/read", uri=uri))
        assert found["error"]["code"] == INVALID_PARAMS, uri


def test_clients_of_the_sdk_are_answered_for_their_tokens(root: Path, client: TestClient) -> None:
    ada = token(root, "ada", "web", "ops", writes=False)
    bob = token(root, "bob", "lab")

    async def seen(secret: str, **arguments: Any) -> tuple[set[str], str]:
        transport = httpx2.ASGITransport(client.app)  # the lifespan is that of the fixture
        async with (
            httpx2.AsyncClient(
                transport=transport, headers={"authorization": f"Bearer {secret}"}
            ) as http,
            Client(streamable_http_client("http://127.0.0.1:8765/mcp", http_client=http)) as session,
        ):
            tools = {tool.name for tool in (await session.list_tools()).tools}
            found = await session.call_tool("search_patterns", {"query": "way", **arguments})
            return tools, found.content[0].text  # type: ignore[union-attr]

    async def main() -> None:
        tools, text = await seen(ada, namespace="ops")
        assert tools == READING
        assert "way-ops" in text
        assert "way-lab" in (await seen(bob))[1]

    assert client.portal is not None
    client.portal.call(main)


# -- who is let in --------------------------------------------------------------------------------


def test_nothing_is_answered_without_a_token(client: TestClient) -> None:
    paths = ("/mcp", "/", "/mcp/", "/docs", "/.well-known/oauth-protected-resource")
    headers = (None, "", "Bearer", "Bearer ", "Bearer ww_x", "Basic YTpi", "bearer\xff")
    for path, method, header in product(paths, METHODS, headers):
        given = {} if header is None else {"authorization": header.encode("latin-1")}
        found = client.request(method, path, headers=given)
        assert (found.status_code, found.content) == (401, b""), (path, method, header)


def test_what_is_removed_or_expired_opens_nothing_at_once(root: Path, client: TestClient) -> None:
    ada, bob = token(root, "ada", "web"), token(root, "bob", "web", days=1e-9)
    assert ask(client, ada, "tools/list").status_code == 200
    assert ask(client, bob, "tools/list").status_code == 401
    tokens.remove(root, "ada")
    assert ask(client, ada, "tools/list").status_code == 401


def test_a_file_that_others_may_read_lets_nobody_in(
    root: Path, client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    ada = token(root, "ada", "web")
    (root / tokens.FILE).chmod(0o644)
    assert ask(client, ada, "tools/list").status_code == 401
    assert "other users may read" in caplog.text
    (root / tokens.FILE).chmod(0o600)
    assert ask(client, ada, "tools/list").status_code == 200


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"host": "evil.example"}, 421),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://127.0.0.1:8765"}, 200),
        ({}, 200),
    ],
)
def test_other_hosts_and_pages_are_refused_even_with_a_token(
    root: Path, client: TestClient, more: dict[str, str], status: int
) -> None:
    client.headers.update(more)
    assert ask(client, token(root, "ada", "web"), "tools/list").status_code == status


def test_who_asks_too_much_is_told_so_and_nobody_else(root: Path) -> None:
    now = [0.0]
    limits = Limits(per_second=1, burst=3, clock=lambda: now[0])
    ada, bob = token(root, "ada", "web"), token(root, "bob", "web")
    with served(root, limits=limits) as client:
        codes = [ask(client, ada, "tools/list").status_code for _ in range(5)]
        assert codes == [200, 200, 200, 429, 429]
        assert ask(client, bob, "tools/list").status_code == 200
        now[0] = 1.0
        codes = [ask(client, ada, "tools/list").status_code for _ in range(2)]
        assert codes == [200, 429]
        assert ask(client, ada, "tools/list").headers["retry-after"] == "1"


def test_a_token_cannot_have_more_than_so_many_requests_at_once() -> None:
    limits = Limits(burst=100, at_once=2)
    assert [limits.enter("ada") for _ in range(3)] == [True, True, False]
    assert limits.enter("bob")
    limits.leave("ada")
    assert limits.enter("ada")


def test_tokens_that_ask_no_more_leave_nothing_behind() -> None:
    now = [0.0]
    limits = Limits(per_second=1, burst=10, clock=lambda: now[0])
    for n in range(1_000):
        now[0] += 1
        assert limits.enter(f"t{n}")
        limits.leave(f"t{n}")
    assert len(limits._left) <= 200


# -- stores ---------------------------------------------------------------------------------------


def test_stores_are_opened_when_used_and_closed_when_idle(root: Path) -> None:
    pool = Pool(root, opened, most=2, idle_seconds=0.05)
    with served(root, pool=pool) as client:
        all_three = token(root, "ada", "web", "ops", "lab")
        assert pool.opened() == []
        for name in ("web", "ops", "lab"):
            call(client, all_three, "search_patterns", query="way", namespace=name)
            assert len(pool.opened()) <= 2
            assert name in pool.opened()
        deadline = time.monotonic() + 10
        while pool.opened() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert pool.opened() == []
        assert "way-web" in said(
            call(client, all_three, "search_patterns", query="way", namespace="web")
        )


def test_one_in_use_is_never_closed_for_another(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "PATIENCE_SECONDS", 0.05)
    pool = Pool(root, opened, most=1)
    memory = pool.take("web", "ada").memory()
    with pytest.raises(StoreBusyError, match="1 namespaces are in use"):
        pool.take("ops", "ada")
    assert memory.get_pattern("way-web")
    pool.give_back("web")
    assert pool.take("ops", "ada").memory().get_pattern("way-ops")
    pool.close()


def test_what_cannot_be_opened_takes_no_place(root: Path) -> None:
    pool = Pool(root, opened, most=2)
    pool.take("web", "ada")
    pool.give_back("web")
    for name in ("nix-1", "nix-2", "nix-3"):
        with pytest.raises(StoreError, match="cannot be opened"):
            pool.take(name, "ada")
    assert pool.opened() == ["web"]
    pool.close()


def test_a_namespace_that_cannot_be_opened_tells_clients_no_path(
    root: Path, client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    gone = token(root, "ada", "nix")
    found = call(client, gone, "search_patterns", query="way")
    assert found["isError"]
    assert str(root) not in str(found)
    assert "there is no store" in caplog.text


def test_a_link_is_no_namespace(root: Path) -> None:
    (root / "other").symlink_to(root / "web", target_is_directory=True)
    with pytest.raises(StoreError, match="is a link"):
        token(root, "eve", "other")
