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
    from whatworks.embedders import Embedder
    from whatworks.evaluation import Policy
    from whatworks.keeper import Keeper
    from whatworks.ledgers import Calibration
    from whatworks.predictions import Predictions
    from whatworks.records import (
        Backup,
        Diff,
        Erased,
        Evaluation,
        Forgotten,
        Lift,
        Match,
        Migration,
        Pattern,
        Prediction,
        Prior,
        Selection,
        Source,
        Stats,
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
        return 0 if self.keeper.embedder is None else self.keeper.embed_some()

    def flush(self) -> None:
        """Bring every layer up to date and onto the disk."""
        self.keeper.flush()

    def rebuild(self) -> None:
        """Throw evidence and vectors away; make the evidence again."""
        self.keeper.rebuild()

    def forget(self, selection: Selection, *, dry_run: bool) -> Forgotten:
        """Forget what is chosen, or only count it; it is still on the disk."""
        from whatworks.forgetting import forget

        return forget(self.keeper, selection, dry_run=dry_run)

    def erase(self) -> Erased:
        """Take what was forgotten off the disk."""
        return self.keeper.erase()

    def backup(self, folder: str, *, keep: int | None, made_at: datetime) -> Backup:
        """Make a backup into ``folder``."""
        return self.keeper.backup(Path(folder), keep=keep, made_at=made_at)

    def migrate(self, to: str | None, *, keep: bool, progress: Callable[[int], object]) -> Migration:
        """Move the vectors to another store."""
        from whatworks.records import Migration

        keeper, start = self.keeper, monotonic()
        before = keeper.config.vectors
        found = keeper.migrate(to, keep=keep, progress=progress)
        after = keeper.config
        return Migration(
            before=before,
            after=after.vectors,
            former=after.former,
            vectors={name: item.vectors for name, item in found.items()},
            recall={name: item.recall for name, item in found.items()},
            seconds=monotonic() - start,
        )

    def reembed(self, embedder: Embedder, progress: Any) -> None:
        """Change the embedder, in this process alone."""
        self.keeper.reembed(embedder, progress)
