"""Memory: the public face of the library."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

from whatworks import checks, config, system
from whatworks.advice import Advice
from whatworks.desk import Desk, Place
from whatworks.embedders import Embedder, EmbeddingPool, EmbedFunction, embedder_for
from whatworks.errors import InvalidInputError, NotFoundError, WhatWorksError
from whatworks.handle import Clock
from whatworks.link import Link
from whatworks.records import NewEvent, NewPattern, Pattern, Prior, UsageEvent

if TYPE_CHECKING:
    from whatworks.journal import Durability
    from whatworks.records import (
        Backup,
        Forgotten,
        Held,
        Import,
        Judgement,
        Match,
        Migration,
        Predicted,
        Proposal,
        Reason,
        Rows,
        Source,
        State,
        Stats,
        Trend,
        Trust,
        Where,
    )
    from whatworks.sql import Limits
    from whatworks.tracking import Tracker

__all__ = ["Memory"]

Item = TypeVar("Item")


def _now() -> datetime:
    return datetime.now(UTC)


class Memory(Advice):
    """A memory of what works: patterns, the contexts they were tried in, and the outcomes.

    Made by ``Memory.open``, in as many processes as you like. All methods may be
    called from any thread. A write is acknowledged when its method returns,
    and every later question of this process takes it into account, those of
    other processes some milliseconds later. Errors are those of
    ``whatworks.errors``; what raises one has changed nothing. What looks like a
    secret is taken out of every text that is given, and a mark stands in its place.
    """

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str] | None = None,
        *,
        embedder: Embedder | EmbedFunction | Literal["none"] | None = None,
        vectors: str | None = None,
        durability: Durability = "durable",
        create: bool = True,
        source: str = "local",
        channel: str = "library",
        checking: bool = False,
        clock: Clock = _now,
    ) -> Memory:
        """Open a store, making it if there is none.

        Parameters
        ----------
        path
            Folder of the store. Without it ``$WHATWORKS_STORE``, else the
            nearest ``.whatworks`` in the working directory or above, else the
            user's data directory. Or the address of a team's database,
            ``postgresql://USER@HOST/DATABASE``, without a password: the
            store of this machine then lies in the user's data directory;
            the first time it joins the team, or begins it, and fetches what
            the team knows. ``?namespace=NAME`` means one team of several
            there.
        embedder
            A function from a list of ``n`` texts to float32 vectors ``(n,
            dim)``; its attribute ``model_id``, else its qualified name, is
            kept with the store. Default: all-MiniLM-L6-v2, int8, offline.
            ``"none"`` opens without one: whatever needs no vectors works; in a store that was made
            so, ``find_similar`` compares words alone.
        vectors
            Engine for the vectors of a new store: ``usearch`` (default), ``exact``, or that of
            an extra.
        durability
            ``durable``: a write is on the disk when its method returns.
            ``process``: it survives the death of this process, and may be
            lost in a power cut within the next half minute.
        create
            Raise ``NotFoundError`` instead of making a store, if false.
        source, channel
            Who writes and by which way; kept with every event.
        checking
            Whether the outcomes that are written are found by a check (tests that ran, a person who
            looked), and not told by who did the work; kept with every outcome. What a check found
            is not changed by what is told. The channel ``hook`` is one of checks.
        clock
            Gives the time, timezone-aware; for tests and replays.

        Raises
        ------
        StoreBusyError
            Another process is making the store, and does not finish.
        ModelMismatchError
            The store's vectors are of another model.
        SchemaVersionError
            A newer whatworks wrote the store.
        StoreError
            The path is no folder, may not be written, or is damaged.
        UnreachableError
            It is the address of a team that is to be joined, and the database does not answer.
        """
        if durability not in ("durable", "process"):
            raise InvalidInputError(f"durability is {durability!r}; expected 'durable' or 'process'")
        checked = checks.identifier(source, "source"), checks.identifier(channel, "channel")
        folder, chosen = config.locate(path), _embedder(embedder)
        address = config.address(path)
        if address is not None:
            from whatworks.team import homes

            homes.enter(address, folder, embedder=chosen, vectors=vectors, create=create)
        link = Link.shared(
            folder,
            embedder=chosen,
            vectors=vectors,
            durability=durability,
            create=create,
        )
        link.ships_last |= address is not None
        return cls(link, source=checked[0], channel=checked[1], checking=checking, clock=clock)

    # -- writing ----------------------------------------------------------------------------------

    def add_pattern(
        self,
        description: str,
        *,
        pattern_type: str = "general",
        metadata: Mapping[str, Any] | None = None,
        pattern_id: str | None = None,
        created_at: datetime | None = None,
    ) -> Pattern:
        """Remember an approach, and return it as it is stored.

        The same ``pattern_id`` again replaces type, description and metadata
        and keeps the record of its tries. Without one the id follows from
        type and description, so that adding the same approach twice is
        adding it once.

        Parameters
        ----------
        description
            What to do, in words; at most 64 KiB.
        pattern_type
            A word to filter by, such as ``debugging_strategy``.
        metadata
            A JSON object.
        """
        given = NewPattern(
            description, pattern_type, {} if metadata is None else metadata, pattern_id, created_at
        )
        return self.add_patterns([given])[0]

    def add_patterns(self, patterns: Iterable[NewPattern | Mapping[str, Any] | str]) -> list[Pattern]:
        """Remember many approaches at once; all or, if one is not acceptable, none.

        Items are ``NewPattern``, mappings with its fields, or descriptions.
        """
        now = self._clock()
        bodies = [
            checks.pattern(item, now, self.secrets) for item in checks.items(patterns, "patterns")
        ]
        return self._writer.add_patterns(bodies)

    def record(
        self,
        pattern_id: str,
        *,
        outcome: float | None,
        context: str | None = None,
        state: State | None = None,
        timestamp: datetime | None = None,
        event_id: str | None = None,
        session_id: str | None = None,
        files: Iterable[str] = (),
        tools: Iterable[str] = (),
        duration_ms: float | None = None,
        cost: float | None = None,
        prediction_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> UsageEvent:
        """Record one try of a pattern, and return the event.

        Parameters
        ----------
        outcome
            0 (failed) to 1 (worked); ``None`` while it is not known.
        context
            The situation in words, such as the task or the error message.
        state
            Follows from the outcome: ``resolved`` or ``pending``. Say
            ``not_used`` or ``unknown`` where that is the truth; they are not failures.
        timestamp
            When it was tried; timezone-aware. Default: now.
        event_id
            Makes a retry safe: the same id again is the same event.
        prediction_id
            The prediction that led to this try.

        Raises
        ------
        NotFoundError
            No such pattern.
        InvalidInputError
            A value is out of range, or ``event_id`` stands for another event.
        """
        given = NewEvent(
            pattern_id=pattern_id,
            outcome=outcome,
            context=context,
            state=state,
            timestamp=timestamp,
            event_id=event_id,
            session_id=session_id,
            files=tuple(checks.items(files, "files")),
            tools=tuple(checks.items(tools, "tools")),
            duration_ms=duration_ms,
            cost=cost,
            prediction_id=prediction_id,
            metadata={} if metadata is None else metadata,
        )
        return self.record_many([given])[0]

    def record_many(self, events: Iterable[NewEvent | Mapping[str, Any]]) -> list[UsageEvent]:
        """Record many tries with one sync to the disk; all or, if one is not acceptable, none.

        Items are ``NewEvent`` or mappings with its fields.
        """
        return self._record(events, checked=self._checking, imported_from=[])

    def record_imported(
        self,
        events: Iterable[NewEvent | Mapping[str, Any]],
        *,
        imported_from: str,
        checked: bool = False,
    ) -> list[UsageEvent]:
        """As ``record_many``, and remember which file they come from.

        Parameters
        ----------
        imported_from
            ``import:NAME@HASH``, see ``UsageEvent``; ``distrust`` and ``forget(source=...)`` take it.
        checked
            Whether the file has what checks found.
        """
        labels = checks.imported_from([imported_from])
        return self._record(events, checked=checked or self._checking, imported_from=labels)

    def _record(
        self,
        events: Iterable[NewEvent | Mapping[str, Any]],
        *,
        checked: bool,
        imported_from: list[str],
    ) -> list[UsageEvent]:
        from whatworks import tries, writer

        now = self._clock()
        secrets = self.secrets
        items = checks.items(events, "events")
        origin = self._origin | {"imported_from": imported_from}
        with system.uncollected():
            given = list(items)
            many = tries.many(given, now, secrets, origin, checked=checked)
            if many is None:
                bodies = tries.one_by_one(given, now, secrets, origin, checked=checked)
            elif many.are_new:
                return self._writer.record_many(many)
            else:
                bodies = many.bodies()
            return writer.events_of(self._writer.record(bodies))

    def track(
        self,
        pattern: str,
        *,
        context: str | Callable[..., str | None] | None = None,
        outcome: Callable[[Any], float | bool | None] | None = None,
        pattern_type: str = "general",
        prediction_id: str | None = None,
        session_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Tracker:
        """Record a block, or each call of a function, as a try of a pattern.

        ``with memory.track(...) as attempt:`` and ``@memory.track(...)``, also
        with ``async``; nested and in any number of threads and tasks. What ends
        without an exception has worked, an exception is a failure and goes on to
        the caller; being cancelled, ``KeyboardInterrupt`` and ``SystemExit``
        say nothing, and are kept as ``unknown``. ``attempt.outcome = 0.5`` or
        ``attempt.state = "not_used"`` says it otherwise. The time it took is recorded.

        Nothing that is wrong with the store reaches the caller: what could not
        be recorded is logged (logger ``whatworks``) and counted in ``untracked``.

        Parameters
        ----------
        pattern
            An id, or the description of an approach, which is added if it is new.
        context
            The situation in words; of a function also what makes it from the call's arguments.
        outcome
            Of a function: makes the outcome from what it returns; ``None`` is not known.
        pattern_type
            Of a pattern that is added.
        prediction_id
            The prediction, or the suggestion, that led to it.

        Examples
        --------
        >>> from tempfile import mkdtemp
        >>> from whatworks import Memory
        >>> memory = Memory.open(mkdtemp(), embedder="none")
        >>> with memory.track("run the tests in parallel", context="slow tests") as attempt:
        ...     attempt.files.append("tests/test_parser.py")
        >>> attempt.event.outcome
        1.0
        >>> memory.close()
        """
        from whatworks.tracking import Tracker

        return Tracker(
            self,
            pattern,
            context=context,
            outcome=outcome,
            pattern_type=pattern_type,
            prediction_id=prediction_id,
            session_id=session_id,
            metadata={} if metadata is None else dict(metadata),
        )

    def resolve(
        self,
        event_id: str,
        *,
        outcome: float | None = None,
        state: Literal["resolved", "not_used", "unknown"] | None = None,
        timestamp: datetime | None = None,
        checked: bool = False,
    ) -> UsageEvent:
        """Say how a recorded try ended, and return the event.

        Either ``outcome``, or ``state="not_used"`` or ``"unknown"``. Resolving
        again corrects; the same again changes nothing, and neither does what
        is told against an outcome that a check found. ``timestamp`` is when
        the outcome became known; ``checked`` says that a check found it, where
        ``open`` was not told so by ``checking``: no face may take it from an agent.
        """
        from whatworks.writer import event_of

        body = checks.resolution(event_id, outcome, state, timestamp, self._clock())
        body["checked"] = checks.flag(checked, "checked") or self._checking
        return event_of(self._writer.resolve(body))

    def add_priors(self, priors: Iterable[Prior | Mapping[str, Any]]) -> None:
        """Remember what is said of patterns without single tries: rates with counts.

        They weigh little (see ``rank.PRIOR_WEIGHT``) and are marked in ``why``.
        The same ``prior_id`` again, or without one the same pattern and
        origin, is the same aggregate and changes nothing.
        """
        now = self._clock()
        given = checks.items(priors, "priors")
        self._writer.add_priors([checks.prior(item, now, self.secrets) for item in given])

    def restore(
        self,
        *,
        patterns: Iterable[Pattern] = (),
        events: Iterable[UsageEvent] = (),
        judgements: Iterable[Judgement] = (),
    ) -> None:
        """Take back what an export holds, as it was: times, source and channel included.

        For importers of a store's own exports. ``add_patterns`` and
        ``record_many`` say themselves who writes and when; this believes what
        it is given, so no face may hand on to it what a client says. What is
        derived (rates, counts, last use, what is held back) is worked out anew.
        ``judgements`` hold also for what their sources will tell.
        """
        now = self._clock()
        secrets = self.secrets
        given = [checks.made(Pattern, item) for item in patterns]
        patterns_ = [checks.restored_pattern(item, now, secrets) for item in given]
        archived = [
            checks.archived(
                item.pattern_id,
                item.archive_reason,
                checks.moment(item.archived_at, "archived_at", now),
                secrets,
            )
            for item in given
            if item.archived_at is not None
        ]
        events_ = [checks.restored_event(item, now, secrets) for item in events]
        judged = [checks.judged(item, now) for item in judgements]
        if judged:  # first, so that nothing counts that is to be held back
            self._writer.judge(judged)
        if patterns_:
            self._writer.add_patterns(patterns_)
        if archived:
            self._writer.archive(archived)
        if events_:
            self._writer.record(events_)

    def archive(self, pattern_id: str, *, reason: str | None = None) -> Pattern:
        """Take a pattern out of what is found, listed and recommended; return it as it is then.

        Its tries stay and count as evidence, so that no estimate of another pattern changes, and more
        may be recorded. It is still there by its id, in ``trend``, ``events`` and exports, in
        ``predict`` where ``candidates`` name it, and in ``patterns(where={"archived": True})``.
        ``unarchive`` takes it back. One that is archived already keeps when and why, unless another
        reason is given.

        Parameters
        ----------
        reason
            Why, in words; at most 4 KiB.

        Raises
        ------
        NotFoundError
            There is no such pattern.
        """
        found = self.get_pattern(checks.known_identifier(pattern_id, "pattern_id"))
        body = checks.archived(pattern_id, reason, self._clock(), self.secrets)
        if found.archived_at is not None and body["reason"] in (None, found.archive_reason):
            return found
        self._writer.archive([body])
        return self.get_pattern(pattern_id)

    def unarchive(self, pattern_id: str) -> Pattern:
        """Take back ``archive``; return the pattern. One that is not archived stays as it is.

        Raises
        ------
        NotFoundError
            There is no such pattern.
        """
        found = self.get_pattern(checks.known_identifier(pattern_id, "pattern_id"))
        if found.archived_at is None:
            return found
        body = checks.archived(pattern_id, None, self._clock(), self.secrets, is_archived=False)
        self._writer.archive([body])
        return self.get_pattern(pattern_id)

    def optimize(self, *, apply: bool = False, keep: int | None = None) -> list[Proposal]:
        """The patterns that are better archived, and why; with ``apply`` they are.

        These are junk, those that harm by the upper end of the interval of their rate, those that say
        the same as another one with more tries, those that nobody tries any more, and what is over a
        budget: ``docs/optimizer.md`` has the rules. No try is touched, no estimate of a pattern that
        stays changes, and ``unarchive`` takes each back.

        Parameters
        ----------
        keep
            Propose the least useful as well, until at most so many are left. Default: no limit.
        """
        most = None if keep is None else checks.count(keep, "keep", least=1, most=100_000_000)
        now = self._clock()
        found = self._ask(Desk.proposals, most, now)
        if apply and found:
            self._writer.archive(
                [
                    checks.archived(item.pattern_id, f"{item.kind}: {item.why}", now, self.secrets)
                    for item in found
                ]
            )
        return found

    # -- asking -----------------------------------------------------------------------------------

    def find_similar(
        self,
        text: str | None = None,
        *,
        vector: Iterable[float] | None = None,
        limit: int = 10,
        where: Where | Mapping[str, Any] | None = None,
    ) -> list[Match]:
        """Patterns like ``text``, the best match first; or those nearest to ``vector``.

        Nearness of meaning (cosine) and shared words (BM25) are ranked apart
        and fused by reciprocal rank; ties come in the order of distance and id.
        In a store without an embedder, words alone count. How well a pattern works plays no part.

        Parameters
        ----------
        vector
            In the place of a text: an embedding that you have already, of as
            many numbers as the store's embedder makes, and of any length but 0.
            Meaning alone counts then.
        where
            Conditions that every match fulfils.
        """
        conditions, most = checks.where(where, self._clock(), self.secrets), checks.limit(limit)
        if vector is None:
            return self._ask(Desk.find_similar, checks.question(text, self.secrets), conditions, most)
        if text is not None:
            raise InvalidInputError("text and vector are given; expected one of them")
        return self._ask(Desk.find_nearest, checks.vector(vector), conditions, most)

    def trend(self, pattern_id: str, *, window_days: int = 7, as_of: datetime | None = None) -> Trend:
        """How a pattern's outcomes develop, day by day in UTC, newest day first.

        Parameters
        ----------
        window_days
            Length of the moving average in calendar days, 1 to 365.
        as_of
            Leave out what happened later.

        Raises
        ------
        NotFoundError
            No such pattern.
        """
        checked = checks.identifier(pattern_id, "pattern_id")
        window = checks.count(window_days, "window_days", least=1, most=365)
        return self._ask(Desk.trend, checked, window, self._moment(as_of))

    def get_event(self, event_id: str) -> UsageEvent:
        """The event with this id.

        Raises
        ------
        NotFoundError
            No such event.
        """
        checked = checks.identifier(event_id, "event_id")
        found = self._ask(Desk.events_of, [checked]).get(checked)
        if found is None:
            raise NotFoundError(f"there is no event {checks.shown(checked)} in this store")
        return found

    def get_patterns(self, ids: Iterable[str]) -> dict[str, Pattern]:
        """The patterns with these ids, as far as there are any."""
        return self._ask(Desk.patterns, checks.unique(ids, "ids") or [])

    def get_events(self, ids: Iterable[str]) -> dict[str, UsageEvent]:
        """The events with these ids, as far as there are any."""
        return self._ask(Desk.events_of, checks.unique(ids, "ids") or [])

    def patterns(
        self, *, where: Where | Mapping[str, Any] | None = None, limit: int = 100
    ) -> list[Pattern]:
        """Patterns, the newest first."""
        return self._ask(
            Desk.matching, checks.where(where, self._clock(), self.secrets), checks.limit(limit)
        )

    def events(self, pattern_id: str | None = None, *, limit: int = 100) -> list[UsageEvent]:
        """Events of one pattern or of all, the newest first."""
        if pattern_id is not None:
            self.get_pattern(pattern_id)
        return self._ask(Desk.events, pattern_id, checks.limit(limit))

    def predictions(self, *, limit: int = 100) -> list[Predicted]:
        """The predictions that were made, the newest first; ``why`` has what each one said."""
        return self._ask(Desk.predictions, checks.limit(limit))

    def iter_patterns(self) -> Iterator[Pattern]:
        """All patterns, the oldest first, in bounded memory."""
        yield from self._pages(
            Desk.patterns_after, lambda pattern: (pattern.created_at, pattern.pattern_id)
        )

    def iter_events(self) -> Iterator[UsageEvent]:
        """All events, the oldest first, in bounded memory."""
        yield from self._pages(Desk.events_after, lambda item: (item.timestamp, item.event_id))

    def iter_held(self) -> Iterator[UsageEvent]:
        """All events that are in quarantine, the oldest first, in bounded memory."""
        yield from self._pages(Desk.held_after, lambda item: (item.timestamp, item.event_id))

    def iter_priors(self) -> Iterator[Prior]:
        """All imported aggregates, the oldest first, in bounded memory."""
        yield from self._pages(Desk.priors_after, _place_of_prior)

    def _pages(
        self, page_after: Callable[[Desk, Place | None], list[Item]], place: Callable[[Item], Place]
    ) -> Iterator[Item]:
        after: Place | None = None
        while page := self._ask(page_after, after):
            yield from page
            after = place(page[-1])

    def copy_table(
        self,
        kind: Literal["patterns", "events"],
        path: str | os.PathLike[str],
        *,
        form: Literal["csv", "parquet"],
    ) -> int:
        """Write all patterns or all events to a file, the oldest first; return how many.

        A file in the way is overwritten. In CSV, lists are JSON.
        """
        return self._ask(Desk.copy_table, kind, os.path.abspath(path), form)

    def stats(self) -> Stats:
        """Counts, sizes and the state of the layers."""
        return self._ask(Desk.stats)

    def sources(self) -> list[Source]:
        """Who has told of tries, and what others tell of the same patterns; most tries first.

        What a source that is mistaken or lies has told counts no more after ``distrust``, and is gone
        after ``forget(source=...)``.
        """
        return self._ask(Desk.sources)

    def imports(self) -> list[Import]:
        """Which files tries were imported from, the last one first."""
        return self._ask(Desk.imports)

    def distrust(self, source: str) -> Judgement:
        """Let nothing count that a source has told or will tell, and return how much that is.

        The source is one that ``sources`` names, or the label of an import that ``imports`` names.

        Its tries go to the quarantine, and all that was counted or learned from them is worked out
        anew, also as of earlier times; predictions made before stay as they were given. ``unjudge``
        takes it back, ``forget(source=...)`` removes its tries for good.

        Raises
        ------
        NotFoundError
            No such source has told of a try.
        """
        return self._judge(source, "distrusted")

    def approve(self, source: str) -> Judgement:
        """Let everything count that a source has told or will tell, and return how much that is.

        It is vouched for from now on, also through channels of strangers, and out of quarantine.

        Raises
        ------
        NotFoundError
            No such source has told of a try.
        """
        return self._judge(source, "approved")

    def unjudge(self, source: str) -> Judgement:
        """Take back what was said of a source, and return how much of it counts now.

        As if neither ``distrust`` nor ``approve`` had ever named it: through the owner's own channels
        it is vouched for, through those of strangers it counts up to a limit. One of which nothing was
        said stays as it is.

        Raises
        ------
        NotFoundError
            No such source has told of a try, and nothing was said of it.
        """
        return self._judge(source, None)

    def _judge(self, source: str, trust: Trust | None) -> Judgement:
        checked = checks.known_identifier(source, "source")
        known = self._ask(Desk.judgement, checked)
        if not known.counted + known.held and known.judged_at is None:
            raise NotFoundError(
                f"no source {checks.shown(checked)} has told of a try; whatworks sources lists those "
                "that have"
            )
        if (None if known.judged_at is None else known.trust) == trust:
            return known
        body = {"source": checked, "trust": trust, "recorded_at": checks.micros(self._clock())}
        self._writer.judge([body])
        return self._ask(Desk.judgement, checked)

    def judgements(self) -> list[Judgement]:
        """What the owner says of sources, ``distrust`` or ``approve``, in the order of their names."""
        return self._ask(Desk.judgements)

    def quarantine(self, *, limit: int = 100) -> list[Held]:
        """What is kept and counts for nothing, by pattern, source and reason; most tries first.

        Tries of distrusted sources, and those of unvouched ones beyond what these may weigh
        (see ``docs/security.md``). ``get_event`` finds each, outcomes that come later are kept with
        them, and once they may count they do.
        """
        return self._ask(Desk.quarantine, checks.limit(limit))

    def held(self, event_ids: Iterable[str]) -> dict[str, Reason]:
        """Which of these tries are in quarantine, and why: see ``Held``."""
        wanted = [
            checks.known_identifier(name, "event_id") for name in checks.items(event_ids, "event_ids")
        ]
        return cast("dict[str, Reason]", self._ask(Desk.held_of, wanted))

    # -- keeping ----------------------------------------------------------------------------------

    def serve(
        self,
        stop: threading.Event,
        *,
        backup_to: str | os.PathLike[str] | None = None,
        every: timedelta = timedelta(days=1),
        keep: int = 7,
        failed: Callable[[WhatWorksError], object] = lambda error: None,
    ) -> None:
        """Keep the store for all processes until ``stop`` is set.

        Nobody needs this: whichever process asks first keeps the store, and lets
        go of it when it ends or is idle for 30 seconds. With one that stays, no
        other ever loads DuckDB and the embedding model.

        Parameters
        ----------
        backup_to
            Where to make a backup whenever the newest one there is older than
            ``every``. See ``backup``.
        keep
            How many of them remain.
        failed
            Called with the error where a backup failed; it is tried again
            after a tenth of ``every``.
        """
        between = None
        if backup_to is not None:
            from whatworks.schedule import Schedule

            if every <= timedelta(0):
                raise InvalidInputError(f"every is {every}; expected more than nothing")
            folder = config.locate(backup_to)
            between = Schedule(
                lambda: self.backup(folder, keep=keep),
                folder=folder,
                store_id=self._link.config.store_id,
                every=every,
                clock=self._clock,
                failed=failed,
            ).tick
        self._link.serve(stop, between)

    # -- upkeep -----------------------------------------------------------------------------------

    def flush(
        self,
        *,
        progress: Callable[[int], object] | None = None,
        pool: EmbeddingPool | None = None,
    ) -> None:
        """Bring every layer up to date and onto the disk.

        Parameters
        ----------
        progress
            Called with the number of texts embedded in each step.
        pool
            Who embeds the texts that wait, as ``bulk.RayPool``; without one this process does, or
            the one that keeps the store. Interrupted, the next call goes on where it was.
        """
        if pool is not None:
            self._link.flush_by(pool, progress)
            return
        while count := self._ask(Desk.embed_some):
            if progress:
                progress(count)
        self._ask(Desk.flush)

    def rebuild(
        self,
        *,
        progress: Callable[[int], object] | None = None,
        pool: EmbeddingPool | None = None,
    ) -> None:
        """Make evidence and vectors anew from the journal.

        Texts that have not changed keep their embedding, as far as the old
        evidence can be read. It is built beside the old one, and takes its
        place when it is whole. ``progress`` and ``pool`` are those of ``flush``.
        """
        self._ask(Desk.rebuild)
        self.flush(progress=progress, pool=pool)

    def forget(
        self,
        patterns: str | Iterable[str] | None = None,
        *,
        events: str | Iterable[str] | None = None,
        source: str | None = None,
        session_id: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        containing: str | None = None,
        dry_run: bool = False,
        now: bool = False,
    ) -> Forgotten:
        """Forget patterns, tries, or all that fulfils conditions, for good.

        It is gone from every answer, in every process, when this returns, and
        from the disk soon after: its records in the journal are written over,
        evidence and vectors made anew, what hooks wrote of its sessions removed.
        Statistics are then those of a memory that never had it. Backups made before keep it.

        Parameters
        ----------
        patterns
            Ids; with them go their tries, their imported aggregates and the
            predictions that name them.
        events
            Ids of tries; with each go its outcome, the prediction it answers
            and its context, if no other try has that.
        source, session_id, since, until, containing
            Tries that fulfil all conditions that are given: ``source`` is one
            of ``sources``, or the label of an import; ``since`` is
            inclusive, ``until`` not; ``containing`` is a text of 3 or more
            characters in any case, in the context, metadata, files or ids.
            ``containing`` alone also chooses patterns, imported aggregates and
            predictions that hold the text, and the tries of distrusted files whose names
            hold it; times alone also the predictions made in them.
        dry_run
            Only count.
        now
            Return once it is gone from the disk, else that goes on in the
            background, and in the next process if this one ends.

        Raises
        ------
        InvalidInputError
            Nothing was given, or ids together with conditions.
        NotFoundError
            A pattern or event that is named does not exist; nothing was forgotten.
        """
        conditions = {
            "source": source,
            "session_id": session_id,
            "since": since,
            "until": until,
            "containing": containing,
        }
        chosen = checks.selection(patterns, events, conditions, self._clock())
        counted = self._ask(Desk.forget, chosen, dry_run=True)
        if dry_run:
            return counted
        # Asked again, where the keeper died before it could answer, this finds nothing to do.
        self._ask(Desk.forget, chosen, dry_run=False)
        return replace(counted, dry_run=False, erased=self._ask(Desk.erase) if now else None)

    def sql(self, query: str, *, limits: Limits | None = None) -> Rows:
        """Run one SELECT over the documented views, see docs/sql.md.

        It runs in a process of its own, on a copy of the evidence, which can
        read nothing else, write nothing and open no connection: the statement
        may come from anybody whom you would show what is stored.

        Parameters
        ----------
        query
            A SELECT of the engine's dialect, from ``patterns``, ``usage_events``,
            ``contexts``, ``predictions``, ``trend_daily``, ``weekly_rates``,
            ``tool_rates``, ``file_rates`` or ``file_pairs``.
        limits
            Rows, seconds and bytes at most: ``whatworks.sql.Limits``, by
            default 1,000 rows, 10 seconds, 16 MiB of answer and 256 MiB for the engine.

        Raises
        ------
        InvalidInputError
            The statement is something else, is wrong, or takes too long or too much.
        StoreError
            There is no room for the copy beside the store.
        """
        from whatworks import drafts, sql

        sql.require_text(query)
        folder = self._link.folder
        drafts.clear(folder, "sql")
        with drafts.draft(folder, "sql") as place, sql.starting() as process:
            snapshot = place / "evidence.duckdb"
            self._ask(Desk.snapshot, str(snapshot))
            return sql.ask(process, snapshot, query, limits or sql.Limits())

    def backup(self, folder: str | os.PathLike[str], *, keep: int | None = None) -> Backup:
        """Make a backup of all that is acknowledged, while the store is in use.

        It is a new folder ``whatworks-TIME`` inside ``folder``, there only
        once it is whole, read again and on the disk. ``whatworks.backup.restore``
        makes a store of it.

        Parameters
        ----------
        folder
            Where backups lie, best on another disk; made if missing. Not
            inside the store.
        keep
            Take away the oldest backups of this store beyond so many,
            afterwards. Default: keep all.

        Raises
        ------
        StoreFullError, StoreError
            The disk refuses, or what was written is not what was read; no
            backup was made, and none taken away.
        """
        most = None if keep is None else checks.count(keep, "keep", least=1, most=100_000)
        return self._ask(Desk.backup, str(config.locate(folder)), keep=most, made_at=self._clock())

    def reembed(
        self,
        embedder: Embedder | EmbedFunction | None = None,
        *,
        progress: Callable[[int], object] | None = None,
        pool: EmbeddingPool | None = None,
    ) -> None:
        """Change the embedder: new vectors are made beside the old, then switched to at once.

        Interrupted, the store stays with the old embedder, and the next call goes on where it
        was. ``progress`` and ``pool`` are those of ``flush``.
        """
        chosen = _embedder(embedder)
        if chosen is None:
            raise InvalidInputError("embedder is 'none'; expected a function from texts to vectors")
        self._link.reembed(chosen, progress, pool)

    def migrate(
        self,
        to: str | None = None,
        *,
        keep: bool = True,
        progress: Callable[[int], object] = lambda _: None,
    ) -> Migration:
        """Move the vectors to another vector store, without embedding anything anew.

        The new store is filled beside the old one, compared with the evidence
        and then switched to at once; questions are answered throughout.
        Interrupted anywhere, the memory stays with the old one, and the next
        call goes on.

        Parameters
        ----------
        to
            An engine, as ``"lance"``, or one with a server, as
            ``"qdrant+https://host:6333"``; ``None`` is the store before the
            last migration. The present one moves nothing.
        keep
            Whether the old store stays on the disk, to go back to quickly.
        progress
            Called with the number of vectors just moved or compared.

        Raises
        ------
        InvalidInputError
            There is no such engine, or no store to go back to.
        MissingExtraError
            Its packages are not installed; the message has the command.
        StoreError
            The new store does not hold or find what it should; nothing was changed.
        """
        return self._link.migrate(to, keep=keep, progress=progress)


def _place_of_prior(prior: Prior) -> Place:
    assert prior.timestamp is not None
    assert prior.prior_id is not None
    return prior.timestamp, prior.prior_id


def _embedder(given: Embedder | EmbedFunction | str | None) -> Embedder | None:
    if given == "none":
        return None
    if given is None:
        from whatworks.embedders.minilm import MiniLM

        return MiniLM()
    if isinstance(given, str):
        raise InvalidInputError(f"embedder is {given!r}; expected a function, None or 'none'")
    return embedder_for(given)
