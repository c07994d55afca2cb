"""Patterns that mean something alike, together: spherical k-means on their embeddings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import log
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from whatworks.evidence import groups, texts
from whatworks.evidence.groups import GroupRow, Record
from whatworks.findings import Cluster
from whatworks.keeper import Keeper
from whatworks.rates import rates
from whatworks.text import words

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["assigned", "centers", "clusters"]

Float32 = NDArray[np.float32]
Batches = Iterable[tuple[Sequence[str], Float32]]

# Centers are found from so many patterns; the others are put to the nearest of them.
FITTED = 10_000
ROUNDS = 20
# Without a number, as many clusters as the square root of half the patterns (Mardia, Kent and
# Bibby 1979, Multivariate Analysis, 13.3), and no more than anyone would read.
MOST = 50
EXAMPLES, WORDS = 5, 4
# A word names a cluster if so many of its patterns have it: a share, and at least two.
NAMING = 0.1
# And so many times as often as elsewhere, if there is such a word.
TELLING = 1.5
# Words that tell nothing by themselves.
_STOP = frozenset(
    words(
        "a an and are as at be by for from has have in into is it its no not of on or that the "
        "their this to was when which with without you your"
    )
)


def clusters(keeper: Keeper, count: int | None) -> list[Cluster]:
    """See ``Memory.clusters``."""
    keeper.embeddings.vectors("patterns")  # it embeds what is new
    evidence, model = keeper.folded(), keeper.model.name

    def batches() -> Iterator[tuple[Sequence[str], Float32]]:
        for ids, vectors, _ in texts.vectors(evidence, "patterns", model):
            yield ids, vectors

    total = texts.total(evidence, "patterns", model)
    if not total:
        return []
    number = count or min(MOST, max(1, round((total / 2) ** 0.5)))
    found = assigned(batches, total, number)
    return _described(found, groups.records(evidence, [name for part in found for name, _ in part]))


def assigned(batches: Callable[[], Batches], total: int, number: int) -> list[list[tuple[str, float]]]:
    """Ids by cluster with their cosine to its center, the nearest first; no cluster is empty."""
    step = -(-total // FITTED)
    fitted = np.concatenate([vectors[::step] for _, vectors in batches()])
    middle = centers(fitted, min(number, len(fitted)))
    found: list[list[tuple[str, float]]] = [[] for _ in middle]
    for ids, vectors in batches():
        cosine = vectors @ middle.T
        nearest = cosine.argmax(1)
        for name, place, near in zip(ids, nearest.tolist(), cosine.max(1).tolist(), strict=True):
            found[place].append((name, near))
    return [sorted(part, key=lambda item: (-item[1], item[0])) for part in found if part]


def centers(vectors: Float32, number: int) -> Float32:
    """Centers of length 1, ``(number, dim)``, the same for the same vectors in the same order.

    Begun with the vectors that are farthest from all before them, each by chance and the more
    likely the farther it is, with a seed that never changes.

    References
    ----------
    Dhillon & Modha (2001), Machine Learning 42:143; the beginning: Arthur & Vassilvitskii
    (2007), k-means++, SODA.
    """
    chance = np.random.default_rng(0)
    chosen = [int(chance.integers(len(vectors)))]
    far = 1 - vectors @ vectors[chosen[0]]
    while len(chosen) < number:
        weights = np.clip(far, 0, None).astype(float) ** 2
        if weights.sum() <= 0:  # all others are equal to one that is chosen
            break
        chosen.append(int(chance.choice(len(vectors), p=weights / weights.sum())))
        far = np.minimum(far, 1 - vectors @ vectors[chosen[-1]])
    middle, before = vectors[chosen].copy(), None
    for _ in range(ROUNDS):
        nearest = (vectors @ middle.T).argmax(1)
        if before is not None and (nearest == before).all():
            break
        before = nearest
        for place in range(len(middle)):
            mean = vectors[nearest == place].sum(0)
            length = float(np.linalg.norm(mean))
            if length > 0:  # nothing is nearest to it, or they cancel out: it stays
                middle[place] = mean / length
    return middle


def _described(
    found: Sequence[Sequence[tuple[str, float]]], records: Mapping[str, Record]
) -> list[Cluster]:
    named = ([name for name, _ in part if name in records] for part in found)
    known = [part for part in named if part]
    having = [Counter(w for name in part for w in words(records[name].description)) for part in known]
    everywhere = sum(having, Counter[str]())
    whole = sum(map(len, known))
    rows = [
        GroupRow(
            _name(counts, len(part), everywhere, whole),
            sum(records[name].tries for name in part),
            sum(records[name].resolved for name in part),
            sum(records[name].total for name in part),
        )
        for part, counts in zip(known, having, strict=True)
    ]
    made = [
        Cluster(rate.value, len(part), tuple(part[:EXAMPLES]), rate)
        for part, rate in zip(known, rates(rows), strict=True)
    ]
    return sorted(made, key=lambda cluster: (-cluster.patterns, cluster.words, cluster.examples))


def _name(counts: Counter[str], size: int, everywhere: Counter[str], whole: int) -> str:
    """The words that tell a cluster from the others: by how many times as often, times how often."""

    def times(word: str) -> float:
        return counts[word] / size / (everywhere[word] / whole)

    known = {word: n for word, n in counts.items() if word not in _STOP}
    frequent = [word for word, n in known.items() if n >= max(2, NAMING * size) or size == n == 1]
    telling = [word for word in frequent if times(word) >= TELLING] or frequent
    best = sorted(telling, key=lambda word: (-counts[word] * log(times(word)), word))[:WORDS]
    return " ".join(best) or "(nothing in common)"
