"""Checked input on its way into the journal: unknown ids refused, repeats recognised."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from copy import deepcopy
from dataclasses import replace
from typing import Any

from whatworks.checks import micros, moment_of, shown
from whatworks.desk import Desk
from whatworks.errors import InvalidInputError, NotFoundError, StoreError
from whatworks.link import Link
from whatworks.records import Pattern, UsageEvent

__all__ = ["Writer"]

Body = dict[str, Any]
# Beyond this many a fold is cheaper than the memory.
REMEMBERED = 10_000
# What must agree for two events with one id to be the same event.
_SAME = ("pattern_id", "context_id", "outcome", "state")


class Writer:
    """Writes patterns, events, outcomes and aggregates to the journal of this process.

    Threads and processes may race to write the same id: both records reach the
    journal, and the fold counts the first.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        self._recent = link.recent

    def add_patterns(self, bodies: Sequence[Body]) -> list[Pattern]:
        """Add patterns; an id that is known replaces the pattern's text and metadata.

        Returns them as they stand then, in order.
        """
        self._recent.check()
        last = {body["pattern_id"]: body for body in bodies}
        found = self._link.ask(Desk.patterns, list(last))
        self._link.append("pattern.added", bodies)
        self._recent.patterns.update(last)
        made = {name: pattern_of(body, found.get(name)) for name, body in last.items()}
        return [made[body["pattern_id"]] for body in bodies]

    def add_priors(self, bodies: Sequence[Body]) -> None:
        """Add imported aggregates."""
        self.require([body["pattern_id"] for body in bodies])
        self._link.append("prior.added", bodies)

    def require(self, ids: Sequence[str]) -> None:
        """Raise unless all ids are patterns."""
        self._recent.check()
        missing = set(ids) - self._recent.patterns
        if missing:
            known = self._link.ask(Desk.known_patterns, sorted(missing))
            self._recent.patterns |= known
            missing -= known
        if missing:
            raise NotFoundError(
                f"there is no pattern {shown(min(missing))}; add it first with add_pattern"
            )

    def record(self, bodies: Sequence[Body]) -> list[Body]:
        """Write events and return them in order; a known id gives the event as it stands.

        Raises
        ------
        InvalidInputError
            An id is known for another pattern, context or outcome.
        """
        self.require([body["pattern_id"] for body in bodies])
        known = self._known([body["event_id"] for body in bodies if body["given_id"]])
        new: dict[str, Body] = {}
        stored = []
        for body in bodies:
            event_id = body["event_id"]
            earlier = known.get(event_id) or new.get(event_id)
            if earlier is not None:
                _agree(earlier, body)
            else:
                new[event_id] = body
            stored.append(earlier or body)
        self._link.append("event.recorded", list(map(_lean, new.values())))
        if self._recent.check():  # what is told of a pattern that was forgotten meanwhile is not kept
            self.require([body["pattern_id"] for body in new.values()])
        self._remember(b for b in new.values() if b["given_id"] or b["outcome"] is None)
        return stored

    def resolve(self, body: Body) -> Body:
        """Give an event its outcome and return the event; the same outcome again writes nothing."""
        self._recent.check()
        with self._recent.resolving:
            return self._resolve(body)

    def _resolve(self, body: Body) -> Body:
        event_id = body["event_id"]
        earlier = self._known([event_id]).get(event_id)
        if earlier is None:
            # One that was resolved when it was recorded is not remembered here.
            earlier = self._stored([event_id], latest=True).get(event_id)
        if earlier is None:
            raise NotFoundError(f"there is no event {shown(event_id)} in this store")
        if _same(earlier, body):  # unless another process has corrected it meanwhile
            earlier = self._stored([event_id], latest=True).get(event_id, earlier)
        if _same(earlier, body):
            return earlier
        resolved = earlier | {
            "state": body["state"],
            "outcome": body["outcome"],
            "resolved_at": body["timestamp"] if body["state"] == "resolved" else None,
        }
        self._link.append("event.resolved", [body])
        self._remember([resolved])
        return resolved

    def _remember(self, bodies: Iterable[Body]) -> None:
        self._recent.events.update((body["event_id"], body) for body in bodies)
        if len(self._recent.events) > REMEMBERED:
            # What was acknowledged must not raise any more: without a fold, remember it longer.
            with suppress(StoreError):
                self._link.ask(Desk.catch_up)  # from now on the evidence knows them
                self._recent.events = {}

    def _known(self, ids: Sequence[str]) -> dict[str, Body]:
        recent = self._recent.events
        found = {name: recent[name] for name in ids if name in recent}
        missing = [name for name in ids if name not in found]
        return found | self._stored(missing) if missing else found

    def _stored(self, ids: Sequence[str], *, latest: bool = False) -> dict[str, Body]:
        found = self._link.ask(Desk.known_events, ids, latest=latest)
        return {event.event_id: body_of(event) for event in found}


def _lean(body: Body) -> Body:
    """The body of an event without what it does not say: most say little, and there are many."""
    lean = {name: value for name, value in body.items() if value or (value == 0 and value is not False)}
    if lean["recorded_at"] == lean["timestamp"]:
        del lean["recorded_at"]
    return lean


def _same(earlier: Body, body: Body) -> bool:
    return (earlier["state"], earlier["outcome"]) == (body["state"], body["outcome"])


def _agree(earlier: Mapping[str, Any], body: Mapping[str, Any]) -> None:
    """A retry says the same; its outcome may be known meanwhile."""
    for name in _SAME:
        if earlier[name] == body[name]:
            continue
        if name in ("outcome", "state") and body["state"] == "pending":
            continue
        raise InvalidInputError(
            f"event {shown(body['event_id'])} is recorded with {name} {shown(earlier[name])}, "
            f"not {shown(body[name])}; use resolve to change an outcome, or another event_id"
        )


def pattern_of(body: Mapping[str, Any], earlier: Pattern | None) -> Pattern:
    """The pattern as it stands once ``body`` is written; its record stays."""
    changed = {
        "pattern_type": body["pattern_type"],
        "description": body["description"],
        "metadata": deepcopy(body["metadata"]),  # the caller's may change
        "updated_at": moment_of(body["recorded_at"]),
    }
    if earlier is not None:
        return replace(earlier, **changed)
    created = body["recorded_at"] if body["created_at"] is None else body["created_at"]
    return Pattern(body["pattern_id"], created_at=moment_of(created), **changed)


def body_of(event: UsageEvent) -> Body:
    """The record that an event came from, as it stands now."""
    return {
        "event_id": event.event_id,
        "given_id": True,
        "pattern_id": event.pattern_id,
        "timestamp": micros(event.timestamp),
        "state": event.state,
        "outcome": event.outcome,
        "context": event.context,
        "context_id": event.context_id,
        "session_id": event.session_id,
        "source": event.source,
        "channel": event.channel,
        "files": list(event.files),
        "tools": list(event.tools),
        "duration_ms": event.duration_ms,
        "cost": event.cost,
        "prediction_id": event.prediction_id,
        "metadata": dict(event.metadata),
        "resolved_at": None if event.resolved_at is None else micros(event.resolved_at),
    }


def event_of(body: Mapping[str, Any]) -> UsageEvent:
    """The event that a record stands for."""
    at, late = moment_of(body["timestamp"]), body.get("resolved_at")
    resolved_at = moment_of(late) if late is not None else at if body["state"] == "resolved" else None
    return UsageEvent(
        event_id=body["event_id"],
        pattern_id=body["pattern_id"],
        timestamp=at,
        state=body["state"],
        outcome=body["outcome"],
        context=body["context"],
        context_id=body["context_id"],
        session_id=body["session_id"],
        source=body["source"],
        channel=body["channel"],
        files=tuple(body["files"]),
        tools=tuple(body["tools"]),
        duration_ms=body["duration_ms"],
        cost=body["cost"],
        prediction_id=body["prediction_id"],
        # The caller may change it, a retry compares; most events have none.
        metadata=deepcopy(body["metadata"]) if body["metadata"] else {},
        resolved_at=resolved_at,
    )
