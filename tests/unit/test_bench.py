from pathlib import Path

import orjson
import pytest

from whatworks import InvalidInputError, Memory, NotFoundError, bench
from whatworks.bench import Latency, Size
from whatworks.testing import HashEmbedder

SMALL = Size(patterns=5, contexts=3, events=40)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    folder = tmp_path / "store"
    with Memory.open(folder, embedder=HashEmbedder()) as memory:
        memory.add_patterns(bench.patterns(SMALL.patterns))
        memory.record_many(bench.events(SMALL))
    return folder


def counts(folder: Path) -> tuple[int, int]:
    with Memory.open(folder, embedder=HashEmbedder(), create=False) as memory:
        found = memory.stats()
        return found.patterns, found.events


def test_made_up_data_is_the_same_every_time() -> None:
    assert list(bench.events(SMALL)) == list(bench.events(SMALL))
    assert list(bench.patterns(3)) == list(bench.patterns(3))
    assert list(bench.events(SMALL)) != list(bench.events(SMALL, seed=2))


def test_made_up_texts_are_all_different() -> None:
    for text in (bench.pattern_text, bench.context_text, bench.question_text):
        assert len({text(number) for number in range(500)}) == 500


def test_made_up_events_fill_the_size_asked_for() -> None:
    events = list(bench.events(SMALL))
    assert len(events) == SMALL.events
    assert {event.pattern_id for event in events} <= {
        bench.pattern_id(n) for n in range(SMALL.patterns)
    }
    assert {event.context for event in events} <= {bench.context_text(n) for n in range(SMALL.contexts)}


def test_batches_hold_every_item_once_in_order() -> None:
    assert list(bench.batches(range(5), 2)) == [[0, 1], [2, 3], [4]]


def test_latency_counts_every_call_in_order() -> None:
    called: list[int] = []
    found = bench.latency("x", [lambda n=n: called.append(n) for n in range(7)])
    assert called == list(range(7))
    assert found.metric == "x" and found.n == 7
    assert 0 <= found.p50_ms <= found.p95_ms


def test_private_memory_is_part_of_the_resident() -> None:
    resident, private = bench.memory_mb()
    assert 0 < private <= resident


def test_measuring_a_store_changes_no_pattern_and_no_event(store: Path) -> None:
    before = counts(store)
    report = bench.measure_store(store, embedder=HashEmbedder(), asked=4)
    assert (report.patterns, report.events) == before == counts(store)
    assert {row.metric: row.n for row in report.latencies if row.n != 4} == {"predict, new text": 1}


def test_made_up_store_is_measured_and_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    report = bench.measure_generated(embedder=HashEmbedder(), size=SMALL, asked=2)
    assert report.patterns == SMALL.patterns
    assert report.events == SMALL.events + 2
    assert "record, safe on the disk" in {row.metric for row in report.latencies}
    assert list(tmp_path.iterdir()) == []


def test_store_without_patterns_cannot_be_measured(tmp_path: Path) -> None:
    Memory.open(tmp_path / "empty", embedder=HashEmbedder()).close()
    with pytest.raises(InvalidInputError, match="has no patterns"):
        bench.measure_store(tmp_path / "empty", embedder=HashEmbedder())


def test_missing_store_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        bench.measure_store(tmp_path / "none", embedder=HashEmbedder())
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("json", [True, False])
def test_all_figures_are_printed(
    json: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = bench.Report("here", 3, 4, (Latency("trend", 1.5, 2.25, 9),), 2, 0.1, 0.2, 30.0, 20.0)
    monkeypatch.setattr(bench, "measure_generated", lambda: made)
    bench.main(None, json)
    printed = capsys.readouterr().out
    if json:
        document = orjson.loads(printed)
        assert document["latencies"] == [{"metric": "trend", "p50_ms": 1.5, "p95_ms": 2.25, "n": 9}]
        assert (document["store"], document["events"], document["private_mb"]) == ("here", 4, 20.0)
    else:
        assert all(word in printed for word in ("trend", "1.50", "2.25", "30 MB", "20 MB", "0.1"))
