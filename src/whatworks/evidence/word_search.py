"""Patterns by the words of their descriptions, best BM25 first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from whatworks.cache import HotCache
from whatworks.evidence.database import Evidence
from whatworks.evidence.questions import conditions
from whatworks.evidence.rows import listed
from whatworks.records import Where
from whatworks.text import word_key, words

if TYPE_CHECKING:
    import duckdb

__all__ = ["sort_postings", "word_hits"]

# BM25 with the usual parameters (Robertson & Zaragoza 2009, 3.4).
BM25_K1, BM25_B = 1.2, 0.75
# Postings that are looked at, those of the rarest words first. A word that half of the
# descriptions have moves a score by little, and takes longer to read than all others together.
BUDGET = 20_000
# The postings are sorted by word when so many, and a quarter of them, are not.
UNSORTED, SHARE = 100_000, 0.25
SORTED = "postings sorted"
ALL = ""


def word_hits(
    evidence: Evidence, text: str, where: Where | None, limit: int, counts: HotCache[int]
) -> list[str]:
    """Ids of the patterns whose description shares words with ``text``, best BM25 first.

    score = sum over words of idf * tf (k1 + 1) / (tf + k1 (1 - b + b length / mean length)),
    the mean length being that of the descriptions found,
    idf = ln(1 + (N - df + 1/2) / (df + 1/2)); Robertson & Zaragoza (2009), The Probabilistic
    Relevance Framework, section 3. Frequent words are left out where the rarer ones
    find ``BUDGET`` postings without them. ``counts`` keeps how many descriptions there
    are, and how many have a word, until descriptions change.
    """
    weights = _weights(evidence, [word_key(word) for word in words(text)], counts)
    if not weights:
        return []
    numbers, scores = _scores(evidence, weights)
    condition, values = conditions(where)
    found: list[str] = []
    for part in _best_first(numbers, scores, limit):
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


def _weights(evidence: Evidence, keys: Sequence[int], counts: HotCache[int]) -> dict[int, float]:
    """The idf of those of the words that are looked for, by key."""
    if not keys:
        return {}
    known = counts.many([ALL, *map(str, keys)], lambda missing: _counts(evidence, missing))
    patterns, weights, left = known[ALL], dict[int, float](), BUDGET
    for df, word in sorted((df, int(key)) for key, df in known.items() if key != ALL and df):
        if weights and df > left:
            break
        weights[word] = float(np.log(1 + (patterns - df + 0.5) / (df + 0.5)))
        left -= df
    return weights


def _counts(evidence: Evidence, missing: Sequence[str]) -> dict[str, int]:
    """How many descriptions have each word, and for ``ALL`` how many there are."""
    found = dict.fromkeys(missing, 0)
    if ALL in found:
        found[ALL] = evidence.one("SELECT count(*) FROM pattern_rows")[0]
    if keys := [key for key in missing if key != ALL]:
        query = f"SELECT word, count(*) FROM postings WHERE word IN ({', '.join(keys)}) GROUP BY word"
        found |= {str(word): df for word, df in evidence.rows(query)}
    return found


def _scores(
    evidence: Evidence, weights: dict[int, float]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The patterns that have one of the words, by number, and their scores, rounded for ties."""
    found = evidence.columns(
        f"SELECT word, pattern_no, times, words FROM postings WHERE word IN ({listed(weights)})"
    )
    keys = np.array(sorted(weights), np.uint64)
    idf = np.array([weights[int(key)] for key in keys])[np.searchsorted(keys, found["word"])]
    times, length = found["times"].astype(float), found["words"].astype(float)
    relative = length / length.mean() if len(length) else length
    part = idf * times * (BM25_K1 + 1) / (times + BM25_K1 * (1 - BM25_B + BM25_B * relative))
    numbers, place = np.unique(found["pattern_no"].astype(np.int64), return_inverse=True)
    scores: NDArray[np.float64] = np.bincount(place, part, len(numbers)).astype(float)
    return numbers, scores.round(9)


def _best_first(
    numbers: NDArray[np.int64], scores: NDArray[np.float64], size: int
) -> Iterator[dict[int, float]]:
    """Scores by pattern in parts of ``size`` at least, the best part first; ties stay together."""
    order = np.argsort(-scores, kind="stable")
    numbers, scores, start = numbers[order], scores[order], 0
    while start < len(scores):
        last = scores[min(start + size, len(scores)) - 1]
        end = int(np.searchsorted(-scores, -last, side="right"))
        yield dict(zip(numbers[start:end].tolist(), scores[start:end].tolist(), strict=True))
        start, size = end, 4 * size


def sort_postings(evidence: Evidence) -> bool:
    """Sort the postings by word, if enough of them are not; false if nothing was due.

    The engine has no index that is safe, but passes over parts of a table whose
    values lie elsewhere: of sorted postings it reads those of the words asked for.
    """
    known = evidence.rows("SELECT value FROM meta WHERE name = ?", [SORTED])
    done = known[0][0] if known else 0
    total = evidence.one("SELECT count(*) FROM postings")[0]
    if total - done < max(UNSORTED, SHARE * done):
        return False

    def step(con: duckdb.DuckDBPyConnection) -> None:
        con.execute(
            "CREATE OR REPLACE TEMP TABLE sorted_postings AS FROM postings ORDER BY word, pattern_no"
        )
        con.execute("DELETE FROM postings")
        con.execute("INSERT INTO postings FROM sorted_postings")
        con.execute("DROP TABLE sorted_postings")
        con.execute("DELETE FROM meta WHERE name = ?", [SORTED])
        con.execute("INSERT INTO meta VALUES (?, ?)", [SORTED, total])

    evidence.write(step)
    return True
