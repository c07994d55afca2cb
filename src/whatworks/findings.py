"""What questions about choices and the store as a whole return: frozen dataclasses, no behaviour.

They belong to ``whatworks.records``, which hands them on; they lie here
because most processes need none of them, and making one takes half a millisecond.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from datetime import date, datetime
from typing import Any, Literal

from whatworks.frozen import dataclass
from whatworks.records import ChangePoint, Effect, Pattern, Reason, Risk, Trust, Verdict

__all__ = [
    "Answer",
    "Backup",
    "Cause",
    "Change",
    "Cluster",
    "ContextMap",
    "ContextPoint",
    "Contribution",
    "Diff",
    "Erased",
    "Estimate",
    "Evaluation",
    "Evidence",
    "Explanation",
    "Flip",
    "Forgotten",
    "Held",
    "Import",
    "Judgement",
    "Lift",
    "Migration",
    "Mover",
    "Overview",
    "Predicted",
    "Prediction",
    "Proposal",
    "Rate",
    "RelatedFile",
    "Rows",
    "Selection",
    "Source",
    "Stats",
    "Step",
    "Suggestion",
    "Timeline",
    "Told",
    "Why",
    "Working",
]


@dataclass(frozen=True, slots=True)
class Evidence:
    """Tries of one pattern in one past context.

    ``similarity`` is the cosine to the context asked about, ``tries`` the
    number of resolved tries there, ``mean_outcome`` their mean, ``weight``
    their share of the weight of the pattern's own tries nearby, in [0, 1].
    """

    context_id: str
    context: str
    similarity: float
    tries: int
    mean_outcome: float
    weight: float


@dataclass(frozen=True, slots=True)
class Answer:
    """What to expect of one pattern in the context asked about.

    ``low``..``high`` is an 80 % credible interval for the expected outcome,
    ``n_effective`` the number of independent tries it is worth. ``propensity``
    is the probability with which this pattern was shown first: 1 for the first
    answer and 0 for the others, unless something was left to chance.
    ``evidence`` holds the most similar contexts first, at most five.

    ``resolved`` and ``missing`` count the pattern's tries whose outcome is
    known and those pending or unknown; ``coverage`` is the share of the
    former, ``None`` without tries. Where it is below 0.8, ``bounds`` are the
    estimates if all the missing tries of this pattern had failed, and if all
    had worked (see ``missing.bounds``); they hold ``expected``. ``unvouched`` is the
    share of its evidence that is told by sources nobody vouches for; above a
    quarter it is not ``recommended``.
    """

    pattern: Pattern
    expected: float
    low: float
    high: float
    n_effective: float
    verdict: Verdict
    propensity: float
    evidence: tuple[Evidence, ...] = ()
    resolved: int = 0
    missing: int = 0
    coverage: float | None = None
    bounds: tuple[float, float] | None = None
    change: ChangePoint | None = None
    unvouched: float = 0.0

    @property
    def pattern_id(self) -> str:
        """Id of the pattern."""
        return self.pattern.pattern_id


@dataclass(frozen=True, slots=True)
class Prediction:
    """An answer to ``predict``, kept as a receipt under ``prediction_id``.

    ``answers`` are ordered by expected outcome, best first, but for the first
    one if it was ``explored``: drawn to learn of it. ``default`` is the level
    that a ``recommended`` pattern must beat: the mean outcome of all patterns.
    ``coverage`` is the share of tries whose outcome is known. ``explore`` is
    how often the first place was left to chance, 0 whenever ``risk`` is "high".
    """

    prediction_id: str
    context: str
    made_at: datetime
    as_of: datetime | None
    policy: str
    default: float
    coverage: float | None
    explore: float
    risk: Risk
    explored: bool
    answers: tuple[Answer, ...]


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A prediction, and what it says as text for a prompt; see ``Memory.suggest``."""

    prediction: Prediction
    text: str

    @property
    def prediction_id(self) -> str:
        """What the events that follow it name."""
        return self.prediction.prediction_id


@dataclass(frozen=True, slots=True)
class Contribution:
    """One summand of an estimate.

    ``kind`` is ``population`` (what all patterns do on average), ``record``
    (the pattern's own tries anywhere), ``prior`` (imported aggregates),
    ``tries`` (the pattern's own tries in a similar context), ``before`` (such
    tries from before the pattern changed), ``situation``
    (another pattern's, which say how hard it is there) or ``rest`` (all other
    tries nearby together).
    """

    kind: Literal["population", "record", "prior", "tries", "before", "situation", "rest"]
    value: float
    tries: float
    mean_outcome: float | None = None
    similarity: float | None = None
    context_id: str | None = None
    context: str | None = None


@dataclass(frozen=True, slots=True)
class Flip:
    """What would turn the order of a pattern and its neighbour: the tries to take away.

    ``margin`` is how far the better of the two is ahead, ``left`` what is
    left of it without ``take_away``: below 0, so that they change places.
    The ``value`` of these contributions is what each adds to the margin: to
    the better one's estimate less the other's. They are summands taken out
    of the sums; nothing is estimated anew.
    """

    other_id: str
    margin: float
    take_away: tuple[Contribution, ...]
    left: float


@dataclass(frozen=True, slots=True)
class Told:
    """Who told of the ``outcomes`` of a pattern that were known when it was predicted, and count.

    A check found ``checked`` of them, who did the work told the others. ``imported`` counts those that
    came with files, by the label of these.
    """

    outcomes: int
    checked: int
    imported: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why one pattern was given its number, and what speaks against it.

    The ``value`` of the contributions add up to ``expected`` (to 1e-9);
    the largest ones come first. ``expected`` is in the estimator's range
    [0.01, 0.99]; where a bound was reached, ``clipped`` is true and the sum
    lies outside.

    ``against`` are those tries nearby that pull the estimate back to the
    level of all patterns, the strongest first. ``flip`` is what would turn
    its order with the next pattern, for all but the first that above it.
    Where the tries that were kept do not suffice, it is ``None`` and
    ``remains`` is the margin that is left without all of them; that too is
    ``None`` for a pattern that is alone. ``told`` says who told of its
    outcomes, from the tries that the store has now and that were known then.
    """

    pattern_id: str
    expected: float
    clipped: bool
    contributions: tuple[Contribution, ...]
    against: tuple[Contribution, ...] = ()
    flip: Flip | None = None
    remains: float | None = None
    told: Told = Told(0, 0)


@dataclass(frozen=True, slots=True)
class Why:
    """The evidence behind a prediction, one explanation per answer, same order."""

    prediction: Prediction
    explanations: tuple[Explanation, ...]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number that was estimated, with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What another way of choosing the first answer would have earned.

    ``predictions`` counts the store's receipts, ``decisions`` those that were
    used; ``overridden`` were left out because the caller first tried another
    pattern than the first one shown, ``unresolved`` because what was tried
    first has no outcome. ``contexts`` counts the distinct situations.

    ``support`` is the share of the policy's choices that had a chance of being
    made, ``effective_size`` the number of decisions that the weights are worth,
    ``mean_weight`` is 1 but for chance, ``largest_weight`` the most that one
    decision counts. ``None`` without decisions.

    ``logged`` is the mean outcome of what was done; ``ips`` (inverse propensity
    scores), ``snips`` (self-normalised) and ``dr`` (doubly robust) are estimates
    of the policy's; ``difference`` is ``dr`` minus ``logged``. All are ``None``
    where ``status`` is ``refused``, for the ``reason`` given.
    """

    policy: str
    status: Literal["estimated", "refused"]
    reason: str | None
    predictions: int
    decisions: int
    contexts: int
    overridden: int
    unresolved: int
    support: float | None
    effective_size: float | None
    mean_weight: float | None
    largest_weight: float | None
    logged: Estimate | None
    ips: Estimate | None
    snips: Estimate | None
    dr: Estimate | None
    difference: Estimate | None


@dataclass(frozen=True, slots=True)
class Lift:
    """What showing one pattern changes, from predictions that withheld it at random.

    ``lift`` is the mean outcome where it was shown minus that where it was
    withheld, weighted by one over the probability of either; ``None`` where
    one of the two is missing. ``shown`` and ``withheld`` count the predictions
    with an outcome, ``unresolved`` those without. ``context`` is ``None`` for
    all situations together. ``needed`` says about how many more predictions
    that withhold it, with outcomes, a verdict takes; 0 unless there is ``too
    little data``.
    """

    pattern_id: str
    context: str | None
    verdict: Effect
    lift: Estimate | None
    shown: int
    shown_mean: float | None
    withheld: int
    withheld_mean: float | None
    unresolved: int
    needed: int


@dataclass(frozen=True, slots=True)
class Cause:
    """What moved an estimate between two times, and by how much.

    ``kind`` is ``nearby`` (tries of a pattern in one similar context, with
    what they do to the pattern's record), ``elsewhere`` (the pattern's own
    tries in other contexts, together), ``prior`` (aggregates imported
    meanwhile), ``change`` (a pattern was found to have changed), ``learned``
    (the store knows better how local its world is), ``population`` (the mean
    of all patterns) or ``rest`` (all else, such as small shares and
    neighbours that came or went). ``events`` are the ids of
    those ``event_count`` events that were recorded, resolved or corrected,
    the oldest first, at most ten. The counts and means are those of the
    outcomes known at the two times.
    """

    kind: Literal["nearby", "elsewhere", "prior", "change", "learned", "population", "rest"]
    share: float
    pattern_id: str | None = None
    context_id: str | None = None
    context: str | None = None
    similarity: float | None = None
    events: tuple[str, ...] = ()
    event_count: int = 0
    tries_before: int = 0
    tries_after: int = 0
    mean_before: float | None = None
    mean_after: float | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """How the advice on one pattern changed.

    ``before`` and ``after`` are its estimates, ``None`` where the pattern did
    not exist; then ``change`` is counted from what an untried pattern would
    have been given. Ranks count from 1; they and the verdicts are ``None``
    where the pattern was not among the answers. The ``share`` of the causes
    add up to ``change`` (to 1e-9).
    """

    pattern: Pattern
    before: float | None
    after: float | None
    change: float
    rank_before: int | None
    rank_after: int | None
    verdict_before: Verdict | None
    verdict_after: Verdict | None
    causes: tuple[Cause, ...]

    @property
    def pattern_id(self) -> str:
        """Id of the pattern."""
        return self.pattern.pattern_id


@dataclass(frozen=True, slots=True)
class Diff:
    """What changed in the advice for a context between two times, and why.

    ``changes`` holds the answers of both times that changed in estimate,
    rank or verdict, in the later order; ``unchanged`` counts the others. The
    defaults are the mean outcomes of all patterns.
    """

    context: str
    earlier: datetime
    later: datetime
    default_before: float
    default_after: float
    changes: tuple[Change, ...]
    unchanged: int


@dataclass(frozen=True, slots=True)
class Stats:
    """Counts and sizes of a store, in bytes; ``keeper`` is the process that keeps it.

    ``shown`` counts the newest predictions, at most 1,000, and
    ``shown_resolved`` those of them that are closed: an event with their
    ``prediction_id`` says of one of their answers how it ended, or that it was
    not used. ``vectors`` has, where a team shares some, under ``shared`` how many, how late they are
    and how many were taken from there.
    """

    path: str
    patterns: int
    events: int
    resolved: int
    pending: int
    not_used: int
    unknown: int
    contexts: int
    priors: int
    predictions: int
    shown: int
    shown_resolved: int
    first_event_at: datetime | None
    last_event_at: datetime | None
    embedder: str
    dim: int | None
    vectors: Mapping[str, Any]
    cache: Mapping[str, Any]
    journal_bytes: int
    evidence_bytes: int
    vector_bytes: int
    problems: tuple[str, ...] = ()
    keeper: int = 0

    @property
    def coverage(self) -> float | None:
        """The share of those predictions that are closed, in [0, 1]; ``None`` if there is none."""
        return self.shown_resolved / self.shown if self.shown else None


@dataclass(frozen=True, slots=True)
class Working:
    """A pattern that works now: its outcomes of the last windows, with a 95 % credible interval."""

    pattern: Pattern
    resolved: int
    mean_outcome: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Mover:
    """A pattern whose outcomes rose or fell: the last window against the windows before it.

    ``change`` is the difference of the two means, ``change_low`` to
    ``change_high`` its 90 % credible interval, ``probability`` that of a rise,
    all as in ``Trend``.
    """

    pattern: Pattern
    recent_count: int
    recent_mean: float
    before_count: int
    before_mean: float
    change: float
    change_low: float
    change_high: float
    probability: float


@dataclass(frozen=True, slots=True)
class Overview:
    """What works now, what rises, what falls, and what nobody has tried.

    The last window are the ``window_days`` calendar days (UTC) that end with
    ``until``, the newest day with an outcome in the whole store, ``None``
    without any. It is compared with the ``baseline_days`` before it, for the
    ``compared`` patterns that have outcomes in both. ``rising`` and ``falling``
    hold those whose change has a 90 % interval beside zero, the surest first;
    ``rising_count`` and ``falling_count`` are all of them. Of patterns that do
    not change at all about ``by_chance`` would be in each of the two.
    ``working`` is of both spans together, the highest lower bound first,
    ``untested`` has no known outcome, the newest first.
    """

    until: date | None
    window_days: int
    baseline_days: int
    compared: int
    by_chance: float
    working: tuple[Working, ...]
    rising: tuple[Mover, ...]
    rising_count: int
    falling: tuple[Mover, ...]
    falling_count: int
    untested: tuple[Pattern, ...]
    untested_count: int


@dataclass(frozen=True, slots=True)
class ContextPoint:
    """A context in which a pattern was tried, at its place on the map."""

    context_id: str
    context: str
    tries: int
    mean_outcome: float
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class ContextMap:
    """The contexts of a pattern's resolved tries in two dimensions: alike lie near each other.

    The two principal components of their embeddings; ``explained`` is the
    share of the variance that they hold, in [0, 1]. Of the ``contexts`` of
    the pattern those tried last are there, as far as they are embedded.
    """

    pattern_id: str
    contexts: int
    explained: float
    points: tuple[ContextPoint, ...]


@dataclass(frozen=True, slots=True)
class Predicted:
    """A prediction that was made, without its answers: ``Memory.why`` has them."""

    prediction_id: str
    made_at: datetime
    context: str
    policy: str


@dataclass(frozen=True, slots=True)
class Rate:
    """Tries that have something in common: a tool, a file, a week, and so on.

    ``mean_outcome`` is of the ``resolved`` tries, with a 95 % credible interval
    ``low``..``high``; ``None`` where there are none. A try with two tools
    counts for both.
    """

    value: str
    tries: int
    resolved: int
    mean_outcome: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Cluster:
    """Patterns that mean something alike.

    ``words`` are those that tell it from the other clusters, ``examples`` the
    ids of the patterns nearest to its middle, ``rate`` that of all its tries.
    """

    words: str
    patterns: int
    examples: tuple[str, ...]
    rate: Rate


@dataclass(frozen=True, slots=True)
class Step:
    """A week in the life of a pattern: what was tried, and how that moved its rate.

    ``week`` is its Monday. ``before`` and ``after`` are the rate of all outcomes up to
    then, under Jeffreys' prior, so that nothing known is 0.5; ``low``..``high`` is the 95 %
    interval of ``after``. ``sources`` are those who told most of the week's outcomes.
    """

    week: date
    tries: int
    resolved: int
    mean_outcome: float | None
    before: float
    after: float
    low: float
    high: float
    sources: tuple[Rate, ...]


@dataclass(frozen=True, slots=True)
class Timeline:
    """What was learned of a pattern, week by week, the newest first; weeks without a try are absent.

    The rate counts all its outcomes alike. ``change_point`` is where it changed for good, if it
    did: since then predictions go by what came after.
    """

    pattern_id: str
    steps: tuple[Step, ...]
    change_point: ChangePoint | None


@dataclass(frozen=True, slots=True)
class RelatedFile:
    """A file that changes together with the one asked about.

    Of ``changes`` of that one, ``together`` also changed this: the support.
    ``confidence`` is their share, with a 95 % credible interval
    ``low``..``high``; ``lift`` how many times the share it has among all
    changes. ``score`` orders: the share with recent changes weighed more.
    ``mean_outcome`` is of the ``resolved`` tries that changed both.
    """

    file: str
    together: int
    changes: int
    confidence: float
    low: float
    high: float
    lift: float
    score: float
    resolved: int
    mean_outcome: float | None
    outcome_low: float | None
    outcome_high: float | None


@dataclass(frozen=True, slots=True)
class Rows:
    """What a SELECT found: ``columns``, their ``types`` as the engine names them, and ``rows``.

    Times are in UTC and say so. ``cut`` is ``rows`` or ``bytes`` where a limit
    left something out, and ``None`` where this is all.
    """

    columns: tuple[str, ...]
    types: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    cut: Literal["rows", "bytes"] | None


@dataclass(frozen=True, slots=True)
class Source:
    """Who has told of tries, and how that compares with what others tell of the same patterns.

    ``mean_outcome`` is of its ``resolved`` tries. ``shared`` of them are of
    patterns for which another source or channel has outcomes too: it has
    ``mean_shared`` there, and what the others have, weighted alike, is
    ``mean_others``. A source that says much more than all others is either in
    another situation, mistaken, or lying. ``None`` where there is nothing to
    compare. ``held`` more of its tries are in quarantine and in none of these figures.
    ``trust``: ``vouched``, ``unvouched`` (it writes through a channel of strangers, and
    counts up to a limit), ``approved`` or ``distrusted``. Of the ``resolved`` tries a check
    found the outcome of ``checked``; the others are told by who did the work.
    """

    source: str
    channel: str
    events: int
    resolved: int
    patterns: int
    sessions: int
    mean_outcome: float | None
    shared: int
    mean_shared: float | None
    mean_others: float | None
    first_at: datetime
    last_at: datetime
    held: int = 0
    trust: Trust = "vouched"
    checked: int = 0


@dataclass(frozen=True, slots=True)
class Import:
    """A file that tries were imported from: ``distrust`` and ``forget`` take ``label`` for a source.

    ``label`` is ``import:NAME@HASH``, or ``export:NAME@HASH`` of what a whatworks has written: the base
    name, and 16 hex digits of BLAKE2b of its bytes. Of its tries that are here ``events`` count,
    ``resolved`` of them with an outcome, ``checked`` of these found by a check; ``held`` do not count.
    """

    label: str
    imported_at: datetime
    events: int
    resolved: int
    mean_outcome: float | None
    checked: int = 0
    held: int = 0
    trust: Trust = "vouched"


@dataclass(frozen=True, slots=True)
class Proposal:
    """A pattern that is better archived, and why, in one line with the numbers.

    ``kind``: it is ``junk``, ``harmful``, a ``duplicate`` of the pattern ``like``, ``stale``, or over
    the ``budget`` (see ``docs/optimizer.md``).
    """

    pattern_id: str
    description: str
    kind: Literal["junk", "harmful", "duplicate", "stale", "budget"]
    why: str
    like: str | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """Tries of a pattern by a source that are in quarantine: kept, and in no estimate.

    ``reason``: ``distrusted`` is the source; or it is unvouched and told more than counts within
    an ``hour`` of a session, of one ``source``, or as the ``share`` of all unvouched sources.
    ``mean_outcome`` is ``None`` where no outcome is known.
    """

    pattern_id: str
    source: str
    channel: str
    reason: Reason
    tries: int
    mean_outcome: float | None
    first_at: datetime
    last_at: datetime


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is thought of a source, and how many of its tries count and are held back.

    ``judged_at`` is when the owner said so, ``None`` where nothing is said of it.
    """

    source: str
    trust: Trust
    counted: int
    held: int
    judged_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Selection:
    """What is to be forgotten: patterns and tries by id, or all tries that fulfil every condition.

    Without any other condition, ``containing`` chooses the patterns and
    predictions that hold the text as well, and times choose the predictions
    made in them.
    """

    patterns: tuple[str, ...] = ()
    events: tuple[str, ...] = ()
    source: str | None = None
    session_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    containing: str | None = None

    @property
    def only_text(self) -> str | None:
        """The text that is looked for, if there is no other condition."""
        others = (self.source, self.session_id, self.since, self.until)
        return self.containing if others == (None,) * 4 else None

    @property
    def only_time(self) -> bool:
        """Whether times are the only condition."""
        others = (self.source, self.session_id, self.containing)
        return others == (None,) * 3 and (self.since, self.until) != (None, None)


@dataclass(frozen=True, slots=True)
class Erased:
    """What was looked through, and how much of it was written over.

    ``records`` of the journal were written over; ``segments`` files of it with so many ``bytes`` were
    read. ``unreadable`` records were damaged before: nobody can say what they
    hold, and they were left. Evidence and vectors were made anew.
    """

    records: int
    segments: int
    bytes: int
    unreadable: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Forgotten:
    """How much was forgotten; with ``dry_run``, how much would have been.

    ``contexts`` are situations that no other try has. ``records`` of the
    journal hold the text that was looked for, also those that others have
    replaced since. ``erased`` says what
    was done to the disk, ``None`` where that goes on in the background.
    """

    patterns: int
    events: int
    contexts: int
    priors: int
    predictions: int
    records: int
    dry_run: bool
    erased: Erased | None = None


@dataclass(frozen=True, slots=True)
class Migration:
    """Where the vectors lay and where they lie now.

    ``vectors`` counts those of each collection that were compared with the
    evidence, ``recall`` is the share of the ten nearest that the new store
    finds, in [0, 1]. ``former`` is the store that can be gone back to.
    """

    before: str
    after: str
    former: str | None
    vectors: dict[str, int]
    recall: dict[str, float]
    seconds: float


@dataclass(frozen=True, slots=True)
class Backup:
    """A finished backup, or what was restored from one.

    ``path`` is its folder, ``made_at`` the moment whose state it holds,
    ``bytes`` the size of its files. ``removed`` are the older backups that were
    taken away after it was finished.
    """

    path: str
    store_id: str
    made_at: datetime
    patterns: int
    events: int
    bytes: int
    removed: tuple[str, ...] = ()
