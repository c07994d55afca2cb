"""From evidence to estimates: pure mathematics, no input, no output, no clock.

Everything here works on NumPy arrays and returns new ones. ``docs/statistics.md``
tells why each step is there and what it is worth; the formulas are these.

A *cell* j is a (context, pattern) pair with resolved tries of mean outcome
``y_j``, worth ``e_j`` independent ones; ``c`` is the cosine of two contexts, seen
from the store's mean context (``centred``). Five *profiles* h = (reach, shared,
own) say how local the world may be, from "not at all" to "each pattern has its
own places". Under each of them, for a pattern a:

    e_j  = sum over days of n / (1 + (n - 1) / 2)           effective tries of a cell
    N_a  = E_a / (1 + own closeness (E_a - 1))              of a pattern, E_a = sum e_j
    m_a  = (N_a rate_a + P_a prior_a + kappa mu) / (N_a + P_a + kappa)   its own record
    s_a  = sqrt(m_a (1 - m_a))                              its scale, at least 0.1
    r_j  = (y_j - m_aj) / s_aj                              how a cell deviates
    g(c) = (exp(c / reach) - 1) / (exp(1 / reach) - 1)      how far it reaches: 1 at c = 1, 0 at 0
    C_ij = (shared + own [a_i = a_j]) g(c_ij) + [i = j] (1 - shared - own) / e_j
    k_j  = (shared + own [a_j = a]) g(c_j)                  with the context asked about
    w    = C^-1 k                                           simple kriging
    p_a  = m_a + s_a sum_j w_j r_j

and the estimate is the mean of the profiles' ``p_a``, weighted by how well
each predicts the store's own tries from the others (``learn``). ``mu`` and
``kappa`` are of ``population``; for a pattern that has changed ``kappa`` is at most 4.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from whatworks.frozen import dataclass
from whatworks.kriging import Covariances, Systems, systems

__all__ = [
    "PROFILES",
    "UNLEARNED",
    "Cells",
    "Estimates",
    "Learned",
    "Population",
    "Profile",
    "Records",
    "Trial",
    "centred",
    "closeness",
    "effective_tries",
    "estimate",
    "expect",
    "fuse",
    "kappa_of",
    "kernel",
    "learn",
    "neighbourhood",
    "optimism",
    "population",
    "prior_tries",
    "verdict",
]

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]


class Profile(NamedTuple):
    """How outcomes hang together: how far, and how much of their variance.

    ``reach`` says how fast correlation falls as the cosine does; see ``kernel``.
    ``shared`` is the share of the outcomes' variance that all patterns have
    in common in a context (how hard it is), ``own`` that of one pattern.
    """

    reach: float
    shared: float
    own: float


# Shares of the first three and their weights are of the reference in the figures of
# docs/statistics.md; reaches, and the last one split in two: chosen on development logs.
PROFILES = (
    Profile(1.0, 0.0, 0.0),
    Profile(0.6, 0.20, 0.03),
    Profile(0.6, 0.10, 0.20),
    Profile(1.0, 0.02, 0.50),
    Profile(1.0, 0.00, 0.70),
)
# Those under which cells say anything of others: all but the first.
SPEAKING = PROFILES[1:]
REACH, SHARED, OWN = np.array(SPEAKING).T
PROFILE_PRIOR = (0.25, 0.35, 0.20, 0.10, 0.10)
# The likelihood of tries that are predicted from one another counts half: they are not independent.
TEMPER = 0.5
# The cosine of two contexts taken at random, where nothing is known yet.
USUAL_COSINE = 0.0
# Tries in one context repeat each other: design effect with an intraclass
# correlation of 0.5 (Kish 1965, Survey Sampling, 8.2). A loop is worth two tries.
REPEAT_CORRELATION = 0.5
# Prior strength: bounds, and the value with fewer than three patterns.
KAPPA_BOUNDS = (10.0, 50.0)
KAPPA_DEFAULT = 15.0
# A pattern that has changed is one of a kind: what others do binds it less.
KAPPA_CHANGED = 4.0
# The least scale of a deviation: a pattern that never failed may yet.
LEAST_SCALE = 0.1
# Share of the outcome's variance that stays unknown in a context, however much is known around it.
UNKNOWN_FLOOR = 0.10
# How much of the unknown variance of coin flips the interval takes: with all of it an 80 % interval
# held the known chances of the development logs 9 times in 10. Outcomes that are graded are
# themselves nearly what is expected, and of what is unknown there all is taken.
INTERVAL_SHARE = 0.55
# Variance of graded outcomes against that of coin flips of the same mean.
DISPERSION_BOUNDS = (0.05, 1.5)
# An imported aggregate is weighed as a fifth of its tries, and as five at most:
# nobody saw the single tries, and file memories mostly kept their successes.
PRIOR_WEIGHT, PRIOR_CAP = 0.2, 5.0
# Effective tries that a recommendation needs.
ENOUGH = 3.0
# So much of a pattern's evidence may nobody vouch for, where it is recommended: what limits leave
# unvouched sources where others have tried the pattern (evidence/quarantine.py).
MOST_UNVOUCHED = 0.25
BOUNDS = (0.01, 0.99)
# Reciprocal rank fusion; the constant of Cormack, Clarke & Buettcher (2009, SIGIR).
RRF_K = 60


@dataclass(frozen=True, slots=True)
class Population:
    """All patterns together: mean outcome ``mu`` and how strongly it binds (``kappa`` tries)."""

    mu: float
    kappa: float


@dataclass(frozen=True, slots=True)
class Learned:
    """What a store's own tries say of its world.

    ``weights`` of the profiles, adding up to 1; ``closeness`` of two contexts
    taken at random under each (the mean of ``exp((c - 1) / reach)``);
    ``dispersion`` is the variance of outcomes against that of coin flips;
    ``center`` the mean embedding of the contexts, empty while nothing is known.
    """

    weights: tuple[float, ...]
    closeness: tuple[float, ...]
    dispersion: float
    center: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Records:
    """The patterns' own records, one entry each.

    ``tries`` and ``total``: sums of effective tries and of their outcomes.
    ``prior_tries`` and ``prior_total``: the same for imported aggregates,
    already discounted. ``changed``: 1 for a pattern whose record begins, or
    ends, where its outcomes changed, else 0.
    """

    tries: Float64
    total: Float64
    prior_tries: Float64
    prior_total: Float64
    changed: Float64


@dataclass(frozen=True, slots=True)
class Cells:
    """Neighbouring cells, ``k`` of them.

    ``pattern`` is an index into the records, ``similarity`` the centred cosine
    to the context asked about; ``effective`` what the cell's resolved tries are worth,
    ``mean`` their outcome. ``between`` are the cosines among the cells' contexts: ``(k, k)``,
    or with ``context``, which says by number from 0 which of ``c`` contexts each cell has,
    ``(c, c)``.
    """

    pattern: Int64
    similarity: Float64
    between: Float64
    effective: Float64
    mean: Float64
    context: Int64 | None = None
    # Made once for all questions about these cells: they take as long as what is asked.
    _systems: list[Systems] = field(default_factory=list, compare=False, repr=False)

    def solve(self, right: Float64) -> Float64:
        """``C^-1 right`` under each of the ``SPEAKING`` profiles, shape ``(4, k, n)``."""
        if not self._systems:
            self._systems.append(self._made())
        return self._systems[0].solve(right)

    def _made(self) -> Systems:
        place = np.arange(len(self.mean)) if self.context is None else self.context
        reaches, which = np.unique(REACH, return_inverse=True)
        kernels = np.array([kernel(self.between, reach) for reach in reaches])[which]
        noise = (1 - SHARED - OWN)[:, None] / self.effective
        return systems(Covariances(kernels, place, self.pattern, SHARED, OWN, noise))


@dataclass(frozen=True, slots=True)
class Estimates:
    """One entry per pattern asked for; see ``Answer`` for the meaning, the module for the formulas.

    ``raw`` is the estimate before it is clipped to [0.01, 0.99]. It is, but
    for rounding, the sum of ``population``, ``record``, ``prior`` and the row
    of ``effect``: what the cells add, ``(n, k)``. ``influence`` are their
    weights ``w_j``, of the same shape.
    """

    raw: Float64
    expected: Float64
    variance: Float64
    n_effective: Float64
    population: Float64
    record: Float64
    prior: Float64
    effect: Float64
    influence: Float64


@dataclass(frozen=True, slots=True)
class Trial:
    """A cell to be predicted from the others: records and cells without its context.

    ``pattern`` is its index into ``records``, ``mean`` its outcome.
    """

    records: Records
    cells: Cells
    pattern: int
    mean: float


def effective_tries(tries: Float64) -> Float64:
    """What ``tries`` in one context on one day are worth, in [0, 2): n / (1 + 0.5 (n - 1)).

    Examples
    --------
    >>> effective_tries(np.array([0.0, 1.0, 2.0, 1000.0])).round(3)
    array([0.   , 1.   , 1.333, 1.998])

    References
    ----------
    Kish (1965), Survey Sampling, section 8.2: the design effect.
    """
    return tries / (1 + REPEAT_CORRELATION * (np.maximum(tries, 1) - 1))


def prior_tries(count: Float64) -> Float64:
    """What an imported aggregate of ``count`` tries is worth: a fifth, at most 5."""
    return np.minimum(PRIOR_WEIGHT * count, PRIOR_CAP)


def neighbourhood(cells: int) -> int:
    """How many of a store's ``cells`` to look at: 64, 128 from 1,000, 256 from 5,000."""
    return 64 if cells < 1_000 else 128 if cells < 5_000 else 256


def population(
    patterns: int, tries: float, total: float, tries_squared: float, spread: float
) -> Population:
    """Mean outcome of all patterns, and how much alike they are.

    Parameters
    ----------
    patterns
        How many patterns have been tried.
    tries, total
        Sums over patterns of their effective tries and outcomes.
    tries_squared
        Sum of the squares of the former.
    spread
        Sum of ``total ** 2 / tries`` of each pattern.

    Returns
    -------
    ``mu = (total + 1) / (tries + 2)``; ``kappa`` is the variance within a
    pattern over that between patterns by the method of moments, in [10, 50],
    and 15 with fewer than three patterns.

    References
    ----------
    Robbins (1956); Efron & Morris (1975), JASA 70:311; the moment estimator
    is that of DerSimonian & Laird (1986), Controlled Clinical Trials 7:177.
    """
    mu = (total + 1) / (tries + 2)
    if patterns < 3 or tries <= 0:
        return Population(mu, KAPPA_DEFAULT)
    mean = total / tries
    within = max(mean * (1 - mean), 1e-9)
    observed = spread - tries * mean**2  # sum of N_a (rate_a - mean) ** 2
    between = (observed - (patterns - 1) * within) / max(tries - tries_squared / tries, 1e-9)
    kappa = within / between if between > 0 else np.inf
    return Population(mu, float(np.clip(kappa, *KAPPA_BOUNDS)))


def centred(vectors: Float64, center: Sequence[float]) -> Float64:
    """Directions as seen from ``center``, of length 1; a vector at the center itself becomes zero.

    Embeddings of one model lean to one side, and those of one store even more:
    cosines of unrelated texts are well above 0. Seen from their mean they are not.

    Parameters
    ----------
    vectors
        Shape ``(n, dim)``; not modified.
    center
        The mean of many such vectors; empty leaves the vectors as they are.
    """
    if not len(center) or not vectors.size:
        return vectors
    moved = vectors - np.asarray(center)
    length = np.linalg.norm(moved, axis=1, keepdims=True)
    return np.where(length > 1e-9, moved / np.maximum(length, 1e-9), 0.0)


def kernel(cosine: Float64, reach: float | Float64) -> Float64:
    """Correlation by cosine: (exp(c / reach) - 1) / (exp(1 / reach) - 1).

    1 for the same direction, 0 at right angles: what lies far off says nothing,
    and the records hold what all contexts have in common. Positive definite,
    as a power series of the cosine with positive terms (Schoenberg 1942); that
    it is below 0 for opposite directions is the price of it. Cut at 0 it is not,
    and weights without bounds come of it.

    Examples
    --------
    >>> kernel(np.array([1.0, 0.5, 0.0]), 0.6).round(3)
    array([1.   , 0.303, 0.   ])
    """
    ratio: Float64 = np.expm1(cosine / reach) / np.expm1(1 / reach)
    return ratio


def kappa_of(whole: Population, changed: bool) -> float:
    """How many tries the population is worth to a pattern."""
    return min(whole.kappa, KAPPA_CHANGED) if changed else whole.kappa


def _kappas(records: Records, whole: Population) -> Float64:
    return np.where(records.changed > 0, kappa_of(whole, True), kappa_of(whole, False))


def optimism(records: Records, whole: Population) -> Float64:
    """What to add to each estimate to choose with hope: sqrt(mu (1 - mu) / (N_a + P_a + kappa)).

    The standard deviation of the pattern's own record before anything is known
    of its rate. What is unknown of a single context is left out: trying there
    teaches too little of it. Twice as much, or the deviation of all that is
    unknown, lost more in the online replays of docs/statistics.md.

    References
    ----------
    Upper confidence bounds: Lai & Robbins (1985), Advances in Applied Mathematics 6:4.
    """
    kappa = _kappas(records, whole)
    spread: Float64 = np.sqrt(whole.mu * (1 - whole.mu) / (records.tries + records.prior_tries + kappa))
    return spread


def closeness(cosines: Float64) -> tuple[float, ...]:
    """``Learned.closeness`` from the cosines of pairs of contexts taken at random."""
    return tuple(float(np.exp((cosines - 1) / profile.reach).mean()) for profile in PROFILES)


UNLEARNED = Learned(PROFILE_PRIOR, closeness(np.array([USUAL_COSINE])), 1.0)


class _Levels(NamedTuple):
    """What the patterns' own records say under each profile; arrays of shape ``(5, n)``."""

    population: Float64
    record: Float64
    prior: Float64
    bound: Float64  # tries of every kind

    @property
    def total(self) -> Float64:
        return self.population + self.record + self.prior


class _Views(NamedTuple):
    """Patterns under each profile; arrays of shape ``(5, n)``, the last two ``(5, n, k)``."""

    population: Float64
    record: Float64
    prior: Float64
    unknown: Float64  # variance, as a share of that of the outcomes
    influence: Float64
    effect: Float64

    @property
    def estimates(self) -> Float64:
        total: Float64 = self.population + self.record + self.prior + self.effect.sum(2)
        return total


def _levels(records: Records, whole: Population, near: Sequence[float]) -> _Levels:
    # Tries of a pattern in contexts that hang together say less of it than as many tries
    # all over: else a pattern used only where it works would look good everywhere.
    crowd = np.array([profile.own for profile in PROFILES]) * near
    worth = 1 / (1 + crowd[:, None] * np.maximum(records.tries - 1, 0))
    kappa = _kappas(records, whole)
    bound = worth * records.tries + records.prior_tries + kappa
    share, record = kappa * whole.mu / bound, worth * records.total / bound
    return _Levels(share, record, records.prior_total / bound, bound)


def _deviations(level: Float64, cells: Cells) -> tuple[Float64, Float64]:
    """The scale of each pattern's outcomes, and how far the cells are off, in that scale."""
    scale = np.maximum(np.sqrt(np.clip(level * (1 - level), 0, None)), LEAST_SCALE)
    return scale, (cells.mean - level[:, cells.pattern]) / scale[:, cells.pattern]


def _views(
    records: Records, cells: Cells, whole: Population, near: Sequence[float], asked: Int64
) -> _Views:
    """What each profile says of the patterns ``asked``."""
    levels = _levels(records, whole, near)
    influence, effect = np.zeros((2, len(PROFILES), len(asked), len(cells.mean)))
    unknown = np.repeat([[profile.shared + profile.own] for profile in PROFILES], len(asked), 1)
    if len(cells.mean):
        scale, deviation = _deviations(levels.total[1:], cells)
        mine = cells.pattern == asked[:, None]
        pull = kernel(cells.similarity, REACH[:, None])
        reach = (SHARED[:, None, None] + OWN[:, None, None] * mine) * pull[:, None]
        influence[1:] = cells.solve(reach.swapaxes(1, 2)).swapaxes(1, 2)
        effect[1:] = scale[:, asked, None] * influence[1:] * deviation[:, None]
        unknown[1:] -= (influence[1:] * reach).sum(2)
    unknown = np.maximum(unknown, UNKNOWN_FLOOR) + 1 / (levels.bound[:, asked] + 1)
    share, record, prior = (part[:, asked] for part in levels[:3])
    return _Views(share, record, prior, unknown, influence, effect)


def expect(records: Records, cells: Cells, whole: Population, learned: Learned = UNLEARNED) -> Float64:
    """The expected outcome of each pattern alone, as ``estimate`` has it but for rounding.

    Enough to rank many patterns, in a fraction of the time: the weights of the
    cells are the same for all, and what is unknown is left out.
    """
    weights, levels = np.array(learned.weights), _levels(records, whole, learned.closeness).total
    raw: Float64 = weights @ levels
    if len(cells.mean):
        scale, deviation = _deviations(levels[1:], cells)
        pull = kernel(cells.similarity, REACH[:, None]) * cells.solve(deviation[:, :, None])[:, :, 0]
        own = np.array([np.bincount(cells.pattern, row, len(raw)) for row in pull])
        moved = SHARED[:, None] * pull.sum(1, keepdims=True) + OWN[:, None] * own
        raw = raw + weights[1:] @ (scale * moved)
    return np.clip(raw, *BOUNDS)


def estimate(
    records: Records,
    cells: Cells,
    whole: Population,
    learned: Learned = UNLEARNED,
    asked: Sequence[int] | Int64 | None = None,
) -> Estimates:
    """Expected outcome of each pattern in the context whose neighbouring cells are given.

    Parameters
    ----------
    records
        ``n`` patterns.
    cells
        ``k`` cells, ``k`` may be 0; not modified.
    whole
        The population the patterns are shrunk to.
    learned
        How local the store's world is.
    asked
        Indices of the patterns to estimate, ``m`` of them; all without it.

    Returns
    -------
    Arrays of length ``m``, ``effect`` and ``influence`` of shape ``(m, k)``, in the order of ``asked``.
    Finite for any input; equal cells in any order give the same up to rounding.

    References
    ----------
    Simple kriging: Cressie (1993), Statistics for Spatial Data, section 3.2;
    the same as Gaussian process regression: Rasmussen & Williams (2006), 2.2.
    """
    chosen = np.arange(len(records.tries)) if asked is None else np.asarray(asked, np.int64)
    weights, views = np.array(learned.weights), _views(records, cells, whole, learned.closeness, chosen)
    share, record, prior, _, influence, effect = (np.tensordot(weights, part, 1) for part in views)
    raw = share + record + prior + effect.sum(1)
    expected = np.clip(raw, *BOUNDS)
    bernoulli = expected * (1 - expected)
    flips = min(learned.dispersion, 1.0)
    taken = learned.dispersion * (1 - (1 - INTERVAL_SHARE) * flips)
    variance = weights @ (taken * bernoulli * views.unknown + (views.estimates - raw) ** 2)
    n_effective = np.maximum(bernoulli / variance - 1, 1.0)
    return Estimates(raw, expected, variance, n_effective, share, record, prior, effect, influence)


def learn(
    trials: Iterable[Trial], whole: Population, near: tuple[float, ...], center: tuple[float, ...]
) -> Learned:
    """How local a store's world is, from cells that are predicted without their own context.

    Parameters
    ----------
    trials
        A few hundred cells of the store, taken at random.
    whole
        The population.
    near, center
        The ``closeness`` of its contexts and their mean embedding.

    Returns
    -------
    The profiles' weights are their prior ones times the square root of the
    likelihood of the trials; those of ``UNLEARNED`` without any trial.
    """
    likelihood, squares, flips, count = np.zeros(len(PROFILES)), 0.0, 0.0, 0
    for trial in trials:
        asked = np.array([trial.pattern])
        said = _views(trial.records, trial.cells, whole, near, asked).estimates[:, 0]
        held = np.clip(said, *BOUNDS)
        likelihood += trial.mean * np.log(held) + (1 - trial.mean) * np.log(1 - held)
        squares += (trial.mean - held[0]) ** 2  # the first profile is the plain record
        flips += held[0] * (1 - held[0])
        count += 1
    weights = np.array(PROFILE_PRIOR) * np.exp(TEMPER * (likelihood - likelihood.max()))
    weights /= weights.sum()
    dispersion = float(np.clip(squares / flips, *DISPERSION_BOUNDS)) if count else 1.0
    return Learned(tuple(weights.tolist()), near, dispersion, center)


def verdict(low: float, high: float, tries: float, default: float, *, unvouched: float = 0.0) -> str:
    """What an interval means for the one who must choose.

    ``recommended``: even the lower bound beats the default level, on at
    least three effective tries, of which at most a quarter (the share
    ``unvouched``) is told by sources that nobody vouches for: what they say
    of a pattern that is new to all others recommends nothing. ``worth trying``: the upper bound could.
    ``not recommended``: not even that. ``no evidence``: less than one
    effective try of any kind.
    """
    if tries < 1:
        return "no evidence"
    if low > default and tries >= ENOUGH and unvouched <= MOST_UNVOUCHED + 1e-6:
        return "recommended"
    return "worth trying" if high > default else "not recommended"


def fuse(*rankings: list[str]) -> dict[str, float]:
    """Reciprocal rank fusion: for each id the sum of 1 / (60 + rank) over the rankings.

    Examples
    --------
    >>> {name: round(score, 4) for name, score in fuse(["a", "b"], ["b"]).items()}
    {'a': 0.0164, 'b': 0.0325}

    References
    ----------
    Cormack, Clarke & Buettcher (2009), SIGIR, 758-759.
    """
    scores: dict[str, float] = {}
    for ranking in rankings:
        for rank, name in enumerate(ranking, 1):
            scores[name] = scores.get(name, 0.0) + 1 / (RRF_K + rank)
    return scores
