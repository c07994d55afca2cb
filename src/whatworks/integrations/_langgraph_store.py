"""A store of LangGraph on a memory: items are patterns, found by meaning."""

from __future__ import annotations

import asyncio
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import orjson

from whatworks.checks import MAX_LIMIT, MAX_TEXT_BYTES
from whatworks.ids import content_id
from whatworks.integrations._run import missing
from whatworks.records import NewPattern, Pattern, Where
from whatworks.redaction import Secrets
from whatworks.text import clean_text

try:
    from langgraph.store.base import (
        BaseStore,
        GetOp,
        Item,
        ListNamespacesOp,
        MatchCondition,
        Op,
        PutOp,
        Result,
        SearchItem,
        SearchOp,
        get_text_at_path,
        tokenize_path,
        validate_op_namespace,
    )
except ImportError as error:
    raise missing("langchain") from error

if TYPE_CHECKING:
    from whatworks.memory import Memory

__all__ = ["WhatWorksStore"]

ITEM = "langgraph"
_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "$eq": operator.eq,
    "$ne": operator.ne,
    "$gt": lambda mine, other: float(mine) > float(other),
    "$gte": lambda mine, other: float(mine) >= float(other),
    "$lt": lambda mine, other: float(mine) < float(other),
    "$lte": lambda mine, other: float(mine) <= float(other),
}


class WhatWorksStore(BaseStore):
    """LangGraph's store for what is to be remembered over threads, kept in a memory.

    An item is a pattern of the type ``langgraph``: its value is metadata, at
    most 64 KiB of JSON, and its text the description, by which ``query``
    finds it; ``index`` names the parts of the value that are its text. Tries
    of an item may be recorded under the id that ``pattern_id`` gives.

    What is deleted is forgotten, with its tries. Unlike the middleware this
    raises the errors of ``whatworks.errors``. There is no ``ttl``.
    """

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    @staticmethod
    def pattern_id(namespace: tuple[str, ...], key: str) -> str:
        """The id of the pattern that an item is."""
        return f"{ITEM}:{content_id(*namespace, key)}"

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """Answer the questions, then write; of several writes of one item the last one stands."""
        given = list(ops)
        for op in given:
            validate_op_namespace(op)
        results = [self._answer(op) for op in given]
        puts = {(op.namespace, op.key): op for op in given if isinstance(op, PutOp)}
        kept = [
            _pattern(op, op.value, self._memory.secrets) for op in puts.values() if op.value is not None
        ]
        if kept:
            self._memory.add_patterns(kept)
        deleted = [self.pattern_id(*place) for place, op in puts.items() if op.value is None]
        if known := self._memory.get_patterns(deleted):
            self._memory.forget(list(known))
        return results

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """As ``batch``, in a worker thread."""
        return await asyncio.to_thread(self.batch, list(ops))

    def _answer(self, op: Op) -> Result:
        if isinstance(op, GetOp):
            return self._get(op)
        if isinstance(op, SearchOp):
            return self._search(op)
        if isinstance(op, ListNamespacesOp):
            return self._namespaces(op)
        return None

    def _get(self, op: GetOp) -> Item | None:
        name = self.pattern_id(op.namespace, op.key)
        found = self._memory.get_patterns([name]).get(name)
        return None if found is None or found.pattern_type != ITEM else Item(**_fields(found))

    def _search(self, op: SearchOp) -> list[SearchItem]:
        where = Where(ITEM, metadata=_place(op.namespace_prefix))
        wanted = MAX_LIMIT if op.filter else op.offset + op.limit
        if wanted < 1:
            return []
        found: list[tuple[Pattern, float | None]]
        if op.query and op.query.strip():
            where = Where(ITEM, metadata={**where.metadata, "indexed": True})
            matches = self._memory.find_similar(clean_text(op.query), where=where, limit=wanted)
            found = [(match.pattern, match.score) for match in matches]
        else:
            found = [(pattern, None) for pattern in self._memory.patterns(where=where, limit=wanted)]
        items = [SearchItem(**_fields(pattern), score=score) for pattern, score in found]
        chosen = [item for item in items if _agrees(item.value, op.filter or {})]
        return chosen[op.offset : op.offset + op.limit]

    def _namespaces(self, op: ListNamespacesOp) -> list[tuple[str, ...]]:
        items = self._memory.patterns(where=Where(ITEM), limit=MAX_LIMIT)
        found = {tuple(pattern.metadata["namespace"]) for pattern in items}
        conditions = op.match_conditions or ()
        chosen = {name[: op.max_depth] for name in found if all(_fits(name, c) for c in conditions)}
        return sorted(chosen)[op.offset : op.offset + op.limit]


def _place(namespace: Sequence[str]) -> dict[str, str | int | float | bool | None]:
    """A namespace as metadata that can be asked for by its beginning."""
    return {f"namespace.{depth}": label for depth, label in enumerate(namespace)}


def _pattern(op: PutOp, given: Mapping[str, Any], secrets: Secrets) -> NewPattern:
    name, value = WhatWorksStore.pattern_id(op.namespace, op.key), dict(given)
    text = (
        ""
        if op.index is False
        else clean_text(secrets.redacted(_text(value, op.index)), max_bytes=MAX_TEXT_BYTES)
    )
    metadata = _place(op.namespace) | {
        "namespace": list(op.namespace),
        "key": op.key,
        "value": value,
        "indexed": bool(text),
    }
    return NewPattern(text or "an item without a text", ITEM, metadata, name)


def _text(value: Mapping[str, Any], index: Sequence[str] | None) -> str:
    """What an item says: the parts named, or all of it."""
    if index is not None:
        return "\n".join(
            text for path in index for text in get_text_at_path(value, tokenize_path(path))
        )
    if len(value) == 1 and isinstance(only := next(iter(value.values())), str):
        return only
    return orjson.dumps(value, default=str).decode()


def _fields(pattern: Pattern) -> dict[str, Any]:
    kept = pattern.metadata
    return {
        "namespace": tuple(kept["namespace"]),
        "key": kept["key"],
        "value": kept["value"],
        "created_at": pattern.created_at,
        "updated_at": pattern.updated_at,
    }


def _fits(namespace: tuple[str, ...], condition: MatchCondition) -> bool:
    path = condition.path
    if len(namespace) < len(path):
        return False
    part = namespace[: len(path)] if condition.match_type == "prefix" else namespace[-len(path) :]
    return all(wanted in ("*", label) for wanted, label in zip(path, part, strict=True))


def _agrees(mine: Any, wanted: Any) -> bool:
    """Whether a value is as a filter wants it: equal, or by LangGraph's comparisons."""
    if isinstance(wanted, Mapping):
        if any(key.startswith("$") for key in wanted):
            return all(_COMPARISONS[key](mine, other) for key, other in wanted.items())
        return isinstance(mine, Mapping) and all(_agrees(mine.get(k), v) for k, v in wanted.items())
    if isinstance(wanted, (list, tuple)):
        same = isinstance(mine, (list, tuple)) and len(mine) == len(wanted)
        return same and all(map(_agrees, mine, wanted))
    return bool(mine == wanted)
