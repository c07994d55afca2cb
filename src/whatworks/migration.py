"""Moving the vectors to another store: built beside the old one, compared, then switched to."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from whatworks.config import Config
from whatworks.errors import InvalidInputError, StoreError
from whatworks.evidence import Evidence, texts
from whatworks.frozen import dataclass
from whatworks.stores import VectorStore, engine_class
from whatworks.vectors import Vectors

__all__ = ["Checked", "check", "target"]

Float32 = np.float32
# Questions that the new store is compared by, and how much of the truth it has to find: an index
# that finds less than 90 % of the ten nearest is built wrong, whatever the engine.
QUESTIONS = 50
NEAREST = 10
MIN_RECALL = 0.9
# How far a vector may be from the one that was given to the store, each at length 1.
TOLERANCE = 1e-3
SEED = 0


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found in a new store: how many vectors, and the recall of its ten nearest."""

    vectors: int
    recall: float


def target(before: Config, to: str | None) -> Config:
    """The configuration after moving; the store before the last move is used again if it is meant.

    Raises
    ------
    InvalidInputError
        There is no such engine, or nothing to go back to.
    MissingExtraError
        Its packages are not installed.
    """
    if to is None and before.former is None:
        raise InvalidInputError("there is no store to go back to; say which one with --to")
    vectors = before.former if to is None else to
    assert vectors is not None
    engine_class(vectors)
    if vectors == before.vectors:
        return before
    again = vectors == before.former and before.former_generation
    return before.changed(
        vectors=vectors,
        generation=again or before.next_generation(),
        former=before.vectors,
        former_generation=before.generation,
    )


def check(
    evidence: Evidence, made: Mapping[str, Vectors], progress: Callable[[int], object]
) -> dict[str, Checked]:
    """Compare new stores, by collection, with the embeddings in the evidence.

    Every id has to be there with its vector, and no other; the ten nearest to
    a sample of questions are those of a comparison with all, up to recall.

    Raises
    ------
    StoreError
        A store does not hold or find what it should.
    """
    return {name: _checked(evidence, vectors, progress) for name, vectors in made.items()}


def _checked(evidence: Evidence, vectors: Vectors, progress: Callable[[int], object]) -> Checked:
    with vectors.stored() as store:
        questions = _questions(evidence, vectors)
        nearest: list[list[tuple[float, str]]] = [[] for _ in questions]
        held = 0
        for ids, given, _ in texts.vectors(
            evidence, vectors.collection, vectors.model, until=vectors.reached
        ):
            _compare(store, vectors.collection, ids, given)
            for row, distances in enumerate(1 - questions @ given.T):
                best = np.argsort(distances)[:NEAREST]
                pairs = [(float(distances[n]), ids[n]) for n in best]
                nearest[row] = sorted([*nearest[row], *pairs])[:NEAREST]
            held += len(ids)
            progress(len(ids))
        if store.count() != held:
            raise StoreError(
                f"the new store holds {store.count():,} {vectors.collection}, the evidence {held:,}; "
                "nothing was changed, run it again"
            )
        return Checked(held, _recall(store, vectors.collection, questions, nearest))


def _questions(evidence: Evidence, vectors: Vectors) -> NDArray[Float32]:
    """Directions near to vectors of the collection, as a text is near to another one."""
    found = texts.sample(evidence, vectors.collection, vectors.model, QUESTIONS)
    noise = np.random.default_rng(SEED).normal(size=found.shape)
    moved = found + 0.3 * noise / np.linalg.norm(noise, axis=1, keepdims=True)
    unit: NDArray[Float32] = (moved / np.linalg.norm(moved, axis=1, keepdims=True)).astype(Float32)
    return unit


def _compare(store: VectorStore, collection: str, ids: list[str], given: NDArray[Float32]) -> None:
    found = store.get(ids)
    for name, row in zip(ids, given, strict=True):
        if name not in found or np.abs(found[name] - row).max() > TOLERANCE:
            raise StoreError(
                f"the new store has {'another' if name in found else 'no'} vector for {name!r} of the "
                f"{collection}; nothing was changed, run it again"
            )


def _recall(
    store: VectorStore,
    collection: str,
    questions: NDArray[Float32],
    nearest: list[list[tuple[float, str]]],
) -> float:
    if not len(questions):
        return 1.0
    found = wanted = 0
    for question, truth in zip(questions, nearest, strict=True):
        hits = store.search(question, NEAREST)
        edge = truth[-1][0] + TOLERANCE  # whoever is as near as the last one counts as found
        found += int((hits.distances <= edge).sum())
        wanted += len(truth)
    recall = min(1.0, found / wanted)
    if recall < MIN_RECALL:
        raise StoreError(
            f"the new store finds {recall:.0%} of the nearest {collection}, expected {MIN_RECALL:.0%}; "
            "nothing was changed"
        )
    return recall
