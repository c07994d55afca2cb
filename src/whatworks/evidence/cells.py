"""The tries that estimates are made from: cells, records and their sums, as SQL.

Everything can be asked as of now, from the sums kept by the fold, or as of an
earlier time, from the events as they were known then.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import accumulate, compress
from math import ceil
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from whatworks import learning
from whatworks.evidence.archive import SHOWN, SHOWN_THEN
from whatworks.evidence.changed import NO_CONTEXT
from whatworks.evidence.database import Evidence
from whatworks.evidence.lives import KEPT, kept
from whatworks.evidence.quarantine import ROUNDING, SHARE
from whatworks.evidence.questions import STATES, naive
from whatworks.evidence.rows import listed
from whatworks.evidence.schema import ASIDE, IDS, WORTH

__all__ = [
    "CellRow",
    "Life",
    "PopulationRow",
    "RecordRow",
    "context_ids",
    "hidden",
    "leaders",
    "learned",
    "lives",
    "neighbours",
    "population",
    "records",
    "sample",
    "sides",
    "there",
]


# Contexts whose cells are read first where nobody knows better.
FIRST_CONTEXTS = 8


def _json(values: object) -> str:
    return orjson.dumps(values).decode()


class CellRow(NamedTuple):
    """Resolved tries of one pattern in one context on one day.

    ``worth`` effective tries; ``last_at`` is when the last of them was made,
    in microseconds since 1970.
    """

    context_id: str
    pattern_no: int
    tries: int
    mean_outcome: float
    worth: float
    last_at: int


class RecordRow(NamedTuple):
    """A pattern's own record: effective tries and outcomes, imported count and sum."""

    pattern_no: int
    pattern_id: str
    tries: float
    total: float
    prior_count: float
    prior_total: float


_RECORD = ", ".join(RecordRow._fields)
_WORTH = WORTH.format(n="tries")
# The same names over the sums kept by the fold, or over the events known at a time.
_NOW = f"""
    WITH known_cells AS (SELECT *, {_WORTH} AS worth FROM cells WHERE tries > 0),
    records AS (
        SELECT pattern_no, pattern_id, created_at, effective AS tries, effective_sum AS total,
               prior_count, prior_sum AS prior_total
        FROM pattern_rows)
"""
_AS_OF = f"""
    WITH {STATES},
    known_cells AS (
        SELECT *, {_WORTH} AS worth FROM (
            SELECT context_no, pattern_no, timestamp::DATE AS day, count(*) AS tries,
                   sum(outcome) AS outcome_sum, max(timestamp) AS last_at
            FROM states WHERE state = 'resolved' GROUP BY ALL)),
    sums AS (
        SELECT pattern_no, sum(worth * outcome_sum / tries) AS total, sum(worth) AS tries
        FROM known_cells GROUP BY pattern_no),
    earlier AS (
        SELECT pattern_no, sum(usage_count) AS prior_count,
               sum(usage_count * success_rate) AS prior_total
        FROM prior_rows, moment WHERE timestamp <= instant GROUP BY pattern_no),
    records AS (
        SELECT pattern_no, pattern_id, created_at, coalesce(tries, 0) AS tries,
               coalesce(total, 0) AS total, coalesce(earlier.prior_count, 0) AS prior_count,
               coalesce(prior_total, 0) AS prior_total
        FROM pattern_rows LEFT JOIN sums USING (pattern_no) LEFT JOIN earlier USING (pattern_no),
             moment
        WHERE created_at <= instant OR tries > 0 OR earlier.prior_count > 0)
"""


_SHUFFLED = (
    f"(context_no::BIGINT * {learning.SHUFFLE[0]} + pattern_no::BIGINT * {learning.SHUFFLE[1]})"
    f" % {learning.MODULUS}"
)


def _then(as_of: datetime | None) -> tuple[str, list[object]]:
    return (_NOW, []) if as_of is None else (_AS_OF, [naive(as_of)])


class PopulationRow(NamedTuple):
    """Sums over the tried patterns, as ``rank.population`` takes them, and two more.

    ``cells`` counts the cells, ``coverage`` is the share of tries whose
    outcome is known, ``None`` without any try.
    """

    patterns: int
    tries: float
    total: float
    tries_squared: float
    spread: float
    cells: int
    coverage: float | None


def population(evidence: Evidence, as_of: datetime | None) -> PopulationRow:
    """What all tried patterns have in common."""
    with_, values = _then(as_of)
    # Patterns cost a stranger nothing: those that are mostly their word move no other.
    strange = f"""
        LEFT JOIN (SELECT pattern_no, sum(worth) AS aside FROM known_cells
                   WHERE context_no = {ASIDE} GROUP BY pattern_no) USING (pattern_no)
        WHERE coalesce(aside, 0) <= {SHARE / (1 + SHARE)} * tries + {ROUNDING} AND
    """
    row = evidence.one(
        f"""{with_}
        SELECT count(*), coalesce(sum(tries), 0), coalesce(sum(total), 0),
               coalesce(sum(tries * tries), 0), coalesce(sum(total * total / tries), 0),
               (SELECT count(*) FROM known_cells WHERE context_no >= 0)
        FROM records {strange if evidence.guarded else "WHERE"} tries > 1e-9
        """,
        values,
    )
    covered = _coverage(evidence, as_of)
    return PopulationRow(row[0], row[1], row[2], row[3], row[4], row[5], covered)


def _coverage(evidence: Evidence, as_of: datetime | None) -> float | None:
    if as_of is None:
        row = evidence.one("SELECT sum(resolved), sum(used) FROM pattern_rows")
    else:
        query = f"WITH {STATES} SELECT count(outcome), count(*) FROM states WHERE state <> 'not_used'"
        row = evidence.one(query, [naive(as_of)])
    return float(row[0] / row[1]) if row[1] else None


def neighbours(
    evidence: Evidence,
    contexts: Sequence[str],
    as_of: datetime | None,
    *,
    pairs: int | None = None,
    at_once: int = FIRST_CONTEXTS,
) -> list[CellRow]:
    """The cells of these contexts, by context, pattern and day.

    With ``pairs``, those of so many pairs of a context and a pattern: of the
    first contexts, in their order, and of the last of them by the number of the pattern.
    The cells of ``at_once`` contexts are read first; how many does not change what is found.
    """
    if not contexts or pairs == 0:
        return []
    if as_of is None:
        looked_up = _looked_up(evidence, contexts, pairs, at_once)
        if looked_up is not None:
            return looked_up
    with_, values = _then(as_of)
    # Two questions: of a join, the engine would make a table of the cells first.
    query = f"SELECT context_no, context_id FROM context_rows WHERE context_id IN ({listed(contexts)})"
    names = dict(evidence.rows(query))
    if not names:
        return []
    query = f"""{with_}
        SELECT context_no, pattern_no, tries, outcome_sum / tries, worth, epoch_us(last_at)
        FROM known_cells WHERE context_no IN ({listed(names)})
    """
    rows = evidence.rows(query, values)
    numbers = np.array([row[:2] for row in rows], np.int64).reshape(-1, 2)
    chosen = _first(numbers[:, 0], numbers[:, 1], names, contexts, pairs).tolist()
    cells = [CellRow(names[row[0]], *row[1:]) for row in compress(rows, chosen)]
    return sorted(cells, key=_by_place)


_by_place = itemgetter(0, 1, 5)


def _first(
    context: NDArray[Any],
    pattern: NDArray[Any],
    names: Mapping[int, str],
    contexts: Sequence[str],
    pairs: int | None,
) -> NDArray[np.bool_]:
    """Which rows belong to the first ``pairs``, by the numbers of their contexts and patterns."""
    if pairs is None or len(context) <= pairs:
        return np.ones(len(context), bool)
    numbers = {name: number for number, name in names.items()}
    order = [numbers[name] for name in contexts if name in numbers]
    keys = _keys(_places(context, order), pattern)
    first: NDArray[np.bool_] = keys <= np.unique(keys)[:pairs].max()
    return first


def _looked_up(
    evidence: Evidence, contexts: Sequence[str], pairs: int | None, at_once: int
) -> list[CellRow] | None:
    names, parts, left = dict[int, str](), list[NDArray[Any]](), pairs or 0
    at, step = 0, len(contexts) if pairs is None else at_once
    while at < len(contexts) and (pairs is None or left > 0):
        found = evidence.lookup.contexts(ids=contexts[at : at + step])
        if found is None:
            return None
        new = {number: name for number, name, _ in found}
        rows = evidence.lookup.cells_of_contexts(new)
        if rows is None:
            return None
        names |= new
        parts.append(rows[rows["tries"] > 0])
        at += step
        if pairs is not None:
            # The next are as many as will probably do: most contexts have several cells.
            left -= len(np.unique(_keys(parts[-1]["context"], parts[-1]["pattern"])))
            step = max(FIRST_CONTEXTS, ceil(1.2 * at * left / max(pairs - left, 1)))
    rows = np.concatenate(parts)
    rows = rows[_first(rows["context"], rows["pattern"], names, contexts, pairs)]
    places = _places(rows["context"], sorted(names, key=names.__getitem__))
    rows = rows[np.lexsort((rows["last_at"], rows["pattern"], places))]  # as ``_by_place`` has them
    tries = rows["tries"]
    columns = (
        rows["pattern"],
        tries,
        rows["total"] / tries,
        2.0 * tries / (tries + 1),
        rows["last_at"],
    )
    return list(
        map(
            CellRow,
            map(names.__getitem__, rows["context"].tolist()),
            *(column.tolist() for column in columns),
        )
    )


def _places(context: NDArray[Any], order: Sequence[int]) -> NDArray[np.int64]:
    """Where in ``order``, which has all of them, the numbers of contexts stand."""
    numbers = np.array(order, np.int64)
    by_number = np.argsort(numbers)
    places: NDArray[np.int64] = by_number[np.searchsorted(numbers, context, sorter=by_number)]
    return places


def _keys(context: NDArray[Any], pattern: NDArray[Any]) -> NDArray[np.int64]:
    """Numbers for pairs of a context and a pattern, in their order."""
    keys: NDArray[np.int64] = (context.astype(np.int64) << 32) + pattern
    return keys


def sample(evidence: Evidence, limit: int, as_of: datetime | None) -> list[CellRow]:
    """Cells in the order of ``learning.shuffled``: taken at random, the same in every replay."""
    with_, values = _then(as_of)
    query = f"""{with_}
        SELECT context_id, pattern_no, tries, mean, worth, epoch_us(last_at) FROM (
            SELECT *, outcome_sum / tries AS mean, {_SHUFFLED} AS place FROM known_cells
            WHERE context_no >= 0 ORDER BY place, context_no, pattern_no, day LIMIT ?)
        JOIN context_rows USING (context_no) ORDER BY place, context_no, pattern_no, day
    """
    return [CellRow(*row) for row in evidence.rows(query, [*values, limit])]


class Life(NamedTuple):
    """The cells of one pattern, the oldest first: arrays of one length.

    ``context`` is the number of each cell's context, -1 for tries without one;
    ``last_at`` in microseconds since 1970.
    """

    context: NDArray[np.int64]
    worth: NDArray[np.float64]
    mean: NDArray[np.float64]
    last_at: NDArray[np.int64]


def lives(evidence: Evidence, numbers: Collection[int], as_of: datetime | None) -> dict[int, Life]:
    """The last ``lives.KEPT`` cells of each pattern that has any, and at most as many before.

    Those before are thinned, so that a long life costs no more than a short one.
    """
    if not numbers:
        return {}
    if as_of is None:
        looked_up = evidence.lookup.lives(numbers)
        if looked_up is not None:
            return _lives(looked_up)
    with_, values = _then(as_of)
    query = f"""{with_},
    placed AS (
        SELECT *, row_number() OVER latest AS place, count(*) OVER (PARTITION BY pattern_no) AS n
        FROM known_cells
        WHERE pattern_no IN ({listed(numbers)}) AND context_no IS DISTINCT FROM {ASIDE}
        WINDOW latest AS (PARTITION BY pattern_no ORDER BY last_at DESC, context_no, day))
    SELECT pattern_no, coalesce(context_no, -1) AS context, worth, outcome_sum / tries AS mean,
           epoch_us(last_at) AS last_at
    FROM placed WHERE {kept()}
    ORDER BY pattern_no, placed.last_at, place DESC
    """
    found = evidence.columns(query, values)
    owners, starts = np.unique(found.pop("pattern_no"), return_index=True)
    life = Life(found["context"].astype(np.int64), found["worth"], found["mean"], found["last_at"])
    return _apart(life, owners.tolist(), starts.tolist())


def _lives(looked_up: Mapping[int, NDArray[Any]]) -> dict[int, Life]:
    """From rows of the lookup, the last first; all at once, since most lives are short."""
    if not looked_up:
        return {}
    # Each from its end, and all of one kind: to join arrays of rows, NumPy compares their kinds.
    last_first = [rows.tobytes() for rows in reversed(list(looked_up.values()))]
    cells = np.frombuffer(b"".join(last_first), next(iter(looked_up.values())).dtype)[::-1]
    context, tries = cells["context"].astype(np.int64), cells["tries"].astype(float)
    worth = np.where(context == NO_CONTEXT, tries, 2.0 * tries / (tries + 1))
    life = Life(context, worth, cells["total"] / tries, cells["last_at"].copy())
    return _apart(life, looked_up, [0, *accumulate(map(len, looked_up.values()))][:-1])


def _apart(life: Life, owners: Iterable[int], starts: Sequence[int]) -> dict[int, Life]:
    """The lives of several patterns that lie one behind the other."""
    ends = [*starts, len(life.worth)][1:]  # none, where nothing starts
    context, worth, mean, last_at = life
    return {
        number: Life(context[at:end], worth[at:end], mean[at:end], last_at[at:end])
        for number, at, end in zip(owners, starts, ends, strict=True)
    }


def context_ids(evidence: Evidence, numbers: Collection[int]) -> dict[int, str]:
    """The ids of contexts by their numbers."""
    if not numbers:
        return {}
    looked_up = evidence.lookup.contexts(numbers=numbers)
    if looked_up is not None:
        return {number: name for number, name, _ in looked_up}
    query = f"SELECT context_no, context_id FROM context_rows WHERE context_no IN ({listed(numbers)})"
    return dict(evidence.rows(query))


def sides(
    evidence: Evidence,
    lives: Mapping[int, Life],
    begun: Mapping[int, int],
    as_of: datetime | None,
    at: int,
) -> dict[int, tuple[float, float, float, float]]:
    """Effective tries and outcomes of each pattern before and since the cell of its life in ``begun``.

    A life has all of the last cells, so that what is not among these was before; where the first of
    those is the one, or an earlier one, all cells are looked at: others may be as old. So they are
    where more than ``at`` bytes are folded, as there were when the lives were read.
    """
    far = {n: k for n, k in begun.items() if len(lives[n].worth) - k >= KEPT}
    if as_of is not None or evidence.guarded:  # what counts aside is in no life
        far = dict(begun)
    found = {}
    for row in records(evidence, numbers=begun.keys() - far.keys(), ids=(), as_of=None):
        life, k = lives[row.pattern_no], begun[row.pattern_no]
        tries = float(life.worth[k:].sum())
        total = float((life.worth[k:] * life.mean[k:]).sum())
        before = max(row.tries - tries, 0.0)
        found[row.pattern_no] = before, min(max(row.total - total, 0.0), before), tries, total
    if evidence.folded != at:  # the records may have tries that the lives have not
        far = dict(begun)
    if far:
        starts = {n: int(lives[n].last_at[k]) for n, k in far.items()}
        found |= _all_sides(evidence, starts, as_of)
    return found


def _all_sides(
    evidence: Evidence, begun: Mapping[int, int], as_of: datetime | None
) -> dict[int, tuple[float, float, float, float]]:
    """The same from all cells, by the time of the first that count, in microseconds since 1970."""
    with_, values = _then(as_of)
    query = f"""{with_},
    begun AS (SELECT p[1] AS pattern_no, make_timestamp(p[2]) AS start
              FROM (SELECT unnest(from_json(?::JSON, '[["BIGINT"]]')) AS p))
    SELECT pattern_no, coalesce(sum(worth) FILTER (last_at < start), 0),
           coalesce(sum(worth * outcome_sum / tries) FILTER (last_at < start), 0),
           coalesce(sum(worth) FILTER (last_at >= start), 0),
           coalesce(sum(worth * outcome_sum / tries) FILTER (last_at >= start), 0)
    FROM known_cells JOIN begun USING (pattern_no)
    WHERE pattern_no IN ({listed(begun)}) AND context_no IS DISTINCT FROM {ASIDE}
    GROUP BY pattern_no
    """
    rows = evidence.rows(query, [*values, _json(list(begun.items()))])
    return {row[0]: (row[1], row[2], row[3], row[4]) for row in rows}


def learned(evidence: Evidence, model: str | None, as_of: datetime | None) -> Mapping[str, Any] | None:
    """What was learned last, by the embeddings of ``model`` or of any."""
    parts, values = ["true"], list[object]()
    if model is not None:
        parts.append("model = ?")
        values.append(model)
    if as_of is not None:
        parts.append("learned_at <= ?")
        values.append(naive(as_of))
    query = f"""
        SELECT learned FROM learned_rows WHERE {" AND ".join(parts)}
        ORDER BY learned_at DESC, cells DESC LIMIT 1
    """
    rows = evidence.rows(query, values)
    return orjson.loads(rows[0][0]) if rows else None


def records(
    evidence: Evidence, *, numbers: Collection[int], ids: Collection[str], as_of: datetime | None
) -> list[RecordRow]:
    """Records of the patterns named by ``numbers`` and ``ids``, by number."""
    if as_of is None:
        looked_up = evidence.lookup.records(numbers=numbers, ids=ids)
        if looked_up is not None:
            return [RecordRow(row[0], row[1], *row[6:]) for row in looked_up]
    with_, values = _then(as_of)
    named = [
        f"SELECT {_RECORD} FROM records WHERE {column} IN ({listed(names)})"
        for column, names in (("pattern_no", numbers), ("pattern_id", ids))
        if names
    ]
    if not named:
        return []
    rows = evidence.rows(f"{with_} {' UNION '.join(named)} ORDER BY pattern_no", values)
    return [RecordRow(*row) for row in rows]


def leaders(
    evidence: Evidence,
    limit: int,
    *,
    prior: tuple[float, float],
    whole: tuple[float, float],
    as_of: datetime | None,
) -> list[int]:
    """The numbers of the patterns that are best by their own record, the best first.

    Records are shrunk to the population ``whole = (mu, kappa)``, with
    aggregates discounted by ``prior = (weight, cap)``.
    """
    with_, values = _then(as_of)
    mu, kappa = whole
    weight, cap = prior
    # The last level first: to sort all patterns by their ids takes three times as long.
    query = f"""{with_},
    levels AS (
        SELECT pattern_no, pattern_id, least({weight}::DOUBLE * prior_count, {cap}::DOUBLE) AS imported,
               round((total + coalesce(imported * prior_total / nullif(prior_count, 0), 0) + ?)
                     / (tries + imported + ?), 9) AS level
        FROM records WHERE {SHOWN if as_of is None else SHOWN_THEN}),
    last AS (SELECT min(level) AS level FROM (SELECT level FROM levels ORDER BY level DESC LIMIT ?))
    SELECT pattern_no FROM levels WHERE level >= (SELECT level FROM last)
    ORDER BY level DESC, pattern_id LIMIT ?
    """
    return [row[0] for row in evidence.rows(query, [*values, kappa * mu, kappa, limit, limit])]


def there(evidence: Evidence, ids: Sequence[str], as_of: datetime) -> set[str]:
    """Which of these patterns there were at a time, or had been tried, and were not archived."""
    with_, values = _then(as_of)
    query = f"{with_} SELECT pattern_id FROM records WHERE pattern_id IN {IDS} AND {SHOWN_THEN}"
    return {row[0] for row in evidence.rows(query, [*values, _json(ids)])}


def hidden(evidence: Evidence, as_of: datetime | None) -> frozenset[int]:
    """The numbers of the patterns that are archived, or were at a time."""
    if as_of is None:
        return evidence.shelf.numbers
    query = f"""
        WITH moment AS (SELECT ?::TIMESTAMP AS instant)
        SELECT DISTINCT pattern_no FROM archived_rows WHERE NOT ({SHOWN_THEN})
    """
    return frozenset(row[0] for row in evidence.rows(query, [naive(as_of)]))
