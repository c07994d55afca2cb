"""Patterns by the words of their descriptions, best BM25 first."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whatworks.evidence.database import Evidence
from whatworks.evidence.inverted import Postings, array_of
from whatworks.evidence.questions import conditions
from whatworks.evidence.rows import listed
from whatworks.records import Where
from whatworks.text import word_key, words

__all__ = ["word_hits"]

# BM25 with the usual parameters (Robertson & Zaragoza 2009, 3.4).
BM25_K1, BM25_B = 1.2, 0.75
# Postings that are looked at, those of the rarest words first. A word that half of the
# descriptions have moves a score by little, and takes longer to read than all others together.
BUDGET = 20_000
DIGITS = 9  # of a score: what differs by less is a tie
# Up to so many numbers for each posting, an array of all numbers takes less time than sorting postings.
DENSE = 16


def word_hits(evidence: Evidence, text: str, where: Where | None, limit: int) -> list[str]:
    """Ids of the patterns whose description shares words with ``text``, best BM25 first.

    score = sum over words of idf * tf (k1 + 1) / (tf + k1 (1 - b + b length / mean length)),
    the mean length being that of the descriptions found,
    idf = ln(1 + (N - df + 1/2) / (df + 1/2)); Robertson & Zaragoza (2009), The Probabilistic
    Relevance Framework, section 3. Frequent words are left out where the rarer ones
    find ``BUDGET`` postings without them.
    """
    keys = [word_key(word) for word in words(text)]
    if not keys:
        return []
    patterns, counted = evidence.lookup.word_counts(keys) or _counts(evidence, keys)
    weights = _weights(patterns, counted)
    if not weights:
        return []
    numbers, scores = _scores(evidence, weights, counted)
    condition, values = conditions(where)
    found: list[str] = []
    for part in _best_first(numbers, scores, limit):
        names = _names(evidence, part) if where is None else None
        if names is None:
            query = f"""
                SELECT pattern_no, pattern_id FROM pattern_rows
                WHERE pattern_no IN ({listed(part)}) AND {condition}
            """
            names = dict(evidence.rows(query, values))
        # Within a part in the order of scores, ties in the order of ids.
        known = [number for number in part if number in names]
        found += [names[n] for n in sorted(known, key=lambda n: (-part[n], names[n]))]
        if len(found) >= limit:
            break
    return found[:limit]


def _names(evidence: Evidence, numbers: Collection[int]) -> dict[int, str] | None:
    found = evidence.lookup.records(numbers=numbers)
    hidden = evidence.shelf.numbers
    return None if found is None else {row[0]: row[1] for row in found if row[0] not in hidden}


def _weights(patterns: int, counted: Mapping[int, int]) -> dict[int, float]:
    """The idf of those of the words that are looked for, by key."""
    weights, left = dict[int, float](), BUDGET
    for df, word in sorted((df, word) for word, df in counted.items() if df):
        if weights and df > left:
            break
        weights[word] = float(np.log(1 + (patterns - df + 0.5) / (df + 0.5)))
        left -= df
    return weights


def _counts(evidence: Evidence, keys: Sequence[int]) -> tuple[int, dict[int, int]]:
    """How many descriptions there are, and how many have each word."""
    query = f"SELECT word, count(*) FROM postings WHERE word IN ({listed(keys)}) GROUP BY word"
    return evidence.one("SELECT count(*) FROM pattern_rows")[0], dict(evidence.rows(query))


def _postings(evidence: Evidence, keys: Sequence[int]) -> Postings:
    found = evidence.columns(
        f"""
        SELECT word, pattern_no, times, words FROM postings
        WHERE word IN ({listed(keys)}) ORDER BY word
        """
    )
    words, starts = np.unique(found["word"], return_index=True)
    return dict(zip(words.tolist(), np.split(array_of(found), starts)[1:], strict=True))


def _scores(
    evidence: Evidence, weights: Mapping[int, float], counted: Mapping[int, int]
) -> tuple[NDArray[np.integer[Any]], NDArray[np.float64]]:
    """The patterns that have one of the words, by number, and their scores."""
    asked = sorted(weights)
    found = evidence.lookup.postings({key: counted[key] for key in asked}) or _postings(evidence, asked)
    found = {key: found[key] for key in asked if key in found and len(found[key])}
    if not found:
        return np.empty(0, np.int64), np.empty(0)
    lengths = [rows["words"] for rows in found.values()]
    mean = sum(int(length.sum()) for length in lengths) / sum(map(len, lengths))
    # Word by word: for all together memory would come from the system, and go back to it, each time.
    parts = [weights[key] * _saturated(rows, mean) for key, rows in found.items()]
    return _sums(np.concatenate([rows["pattern"] for rows in found.values()]), np.concatenate(parts))


def _saturated(rows: NDArray[Any], mean: float) -> NDArray[np.float64]:
    """What a word counts for in each description; ``mean`` is the length of one."""
    length = BM25_K1 * (1 - BM25_B + BM25_B * (rows["words"] / mean))
    found: NDArray[np.float64] = rows["times"] * (BM25_K1 + 1) / (rows["times"] + length)
    return found


def _sums(
    patterns: NDArray[np.int32], parts: NDArray[np.float64]
) -> tuple[NDArray[np.integer[Any]], NDArray[np.float64]]:
    """The patterns, ascending, and the sums of their parts, which are above 0."""
    scores: NDArray[np.float64]
    if len(patterns) and patterns.max() < DENSE * len(patterns):
        scores = np.bincount(patterns, parts).astype(float, copy=False)
        numbers = np.flatnonzero(scores > 0)
        return numbers, scores[numbers]
    # With the index it sorts by runs, and the patterns of each word are one.
    numbers, _, place = np.unique(patterns, return_index=True, return_inverse=True)
    scores = np.bincount(place, parts, len(numbers)).astype(float, copy=False)
    return numbers, scores


def _best_first(
    numbers: NDArray[np.integer[Any]], scores: NDArray[np.float64], size: int
) -> Iterator[dict[int, float]]:
    """Scores by pattern in parts of ``size`` at least, the best part first; ties stay together."""
    while len(scores):
        last = max(len(scores) - size, 0)
        worst = np.partition(scores, last)[last].round(DIGITS)
        best = np.flatnonzero(scores >= worst - 10.0**-DIGITS)
        best = best[scores[best].round(DIGITS) >= worst]
        part, found = numbers[best], scores[best].round(DIGITS)
        order = np.argsort(-found, kind="stable")
        yield dict(zip(part[order].tolist(), found[order].tolist(), strict=True))
        numbers, scores, size = np.delete(numbers, best), np.delete(scores, best), 4 * size
