"""Advice: what will work, why, and whether it was right; the larger half of a memory's questions."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from whatworks import checks
from whatworks.analysis import Analysis
from whatworks.desk import Desk
from whatworks.errors import InvalidInputError

if TYPE_CHECKING:
    from whatworks.evaluation import Policy
    from whatworks.ledgers import Calibration
    from whatworks.records import Diff, Evaluation, Lift, Prediction, Risk, Suggestion, Why

__all__ = ["Advice"]


class Advice(Analysis):
    """The questions about choices: see ``Memory``."""

    def predict(
        self,
        context: str,
        *,
        limit: int = 10,
        candidates: Iterable[str] | None = None,
        as_of: datetime | None = None,
        explore: float | Literal["optimistic"] = 0.0,
        risk: Risk = "normal",
        mask: float = 0.0,
        seed: int | None = None,
    ) -> Prediction:
        """What will work best in ``context``: patterns with estimates, best first.

        Parameters
        ----------
        candidates
            Consider these patterns only. Default: those tried in similar
            contexts, those with the best record, those whose description fits.
        as_of
            Answer from what had happened by then: tries and outcomes up to
            that time, as they stood before any later correction; patterns
            that existed or were tried. What is recorded later with an earlier
            ``timestamp`` counts from that time on.
        explore
            Up to 0.5: how often the first place goes by chance to one of the
            patterns that may be as good as the best one, so that the store
            learns of them and ``evaluate`` can judge other ways to choose.
            ``"optimistic"`` leaves nothing to chance: what has been tried less
            gets more credit, for the good of later choices.
        risk
            ``high``: a failure costs too much to explore, hope or withhold anything.
        mask
            Up to 0.5: how often one of the answers worth showing is withheld,
            so that ``lift`` can tell what showing it is worth.
        seed
            Of the draws, to repeat them. Default: unforeseeable.

        Returns
        -------
        A receipt with estimates, intervals and verdicts. Without any
        evidence the estimates are those of the population, and say so.

        Raises
        ------
        NotFoundError
            A candidate is not in the store.
        """
        ids = checks.unique(candidates, "candidates")
        if ids is not None:
            self._writer.require(ids)
        return self._ask(
            Desk.predict,
            checks.question(context, self.secrets),
            limit=checks.limit(limit),
            candidates=ids,
            as_of=self._moment(as_of),
            now=self._clock(),
            chance=checks.chance(explore, mask, risk, seed),
        )

    def suggest(self, context: str, *, limit: int = 3, risk: Risk = "normal") -> Suggestion:
        """What will work best in ``context``, with a text to put into a prompt.

        The text has a line for each answer with evidence, between marks that
        nothing in them can imitate, and says that it is data; it is empty where
        nothing is known. Name the ``prediction_id`` when you record what came of it.

        Parameters
        ----------
        limit
            How many answers; each line is about 60 tokens.
        risk
            As for ``predict``.
        """
        from whatworks.findings import Suggestion
        from whatworks.prompting import suggestion

        made = self.predict(context, limit=limit, risk=risk)
        return Suggestion(made, suggestion(made))

    def why(self, prediction_id: str) -> Why:
        """The evidence that adds up to each number of a prediction.

        Raises
        ------
        NotFoundError
            No such prediction.
        """
        return self._ask(Desk.why, checks.identifier(prediction_id, "prediction_id"))

    def calibration(
        self,
        *,
        since: datetime | None = None,
        as_of: datetime | None = None,
        recalibrate: Literal["isotonic", "beta"] | None = None,
        seed: int = 0,
    ) -> Calibration:
        """Whether predictions were right: the store's receipts against its own outcomes.

        An outcome counts if its event names the ``prediction_id`` and is of a
        pattern that the prediction answered with; of several, their mean.

        Parameters
        ----------
        since
            Leave out predictions made before that time.
        as_of
            Leave out what was predicted or became known later.
        recalibrate
            Also say what a correction would have done, learned from earlier
            outcomes and judged on later ones. It changes no prediction.
        seed
            Of the intervals; the same seed gives the same ones.

        Returns
        -------
        Scores with 95 % intervals, over all and by pattern type, age and
        source, and what they mean in sentences. ``None`` where outcomes from
        fewer than 30 situations are too little to say.
        """
        return self._ask(
            Desk.calibration,
            since=None if since is None else checks.moment(since, "since", self._clock()),
            as_of=self._moment(as_of),
            recalibrate=checks.choice(recalibrate, "recalibrate", ("isotonic", "beta")),
            seed=checks.count(seed, "seed", least=0, most=2**32),
            now=self._clock(),
        )

    def evaluate(
        self, policy: str | Policy, *, as_placed: bool = False, exploring: bool = False
    ) -> Evaluation:
        """What another way of choosing the first answer would have earned, from what was logged.

        The decisions are the predictions that a try names. The pattern tried
        first counts with the probability with which it was placed first.

        Parameters
        ----------
        policy
            ``greedy`` (highest expected outcome), ``best-record`` (best record
            of its own, whatever the context), ``cautious`` (highest lower
            bound), ``uniform`` (all that the receipt names alike),
            ``fixed:PATTERN_ID``; or a function that takes a receipt as it was
            before anything was drawn, a mapping whose ``answers`` stand best
            first, and gives probabilities by ``pattern_id``.
        as_placed
            Judge what placing a pattern first earned, whatever was tried then.
            Default: decisions in which another pattern was tried first are left
            out, and more than a tenth of them refused.
        exploring
            Only predictions that left the first place to chance.

        Returns
        -------
        Estimates with intervals, or a refusal with its reason.

        Raises
        ------
        NotFoundError
            The fixed pattern is not in the store.
        """
        if callable(policy):
            name = getattr(policy, "__name__", type(policy).__name__)
            with self._link.kept() as desk:  # a function stays in its process
                return desk.evaluate_function(
                    name, policy, as_placed=bool(as_placed), exploring=bool(exploring)
                )
        name = checks.identifier(policy, "policy")
        return self._ask(Desk.evaluate, name, as_placed=bool(as_placed), exploring=bool(exploring))

    def lift(self, pattern_id: str | None = None, *, by_context: bool = False) -> list[Lift]:
        """What showing a pattern changes, from predictions with ``mask``; the largest lift first.

        The outcome of a prediction is the mean of the known outcomes of the
        tries that name it.

        Parameters
        ----------
        pattern_id
            This one only. Default: all that could have been withheld.
        by_context
            Apart for each context asked about.

        Raises
        ------
        NotFoundError
            No such pattern.
        """
        if pattern_id is not None:
            self.get_pattern(pattern_id)
        return self._ask(Desk.lifts, pattern_id, by_context=bool(by_context))

    def diff(self, earlier: datetime, later: datetime, *, context: str, limit: int = 10) -> Diff:
        """How the advice for ``context`` changed from one time to another, and through which events.

        Both times are answered as ``predict(as_of=...)`` answers them;
        nothing is written down.

        Parameters
        ----------
        earlier, later
            Timezone-aware. What happened in (earlier, later] are the causes.
        limit
            How many answers of each time are compared.

        Raises
        ------
        InvalidInputError
            ``earlier`` is after ``later``.
        """
        now = self._clock()
        start, end = checks.moment(earlier, "earlier", now), checks.moment(later, "later", now)
        if start > end:
            raise InvalidInputError(
                f"earlier is {start.isoformat()}, which is after {end.isoformat()}; expected the "
                "earlier time first"
            )
        return self._ask(
            Desk.diff, checks.question(context, self.secrets), start, end, checks.limit(limit), now
        )
