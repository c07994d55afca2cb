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
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

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
    to the context asked about, ``between`` those among the cells' contexts,
    ``(k, k)``; ``effective`` what the cell's resolved tries are worth, ``mean``
    their outcome.
    """

    pattern: Int64
    similarity: Float64
    between: Float64
    effective: Float64
    mean: Float64
    # Made once for all questions about these cells: they take as long as what is asked.
    _kernels: dict[float, Float64] = field(default_factory=dict, compare=False, repr=False)
    _covariances: dict[Profile, Float64] = field(default_factory=dict, compare=False, repr=False)

    def covariance(self, profile: Profile) -> Float64:
        """Of the cells' outcomes under a profile, ``(k, k)``; not to be modified."""
        if profile not in self._covariances:
            alike = self.pattern[:, None] == self.pattern
            covariance = (profile.shared + profile.own * alike) * self._kernel(profile.reach)
            noise = (1 - profile.shared - profile.own) / self.effective
            covariance[np.diag_indices_from(covariance)] += noise
            self._covariances[profile] = covariance
        return self._covariances[profile]

    def _kernel(self, reach: float) -> Float64:
        if reach not in self._kernels:
            self._kernels[reach] = kernel(self.between, reach)
        return self._kernels[reach]


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


def kernel(cosine: Float64, reach: float) -> Float64:
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


class _View(NamedTuple):
    """The patterns under one profile; arrays of length ``n``, the last two ``(n, k)``."""

    population: Float64
    record: Float64
    prior: Float64
    unknown: Float64  # variance, as a share of that of the outcomes
    influence: Float64
    effect: Float64

    @property
    def estimate(self) -> Float64:
        total: Float64 = self.population + self.record + self.prior + self.effect.sum(1)
        return total


class _Level(NamedTuple):
    """What the patterns' own records say under one profile; arrays of length ``n``."""

    population: Float64
    record: Float64
    prior: Float64
    bound: Float64  # tries of every kind

    @property
    def total(self) -> Float64:
        return self.population + self.record + self.prior


def _level(records: Records, whole: Population, profile: Profile, near: float) -> _Level:
    # Tries of a pattern in contexts that hang together say less of it than as many tries
    # all over: else a pattern used only where it works would look good everywhere.
    crowd = profile.own * near
    worth = 1 / (1 + crowd * np.maximum(records.tries - 1, 0))
    kappa = _kappas(records, whole)
    bound = worth * records.tries + records.prior_tries + kappa
    share, record = kappa * whole.mu / bound, worth * records.total / bound
    return _Level(share, record, records.prior_total / bound, bound)


def _speaks(profile: Profile, cells: Cells) -> bool:
    """Whether cells say anything of others under a profile."""
    return profile.shared + profile.own > 0 and len(cells.mean) > 0


def _deviations(level: Float64, cells: Cells) -> tuple[Float64, Float64]:
    """The scale of each pattern's outcomes, and how far the cells are off, in that scale."""
    scale = np.maximum(np.sqrt(np.clip(level * (1 - level), 0, None)), LEAST_SCALE)
    return scale, (cells.mean - level[cells.pattern]) / scale[cells.pattern]


def _view(
    records: Records, cells: Cells, whole: Population, profile: Profile, near: float, asked: Int64
) -> _View:
    """What one profile says of the patterns ``asked``."""
    level = _level(records, whole, profile, near)
    shares = level.population[asked], level.record[asked], level.prior[asked]
    unsure = 1 / (level.bound[asked] + 1)
    if not _speaks(profile, cells):
        nothing = np.zeros((len(asked), len(cells.mean)))
        unknown = np.maximum(profile.shared + profile.own, UNKNOWN_FLOOR) + unsure
        return _View(*shares, unknown, nothing, nothing)
    scale, deviation = _deviations(level.total, cells)
    mine = cells.pattern == asked[:, None]
    reach = (profile.shared + profile.own * mine) * kernel(cells.similarity, profile.reach)
    influence = np.linalg.solve(cells.covariance(profile), reach.T).T
    known = (influence * reach).sum(1)
    unknown = np.maximum(profile.shared + profile.own - known, UNKNOWN_FLOOR) + unsure
    return _View(*shares, unknown, influence, scale[asked, None] * influence * deviation)


def expect(records: Records, cells: Cells, whole: Population, learned: Learned = UNLEARNED) -> Float64:
    """The expected outcome of each pattern alone, as ``estimate`` has it but for rounding.

    Enough to rank many patterns, in a fraction of the time: the weights of the
    cells are the same for all, and what is unknown is left out.
    """
    raw = np.zeros(len(records.tries))
    for weight, profile, near in zip(learned.weights, PROFILES, learned.closeness, strict=True):
        level = _level(records, whole, profile, near).total
        raw += weight * level
        if _speaks(profile, cells):
            scale, deviation = _deviations(level, cells)
            pull = kernel(cells.similarity, profile.reach)
            pull = pull * np.linalg.solve(cells.covariance(profile), deviation)
            own = np.bincount(cells.pattern, pull, len(raw))
            raw += weight * scale * (profile.shared * pull.sum() + profile.own * own)
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
    views = [
        _view(records, cells, whole, profile, near, chosen)
        for profile, near in zip(PROFILES, learned.closeness, strict=True)
    ]
    parts = zip(*views, strict=True)
    share, record, prior, _, influence, effect = (
        np.tensordot(np.array(learned.weights), np.array(part), 1) for part in parts
    )
    raw = share + record + prior + effect.sum(1)
    expected = np.clip(raw, *BOUNDS)
    bernoulli = expected * (1 - expected)
    variance = np.zeros_like(expected)
    flips = min(learned.dispersion, 1.0)
    taken = learned.dispersion * (1 - (1 - INTERVAL_SHARE) * flips)
    for weight, view in zip(learned.weights, views, strict=True):
        unknown = taken * bernoulli * view.unknown
        variance += weight * (unknown + (view.estimate - raw) ** 2)
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
        said = np.array(
            [
                _view(trial.records, trial.cells, whole, profile, close, asked).estimate[0]
                for profile, close in zip(PROFILES, near, strict=True)
            ]
        )
        held = np.clip(said, *BOUNDS)
        likelihood += trial.mean * np.log(held) + (1 - trial.mean) * np.log(1 - held)
        squares += (trial.mean - held[0]) ** 2  # the first profile is the plain record
        flips += held[0] * (1 - held[0])
        count += 1
    weights = np.array(PROFILE_PRIOR) * np.exp(TEMPER * (likelihood - likelihood.max()))
    weights /= weights.sum()
    dispersion = float(np.clip(squares / flips, *DISPERSION_BOUNDS)) if count else 1.0
    return Learned(tuple(weights.tolist()), near, dispersion, center)


def verdict(low: float, high: float, tries: float, default: float) -> str:
    """What an interval means for the one who must choose.

    ``recommended``: even the lower bound beats the default level, on at
    least three effective tries. ``worth trying``: the upper bound could.
    ``not recommended``: not even that. ``no evidence``: less than one
    effective try of any kind.
    """
    if tries < 1:
        return "no evidence"
    if low > default and tries >= ENOUGH:
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
