"""The way of imported items into a memory: in batches, each once, conflicts reported."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from whatworks import checks
from whatworks.checks import shown
from whatworks.errors import InvalidInputError
from whatworks.ids import content_id
from whatworks.importers import origin
from whatworks.importers.report import At, Report
from whatworks.records import Judgement, NewEvent, NewPattern, Pattern, Prior, UsageEvent
from whatworks.text import subject_renamed

if TYPE_CHECKING:
    from whatworks.memory import Memory

__all__ = ["BATCH", "Intake"]

# A batch is one write to the journal and one question about what is there:
# large enough to share their cost, small enough to hold.
BATCH = 4_000
BATCH_BYTES = 8 << 20
# What must agree for two tries with one id to be the same try.
_SAME = ("pattern_id", "context_id", "outcome", "state")

Facts = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class _Event:
    at: At
    item: NewEvent | UsageEvent
    body: Mapping[str, Any]
    may_repeat: bool
    pattern: NewPattern | None

    @property
    def facts(self) -> Facts:
        return tuple(self.body[name] for name in _SAME)


class Intake:
    """Takes patterns, aggregates and tries, and writes those that the memory does not hold.

    An item that cannot be stored, or that contradicts one with the same id, is
    noted in ``report`` and left out: what the memory holds stays as it is.

    Parameters
    ----------
    dry_run
        Find out what would be written, and write nothing.
    arrived
        Called with each try that the memory holds after the import.
    checked
        Whether the outcomes are those of checks, such as tests that ran.
    given
        The files that are imported, or folders in which the places of tries name files.
    label
        What the tries come from, where that is no file.
    called
        What the file calls fields of tries, where it has names of its own for them.

    ``foreign`` holds the ids of given patterns that stand for something else
    in the memory. Call ``finish`` at the end.
    """

    def __init__(
        self,
        memory: Memory,
        report: Report,
        *,
        dry_run: bool,
        arrived: Callable[[Mapping[str, Any]], object] | None = None,
        checked: bool = False,
        given: Iterable[str | os.PathLike[str]] = (),
        label: str | None = None,
        called: Mapping[str, str] | None = None,
    ) -> None:
        self._memory = memory
        self.secrets = memory.secrets
        self._report = report
        self._dry_run = dry_run
        self._arrived = arrived
        self._checked = checked
        self._given = origin.Given(given)
        self._from = label
        self._called = called or {}
        self._labels: dict[str, str] = {}
        self._before = memory.stats()
        self._held = _held(memory)
        self._judgements: dict[str, str] | None = None
        self._size = 0
        self._patterns: list[tuple[At, NewPattern | Pattern, dict[str, Any]]] = []
        self._priors: list[tuple[At, Prior, dict[str, Any]]] = []
        self._events: list[_Event] = []
        self._added: dict[str, str] = {}
        self._seen: set[str] = set()  # ids of patterns that are known to be there
        self._prior_facts: dict[str, Facts] | None = None
        self._planned: dict[str, Facts] = {}
        self.foreign: set[str] = set()

    # -- taking -----------------------------------------------------------------------------------

    def judgement(self, at: At, item: Judgement) -> bool:
        """Take what is thought of a source, at once: there are few, and what they bind comes after."""
        try:
            trust = checks.judged(item, self._memory.clock())["trust"]
        except InvalidInputError as error:
            self._report.skip(at, str(error))
            return False
        if self._judgements is None:
            self._judgements = {said.source: said.trust for said in self._memory.judgements()}
            self._report.written["judgements"] = 0
        earlier = self._judgements.get(item.source)
        if earlier is None:
            self._judgements[item.source] = trust
            self._report.written["judgements"] += 1
            self._memory.restore(judgements=[] if self._dry_run else [item])
        elif earlier != trust:
            self._report.skip(at, f"source {shown(item.source)} is {earlier} in the store; it stays so")
        return True

    def pattern(self, at: At, item: NewPattern | Pattern) -> bool:
        """Take a pattern; false if it cannot be stored."""
        try:
            body = self._pattern_body(item)
        except InvalidInputError as error:
            self._report.skip(at, str(error))
            return False
        self._patterns.append((at, item, body))
        self._grow(body)
        return True

    def prior(self, at: At, item: Prior) -> bool:
        """Take an aggregate; false if it cannot be stored."""
        try:
            body = checks.prior(item, self._memory.clock(), self.secrets)
        except InvalidInputError as error:
            self._report.skip(at, str(error))
            return False
        self._priors.append((at, item, body))
        self._grow(body)
        return True

    def event(
        self,
        at: At,
        item: NewEvent | UsageEvent,
        *,
        pattern: NewPattern | None = None,
        may_repeat: bool = True,
    ) -> bool:
        """Take a try, which has an id; false if it cannot be stored.

        Parameters
        ----------
        pattern
            What to add if the try's pattern is not known.
        may_repeat
            Whether the same id can come again.
        """
        try:
            body = self._event_body(item)  # first: a pattern that is made of it has its time
            if pattern is not None and pattern.pattern_id not in self._seen:
                self._pattern_body(pattern)
        except InvalidInputError as error:
            self._report.skip(at, subject_renamed(str(error), self._called))
            return False
        self._events.append(_Event(at, item, body, may_repeat, pattern))
        self._grow(body)
        return True

    def _pattern_body(self, item: NewPattern | Pattern) -> dict[str, Any]:
        now, secrets = self._memory.clock(), self.secrets
        if isinstance(item, Pattern):
            return checks.restored_pattern(item, now, secrets)
        return checks.pattern(item, now, secrets)

    def _event_body(self, item: NewEvent | UsageEvent) -> dict[str, Any]:
        now, secrets = self._memory.clock(), self.secrets
        if isinstance(item, UsageEvent):
            return checks.restored_event(item, now, secrets)
        return checks.event(item, now, secrets)

    def known(self, ids: Iterable[str]) -> set[str]:
        """Which of these ids are patterns, of the memory or added by this import."""
        wanted = set(ids)
        missing = wanted - self._seen
        if missing:
            self._seen |= self._memory.get_patterns(missing).keys()
        return wanted & self._seen

    def finish(self) -> None:
        """Write what is left, and the counts into the report."""
        self.flush()
        if not self._dry_run:
            after = self._memory.stats()
            for kind in ("patterns", "events", "priors"):
                self._report.written[kind] = getattr(after, kind) - getattr(self._before, kind)
            if more := _held(self._memory) - self._held:
                self._report.written["held"] = more

    # -- writing ----------------------------------------------------------------------------------

    def _grow(self, body: Mapping[str, Any]) -> None:
        self._size += len(orjson.dumps(body))
        taken = len(self._patterns) + len(self._priors) + len(self._events)
        if taken >= BATCH or self._size >= BATCH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what was taken so far."""
        self._add_missing()
        self._flush_patterns()
        self._flush_priors()
        self._flush_events()
        self._size = 0

    def _add_missing(self) -> None:
        """Take the patterns that come with tries, where there are none."""
        given: dict[str, tuple[At, NewPattern]] = {}
        for event in self._events:
            if event.pattern is not None and event.pattern.pattern_id is not None:
                given.setdefault(event.pattern.pattern_id, (event.at, event.pattern))
        taken = {body["pattern_id"] for _, _, body in self._patterns}
        known = taken | self.known(given.keys() - taken)
        for name, (at, pattern) in given.items():
            if name not in known:
                self._patterns.append((at, pattern, self._pattern_body(pattern)))

    def _flush_patterns(self) -> None:
        taken, self._patterns = self._patterns, []
        if not taken:
            return
        found = self._memory.get_patterns({body["pattern_id"] for _, _, body in taken})
        self._seen |= found.keys()
        new = []
        for at, item, body in taken:
            name, earlier = body["pattern_id"], found.get(body["pattern_id"])
            digest = _digest(body["pattern_type"], body["description"], body["metadata"])
            if earlier is None and name not in self._added:
                self._added[name] = digest
                self._seen.add(name)
                new.append(item)
            elif name in self._added:
                if self._added[name] != digest:
                    self._report.skip(at, f"pattern {shown(name)} came before with other content")
            elif earlier is not None and not self._same(earlier, body):
                self._report.skip(
                    at,
                    f"pattern {shown(name)} is in the store with other content; "
                    "it stays as it is there",
                )
        self._write("patterns", new, self._write_patterns)

    def _same(self, earlier: Pattern, body: Mapping[str, Any]) -> bool:
        if (earlier.pattern_type, earlier.description) != (body["pattern_type"], body["description"]):
            self.foreign.add(earlier.pattern_id)
            return False
        return _digest(dict(earlier.metadata)) == _digest(body["metadata"])

    def _write_patterns(self, new: list[NewPattern | Pattern]) -> None:
        if plain := [item for item in new if isinstance(item, NewPattern)]:
            self._memory.add_patterns(plain)
        self._memory.restore(patterns=[item for item in new if isinstance(item, Pattern)])

    def _flush_priors(self) -> None:
        taken, self._priors = self._priors, []
        if not taken:
            return
        if self._prior_facts is None:
            stored = self._memory.iter_priors()
            self._prior_facts = {p.prior_id or "": _prior_facts(p) for p in stored}
        known = self.known(item.pattern_id for _, item, _ in taken)
        new = []
        for at, item, body in taken:
            facts = (item.pattern_id, body["success_rate"], body["usage_count"])
            if item.pattern_id not in known:
                self._report.skip(at, f"there is no pattern {shown(item.pattern_id)}")
            elif body["prior_id"] not in self._prior_facts:
                self._prior_facts[body["prior_id"]] = facts
                new.append(item)
            elif self._prior_facts[body["prior_id"]] != facts:
                _, rate, count = self._prior_facts[body["prior_id"]]
                self._report.skip(
                    at,
                    f"an aggregate of pattern {shown(item.pattern_id)} is in the store with a rate of "
                    f"{rate:.3g} and a count of {count:,}, and stays as it is there",
                )
        self._write("priors", new, self._memory.add_priors)

    def _flush_events(self) -> None:
        taken, self._events = self._events, []
        if not taken:
            return
        found = self._memory.get_events({event.body["event_id"] for event in taken})
        known = self.known({event.body["pattern_id"] for event in taken})
        facts = {name: tuple(getattr(e, field) for field in _SAME) for name, e in found.items()}
        new = []
        for event in taken:
            name = event.body["event_id"]
            earlier = facts.get(name) or self._planned.get(name)
            if event.body["pattern_id"] not in known:
                self._report.skip(event.at, f"there is no pattern {shown(event.body['pattern_id'])}")
                continue
            if earlier is None:
                facts[name] = event.facts
                if self._dry_run and event.may_repeat:
                    self._planned[name] = event.facts
                new.append(event)
            elif contradiction := _contradiction(name, earlier, event.facts):
                self._report.skip(event.at, contradiction)
                continue
            if self._arrived:
                self._arrived(event.body)
        self._write("events", new, self._write_events)

    def _write_events(self, new: list[_Event]) -> None:
        plain: dict[str, list[NewEvent]] = {}
        for event in new:
            if isinstance(event.item, NewEvent):
                plain.setdefault(self._label_of(event.at), []).append(event.item)
        for label, items in plain.items():
            self._memory.record_imported(items, imported_from=label, checked=self._checked)
        self._memory.restore(events=[e.item for e in new if isinstance(e.item, UsageEvent)])

    def _label_of(self, at: At) -> str:
        if self._from is not None:
            return self._from
        if at.path not in self._labels:
            self._labels[at.path] = self._given.label(at.path, self.secrets)
        return self._labels[at.path]

    def _write(self, kind: str, new: list[Any], write: Callable[[list[Any]], object]) -> None:
        if new and self._dry_run:
            self._report.written[kind] += len(new)
        elif new:
            write(new)


def _held(memory: Memory) -> int:
    """How many tries count for nothing."""
    return sum(item.tries for item in memory.quarantine(limit=checks.MAX_LIMIT))


def _digest(*values: object) -> str:
    return content_id(orjson.dumps(values, option=orjson.OPT_SORT_KEYS).decode())


def _prior_facts(prior: Prior) -> Facts:
    return prior.pattern_id, prior.success_rate, prior.usage_count


def _contradiction(name: str, earlier: Facts, facts: Facts) -> str | None:
    """What a try says against an earlier one of the same id; one still pending says less, not else."""
    for field, before, after in zip(_SAME, earlier, facts, strict=True):
        pending = facts[-1] == "pending" and field in ("outcome", "state")
        if before != after and not pending:
            return (
                f"event {shown(name)} is recorded with {field} {shown(before)}, not {shown(after)}; "
                "the record stays as it is"
            )
    return None
