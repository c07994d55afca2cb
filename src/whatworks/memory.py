"""Memory: the public face of the library."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from whatworks import checks, config
from whatworks.advice import Advice
from whatworks.desk import Desk, Place
from whatworks.embedders import Embedder, EmbedFunction, embedder_for
from whatworks.errors import InvalidInputError, NotFoundError, WhatWorksError
from whatworks.handle import Clock
from whatworks.link import Link
from whatworks.records import NewEvent, NewPattern, Pattern, Prior, UsageEvent
from whatworks.writer import event_of

if TYPE_CHECKING:
    from whatworks.journal import Durability
    from whatworks.records import (
        Backup,
        Forgotten,
        Match,
        Migration,
        Source,
        State,
        Stats,
        Trend,
        Where,
    )
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
        clock: Clock = _now,
    ) -> Memory:
        """Open a store, making it if there is none.

        Parameters
        ----------
        path
            Folder of the store. Without it ``$WHATWORKS_STORE``, else the
            nearest ``.whatworks`` in the working directory or above, else the
            user's data directory.
        embedder
            A function from a list of ``n`` texts to float32 vectors ``(n,
            dim)``; its attribute ``model_id``, else its qualified name, is
            kept with the store. Default: all-MiniLM-L6-v2, int8, offline.
            ``"none"`` opens without one: whatever needs no vectors works.
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
        """
        if durability not in ("durable", "process"):
            raise InvalidInputError(f"durability is {durability!r}; expected 'durable' or 'process'")
        checked = checks.identifier(source, "source"), checks.identifier(channel, "channel")
        link = Link.shared(
            config.locate(path),
            embedder=_embedder(embedder),
            vectors=vectors,
            durability=durability,
            create=create,
        )
        return cls(link, source=checked[0], channel=checked[1], clock=clock)

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
        now = self._clock()
        secrets = self.secrets
        given = checks.items(events, "events")
        bodies = [checks.event(item, now, secrets) | self._origin for item in given]
        return [event_of(body) for body in self._writer.record(bodies)]

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
    ) -> UsageEvent:
        """Say how a recorded try ended, and return the event.

        Either ``outcome``, or ``state="not_used"`` or ``"unknown"``. Resolving
        again corrects; the same again changes nothing. ``timestamp`` is when
        the outcome became known.
        """
        body = checks.resolution(event_id, outcome, state, timestamp, self._clock())
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

    def restore(self, *, patterns: Iterable[Pattern] = (), events: Iterable[UsageEvent] = ()) -> None:
        """Take back what an export holds, as it was: times, source and channel included.

        For importers of a store's own exports. ``add_patterns`` and
        ``record_many`` say themselves who writes and when; this believes what
        it is given, so no face may hand on to it what a client says. What is
        derived (rates, counts, last use) is worked out anew.
        """
        now = self._clock()
        secrets = self.secrets
        patterns_ = [
            checks.restored_pattern(checks.made(Pattern, item), now, secrets) for item in patterns
        ]
        events_ = [
            checks.restored_event(checks.made(UsageEvent, item), now, secrets) for item in events
        ]
        if patterns_:
            self._writer.add_patterns(patterns_)
        if events_:
            self._writer.record(events_)

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
        How well a pattern works plays no part.

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

    def iter_patterns(self) -> Iterator[Pattern]:
        """All patterns, the oldest first, in bounded memory."""
        yield from self._pages(
            Desk.patterns_after, lambda pattern: (pattern.created_at, pattern.pattern_id)
        )

    def iter_events(self) -> Iterator[UsageEvent]:
        """All events, the oldest first, in bounded memory."""
        yield from self._pages(Desk.events_after, lambda item: (item.timestamp, item.event_id))

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

        What a source that is mistaken or lies has told goes with ``forget(source=...)``.
        """
        return self._ask(Desk.sources)

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

    def flush(self, *, progress: Callable[[int], object] | None = None) -> None:
        """Bring every layer up to date and onto the disk.

        ``progress`` is called with the number of texts embedded in each step.
        """
        while count := self._ask(Desk.embed_some):
            if progress:
                progress(count)
        self._ask(Desk.flush)

    def rebuild(self, *, progress: Callable[[int], object] | None = None) -> None:
        """Make evidence and vectors anew from the journal.

        Texts that have not changed keep their embedding, as far as the old
        evidence can be read. It is built beside the old one, and takes its
        place when it is whole.
        """
        self._ask(Desk.rebuild)
        self.flush(progress=progress)

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
            Tries that fulfil all conditions that are given: ``since`` is
            inclusive, ``until`` not; ``containing`` is a text of 3 or more
            characters in any case, in the context, metadata, files or ids.
            ``containing`` alone also chooses patterns, imported aggregates and
            predictions that hold the text, times alone also the predictions made in them.
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
    ) -> None:
        """Change the embedder: new vectors are made beside the old, then switched to at once."""
        chosen = _embedder(embedder)
        if chosen is None:
            raise InvalidInputError("embedder is 'none'; expected a function from texts to vectors")
        self._link.reembed(chosen, progress)

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
