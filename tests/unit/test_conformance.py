"""Every check of ``StoreConformance`` can fail: stores with one defect each, and what sees it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from whatworks.errors import StoreError
from whatworks.stores import Hits
from whatworks.stores.base import as_unit
from whatworks.stores.contents import Contents
from whatworks.stores.exact import ExactStore
from whatworks.testing import StoreConformance
from whatworks.vectors import Vectors

Array = NDArray[np.float32]


class Healthy(StoreConformance):
    def open(self, path: Path, dim: int) -> ExactStore:
        return ExactStore(path, dim=dim)


class Rounds(ExactStore):
    def _search(self, query: Array, k: int) -> Hits:
        ids, distances = super()._search(query, k)
        return Hits(ids, distances.round(3))


class Clips(ExactStore):
    def _search(self, query: Array, k: int) -> Hits:
        ids, distances = super()._search(query, k)
        return Hits(ids, distances.clip(0, 1))


class IgnoresFilters(ExactStore):
    def _search_among(self, query: Array, k: int, ids: list[str]) -> Hits:
        return self._search(query, k)


class FiltersAfterwards(ExactStore):
    def _search_among(self, query: Array, k: int, ids: list[str]) -> Hits:
        found = self._search(query, k)
        rows = [row for row, name in enumerate(found.ids) if name in ids]
        return Hits([found.ids[row] for row in rows], found.distances[rows])


class KeepsTheFirst(ExactStore):
    def _upsert(self, ids: list[str], vectors: Array) -> None:
        rows = [row for row, name in enumerate(ids) if not self.get([name])]
        super()._upsert([ids[row] for row in rows], vectors[rows])


class DropsTheLast(ExactStore):
    def _upsert(self, ids: list[str], vectors: Array) -> None:
        super()._upsert(ids[: len(ids) - (len(ids) > 9_000)], vectors[: len(ids) - (len(ids) > 9_000)])


class GetsAThousand(ExactStore):
    def get(self, ids: Sequence[str]) -> dict[str, Array]:
        return super().get(ids[:1_000])


class FlushesNothing(ExactStore):
    def flush(self) -> None: ...


class WritesHalf(ExactStore):
    """Ids reach the disk before their vectors do."""

    def _upsert(self, ids: list[str], vectors: Array) -> None:
        super()._upsert(ids, vectors[::-1])
        super().flush()
        super()._upsert(ids, vectors)


class FindsTooMany(ExactStore):
    def _search(self, query: Array, k: int) -> Hits:
        return super()._search(query, k + 1)


class NormalisesInPlace(ExactStore):
    def upsert(self, ids: Sequence[str], vectors: Array) -> None:
        super().upsert(ids, vectors)
        if len(vectors):
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)


class ReadsRawMemory(ExactStore):
    def upsert(self, ids: Sequence[str], vectors: Array) -> None:
        unit = as_unit(vectors, self.dim)
        super().upsert(
            ids, np.frombuffer(np.asarray(vectors).tobytes("A"), vectors.dtype).reshape(unit.shape)
        )


class ForgetsDeletionsInPages(ExactStore):
    deleted: tuple[str, ...] = ()

    def delete(self, ids: Sequence[str]) -> None:
        super().delete(ids)
        self.deleted = tuple(ids)

    def iter_ids(self) -> Iterator[list[str]]:
        yield from super().iter_ids()
        yield list(self.deleted)


class RepeatsPages(ExactStore):
    def iter_ids(self) -> Iterator[list[str]]:
        for page in super().iter_ids():
            yield page[:10_000]
            yield page[9_999:]


class FindsOneOfEqualVectors(ExactStore):
    def _search(self, query: Array, k: int) -> Hits:
        ids, distances = super()._search(query, self.count())
        _, rows = np.unique(distances.round(6), return_index=True)
        return Hits([ids[row] for row in rows][:k], distances[rows][:k])


class BeginsAnew(ExactStore):
    def __init__(self, path: Path, *, dim: int) -> None:
        super().__init__(path, dim=dim)
        self._file.unlink(missing_ok=True)
        self._rows.drop(self._rows.all()[0])


class WritesWhenItCloses(ExactStore):
    def close(self) -> None:
        super().close()
        (self.path / "closed").touch()


DEFECTS: dict[type[ExactStore], str] = {
    Clips: "S04",
    FindsTooMany: "S05",
    KeepsTheFirst: "S11 S30",
    NormalisesInPlace: "S15",
    WritesWhenItCloses: "S28",
    IgnoresFilters: "S29 S30",
    FiltersAfterwards: "S29",
    RepeatsPages: "S31",
    ForgetsDeletionsInPages: "S31",
    GetsAThousand: "S32",
    DropsTheLast: "S33",
    Rounds: "S34",
    ReadsRawMemory: "S35",
    FindsOneOfEqualVectors: "S36",
    FlushesNothing: "S19 S37",
    WritesHalf: "S38",
    BeginsAnew: "S39",
}
CASES = [(kind, check) for kind, checks in DEFECTS.items() for check in checks.split()]


# One a store, at the level of the module, where the process that is killed finds it.
def _checks_of(kind: type[ExactStore]) -> type[StoreConformance]:
    def open_(self: StoreConformance, path: Path, dim: int) -> ExactStore:
        return kind(path, dim=dim)

    name = f"Of{kind.__name__}"
    return type(
        name, (StoreConformance,), {"open": open_, "__module__": __name__, "__qualname__": name}
    )


globals().update({f"Of{kind.__name__}": _checks_of(kind) for kind in DEFECTS})


def run(checks: StoreConformance, check: str, folder: Path) -> None:
    (name,) = [name for name in dir(checks) if name.startswith(f"test_{check.lower()}_")]
    getattr(checks, name)(folder)


@pytest.mark.parametrize(("kind", "check"), CASES, ids=lambda value: getattr(value, "__name__", value))
def test_a_defect_is_seen_by_its_check(kind: type[ExactStore], check: str, tmp_path: Path) -> None:
    with pytest.raises((AssertionError, StoreError)) as raised:
        run(globals()[f"Of{kind.__name__}"](), check, tmp_path)
    assert "the process that was to be killed ended" not in str(raised.value)


def test_an_owner_that_takes_any_model_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Vectors._description

    def without(self: Vectors) -> dict[str, Any]:
        return {name: value for name, value in whole(self).items() if name != "metric"}

    monkeypatch.setattr(Vectors, "_description", without)
    with pytest.raises(AssertionError, match=r"in spite of .*metric"):
        run(Healthy(), "S40", tmp_path)


def test_an_owner_that_compares_only_sizes_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Contents.listing
    monkeypatch.setattr(
        Contents, "listing", lambda self: {name: [size, 0] for name, (size, _) in whole(self).items()}
    )
    with pytest.raises((AssertionError, StoreError)):
        run(Healthy(), "S41", tmp_path)


def test_every_check_from_s28_on_is_seen_to_fail() -> None:
    named = {check for _, check in CASES} | {"S40", "S41"}
    found = {match[1].upper() for name in dir(Healthy) if (match := re.match(r"test_(s\d+)_", name))}
    assert {check for check in found if check >= "S28"} <= named


def test_every_check_has_an_id_a_sentence_and_a_source() -> None:
    for name in dir(Healthy):
        if match := re.match(r"test_(s\d+)_", name):
            said = str(getattr(Healthy, name).__doc__)
            assert re.fullmatch(rf"{match[1].upper()}: .+\. Source: .+\.", said), name


def test_a_class_in_a_function_is_told_that_no_other_process_finds_it(tmp_path: Path) -> None:
    class Local(Healthy):
        pass

    with pytest.raises(TypeError, match="in a function"):
        run(Local(), "S37", tmp_path)
