"""One server of many stores, each a machine of a namespace in the database of a team."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep

from support.namespaces import at
from support.spaces import call, filled, served
from whatworks import Memory, NotFoundError
from whatworks.spaces import tokens
from whatworks.team import membership
from whatworks.testing import HashEmbedder

SECONDS = 60.0


def wait_until(true: Callable[[], bool]) -> None:
    deadline = monotonic() + SECONDS
    while True:
        with suppress(NotFoundError):
            if true():
                return
        assert monotonic() < deadline
        sleep(0.1)


def test_what_clients_of_a_server_record_comes_to_the_machines_of_their_namespace_and_back(
    url: str, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    filled(root, "api", "web")
    for name in ("api", "web"):
        membership.init(root / name, at(url, name), name="server")
    secret = tokens.add(root, "ada", ["api", "web"])[1]
    membership.join(
        tmp_path / "bob", at(url, "api"), name="bob", model=HashEmbedder(16).model_id, vectors="exact"
    )
    with (
        served(root) as client,
        Memory.open(tmp_path / "bob", embedder=HashEmbedder(16)) as bob,
    ):
        for name in ("api", "web"):
            done = call(
                client, secret, "record_outcome", namespace=name, pattern=f"way-{name}", outcome=0.0
            )
            assert not done["isError"]
        wait_until(lambda: bob.get_pattern("way-api").usage_count == 2)
        bob.add_pattern("clear the cache first", pattern_id="cache")

        def found(name: str) -> list[str]:
            told = call(client, secret, "search_patterns", namespace=name, query="clear the cache")
            return [each["pattern_id"] for each in told["structuredContent"]["patterns"]]

        wait_until(lambda: "cache" in found("api"))
        assert found("web") == ["way-web"]
        assert {each.pattern_id for each in bob.iter_patterns()} == {"way-api", "cache"}
