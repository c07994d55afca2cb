"""Checked input on its way into the journal: unknown ids refused, repeats recognised."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from datetime import datetime
from typing import Any

from whatworks.channels import CHECKING, UNVOUCHED
from whatworks.checks import micros, moment_of, shown
from whatworks.desk import Desk
from whatworks.errors import InvalidInputError, NotFoundError
from whatworks.frozen import maker
from whatworks.ids import content_id
from whatworks.link import Link
from whatworks.records import Pattern, UsageEvent
from whatworks.tries import Many

__all__ = ["Writer"]

Body = dict[str, Any]
# Events that are not in the evidence yet, or may be asked about next: a kilobyte each.
REMEMBERED = 10_000
# What must agree for two events with one id to be the same event.
_SAME = ("pattern_id", "context_id", "outcome", "state")
_NUMBERS = {int, float}  # a zero says something, which ``False`` does not


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
                f"there is no pattern {shown(min(missing))} in this store; add it first"
            )

    def record(self, bodies: Sequence[Body]) -> Sequence[Body]:
        """Write events and return them in order; a known id gives the event as it stands.

        Raises
        ------
        InvalidInputError
            An id is known for another pattern, context or outcome.
        """
        self.require([body["pattern_id"] for body in bodies])
        new, stored = self._compared(bodies)
        self._begin_imports(new)
        self._link.append("event.recorded", list(map(_lean, new)))
        if self._recent.check():  # what is told of a pattern that was forgotten meanwhile is not kept
            self.require([body["pattern_id"] for body in new])
        self._remember(body for body in new if body["given_id"] or body["outcome"] is None)
        return stored

    def record_many(self, many: Many) -> list[UsageEvent]:
        """Write tries whose ids are made here, and return them in order."""
        self.require(many.columns["pattern_id"])
        if many.labels:
            self._begin_imports(many.bodies([0]))
        self._link.append("event.recorded", many.lines())
        if self._recent.check():  # as in ``record``
            self.require(many.columns["pattern_id"])
        outcomes = many.columns["outcome"]
        self._remember(many.bodies(place for place, known in enumerate(outcomes) if known is None))
        return many.events()

    def _compared(self, bodies: Sequence[Body]) -> tuple[Sequence[Body], Sequence[Body]]:
        """Those of events that are new, and for each the one that stands."""
        given = [body["event_id"] for body in bodies if body["given_id"]]
        if not given:  # ids made here never come twice
            return bodies, bodies
        known = self._known(given)
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
        return list(new.values()), stored

    def _begin_imports(self, bodies: Iterable[Body]) -> None:
        """Say once of a batch which files it comes from: tries only have the number of that."""
        found = {
            tuple(labels): body["recorded_at"]
            for body in bodies
            if (labels := body.get("imported_from"))
        }
        begun = [
            {"import_id": content_id(*labels), "labels": labels, "recorded_at": at}
            for labels, at in found.items()
        ]
        if begun:
            self._link.append("import.begun", begun)

    def resolve(self, body: Body) -> Body:
        """Give an event its outcome and return the event; the same outcome again writes nothing.

        Neither does one that is told against what a check found.
        """
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
        if _stands(earlier, body):  # unless another process has corrected it meanwhile
            earlier = self._stored([event_id], latest=True).get(event_id, earlier)
        if _stands(earlier, body):
            return earlier
        resolved = earlier | {
            "state": body["state"],
            "outcome": body["outcome"],
            "resolved_at": body["timestamp"] if body["state"] == "resolved" else None,
            "checked": body["checked"] and body["state"] == "resolved",
        }
        self._link.append("event.resolved", [body])
        self._remember([resolved])
        return resolved

    def judge(self, bodies: Sequence[Body]) -> None:
        """Write down what the owner thinks of sources."""
        self._link.append("source.judged", bodies)

    def archive(self, bodies: Sequence[Body]) -> None:
        """Write down which patterns are archived and which no more."""
        self.require([body["pattern_id"] for body in bodies])
        self._link.append("pattern.archived", bodies)

    def _remember(self, bodies: Iterable[Body]) -> None:
        self._recent.events.update((body["event_id"], body) for body in bodies)
        if len(self._recent.events) > REMEMBERED:
            self._recent.let_go()

    def _known(self, ids: Sequence[str]) -> dict[str, Body]:
        recent = self._recent.events
        found = {name: recent[name] for name in ids if name in recent}
        missing = [name for name in ids if name not in found]
        if not missing:
            return found
        self._recent.find(self._link.reach)
        return found | self._stored(missing)

    def _stored(self, ids: Sequence[str], *, latest: bool = False) -> dict[str, Body]:
        found = self._link.ask(Desk.known_events, ids, latest=latest)
        return {event.event_id: body_of(event) for event in found}


def _lean(body: Body) -> Body:
    """The body of an event without what it does not say: most say little, and there are many."""
    lean: Body = {name: value for name, value in body.items() if value or value.__class__ in _NUMBERS}
    if body["state"] == "resolved" and body["channel"] in CHECKING and not body["checked"]:
        lean["checked"] = False  # against what follows from its channel
    if lean["recorded_at"] == lean["timestamp"]:
        del lean["recorded_at"]
    if labels := lean.pop("imported_from", None):
        lean["import_id"] = content_id(*labels)
    return lean


def _stands(earlier: Body, body: Body) -> bool:
    """Whether an event stays as it is: a check found its outcome, or the same is told again."""
    same = (earlier["state"], earlier["outcome"]) == (body["state"], body["outcome"])
    is_news = body["checked"] and body["state"] == "resolved" and not earlier["checked"]
    return (same and not is_news) or (earlier["checked"] and not body["checked"])


def _agree(earlier: Mapping[str, Any], body: Mapping[str, Any]) -> None:
    """A retry says the same; its outcome may be known meanwhile."""
    for name in _SAME:
        if earlier[name] == body[name]:
            continue
        if name in ("outcome", "state") and body["state"] == "pending":
            continue
        raise InvalidInputError(
            f"event {shown(body['event_id'])} is recorded with {name} {shown(earlier[name])}, "
            f"not {shown(body[name])}; resolve it to change the outcome, or give another id"
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
        "recorded_at": None if event.recorded_at is None else micros(event.recorded_at),
        "checked": event.checked,
        "imported_from": list(event.imported_from),
    }


def event_of(body: Mapping[str, Any]) -> UsageEvent:
    """The event that a record stands for."""
    return UsageEvent(*_values(body))


def events_of(bodies: Sequence[Mapping[str, Any]]) -> list[UsageEvent]:
    """The events that records stand for."""
    if len(bodies) == 1:
        return [event_of(bodies[0])]
    made = maker(UsageEvent)
    return [made(*_values(body)) for body in bodies]


def _values(body: Mapping[str, Any]) -> tuple[Any, ...]:
    """Those of the fields of an event, in order."""
    at, late = moment_of(body["timestamp"]), body.get("resolved_at")
    resolved_at = moment_of(late) if late is not None else at if body["state"] == "resolved" else None
    return (
        body["event_id"],
        body["pattern_id"],
        at,
        body["state"],
        body["outcome"],
        body["context"],
        body["context_id"],
        body["session_id"],
        body["source"],
        body["channel"],
        tuple(body["files"]),
        tuple(body["tools"]),
        body["duration_ms"],
        body["cost"],
        body["prediction_id"],
        # The caller may change it, a retry compares; most events have none.
        deepcopy(body["metadata"]) if body["metadata"] else {},
        resolved_at,
        _came_in(body),
        body.get("checked", False),
        tuple(body.get("imported_from", ())),
    )


def _came_in(body: Mapping[str, Any]) -> datetime | None:
    """When it was recorded, where that bounds how much counts (``evidence.quarantine``)."""
    at = body.get("recorded_at")
    return moment_of(at) if at is not None and body["channel"] in UNVOUCHED else None
