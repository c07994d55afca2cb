"""The scripts that measure vector stores: what counts as found, what a failing store says, the page."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from benchmarks import store_data, stores, stores_page, texts
from benchmarks.results import Measured, Run
from benchmarks.store_child import Child, StoreFailedError
from benchmarks.store_data import Answers, Data

from whatworks.errors import MissingExtraError


@pytest.fixture
def data(tmp_path: Path) -> Data:
    return store_data.made_up(tmp_path, 300, dim=8, queries=5)


def exact(data: Data) -> tuple[list[Answers], np.ndarray, np.ndarray]:
    """What a store without a fault answers, the vectors, and the queries."""
    vectors, queries = np.load(data.vectors), np.load(data.queries)
    answers = []
    for query in queries:
        distances = 1 - vectors @ query
        rows = np.argsort(distances)[:10].tolist()
        answers.append(Answers([store_data.row_id(row) for row in rows], distances[rows].tolist()))
    return answers, vectors, queries


def test_the_edge_is_the_distance_of_the_tenth_nearest(
    data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_data, "BLOCK", 64)
    answers, vectors, queries = exact(data)
    edge = store_data.edges(vectors, queries)
    np.testing.assert_allclose(edge, [answer.distances[-1] for answer in answers], atol=1e-6)


def test_exact_answers_have_a_recall_of_one(data: Data) -> None:
    answers, vectors, queries = exact(data)
    share, error = store_data.recall(answers, vectors, queries, store_data.edges(vectors, queries))
    assert share == 1
    assert error < 1e-6


def test_a_neighbour_that_is_far_or_named_twice_is_not_found(data: Data) -> None:
    answers, vectors, queries = exact(data)
    edge = store_data.edges(vectors, queries)
    far = store_data.row_id(int(np.argmax(1 - vectors @ queries[0])))
    answers[0] = Answers([*answers[0].ids[:9], far], [*answers[0].distances[:9], 0.5])
    answers[1] = Answers([*answers[1].ids[:9], answers[1].ids[0]], answers[1].distances)
    share, _ = store_data.recall(answers, vectors, queries, edge)
    assert share == pytest.approx(48 / 50)


def test_a_tie_with_the_tenth_counts_as_found(data: Data) -> None:
    answers, vectors, queries = exact(data)
    edge = store_data.edges(vectors, queries)
    tenth = int(answers[0].ids[-1].rpartition("-")[2])
    twin = np.vstack([vectors, vectors[tenth]])
    answers[0].ids[-1] = store_data.row_id(len(vectors))
    assert store_data.recall(answers, twin, queries, edge)[0] == 1


def test_a_wrong_distance_shows(data: Data) -> None:
    answers, vectors, queries = exact(data)
    answers[2].distances[3] += 0.25
    _, error = store_data.recall(answers, vectors, queries, store_data.edges(vectors, queries))
    assert error == pytest.approx(0.25, abs=1e-5)


def test_mixed_vectors_lie_between_real_ones(data: Data) -> None:
    held = np.load(data.vectors)
    (mixed,) = store_data.mixtures(held, 50)
    assert mixed.shape == (50, 8)
    np.testing.assert_allclose(np.linalg.norm(mixed, axis=1), 1, atol=1e-6)
    nearest = (mixed @ held.T).max(axis=1)
    assert (nearest < 1 - 1e-6).all()
    assert nearest.mean() > 0.9


def test_a_filter_lets_one_row_in_a_hundred_through() -> None:
    for rows in store_data.filters(5_000):
        assert len(set(rows)) == 50
        assert set(rows) <= set(range(5_000))


def test_texts_are_distinct_sentences_and_points_of_lists() -> None:
    index = (
        "Package: a\nDescription-en: tool that reads mail\n It reads mail from any server. It also\n"
        " writes mail.\n .\n It can do:\n  * sorting by any number\n  * searching in all texts\n\n"
        "Package: b\nDescription-en: tool that reads mail\n Short.\n"
    )
    assert texts.sentences(index) == {
        "tool that reads mail",
        "It reads mail from any server.",
        "It also writes mail.",
        "* sorting by any number",
        "* searching in all texts",
    }


def test_a_store_that_fails_says_so_in_a_line(tmp_path: Path, data: Data) -> None:
    with (
        Child("exact", tmp_path / "store", data) as child,
        pytest.raises(StoreFailedError, match="NoneType"),
    ):
        child.ask("search", start=0, count=1)


def test_a_store_that_takes_too_long_is_stopped(tmp_path: Path) -> None:
    large = store_data.made_up(tmp_path, 100_000, dim=8, queries=1)
    with (
        Child("exact", tmp_path / "store", large) as child,
        pytest.raises(StoreFailedError, match="more than 0 s"),
    ):
        child.ask("build", size=100_000, limit=1e-9)


def test_only_engines_whose_packages_are_there_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    def engine_class(name: str) -> None:
        if name != "exact":
            raise MissingExtraError(name)

    monkeypatch.setattr(stores, "engine_class", engine_class)
    assert stores.installed() == ["exact"]


def run(*subjects: str) -> Run:
    measured = Measured("vector stores", "10 vectors")
    measured.add("vectors of real texts", 10, "", subject="all")
    for subject in subjects:
        measured.add("search", 1.25, "ms", subject=subject)
    measured.add("not run, estimated to build in", 34, "min", subject="slow")
    at = datetime(2026, 1, 2, tzinfo=UTC)
    return Run(at, "stores 10", "abc", "a machine", "Python", 60, 1, 2, tuple(measured.results))


def test_the_page_has_a_row_for_each_store_and_a_sentence_for_those_not_run() -> None:
    page = stores_page.text({10: run("one", "two")})
    assert "| one |  | 1.25 |" in page
    assert "| two |  | 1.25 |" in page
    assert "`slow` was not run: building it would take 34 minutes" in page
    assert "| slow" not in page


def test_the_reading_of_a_page_is_kept() -> None:
    old = stores_page.text({10: run("one")})
    read = old.replace(stores_page.START, f"{stores_page.START}\nOne is enough.", 1)
    assert "One is enough.\n" in stores_page.text({10: run("two")}, read)
