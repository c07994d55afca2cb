"""Which patterns have a word, in the file of the lookup: as arrays, since questions take thousands.

The postings of a word lie in parts of neighbouring patterns, and how many it
has in a bucket with other words. A bucket is there for every word: so one
that is whole and does not name a word says for certain that no pattern has it.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from whatworks.cache import HotCache
from whatworks.evidence.by_key import chosen

if TYPE_CHECKING:
    import duckdb

__all__ = [
    "SCHEMA",
    "DamagedError",
    "Kept",
    "Postings",
    "array_of",
    "counts",
    "fill",
    "postings",
    "put",
]

SCHEMA = """
-- word: its hash, as a signed number; part: the patterns from part * PART on
CREATE TABLE postings (word INTEGER, part INTEGER, body BLOB, PRIMARY KEY (word, part)) WITHOUT ROWID;
-- bucket: the first bits of the hashes of its words
CREATE TABLE words (bucket INTEGER PRIMARY KEY, body BLOB);
"""
# Neighbouring patterns in a part: the more, the less there is to read, and the more to write.
PART = 8_192
BUCKETS = 1_024
SHIFT = 64 - 10
# The bucket of what is no word: how many patterns there are.
PATTERNS = -1
FILLED_AT_ONCE = 200_000
# Bytes of postings that stay in memory: questions of one task share most of their words.
KEPT = 2 << 20
# Words of which it is kept how many patterns have them.
COUNTED = 4_096

_POSTING = np.dtype([("pattern", "<i4"), ("times", "<i4"), ("words", "<i4")])
_COUNT = np.dtype([("word", "<u8"), ("count", "<i8")])
_ALL = "SELECT word, pattern_no, times, words FROM postings ORDER BY word, pattern_no"

Row = tuple[Any, ...]
Array = NDArray[Any]


class DamagedError(Exception):
    """Rows are not what was written, or fewer."""


# Which patterns have each word: an array of patterns, how often, and among how many words.
Postings = dict[int, Array]


class Kept:
    """What the file has of the words asked for last: how many patterns have them, and postings."""

    def __init__(self) -> None:
        self.counts: HotCache[int, int] = HotCache(COUNTED)
        self.bodies: HotCache[int, bytes] = HotCache(KEPT, weigh=len)

    def drop(self, words: Iterable[int]) -> None:
        """The file has something else of these words now, and other patterns."""
        words = list(words)
        self.counts.invalidate([PATTERNS, *words])
        self.bodies.invalidate(words)

    def clear(self) -> None:
        """Forget everything."""
        self.counts.clear()
        self.bodies.clear()


# -- questions -------------------------------------------------------------------------------------


def counts(con: sqlite3.Connection, words: Sequence[int], kept: Kept) -> tuple[int, dict[int, int]]:
    """How many patterns there are, and how many have each word: as is ``kept``, else from the file."""
    found = kept.counts.many([PATTERNS, *words], lambda missing: _counts(con, missing))
    return found.pop(PATTERNS), found


def _counts(con: sqlite3.Connection, words: Sequence[int]) -> dict[int, int]:
    buckets = _buckets(con, {_bucket_of(word) for word in words})
    return {word: _count(buckets[_bucket_of(word)], word) for word in words}


def _count(bucket: bytes, word: int) -> int:
    """How many patterns have a word; a search among bytes takes a tenth of one by an array."""
    key = (0 if word == PATTERNS else word).to_bytes(8, "little")
    at = bucket.find(key)
    while at >= 0 and at % _COUNT.itemsize:  # within other numbers
        at = bucket.find(key, at + 1)
    return int.from_bytes(bucket[at + 8 : at + 16], "little") if at >= 0 else 0


def postings(con: sqlite3.Connection, counted: Mapping[int, int], kept: Kept) -> Postings:
    """The postings of words that had so many: those that are ``kept``, and the others from the file."""
    words = list(counted)
    bodies = kept.bodies.many(words, lambda missing: {word: _parts(con, word) for word in missing})
    for word, count in counted.items():
        # Patterns may have come since they were counted, or kept.
        if len(bodies[word]) != count * _POSTING.itemsize:
            bodies[word] = _parts(con, word)
            if len(bodies[word]) != _counts(con, [word])[word] * _POSTING.itemsize:
                raise DamagedError("postings are missing")
    return {word: np.frombuffer(body, _POSTING) for word, body in bodies.items()}


def array_of(columns: Mapping[str, Array]) -> Array:
    """Postings from columns as the tables name them."""
    packed = np.empty(len(columns["pattern_no"]), _POSTING)
    for name, source in (("pattern", "pattern_no"), ("times", "times"), ("words", "words")):
        packed[name] = columns[source]
    return packed


# -- writing ---------------------------------------------------------------------------------------


def put(con: sqlite3.Connection, rows: Sequence[Row], patterns: int) -> None:
    """Keep postings (word, pattern, times, words), or with ``times`` 0 take them away.

    ``patterns``: how many there are more than before.
    """
    by_part: defaultdict[tuple[int, int], dict[int, tuple[int, int]]] = defaultdict(dict)
    for word, pattern, times, length in rows:  # the last that is said of one stands
        by_part[word, pattern // PART][pattern] = times, length
    more: defaultdict[int, dict[int, int]] = defaultdict(dict)
    for (word, part), changed in by_part.items():
        before = _part(con, word, part)
        kept = before[~np.isin(before["pattern"], list(changed))]
        new = [(pattern, *value) for pattern, value in changed.items() if value[0]]
        after = np.sort(np.concatenate([kept, np.array(new, _POSTING)]), order="pattern")
        _put_part(con, word, part, after)
        bucket = more[_bucket_of(word)]
        bucket[word] = bucket.get(word, 0) + len(after) - len(before)
    for number, words in more.items():
        known = dict(_bucket(con, number).tolist())
        known |= {word: known.get(word, 0) + by for word, by in words.items()}
        _put_bucket(con, number, sorted(pair for pair in known.items() if pair[1]))
    if patterns:
        held = int(_bucket(con, PATTERNS)["count"][0])
        _put_bucket(con, PATTERNS, [(0, held + patterns)])


def fill(
    tables: duckdb.DuckDBPyConnection, con: sqlite3.Connection, stopped: Callable[[], bool]
) -> bool:
    """Take all postings from the tables into empty ones here; false if that was ``stopped``."""
    found: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
    for column in _chunks(tables.execute(_ALL)):
        if stopped():
            return False
        word, part = column["word"], column["pattern_no"] // PART
        starts = np.flatnonzero(np.r_[True, (word[1:] != word[:-1]) | (part[1:] != part[:-1])])
        ends = np.r_[starts[1:], len(word)]
        packed = array_of(column)
        con.execute("BEGIN")
        con.executemany(
            "INSERT INTO postings VALUES (?, ?, ?)",
            (
                (_signed(w), p, _body(packed[start:end], (w, p)))
                for w, p, start, end in zip(
                    word[starts].tolist(), part[starts].tolist(), starts, ends, strict=True
                )
            ),
        )
        con.execute("COMMIT")
        words, sizes = np.unique(word, return_counts=True)
        for w, size in zip(words.tolist(), sizes.tolist(), strict=True):
            found[_bucket_of(w)].append((w, size))
    (patterns,) = tables.execute("SELECT count(*) FROM pattern_rows").fetchone() or (0,)
    con.execute("BEGIN")
    for bucket in range(BUCKETS):
        _put_bucket(con, bucket, found.get(bucket, []))
    _put_bucket(con, PATTERNS, [(0, patterns)])
    con.execute("COMMIT")
    return True


def _chunks(result: duckdb.DuckDBPyConnection) -> Iterator[dict[str, Array]]:
    """All postings in order of word and pattern, no word in two chunks."""
    left = dict[str, Array]()
    while True:
        found = _fetched(result)
        joined = {name: np.concatenate([left[name], found[name]]) for name in left} if left else found
        last = not len(found["word"])
        words = joined["word"]
        end = len(words) if last or not len(words) else int(np.searchsorted(words, words[-1]))
        if end:
            yield {name: values[:end] for name, values in joined.items()}
        if last:
            return
        left = {name: values[end:] for name, values in joined.items()}


def _fetched(result: duckdb.DuckDBPyConnection) -> dict[str, Array]:
    rows = result.fetchmany(FILLED_AT_ONCE)
    types = {"word": np.uint64, "pattern_no": np.int64, "times": np.int32, "words": np.int32}
    columns = zip(*rows, strict=True) if rows else ([] for _ in types)
    return {
        name: np.array(values, of) for (name, of), values in zip(types.items(), columns, strict=True)
    }


# -- rows ------------------------------------------------------------------------------------------


def _parts(con: sqlite3.Connection, word: int) -> bytes:
    rows = con.execute("SELECT part, body FROM postings WHERE word = ?", [_signed(word)])
    key = crc32(b"(%d, " % word)  # as of the key of each part, which is (word, part)
    return b"".join([_packed(body, crc32(b"%d)" % part, key)) for part, body in rows])


def _part(con: sqlite3.Connection, word: int, part: int) -> Array:
    query = "SELECT body FROM postings WHERE word = ? AND part = ?"
    row = con.execute(query, [_signed(word), part]).fetchone()
    return np.empty(0, _POSTING) if row is None else _array(_POSTING, row[0], (word, part))


def _put_part(con: sqlite3.Connection, word: int, part: int, array: Array) -> None:
    if len(array):
        row = (_signed(word), part, _body(array, (word, part)))
        con.execute("INSERT OR REPLACE INTO postings VALUES (?, ?, ?)", row)
    else:
        con.execute("DELETE FROM postings WHERE word = ? AND part = ?", [_signed(word), part])


def _bucket_of(word: int) -> int:
    return PATTERNS if word == PATTERNS else word >> SHIFT


def _buckets(con: sqlite3.Connection, buckets: Collection[int]) -> dict[int, bytes]:
    rows = chosen(con, "SELECT bucket, body FROM words WHERE bucket IN", buckets)
    if len(rows) < len(buckets):
        raise DamagedError("words are missing")
    return {number: _packed(body, _key((number,))) for number, body in rows}


def _bucket(con: sqlite3.Connection, bucket: int) -> Array:
    return np.frombuffer(_buckets(con, [bucket])[bucket], _COUNT)


def _put_bucket(con: sqlite3.Connection, bucket: int, known: Sequence[tuple[int, int]]) -> None:
    row = (bucket, _body(np.array(known, _COUNT), (bucket,)))
    con.execute("INSERT OR REPLACE INTO words VALUES (?, ?)", row)


def _body(array: Array, key: Row) -> bytes:
    packed = array.tobytes()
    return packed + crc32(packed, _key(key)).to_bytes(4, "little")


def _key(key: Row) -> int:
    """The checksum of a key, with which that of its body begins."""
    return crc32(repr(key).encode())


def _packed(body: bytes, key: int) -> bytes:
    """What stands before the checksum; ``key`` is that of the key."""
    packed = body[:-4]
    if crc32(packed, key) != int.from_bytes(body[-4:], "little"):
        raise DamagedError("words are damaged")
    return packed


def _array(kind: np.dtype[Any], body: bytes, key: Row) -> Array:
    return np.frombuffer(_packed(body, _key(key)), kind)


def _signed(word: int) -> int:
    """The hash of a word as a number that SQLite can hold."""
    return word - (1 << 64) if word >> 63 else word
