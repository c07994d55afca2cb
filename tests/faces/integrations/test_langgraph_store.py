"""The store of LangGraph: the same tests for whatworks and for LangGraph's own store in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from langgraph.store.base import (
    BaseStore,
    GetOp,
    InvalidNamespaceError,
    ListNamespacesOp,
    MatchCondition,
    PutOp,
    SearchOp,
)
from langgraph.store.memory import InMemoryStore

from whatworks import InvalidInputError, Memory
from whatworks.integrations.langchain import WhatWorksStore
from whatworks.testing import HashEmbedder

FOODS = ("users", "ada", "foods")


def in_memory() -> BaseStore:
    def embed(texts: Any) -> list[list[float]]:
        return [list(map(float, row)) for row in HashEmbedder()(list(texts))]

    return InMemoryStore(index={"dims": HashEmbedder().dim, "embed": embed})


@pytest.fixture(params=["whatworks", "langgraph"])
def kept(request: pytest.FixtureRequest, memory: Memory) -> BaseStore:
    return WhatWorksStore(memory) if request.param == "whatworks" else in_memory()


@pytest.fixture
def ours(memory: Memory) -> WhatWorksStore:
    return WhatWorksStore(memory)


# -- both ------------------------------------------------------------------------------------------


def test_what_is_put_can_be_got(kept: BaseStore) -> None:
    value = {"text": "likes tea", "n": 3, "deep": {"list": [1, None, True, 0.5], "µ": "ß"}}
    kept.put(FOODS, "tea", value)
    item = kept.get(FOODS, "tea")
    assert item is not None
    assert (item.namespace, item.key, item.value) == (FOODS, "tea", value)
    assert item.created_at <= item.updated_at
    assert item.created_at.utcoffset() is not None


def test_what_is_not_there_is_none(kept: BaseStore) -> None:
    kept.put(FOODS, "tea", {"text": "likes tea"})
    assert kept.get(FOODS, "coffee") is None
    assert kept.get(("users", "bob", "foods"), "tea") is None
    assert kept.get(("users", "ada"), "tea") is None


def test_an_item_is_replaced_as_a_whole(kept: BaseStore) -> None:
    kept.put(FOODS, "tea", {"text": "likes tea", "old": 1})
    kept.put(FOODS, "tea", {"text": "hates tea"})
    item = kept.get(FOODS, "tea")
    assert item is not None
    assert item.value == {"text": "hates tea"}
    assert len(kept.search(FOODS)) == 1


def test_a_deleted_item_is_in_no_answer_and_can_come_back(kept: BaseStore) -> None:
    kept.put(FOODS, "tea", {"text": "likes green tea"})
    kept.put(FOODS, "cake", {"text": "likes cake"})
    kept.delete(FOODS, "tea")
    kept.delete(FOODS, "never there")
    assert kept.get(FOODS, "tea") is None
    assert [item.key for item in kept.search(FOODS)] == ["cake"]
    assert [item.key for item in kept.search(FOODS, query="green tea")] == ["cake"]
    kept.put(FOODS, "tea", {"text": "tea again"})
    assert {item.key for item in kept.search(FOODS)} == {"tea", "cake"}


def test_search_keeps_to_the_beginning_of_namespaces(kept: BaseStore) -> None:
    kept.put(FOODS, "a", {"text": "one"})
    kept.put(("users", "ada"), "b", {"text": "two"})
    kept.put(("users", "adam"), "c", {"text": "three"})
    kept.put(("other",), "d", {"text": "four"})

    def keys(prefix: tuple[str, ...]) -> set[str]:
        return {item.key for item in kept.search(prefix)}

    assert keys(()) == {"a", "b", "c", "d"}
    assert keys(("users",)) == {"a", "b", "c"}
    assert keys(("users", "ada")) == {"a", "b"}
    assert keys(("ada",)) == set()


@pytest.mark.parametrize(
    ("wanted", "keys"),
    [
        ({"kind": "drink"}, {"tea", "milk"}),
        ({"kind": "drink", "cups": 2}, {"tea"}),
        ({"cups": {"$gt": 1}}, {"tea", "cake"}),
        ({"cups": {"$gte": 1, "$lt": 3}}, {"tea", "milk"}),
        ({"cups": {"$lte": 1}}, {"milk"}),
        ({"kind": {"$ne": "drink"}}, {"cake"}),
        ({"kind": {"$eq": "food"}}, {"cake"}),
        ({"at": {"place": "home"}}, {"tea"}),
        ({"tags": ["a", "b"]}, {"tea"}),
        ({"tags": ["a"]}, set()),
        ({"nothing": 1}, set()),
    ],
)
def test_filters_compare_values(kept: BaseStore, wanted: dict[str, Any], keys: set[str]) -> None:
    tea = {"kind": "drink", "cups": 2, "at": {"place": "home", "x": 1}, "tags": ["a", "b"]}
    kept.put(FOODS, "tea", tea)
    kept.put(FOODS, "milk", {"kind": "drink", "cups": 1})
    kept.put(FOODS, "cake", {"kind": "food", "cups": 3})
    assert {item.key for item in kept.search(FOODS, filter=wanted)} == keys
    assert {item.key for item in kept.search(FOODS, filter=wanted, query="tea")} == keys


def test_pages_of_a_search_make_up_the_whole(kept: BaseStore) -> None:
    for n in range(7):
        kept.put(FOODS, f"k{n}", {"text": f"dish number {n}", "even": n % 2 == 0})
    pages = [kept.search(FOODS, limit=3, offset=start) for start in (0, 3, 6, 9)]
    assert [len(page) for page in pages] == [3, 3, 1, 0]
    assert len({item.key for page in pages for item in page}) == 7
    assert len(kept.search(FOODS, filter={"even": True}, limit=3)) == 3
    assert len(kept.search(FOODS, filter={"even": True}, limit=3, offset=3)) == 1


def test_a_question_finds_the_most_similar_first(kept: BaseStore) -> None:
    kept.put(FOODS, "tea", {"text": "drinks green tea in the morning"})
    kept.put(FOODS, "bike", {"text": "rides a red bicycle to work"})
    found = kept.search(FOODS, query="drinks green tea in the morning", limit=2)
    assert [item.key for item in found] == ["tea", "bike"]
    assert found[0].score is not None
    assert found[1].score is not None
    assert found[0].score > found[1].score


def test_namespaces_are_listed(kept: BaseStore) -> None:
    names = [FOODS, ("users", "bob", "foods"), ("users", "bob", "work"), ("other",)]
    for name in names:
        kept.put(name, "k", {"text": "x"})
    assert kept.list_namespaces() == sorted(names)
    assert kept.list_namespaces(prefix=("users", "*", "foods")) == [FOODS, ("users", "bob", "foods")]
    assert kept.list_namespaces(suffix=("foods",)) == [FOODS, ("users", "bob", "foods")]
    assert kept.list_namespaces(max_depth=1) == [("other",), ("users",)]
    assert kept.list_namespaces(limit=1, offset=1) == [FOODS]


def test_a_batch_reads_what_was_there_before_it_writes(kept: BaseStore) -> None:
    kept.put(FOODS, "tea", {"text": "old"})
    got, found, names, none = kept.batch(
        [
            GetOp(FOODS, "tea"),
            SearchOp(FOODS),
            ListNamespacesOp((MatchCondition("prefix", ("users",)),)),
            PutOp(FOODS, "tea", {"text": "new"}),
        ]
    )
    assert got.value == {"text": "old"}  # type: ignore[union-attr]
    assert [item.value for item in found] == [{"text": "old"}]  # type: ignore[union-attr]
    assert (names, none) == ([FOODS], None)
    assert kept.get(FOODS, "tea").value == {"text": "new"}  # type: ignore[union-attr]


def test_of_two_writes_in_a_batch_the_last_one_stands(kept: BaseStore) -> None:
    kept.batch([PutOp(FOODS, "tea", {"n": 1}), PutOp(FOODS, "tea", {"n": 2})])
    assert kept.get(FOODS, "tea").value == {"n": 2}  # type: ignore[union-attr]


def test_it_is_awaited_as_well(kept: BaseStore) -> None:
    async def main() -> None:
        await kept.aput(FOODS, "tea", {"text": "likes tea"})
        item = await kept.aget(FOODS, "tea")
        assert item is not None
        assert [found.key for found in await kept.asearch(FOODS, query="tea")] == ["tea"]
        await kept.adelete(FOODS, "tea")
        assert await kept.asearch(FOODS) == []

    asyncio.run(main())


def test_a_namespace_must_have_labels(kept: BaseStore) -> None:
    for bad in ((), ("a.b",), ("",), ("langgraph",)):
        with pytest.raises(InvalidNamespaceError):
            kept.put(bad, "k", {"text": "x"})


# -- ours ------------------------------------------------------------------------------------------


def test_items_are_there_after_reopening(open_memory: Callable[..., Memory]) -> None:
    first = open_memory()
    WhatWorksStore(first).put(FOODS, "tea", {"text": "likes tea"})
    first.close()
    assert WhatWorksStore(open_memory()).get(FOODS, "tea").value == {"text": "likes tea"}  # type: ignore[union-attr]


def test_the_parts_that_are_named_are_what_is_searched(ours: WhatWorksStore, memory: Memory) -> None:
    ours.put(FOODS, "tea", {"text": "green tea", "note": "secret"}, index=["text"])
    ours.put(FOODS, "none", {"text": "green tea"}, index=False)
    assert [item.key for item in ours.search(FOODS, query="green tea")] == ["tea"]
    assert memory.get_pattern(ours.pattern_id(FOODS, "tea")).description == "green tea"
    assert ours.get(FOODS, "none") is not None


def test_a_deleted_item_leaves_nothing_of_its_text_in_patterns(
    ours: WhatWorksStore, memory: Memory
) -> None:
    ours.put(FOODS, "tea", {"text": "likes green tea"})
    ours.delete(FOODS, "tea")
    assert "green" not in repr(memory.patterns())
    assert ours.list_namespaces() == []


def test_the_tries_of_an_item_say_whether_it_helps(ours: WhatWorksStore, memory: Memory) -> None:
    ours.put(("lessons",), "pin", {"text": "pin the timezone"})
    memory.record(ours.pattern_id(("lessons",), "pin"), outcome=1.0, context="flaky test")
    ours.put(("lessons",), "pin", {"text": "pin the timezone in CI"})
    answer = memory.predict("flaky test").answers[0]
    assert answer.pattern.description == "pin the timezone in CI"
    assert answer.resolved == 1


def test_labels_of_a_batch_are_checked_too(ours: WhatWorksStore) -> None:
    with pytest.raises(InvalidNamespaceError):
        ours.batch([PutOp(("a.b",), "k", {"text": "x"})])
    assert ours.search(()) == []


def test_what_json_cannot_hold_is_refused(ours: WhatWorksStore) -> None:
    with pytest.raises(InvalidInputError):
        ours.put(FOODS, "tea", {"when": object()})
