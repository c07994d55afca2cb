"""Texts that wait for their embedding, and the embeddings."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from whatworks import failpoints, packing
from whatworks.evidence.database import Evidence
from whatworks.evidence.schema import IDS

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection as Connection

__all__ = [
    "TABLES",
    "Text",
    "add_embeddings",
    "all_texts",
    "count_waiting",
    "counts",
    "drop_other_models",
    "embedded",
    "known",
    "mark",
    "of",
    "pages",
    "texts_of",
    "total",
    "vectors",
    "waiting",
]

# Embeddings that are sorted at once: 50 MB of them.
SORTED_AT_ONCE = 32_768
# What is embedded: the collection's name, its table, its id and its text.
TABLES = {
    "patterns": ("pattern_rows", "pattern_id", "description"),
    "contexts": ("context_rows", "context_id", "text"),
}


class Text(NamedTuple):
    """A text to embed; ``change`` numbers texts in the order in which they came."""

    change: int
    id: str
    text: str


def mark(collection: str, model: str) -> str:
    """Under which name the evidence keeps how far a collection is embedded with ``model``."""
    return f"embedded {collection} {model}"


def embedded(evidence: Evidence, collection: str, model: str) -> int:
    """Up to which change the texts of a collection are embedded with ``model``."""
    rows = evidence.rows("SELECT value FROM meta WHERE name = ?", [mark(collection, model)])
    return int(rows[0][0]) if rows else -1


def counts(evidence: Evidence, collection: str, model: str) -> tuple[int, int]:
    """How many embeddings by ``model`` a collection has, and how many of its texts have none yet."""
    query = f"""
        SELECT (SELECT count(*) FROM embeddings WHERE collection = ? AND model = ?),
               (SELECT count(*) FROM {TABLES[collection][0]}
                WHERE change > coalesce((SELECT value FROM meta WHERE name = ?), -1))
    """
    made, waiting = evidence.kept(query, [collection, model, mark(collection, model)])[0]
    return made, waiting


def count_waiting(evidence: Evidence, collection: str, model: str) -> int:
    """How many texts have no embedding by ``model`` yet."""
    query = f"SELECT count(*) FROM {TABLES[collection][0]} WHERE change > ?"
    return int(evidence.one(query, [embedded(evidence, collection, model)])[0])


def waiting(evidence: Evidence, collection: str, model: str, limit: int) -> list[Text]:
    """The oldest texts without an embedding by ``model``."""
    return _after(evidence, collection, embedded(evidence, collection, model), limit)


def pages(evidence: Evidence, collection: str, model: str, size: int) -> Iterator[list[Text]]:
    """All texts without an embedding by ``model``, oldest first; none of them needs to have got one."""
    after = embedded(evidence, collection, model)
    while page := _after(evidence, collection, after, size):
        yield page
        after = page[-1].change


def _after(evidence: Evidence, collection: str, change: int, limit: int) -> list[Text]:
    table, name, text = TABLES[collection]
    query = f"SELECT change, {name}, {text} FROM {table} WHERE change > ? ORDER BY change LIMIT ?"
    return [Text(*row) for row in evidence.rows(query, [change, limit])]


def add_embeddings(
    evidence: Evidence,
    collection: str,
    model: str,
    texts: Sequence[Text],
    made: NDArray[np.float32],
    reached: int | None = None,
) -> NDArray[np.float32]:
    """Keep the embeddings of ``texts``, and that all up to ``reached`` are done, at once.

    Without ``reached``, all up to the last of ``texts``. Returns them as they are kept: what is
    found by these is found after a restart.
    """
    done = texts[-1].change if reached is None else reached
    packed = packing.packed(made)
    rows = [
        [text.id, text.change, base64.b64encode(vector.tobytes()).decode()]
        for text, vector in zip(texts, packed, strict=True)
    ]
    name = mark(collection, model)

    def step(con: Connection) -> None:
        execute = con.execute
        execute(
            "DELETE FROM embeddings WHERE collection = ? AND model = ? AND id IN "
            "(SELECT unnest(from_json(?::JSON, '[\"VARCHAR\"]')))",
            [collection, model, orjson.dumps([text.id for text in texts]).decode()],
        )
        failpoints.reached("embeddings.deleted")
        execute(
            """
            INSERT INTO embeddings
            SELECT ?, r.id, r.change, ?, from_base64(r.vector)
            FROM (SELECT unnest(from_json(?::JSON,
                  '[{"id":"VARCHAR","change":"BIGINT","vector":"VARCHAR"}]')) AS r)
            """,
            [
                collection,
                model,
                orjson.dumps(
                    [dict(zip(("id", "change", "vector"), row, strict=True)) for row in rows]
                ).decode(),
            ],
        )
        execute("DELETE FROM meta WHERE name = ?", [name])
        execute("INSERT INTO meta VALUES (?, ?)", [name, done])
        failpoints.reached("embeddings.inserted")

    evidence.write(step)
    failpoints.reached("embeddings.kept")
    return packing.unpacked(packed)


def total(evidence: Evidence, collection: str, model: str) -> int:
    """How many embeddings a collection has."""
    query = "SELECT count(*) FROM embeddings WHERE collection = ? AND model = ?"
    return int(evidence.one(query, [collection, model])[0])


def vectors(
    evidence: Evidence,
    collection: str,
    model: str,
    after: int = -1,
    size: int = 4_096,
    *,
    until: int = 2**63 - 1,
) -> Iterator[tuple[list[str], NDArray[np.float32], int]]:
    """Embeddings of changes behind ``after``, in order: ids, vectors ``(n, dim)``, last change."""
    where = "WHERE collection = ? AND model = ? AND change > ? AND change <= ? ORDER BY change"
    query = f"SELECT id, vector, change FROM embeddings {where}"
    batch: list[tuple[str, bytes, int]] = []
    for low, high in _parts(evidence, where, [collection, model, after, until]):
        for row in evidence.stream(query, [collection, model, low, high], size):
            batch.append(row)
            if len(batch) == size:
                yield _unpacked(batch)
                batch = []
    if batch:
        yield _unpacked(batch)


def _parts(evidence: Evidence, where: str, values: Sequence[object]) -> Iterator[tuple[object, object]]:
    """From which change to which: the engine fails to sort a million vectors in the memory it has."""
    changes = evidence.columns(f"SELECT change FROM embeddings {where}", values)["change"].tolist()
    low = values[2]
    for start in range(0, len(changes), SORTED_AT_ONCE):
        high = changes[min(start + SORTED_AT_ONCE, len(changes)) - 1]
        yield low, high
        low = high


def sample(evidence: Evidence, collection: str, model: str, size: int) -> NDArray[np.float32]:
    """The vectors of some texts, always the same ones of the same texts, shape ``(n, dim)``."""
    query = """
        SELECT id, vector, change FROM embeddings
        WHERE collection = ? AND model = ? ORDER BY md5_number_lower(id) LIMIT ?
    """
    rows = evidence.rows(query, [collection, model, size])
    return _unpacked(rows)[1] if rows else np.empty((0, 1), np.float32)


def of(
    evidence: Evidence, collection: str, model: str, ids: Sequence[str]
) -> tuple[list[str], NDArray[np.float32]]:
    """The embeddings of some ids: those found, and their vectors ``(n, dim)``."""
    query = """
        SELECT id, vector, change FROM embeddings
        WHERE collection = ? AND model = ? AND id IN (SELECT unnest(from_json(?::JSON, '["VARCHAR"]')))
    """
    rows = evidence.rows(query, [collection, model, orjson.dumps(list(ids)).decode()])
    return _unpacked(rows)[:2] if rows else ([], np.empty((0, 0), np.float32))


def known(evidence: Evidence, collection: str, model: str, ids: Sequence[str]) -> set[str]:
    """Those of some ids that have an embedding."""
    query = f"SELECT id FROM embeddings WHERE collection = ? AND model = ? AND id IN {IDS}"
    rows = evidence.rows(query, [collection, model, orjson.dumps(list(ids)).decode()])
    return {row[0] for row in rows}


def texts_of(evidence: Evidence, collection: str, model: str, ids: Sequence[str]) -> dict[str, str]:
    """The texts of some ids whose embedding is that of the text as it is now."""
    table, name, text = TABLES[collection]
    query = f"""
        SELECT e.id, t.{text}
        FROM embeddings e JOIN {table} t ON t.{name} = e.id AND t.change = e.change
        WHERE e.collection = ? AND e.model = ? AND e.id IN {IDS}
    """
    return dict(evidence.rows(query, [collection, model, orjson.dumps(list(ids)).decode()]))


def all_texts(evidence: Evidence, collection: str) -> Iterator[str]:
    """All texts of a collection."""
    table, _, text = TABLES[collection]
    return (row[0] for row in evidence.stream(f"SELECT {text} FROM {table}"))


def drop_other_models(evidence: Evidence, model: str) -> None:
    """Forget the embeddings of every other model."""

    def step(con: Connection) -> None:
        con.execute("DELETE FROM embeddings WHERE model <> ?", [model])
        failpoints.reached("models.deleted")
        con.execute(
            "DELETE FROM meta WHERE starts_with(name, 'embedded ') AND name NOT IN (?, ?)",
            [mark(collection, model) for collection in TABLES],
        )

    evidence.write(step)
    failpoints.reached("models.dropped")


def _unpacked(
    batch: Sequence[tuple[str, bytes, int]],
) -> tuple[list[str], NDArray[np.float32], int]:
    joined = np.frombuffer(b"".join(row[1] for row in batch), packing.NUMBER)
    return [row[0] for row in batch], packing.unpacked(joined.reshape(len(batch), -1)), batch[-1][2]
