"""Eight threads on one memory: nothing lost, nothing doubled, every write seen by its writer."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from whatworks import Memory
from whatworks.testing import HashEmbedder

THREADS, ROUNDS = 8, 25


def test_eight_threads_record_and_ask_at_once(tmp_path: Path) -> None:
    with Memory.open(tmp_path / "store", embedder=HashEmbedder(), vectors="exact") as memory:

        def work(thread: int) -> list[str]:
            own = memory.add_pattern(f"approach of thread {thread}").pattern_id
            made = []
            for n in range(ROUNDS):
                event = memory.record(own, outcome=n % 2, context=f"situation {n}")
                made.append(event.event_id)
                assert memory.get_pattern(own).usage_count == n + 1
                if n % 5 == thread % 5:
                    assert memory.find_similar(f"approach of thread {thread}")
                    assert memory.predict(f"situation {n}").answers
                    assert sum(day.resolved_count for day in memory.trend(own).days) == n + 1
            return made

        with ThreadPoolExecutor(THREADS) as pool:
            made = [name for names in pool.map(work, range(THREADS)) for name in names]
        assert sorted(event.event_id for event in memory.iter_events()) == sorted(made)
        assert memory.stats().resolved == THREADS * ROUNDS
        assert memory.stats().problems == ()
