"""The desk: every question a store answers, whichever process asks it.

The questions run in the process that keeps the store. Other processes send
the name of the method and its arguments (see ``wire``), so that the annotations
here are also the format of what is sent: only records, numbers, texts, times.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import cached_property
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Literal

from whatworks.checks import Chance, identifier, shown
from whatworks.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable

    from whatworks.differences import Differences
    from whatworks.embedders import Embedder, EmbeddingPool
    from whatworks.evaluation import Policy
    from whatworks.keeper import Keeper
    from whatworks.ledgers import Calibration
    from whatworks.predictions import Predictions
    from whatworks.records import (
        Backup,
        Cluster,
        ContextMap,
        Diff,
        Erased,
        Evaluation,
        Forgotten,
        Held,
        Import,
        Judgement,
        Lift,
        Match,
        Migration,
        Overview,
        Pattern,
        Predicted,
        Prediction,
        Prior,
        Proposal,
        Rate,
        RelatedFile,
        Selection,
        Source,
        Stats,
        Timeline,
        Trend,
        UsageEvent,
        Where,
        Why,
    )

__all__ = ["Desk", "Place"]

# Where a page ended: time and id of its last item.
Place = tuple[datetime, str]


class Desk:
    """Answers from the layers of a keeper. Arguments are checked already."""

    def __init__(self, keeper: Keeper) -> None:
        from whatworks.answers import Answers

        self.keeper = keeper
        self._answers = Answers(keeper)

    @cached_property
    def _predictions(self) -> Predictions:
        from whatworks.predictions import Predictions

        return Predictions(self.keeper, self._answers)

    @cached_property
    def _differences(self) -> Differences:
        from whatworks.differences import Differences

        return Differences(self.keeper, self._answers, self._predictions)

    # -- what is stored ---------------------------------------------------------------------------

    def patterns(self, ids: Sequence[str]) -> dict[str, Pattern]:
        """The patterns of these ids, as far as they exist."""
        return self._answers.patterns(ids)

    def matching(self, where: Where | None, limit: int) -> list[Pattern]:
        """Patterns that fulfil ``where``, newest first."""
        return self._answers.matching(where, limit)

    def events(self, pattern_id: str | None, limit: int) -> list[UsageEvent]:
        """Tries, newest first."""
        return self._answers.events(pattern_id, limit)

    def events_of(self, ids: Sequence[str]) -> dict[str, UsageEvent]:
        """The tries with these ids, as far as they exist."""
        return self._answers.events_of(ids)

    def patterns_after(self, after: Place | None) -> list[Pattern]:
        """A page of all patterns, oldest first; empty behind the last one."""
        from whatworks.evidence import questions

        return questions.patterns_after(self.keeper.evidence(), after)

    def events_after(self, after: Place | None) -> list[UsageEvent]:
        """A page of all tries, oldest first; empty behind the last one."""
        from whatworks.evidence import questions

        return questions.events_after(self.keeper.evidence(), after)

    def held_after(self, after: Place | None) -> list[UsageEvent]:
        """A page of all tries that are held back, oldest first; empty behind the last one."""
        from whatworks.evidence import questions

        return questions.held_after(self.keeper.evidence(), after)

    def priors_after(self, after: Place | None) -> list[Prior]:
        """A page of all imported aggregates, oldest first; empty behind the last one."""
        from whatworks.evidence import questions

        return questions.priors_after(self.keeper.evidence(), after)

    def copy_table(self, kind: str, path: str, form: str) -> int:
        """Write a table to a file; return how many rows it has."""
        from whatworks.evidence import questions

        return questions.copy_table(self.keeper.evidence(), kind, path, form)

    def stats(self) -> Stats:
        """Counts and sizes."""
        return self._answers.stats()

    def sources(self) -> list[Source]:
        """Who has told of tries, and how that compares."""
        from whatworks.evidence import questions

        return questions.sources(self.keeper.evidence())

    def imports(self) -> list[Import]:
        """Which files tries were imported from."""
        from whatworks.evidence import trust

        return trust.imports(self.keeper.evidence())

    def judgement(self, source: str) -> Judgement:
        """What is thought of a source, and how many of its tries count."""
        from whatworks.evidence import trust

        return trust.judgement(self.keeper.evidence(), source)

    def judgements(self) -> list[Judgement]:
        """What the owner said of sources."""
        from whatworks.evidence import trust

        return trust.judgements(self.keeper.evidence())

    def quarantine(self, limit: int) -> list[Held]:
        """What is held back, and why."""
        from whatworks.evidence import trust

        return trust.held(self.keeper.evidence(), limit)

    def held_of(self, ids: Sequence[str]) -> dict[str, str]:
        """Which of these tries are held back, and why."""
        from whatworks.evidence import trust

        return trust.held_of(self.keeper.evidence(), ids)

    def predictions(self, limit: int) -> list[Predicted]:
        """The predictions that were made, newest first."""
        from whatworks.evidence import questions

        return questions.predictions(self.keeper.evidence(receipts=True), limit)

    def overview(self, window_days: int, limit: int) -> Overview:
        """What works now, rises, falls, and was never tried."""
        from whatworks.overviews import overview

        return overview(self.keeper, self._answers, window_days, limit)

    def context_map(self, pattern_id: str, limit: int) -> ContextMap:
        """Where the contexts of a pattern lie."""
        from whatworks.context_maps import context_map

        return context_map(self.keeper, pattern_id, limit)

    def timeline(self, pattern_id: str) -> Timeline:
        """What was learned of a pattern, week by week."""
        return self._answers.timeline(pattern_id)

    def rates(
        self, by: str, *, since: datetime | None, until: datetime | None, limit: int
    ) -> list[Rate]:
        """Tries grouped by what they have in common, with their mean outcomes."""
        from whatworks import rates
        from whatworks.evidence import groups

        return rates.rates(groups.by(self.keeper.evidence(), by, since, until, limit))

    def clusters(self, count: int | None) -> list[Cluster]:
        """Patterns that mean something alike, the largest clusters first."""
        from whatworks.clusters import clusters

        return clusters(self.keeper, count)

    def related_files(
        self, path: str, *, together: Literal["try", "session"], limit: int, now: datetime
    ) -> list[RelatedFile]:
        """The files that change together with one."""
        from whatworks import rates
        from whatworks.evidence import groups

        changes = groups.file_changes(self.keeper.evidence(), path, together, now)
        return rates.related(changes[0], changes[1], path, changes[2], limit)

    # -- what a writer must know ------------------------------------------------------------------

    def known_patterns(self, ids: Sequence[str]) -> set[str]:
        """Those of the ids that are patterns."""
        from whatworks.evidence import questions

        def known(names: Sequence[str]) -> set[str]:
            return self.keeper.ask_folded(lambda ev: questions.known_patterns(ev, sorted(names)))

        found = known(ids)
        if len(found) < len(set(ids)):
            self.keeper.catch_up()
            found |= known(sorted(set(ids) - found))
        return found

    def known_events(self, ids: Sequence[str], *, latest: bool) -> list[UsageEvent]:
        """The tries with these ids as they were at the last fold, or are now if ``latest``."""
        from whatworks.evidence import questions

        if latest:
            self.keeper.catch_up()
        return self.keeper.ask_folded(lambda evidence: questions.events_of(evidence, ids))

    def catch_up(self) -> None:
        """Fold what was acknowledged so far."""
        self.keeper.catch_up()

    # -- advice -----------------------------------------------------------------------------------

    def find_similar(self, text: str, where: Where | None, limit: int) -> list[Match]:
        """Patterns like ``text``, by meaning and by words."""
        return self._answers.find_similar(text, where, limit)

    def find_nearest(self, vector: list[float], where: Where | None, limit: int) -> list[Match]:
        """Patterns whose embeddings are the nearest to one."""
        return self._answers.find_nearest(vector, where, limit)

    def trend(self, pattern_id: str, window_days: int, as_of: datetime | None) -> Trend:
        """How the outcomes of a pattern develop, and when they last changed for good."""
        return self._answers.trend(pattern_id, window_days, as_of)

    def predict(
        self,
        context: str,
        *,
        limit: int,
        candidates: Sequence[str] | None,
        as_of: datetime | None,
        now: datetime,
        chance: Chance,
    ) -> Prediction:
        """What works in ``context``, best first; the receipt is written down."""
        return self._predictions.predict(
            context, limit=limit, candidates=candidates, as_of=as_of, now=now, chance=chance
        )

    def why(self, prediction_id: str) -> Why:
        """The summands of each estimate of a prediction."""
        return self._predictions.why(prediction_id)

    def diff(self, context: str, earlier: datetime, later: datetime, limit: int, now: datetime) -> Diff:
        """How the advice for ``context`` changed, and through which events."""
        return self._differences.diff(context, earlier, later, limit, now)

    def calibration(
        self,
        *,
        since: datetime | None,
        as_of: datetime | None,
        recalibrate: Literal["isotonic", "beta"] | None,
        seed: int,
        now: datetime,
    ) -> Calibration:
        """The store's receipts against its outcomes."""
        from whatworks.calibrations import Calibrations

        return Calibrations(self.keeper).calibration(
            since=since, as_of=as_of, recalibrate=recalibrate, seed=seed, now=now
        )

    def evaluate(self, policy: str, *, as_placed: bool, exploring: bool) -> Evaluation:
        """What a policy would have earned in the decisions that were logged."""
        from whatworks import evaluation

        made = evaluation.policy_of(policy)
        if policy.startswith(evaluation.FIXED):
            fixed = identifier(policy.removeprefix(evaluation.FIXED), "policy")
            if not self.patterns([fixed]):
                raise NotFoundError(f"there is no pattern {shown(fixed)} in this store")
        return self.evaluate_function(policy, made, as_placed=as_placed, exploring=exploring)

    def evaluate_function(
        self, name: str, policy: Policy, *, as_placed: bool, exploring: bool
    ) -> Evaluation:
        """The same of a function, in this process alone."""
        from whatworks.hindsight import Hindsight

        return Hindsight(self.keeper).evaluate(name, policy, as_placed=as_placed, exploring=exploring)

    def lifts(self, pattern_id: str | None, *, by_context: bool) -> list[Lift]:
        """What showing a pattern changes, the largest lift first."""
        from whatworks.hindsight import Hindsight

        return Hindsight(self.keeper).lifts(pattern_id, by_context=by_context)

    # -- upkeep -----------------------------------------------------------------------------------

    def embed_some(self) -> int:
        """Embed a few of the texts that wait; return how many, 0 also where there is no embedder."""
        return 0 if self.keeper.model.embedder is None else self.keeper.embeddings.embed_some()

    def flush(self) -> None:
        """Bring every layer up to date and onto the disk."""
        self.keeper.flush()

    def rebuild(self) -> None:
        """Throw evidence and vectors away; make the evidence again."""
        self.keeper.rebuild()

    def proposals(self, keep: int | None, now: datetime) -> list[Proposal]:
        """The patterns that are better archived, and why."""
        from whatworks.optimizing import proposals

        return proposals(self.keeper, keep, now)

    def forget(self, selection: Selection, *, dry_run: bool) -> Forgotten:
        """Forget what is chosen, or only count it; it is still on the disk."""
        from whatworks.forgetting import forget

        return forget(self.keeper, selection, dry_run=dry_run)

    def erase(self) -> Erased:
        """Take what was forgotten off the disk."""
        return self.keeper.erase()

    def put_in_order(self) -> None:
        """Fold what other machines wrote, in its order, and erase what they forgot."""
        self.keeper.put_in_order()

    def put_vectors(self, url: str, place: str) -> tuple[int, int, int, bool, bool]:
        """Put a part of the vectors where a team shares them; a ``Put``."""
        return self.keeper.put_vectors(url, place)

    def backup(self, folder: str, *, keep: int | None, made_at: datetime) -> Backup:
        """Make a backup into ``folder``."""
        return self.keeper.backup(Path(folder), keep=keep, made_at=made_at)

    def snapshot(self, target: str) -> None:
        """Copy the evidence to a new file."""
        self.keeper.snapshot(Path(target))

    def migrate(self, to: str | None, *, keep: bool, progress: Callable[[int], object]) -> Migration:
        """Move the vectors to another store."""
        from whatworks.records import Migration

        keeper, start = self.keeper, monotonic()
        before = keeper.config.now.vectors
        found = keeper.generations.migrate(to, keep=keep, progress=progress)
        after = keeper.config.now
        return Migration(
            before=before,
            after=after.vectors,
            former=after.former,
            vectors={name: item.vectors for name, item in found.items()},
            recall={name: item.recall for name, item in found.items()},
            seconds=monotonic() - start,
        )

    def reembed(self, embedder: Embedder, progress: Any, pool: EmbeddingPool | None) -> None:
        """Change the embedder, in this process alone."""
        self.keeper.reembed(embedder, progress, pool)

    def flush_by(self, pool: EmbeddingPool, progress: Any) -> None:
        """As ``flush``, texts embedded by a pool of this process."""
        self.keeper.flush(progress, pool)
