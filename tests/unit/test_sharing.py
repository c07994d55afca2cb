"""What crosses from one store to another, what does not, and that nothing counts twice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from whatworks import InvalidInputError, Memory, NotFoundError
from whatworks.findings import Judgement
from whatworks.sharing import FEW, share
from whatworks.testing import HashEmbedder

START = datetime(2026, 1, 5, 12, tzinfo=UTC)
PRIVATE = ("acme-context", "acme-file.py", "acme-tool", "acme-session", "acme-meta", "acme-run")


@dataclass(frozen=True)
class Stores:
    web: Memory
    ops: Memory


def opened(folder: Path, **options: str) -> Memory:
    return Memory.open(folder, embedder=HashEmbedder(16), durability="process", **options)  # type: ignore[arg-type]


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[Stores]:
    with opened(tmp_path / "web", source="agent") as web, opened(tmp_path / "ops") as ops:
        web.add_pattern("pin the timezone", pattern_id="pin", metadata={"acme-meta": 1})
        web.add_pattern("retry it", pattern_id="retry")
        for n in range(6):
            web.record(
                "pin", outcome=float(n % 3 > 0), context=f"acme-context {n}",
                timestamp=START + timedelta(days=n), event_id=f"acme-run-{n}",
                session_id="acme-session", files=["acme-file.py"],
                tools=["acme-tool"], metadata={"acme-meta": 2},
            )  # fmt: skip
        web.record("pin", outcome=None, event_id="open", timestamp=START)
        web.record("pin", outcome=None, state="not_used", timestamp=START)
        web.record("retry", outcome=0.0, context="acme-context")
        yield Stores(web, ops)


def everything(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_what_crosses_is_how_it_ended_and_when(stores: Stores) -> None:
    done = share(stores.web, stores.ops, ["pin"])
    (one,) = done.patterns
    assert (done.source, one.new, one.tries, one.known, one.contexts) == ("share:web", True, 6, 0, 0)
    found, mine = stores.ops.get_pattern("pin"), stores.web.get_pattern("pin")
    assert (found.description, found.success_rate) == (mine.description, mine.success_rate)
    assert (found.usage_count, found.created_at) == (6, mine.created_at)
    told = [
        (event.timestamp, event.outcome, event.source, event.channel) for event in stores.ops.events()
    ]
    assert told == [
        (START + timedelta(days=n), float(n % 3 > 0), "share:web", "library")
        for n in (5, 4, 3, 2, 1, 0)
    ]
    assert stores.ops.get_patterns(["retry"]) == {}


def test_nothing_private_is_in_any_byte_of_the_other_store(stores: Stores, tmp_path: Path) -> None:
    share(stores.web, stores.ops, ["pin", "retry"])
    stores.ops.flush()
    stores.ops.close()
    held = everything(tmp_path / "ops")
    assert b"pin the timezone" in held
    for text in PRIVATE:
        assert text.encode() not in held, text
    assert b"acme-context" in everything(tmp_path / "web")


def test_contexts_cross_where_one_says_so(stores: Stores) -> None:
    (one,) = share(stores.web, stores.ops, ["pin"], contexts=True).patterns
    assert one.contexts == 6
    event = stores.ops.events("pin")[0]
    assert (event.context, event.files, event.tools) == (
        "acme-context 5",
        ("acme-file.py",),
        ("acme-tool",),
    )
    assert event.session_id is None
    assert event.prediction_id is None
    assert stores.ops.get_pattern("pin").metadata == {"acme-meta": 1}


def test_secrets_are_taken_out_again(stores: Stores, tmp_path: Path) -> None:
    secret = "gh" + "p_" + "a1B2" * 9
    stores.web._writer.add_patterns(  # as an older whatworks would have kept it
        [
            {
                "pattern_id": "old", "pattern_type": "general", "description": f"use {secret}",
                "metadata": {}, "created_at": 1, "recorded_at": 1,
            }
        ]
    )  # fmt: skip
    assert secret in stores.web.get_pattern("old").description
    (one,) = share(stores.web, stores.ops, ["old"]).patterns
    assert one.description.startswith("use [secret:github-token:")
    assert stores.ops.get_pattern("old").description == one.description
    stores.ops.close()
    assert secret.encode() not in everything(tmp_path / "ops")


def test_sharing_again_adds_what_is_new_and_counts_nothing_twice(stores: Stores) -> None:
    share(stores.web, stores.ops, ["pin"])
    before = stores.ops.stats().events
    (again,) = share(stores.web, stores.ops, ["pin"]).patterns
    assert (again.new, again.tries, again.known, again.corrected) == (False, 0, 6, 0)
    assert stores.ops.stats().events == before
    stores.web.record("pin", outcome=1.0)
    stores.web.resolve("open", outcome=1.0)
    (more,) = share(stores.web, stores.ops, ["pin"]).patterns
    assert (more.tries, more.known) == (2, 6)
    assert stores.ops.get_pattern("pin").usage_count == 8


def test_outcomes_that_were_corrected_are_corrected_there(stores: Stores) -> None:
    share(stores.web, stores.ops, ["pin"])
    stores.web.resolve("acme-run-0", outcome=0.75)
    stores.web.resolve("acme-run-1", state="unknown")
    (again,) = share(stores.web, stores.ops, ["pin"]).patterns
    assert (again.tries, again.known, again.corrected) == (0, 6, 2)
    mine, theirs = stores.web.get_pattern("pin"), stores.ops.get_pattern("pin")
    assert theirs.success_rate == mine.success_rate
    assert theirs.resolved_count == 5


def test_what_came_by_sharing_is_not_shared_on(stores: Stores) -> None:
    stores.ops.add_pattern("pin the timezone", pattern_id="pin")
    stores.ops.record("pin", outcome=1.0)
    share(stores.web, stores.ops, ["pin"])
    before = stores.web.get_pattern("pin").usage_count
    (back,) = share(stores.ops, stores.web, ["pin"]).patterns
    assert (back.new, back.tries) == (False, 1)
    assert stores.web.get_pattern("pin").usage_count == before + 1


def test_an_aggregate_crosses_once_and_not_beside_its_tries(stores: Stores) -> None:
    (one,) = share(stores.web, stores.ops, ["pin"], aggregate=True).patterns
    assert (one.tries, one.aggregate) == (0, (pytest.approx(4 / 6), 6))
    (prior,) = stores.ops.iter_priors()
    assert (prior.usage_count, prior.origin) == (6, "share:web")
    (again,) = share(stores.web, stores.ops, ["pin"], aggregate=True).patterns
    assert (again.aggregate, again.known) == (None, 6)
    (tries,) = share(stores.web, stores.ops, ["pin"]).patterns
    assert tries.refused is not None
    assert stores.ops.stats().events == 0
    share(stores.web, stores.ops, ["retry"])
    (other,) = share(stores.web, stores.ops, ["retry"], aggregate=True).patterns
    assert other.refused is not None
    assert len(list(stores.ops.iter_priors())) == 1


def test_another_pattern_of_the_same_id_stays_as_it_is(stores: Stores) -> None:
    stores.ops.add_pattern("something else", pattern_id="pin")
    done = share(stores.web, stores.ops, ["pin", "retry"]).patterns
    assert [one.refused for one in done] == ["the other store has another pattern of this id", None]
    assert stores.ops.get_pattern("pin").description == "something else"
    assert stores.ops.get_pattern("pin").usage_count == 0
    assert stores.ops.get_pattern("retry").usage_count == 1


@pytest.mark.parametrize("aggregate", [False, True])
def test_a_dry_run_says_the_same_and_writes_nothing(stores: Stores, aggregate: bool) -> None:
    told = share(stores.web, stores.ops, ["pin", "retry"], aggregate=aggregate, dry_run=True)
    assert (stores.ops.stats().patterns, stores.ops.stats().events, stores.ops.stats().priors) == (
        0,
        0,
        0,
    )
    done = share(stores.web, stores.ops, ["pin", "retry"], aggregate=aggregate)
    assert told.patterns == done.patterns
    assert (told.dry_run, done.dry_run) == (True, False)


def test_what_a_check_found_is_so_on_the_other_side_and_only_a_check_corrects_it(
    tmp_path: Path,
) -> None:
    web, ops = (Memory.open(tmp_path / name, embedder=None) for name in ("web", "ops"))
    hooks = Memory.open(tmp_path / "web", embedder=None, channel="hook")
    tests = Memory.open(tmp_path / "web", embedder=None, checking=True)
    agent = Memory.open(tmp_path / "ops", embedder=None, channel="mcp")
    with web, ops, hooks, tests, agent:
        hooks.add_pattern("retry", pattern_id="p")
        for name in ("right", "wrong", "lost"):
            hooks.record("p", outcome=1.0, event_id=name)
        tests.record("p", outcome=1.0, event_id="tested")
        web.record("p", outcome=1.0, event_id="told")
        share(web, ops, ["p"])
        assert sorted(event.checked for event in ops.events()) == [False, True, True, True, True]
        for event in ops.events():
            agent.resolve(event.event_id, outcome=0.0)  # of what a check found, nothing changes
        assert ops.get_pattern("p").success_rate == 4 / 5
        hooks.resolve("wrong", outcome=0.0)
        hooks.resolve("lost", state="unknown")
        tests.resolve("told", outcome=1.0)
        (plan,) = share(web, ops, ["p"], dry_run=True).patterns
        (done,) = share(web, ops, ["p"]).patterns
        assert plan == done
        assert (done.known, done.corrected) == (5, 3)
        assert (ops.get_pattern("p").resolved_count, ops.get_pattern("p").success_rate) == (4, 3 / 4)
        assert all(event.checked for event in ops.events() if event.state == "resolved")
        assert share(web, ops, ["p"]).patterns[0].corrected == 0


def test_a_correction_that_is_told_does_not_move_what_a_check_found_there(stores: Stores) -> None:
    share(stores.web, stores.ops, ["retry"])
    (event,) = stores.ops.events()
    stores.ops.resolve(event.event_id, outcome=1.0, checked=True)
    stores.web.resolve(stores.web.events("retry")[0].event_id, outcome=0.5)
    for dry_run in (True, False):
        assert share(stores.web, stores.ops, ["retry"], dry_run=dry_run).patterns[0].corrected == 0
    assert stores.ops.get_event(event.event_id).outcome == 1.0


def test_tries_of_strangers_stay_those_of_strangers(tmp_path: Path) -> None:
    with (
        opened(tmp_path / "web", source="ci", channel="mcp-http") as web,
        opened(tmp_path / "ops") as ops,
    ):
        web.add_pattern("retry", pattern_id="retry")
        for n in range(9):
            web.record("retry", outcome=1.0, session_id=f"s{n}")
        assert web.approve("ci").counted == 9
        share(web, ops, ["retry"])
        (source,) = ops.sources()
        assert (source.source, source.channel, source.trust) == ("share:web", "mcp-http", "unvouched")
        assert source.held > 0
        assert ops.approve("share:web").counted == 9


def test_what_was_shared_can_be_distrusted_and_forgotten_as_a_whole(stores: Stores) -> None:
    share(stores.web, stores.ops, ["pin", "retry"], origin="partner")
    assert stores.ops.distrust("share:partner").held == 7
    assert stores.ops.forget(source="share:partner").events == 7
    assert stores.ops.stats().events == 0


@pytest.mark.parametrize("dry_run", [True, False])
def test_that_the_other_store_distrusts_the_source_is_said(stores: Stores, dry_run: bool) -> None:
    assert not share(stores.web, stores.ops, ["pin"]).distrusted
    stores.ops.distrust("share:web")
    assert share(stores.web, stores.ops, ["retry"], dry_run=dry_run).distrusted
    assert stores.ops.stats().events == 0
    rate = share(stores.web, stores.ops, ["retry"], aggregate=True, dry_run=dry_run).patterns[0]
    assert rate.aggregate is None and rate.refused is not None
    stores.ops.unjudge("share:web")
    assert not share(stores.web, stores.ops, ["retry"]).distrusted


def test_an_aggregate_of_a_distrusted_source_does_not_cross(stores: Stores) -> None:
    stores.ops.restore(judgements=[Judgement("share:web", "distrusted", 0, 0)])
    (one,) = share(stores.web, stores.ops, ["pin"], aggregate=True).patterns
    assert one.refused == "the other store distrusts share:web"
    assert list(stores.ops.iter_priors()) == []


def test_many_tries_are_found_in_pages_like_few(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = share(stores.web, stores.ops, ["pin"], dry_run=True)
    assert FEW > 1_000
    monkeypatch.setattr("whatworks.sharing.FEW", 0)
    monkeypatch.setattr("whatworks.sharing.BATCH", 2)
    assert share(stores.web, stores.ops, ["pin"], dry_run=True) == few
    share(stores.web, stores.ops, ["pin"])
    assert stores.ops.get_pattern("pin").usage_count == 6


def test_what_cannot_be_shared_is_said_before_anything_crosses(stores: Stores, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="nothing was shared"):
        share(stores.web, stores.ops, ["pin", "nobody"])
    with pytest.raises(InvalidInputError, match="no pattern is named"):
        share(stores.web, stores.ops, [])
    with pytest.raises(InvalidInputError, match="an aggregate has no contexts"):
        share(stores.web, stores.ops, ["pin"], aggregate=True, contexts=True)
    with opened(tmp_path / "web") as same, pytest.raises(InvalidInputError, match="name another one"):
        share(stores.web, same, ["pin"])
    assert stores.ops.stats().patterns == 0
