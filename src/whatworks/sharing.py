"""Sharing: patterns and what came of them cross from one store to another, because somebody says so.

Nothing else crosses. What does is a copy with the origin as its source, so that the other side can
distrust it or forget it as a whole. Its channel stays: tries that strangers told count there as
those of strangers (``evidence/quarantine.py``), and sharing makes nobody vouched for. Its ids follow
from the origin's, so that sharing again adds what is new and counts nothing twice. What came by
sharing is not shared on: in a circle of stores it would come back as if somebody else had seen it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path

from whatworks import checks, config
from whatworks.checks import shown
from whatworks.errors import InvalidInputError, NotFoundError
from whatworks.ids import content_id
from whatworks.memory import Memory
from whatworks.records import Pattern, Prior, UsageEvent

__all__ = ["MARK", "Shared", "SharedPattern", "share"]

# Stands before the ids of what was shared, and of sources: no token and no channel is called so.
MARK = "share:"
BATCH = 1_000
# Up to so many tries they are asked for by their patterns; more, in pages through the whole store.
FEW = 100_000


@dataclass(frozen=True, slots=True)
class SharedPattern:
    """What crosses of one pattern.

    ``new`` is whether the other store did not have it. Of its tries with a known outcome ``tries``
    are written there, ``known`` had crossed before, and ``corrected`` of these get the outcome that
    they have now, or a check has found it since; what a check found there stands against what is
    told. ``contexts`` is how many texts of situations cross. An aggregate has ``tries`` 0
    and says what crosses in ``aggregate``, a mean outcome and a count. ``refused`` says why nothing
    of it crosses, ``None`` if it does.
    """

    pattern_id: str
    description: str
    new: bool
    tries: int = 0
    known: int = 0
    corrected: int = 0
    contexts: int = 0
    aggregate: tuple[float, int] | None = None
    refused: str | None = None


@dataclass(frozen=True, slots=True)
class Shared:
    """What was shared, or would be: under which ``source``, and the ``patterns`` as they were named.

    ``distrusted``: the other store distrusts that source. Then tries are kept there and count for
    nothing, until it is approved or ``Memory.unjudge`` takes that back, and aggregates do not cross.
    """

    source: str
    path: str
    patterns: tuple[SharedPattern, ...]
    dry_run: bool
    distrusted: bool = False


def share(
    memory: Memory,
    target: Memory,
    patterns: Iterable[str],
    *,
    origin: str | None = None,
    contexts: bool = False,
    aggregate: bool = False,
    dry_run: bool = False,
) -> Shared:
    """Copy patterns with their evidence to another store, and return what crossed.

    A pattern crosses with its id, type and description; one that is there with other words is left
    as it is, and nothing of it crosses. Of its tries those with a known outcome cross: when they were
    and how they ended. All texts pass the redaction of the target.

    Parameters
    ----------
    patterns
        Ids.
    origin
        What the source is called there, behind ``share:``; by default the name of the store's folder.
    contexts
        Whether also what may be private crosses: contexts, files, tools, durations, costs and metadata.
    aggregate
        One rate and one count instead of the tries, which weigh little (``rank.PRIOR_WEIGHT``) and
        are not brought up to date by sharing again.
    dry_run
        Say what would cross, and write nothing.

    Raises
    ------
    NotFoundError
        There is no such pattern; nothing was shared.
    InvalidInputError
        No pattern is named, both stores are one, or aggregates were to have contexts.
    """
    wanted = checks.unique(patterns, "patterns") or []
    if not wanted:
        raise InvalidInputError("no pattern is named; give the ids of those to share")
    if aggregate and contexts:
        raise InvalidInputError("an aggregate has no contexts; share tries to have them cross")
    crossing = _Crossing(memory, target, origin, contexts=contexts)
    known = memory.get_patterns(wanted)
    for name in wanted:
        if name not in known:
            raise NotFoundError(f"there is no pattern {shown(name)} in this store; nothing was shared")
    given = [known[name] for name in wanted]
    done = crossing.aggregates(given, dry_run) if aggregate else crossing.tries(given, dry_run)
    crossed = tuple(done[name] for name in wanted)
    return Shared(crossing.source, crossing.path, crossed, dry_run, crossing.distrusted)


class _Crossing:
    """One way from a store to another."""

    def __init__(self, memory: Memory, target: Memory, origin: str | None, *, contexts: bool) -> None:
        here, self.path = memory.stats().path, target.stats().path
        self._id = config.load(Path(here)).store_id
        if os.path.realpath(here) == os.path.realpath(self.path) or (
            self._id == config.load(Path(self.path)).store_id
        ):
            raise InvalidInputError(f"{self.path} is the store to share from; name another one")
        self._memory, self._target, self._contexts = memory, target, contexts
        self.source = checks.identifier(MARK + (origin or _name(Path(here))), "the source")
        said = {item.source: item.trust for item in target.judgements()}
        self.distrusted = said.get(self.source) == "distrusted"

    def tries(self, given: list[Pattern], dry_run: bool) -> dict[str, SharedPattern]:
        """Patterns and their tries."""
        done = self._begun(given, otherwise=set(), why="")
        aggregated = self._aggregated()
        for name, one in done.items():
            if self._prior_id(name) in aggregated:
                done[name] = replace(
                    one, refused="it has crossed as an aggregate, which holds its tries"
                )
        open_ = [pattern for pattern in given if done[pattern.pattern_id].refused is None]
        self._add(open_, done, dry_run)
        texts: dict[str, set[str]] = {}
        for events in _batches(_tries(self._memory, open_)):
            self._pass_on(events, done, texts, dry_run)
        return {name: replace(one, contexts=len(texts.get(name, ()))) for name, one in done.items()}

    def _pass_on(
        self,
        events: Iterable[UsageEvent],
        done: dict[str, SharedPattern],
        texts: dict[str, set[str]],
        dry_run: bool,
    ) -> None:
        crossing = {event.event_id: event for event in map(self._event, events)}
        there = self._target.get_events(list(crossing))
        new, other = list[UsageEvent](), list[tuple[UsageEvent, UsageEvent]]()
        for name, event in crossing.items():
            one, earlier = done[event.pattern_id], there.get(name)
            if earlier is None and event.state == "resolved":
                new.append(event)
                one = replace(one, tries=one.tries + 1)
                if event.context is not None:
                    texts.setdefault(event.pattern_id, set()).add(event.context)
            elif earlier is not None:
                differs = (earlier.state, earlier.outcome) != (event.state, event.outcome)
                other += [(earlier, event)] if differs or event.checked > earlier.checked else []
                one = replace(one, known=one.known + 1)
            done[event.pattern_id] = one
        if not dry_run:
            self._target.restore(events=new)
        for earlier, event in other:
            if self._correct(earlier, event, dry_run):
                one = done[event.pattern_id]
                done[event.pattern_id] = replace(one, corrected=one.corrected + 1)

    def _correct(self, earlier: UsageEvent, event: UsageEvent, dry_run: bool) -> bool:
        """Tell a try that has crossed as the origin has it now; false if it stays as it is."""
        state = event.state if event.state in ("not_used", "unknown") else None
        # What a check found only a check has taken back, though what has no outcome does not say so.
        checked = event.checked or (earlier.checked and state is not None)
        if dry_run:
            return checked or not earlier.checked
        now = self._target.resolve(
            event.event_id,
            outcome=event.outcome,
            state=state,
            timestamp=event.resolved_at,
            checked=checked,
        )
        return (now.state, now.outcome) == (event.state, event.outcome)

    def aggregates(self, given: list[Pattern], dry_run: bool) -> dict[str, SharedPattern]:
        """Patterns, and of each the mean outcome and the number of its tries."""
        sums: dict[str, tuple[float, int]] = {}
        crossed: set[str] = set()
        for events in _batches(_tries(self._memory, given)):
            ids = {self._event_id(event): event.pattern_id for event in events}
            crossed |= {ids[name] for name in self._target.get_events(list(ids))}
            for event in (event for event in events if event.state == "resolved"):
                total, count = sums.get(event.pattern_id, (0.0, 0))
                sums[event.pattern_id] = total + (event.outcome or 0.0), count + 1
        done = self._begun(
            given, otherwise=crossed, why="its tries have crossed, and would count twice"
        )
        if self.distrusted:  # an aggregate is not held back: it would count
            why = f"the other store distrusts {self.source}"
            done = {name: replace(one, refused=one.refused or why) for name, one in done.items()}
        open_ = [pattern for pattern in given if done[pattern.pattern_id].refused is None]
        self._add(open_, done, dry_run)
        there, new = self._aggregated(), list[Prior]()
        for name in (pattern.pattern_id for pattern in open_ if pattern.pattern_id in sums):
            total, count = sums[name]
            if self._prior_id(name) in there:
                done[name] = replace(done[name], known=count)
                continue
            done[name] = replace(done[name], aggregate=(total / count, count))
            new.append(Prior(name, total / count, count, self.source, prior_id=self._prior_id(name)))
        if new and not dry_run:
            self._target.add_priors(new)
        return done

    # -- patterns ---------------------------------------------------------------------------------

    def _begun(
        self, given: list[Pattern], *, otherwise: set[str], why: str
    ) -> dict[str, SharedPattern]:
        """What is known of each before its tries are looked at; ``otherwise`` are refused."""
        there = self._target.get_patterns([pattern.pattern_id for pattern in given])
        done = {}
        for pattern in given:
            name, body = pattern.pattern_id, self._body(pattern)
            earlier = there.get(name)
            refused = why if name in otherwise else None
            if earlier is not None and (earlier.pattern_type, earlier.description) != (
                body["pattern_type"], body["description"],
            ):  # fmt: skip
                refused = "the other store has another pattern of this id"
            done[name] = SharedPattern(name, str(body["description"]), earlier is None, refused=refused)
        return done

    def _body(self, pattern: Pattern) -> Mapping[str, object]:
        """A pattern as the target would keep it."""
        return checks.restored_pattern(
            self._pattern(pattern), self._target.clock(), self._target.secrets
        )

    def _pattern(self, pattern: Pattern) -> Pattern:
        metadata = pattern.metadata if self._contexts else {}
        return replace(pattern, metadata=metadata, archived_at=None, archive_reason=None)

    def _add(self, given: list[Pattern], done: Mapping[str, SharedPattern], dry_run: bool) -> None:
        if not dry_run:
            new = [self._pattern(pattern) for pattern in given if done[pattern.pattern_id].new]
            self._target.restore(patterns=new)

    # -- tries ------------------------------------------------------------------------------------

    def _event(self, event: UsageEvent) -> UsageEvent:
        """A try as it crosses."""
        plain = UsageEvent(
            event_id=self._event_id(event),
            pattern_id=event.pattern_id,
            timestamp=event.timestamp,
            state=event.state,
            outcome=event.outcome,
            source=self.source,
            channel=event.channel,
            resolved_at=event.resolved_at,
            checked=event.checked,
        )
        if not self._contexts:
            return plain
        return replace(
            plain,
            context=event.context,
            files=event.files,
            tools=event.tools,
            duration_ms=event.duration_ms,
            cost=event.cost,
            metadata=event.metadata,
        )

    def _event_id(self, event: UsageEvent) -> str:
        # Of the store, for programs give their tries ids that others give, too; and hashed, for
        # what they put into them is no business of others.
        return MARK + content_id(self._id, event.event_id)

    def _prior_id(self, pattern_id: str) -> str:
        return MARK + content_id(self._id, pattern_id)

    def _aggregated(self) -> set[str]:
        """The aggregates in the target that came by sharing."""
        found = (prior.prior_id or "" for prior in self._target.iter_priors())
        return {name for name in found if name.startswith(MARK)}


def _name(folder: Path) -> str:
    """What a store is called: its folder, or the project that it lies in."""
    return folder.parent.name if folder.name == config.FOLDER else folder.name


def _tries(memory: Memory, patterns: list[Pattern]) -> Iterator[UsageEvent]:
    """The tries of patterns that are no longer pending, and did not come by sharing."""
    names = {pattern.pattern_id for pattern in patterns}
    if sum(pattern.usage_count for pattern in patterns) <= FEW:
        found: Iterable[UsageEvent] = chain.from_iterable(
            memory.events(name, limit=checks.MAX_LIMIT) for name in sorted(names)
        )
    else:
        found = memory.iter_events()
    for event in found:
        own = not event.event_id.startswith(MARK)
        if own and event.pattern_id in names and event.state != "pending":
            yield event


def _batches(events: Iterator[UsageEvent]) -> Iterator[list[UsageEvent]]:
    while found := list(islice(events, BATCH)):
        yield found
