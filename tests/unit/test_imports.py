"""Every imported try says which file it came from, and a file can be distrusted and forgotten."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path

import pytest

from support.reference import assert_counts_agree
from whatworks import InvalidInputError, Memory, NotFoundError
from whatworks.exporters import export_jsonl
from whatworks.importers import import_jsonl, import_table
from whatworks.importers.origin import Given
from whatworks.journal import read, segments
from whatworks.readers.items import printable

Open = Callable[..., Memory]
COLUMNS = {"pattern": "p", "outcome": "o", "event_id": "id"}


def table(path: Path, *rows: tuple[str, float]) -> Path:
    lines = [json.dumps({"p": "retry", "o": outcome, "id": name}) for name, outcome in rows]
    path.write_text("\n".join(lines))
    return path


def label(path: Path, kind: str = "import") -> str:
    return f"{kind}:{path.name}@{blake2b(path.read_bytes(), digest_size=8).hexdigest()}"


@pytest.fixture
def filled(memory: Memory, tmp_path: Path) -> Memory:
    """One try of its own, two of a table, and three of another."""
    good, bad = tmp_path / "good.jsonl", tmp_path / "bad.jsonl"
    import_table(memory, table(good, ("a1", 1.0), ("a2", 0.0)), columns=COLUMNS)
    import_table(memory, table(bad, ("b1", 1.0), ("b2", 1.0), ("b3", 1.0)), columns=COLUMNS)
    memory.record(memory.patterns()[0].pattern_id, outcome=0.0, event_id="own")
    return memory


def test_a_try_says_which_file_it_came_from_and_no_path_of_it(filled: Memory, tmp_path: Path) -> None:
    good = label(tmp_path / "good.jsonl")
    assert filled.get_event("a1").imported_from == (good,)
    assert filled.get_event("own").imported_from == ()
    assert [(found.label, found.events, found.checked) for found in filled.imports()] == [
        (label(tmp_path / "bad.jsonl"), 3, 0),
        (good, 2, 0),
    ]
    rows = filled.sql("SELECT imported_from[1], count(*) FROM usage_events GROUP BY 1 ORDER BY 2").rows
    assert dict(rows) == {None: 1, good: 2, label(tmp_path / "bad.jsonl"): 3}
    (told,) = filled.why(filled.predict("anything").prediction_id).explanations
    assert (told.told.outcomes, told.told.checked) == (6, 0)
    assert told.told.imported == {label(tmp_path / "bad.jsonl"): 3, good: 2}


def test_the_hash_is_of_the_files_that_were_given_and_of_no_other(
    memory: Memory, tmp_path: Path
) -> None:
    folder, other = tmp_path / "given", tmp_path / "other.csv"
    folder.mkdir()
    other.write_text("secret")
    odd = Path(os.fsdecode(os.fsencode(folder) + b"/\xff.csv"))
    for file in (folder / "in.csv", odd):
        file.write_bytes(b"told")
    (folder / "link.csv").symlink_to(other)
    told, nothing = (blake2b(data, digest_size=8).hexdigest() for data in (b"told", b""))
    given = Given([folder])

    def hashed(given: Given, printed: str) -> str:
        return given.label(printed, memory.secrets).rpartition("@")[2]

    assert hashed(given, printable(folder / "in.csv")) == told
    assert hashed(given, printable(odd)) == told
    assert hashed(Given([odd]), printable(odd)) == told
    for bad in (other, folder / "link.csv", folder / "../other.csv", folder / "gone.csv", folder):
        assert hashed(given, printable(bad)) == nothing
    assert hashed(Given([folder / "in.csv"]), printable(other)) == nothing


def test_the_journal_says_it_once_for_a_batch(filled: Memory, store: Path) -> None:
    records = [record for segment in segments(store / "journal") for record in read(segment)]
    assert [record.kind for record in records].count("import.begun") == 2
    tries = [record.body for record in records if record.kind == "event.recorded"]
    assert not any(b"jsonl@" in body or b"imported_from" in body for body in tries)


def test_a_file_that_is_distrusted_counts_for_nothing_and_comes_back(
    filled: Memory, tmp_path: Path
) -> None:
    bad = label(tmp_path / "bad.jsonl")
    before = filled.patterns()
    judged = filled.distrust(bad)
    assert (judged.trust, judged.counted, judged.held) == ("distrusted", 0, 3)
    (pattern,) = filled.patterns()
    assert (pattern.resolved_count, pattern.success_rate) == (3, pytest.approx(1 / 3))
    assert [(held.reason, held.tries) for held in filled.quarantine()] == [("distrusted", 3)]
    assert filled.get_event("b1").imported_from == (bad,)
    assert [found.trust for found in filled.imports() if found.held] == ["distrusted"]
    assert_counts_agree(filled)
    filled.rebuild()
    assert filled.patterns()[0].resolved_count == 3
    # What the file brings later is held back as it comes.
    import_table(
        filled, table(tmp_path / "bad.jsonl", ("b1", 1.0), ("b2", 1.0), ("b3", 1.0)), columns=COLUMNS
    )
    assert filled.patterns()[0].resolved_count == 3
    assert filled.approve(bad).counted == 3
    assert filled.patterns() == before


def test_tries_of_a_distrusted_file_are_held_also_where_they_come_later(
    memory: Memory, tmp_path: Path
) -> None:
    path = table(tmp_path / "x.jsonl", ("a", 1.0))
    import_table(memory, path, columns=COLUMNS)
    memory.distrust(label(path))
    memory.forget(events=["a"])
    assert memory.stats().events == 0
    import_table(memory, path, columns=COLUMNS)
    assert (memory.stats().events, memory.quarantine()[0].tries) == (0, 1)


def test_a_file_can_be_forgotten_and_leaves_no_byte_of_its_name(
    filled: Memory, store: Path, tmp_path: Path
) -> None:
    bad = label(tmp_path / "bad.jsonl")
    assert filled.forget(source=bad, now=True).events == 3
    assert [found.label for found in filled.imports()] == [label(tmp_path / "good.jsonl")]
    assert_counts_agree(filled)
    filled.flush()
    for file in store.rglob("*"):
        assert not file.is_file() or b"bad.jsonl" not in file.read_bytes(), file
    with pytest.raises(NotFoundError):
        filled.distrust(bad)
    # Imported again it is known again.
    import_table(filled, tmp_path / "bad.jsonl", columns=COLUMNS)
    assert filled.get_event("b2").imported_from == (bad,)


def test_a_name_that_is_to_be_forgotten_goes_and_its_tries_stay(
    filled: Memory, store: Path, tmp_path: Path
) -> None:
    filled.forget(containing="GOOD.json", now=True)
    assert filled.get_event("a1").imported_from == ()
    assert filled.stats().events == 6
    for file in store.rglob("*"):
        assert not file.is_file() or b"good.jsonl" not in file.read_bytes(), file


def test_the_name_of_a_distrusted_file_goes_with_its_tries(
    filled: Memory, store: Path, tmp_path: Path
) -> None:
    filled.distrust(label(tmp_path / "bad.jsonl"))
    assert filled.forget(containing="bad.json", now=True).events == 3
    assert (filled.patterns()[0].usage_count, filled.quarantine()) == (3, [])
    assert (filled.judgements(), filled.stats().events) == ([], 3)
    assert_counts_agree(filled)
    filled.rebuild()
    assert (filled.patterns()[0].usage_count, filled.quarantine()) == (3, [])
    for file in store.rglob("*"):
        assert not file.is_file() or b"bad.jsonl" not in file.read_bytes(), file


def test_strangers_are_bound_again_once_the_name_that_was_vouched_for_is_forgotten(
    open_memory: Open, store: Path
) -> None:
    stranger = open_memory(store, source="evil", channel="mcp-http")
    stranger.add_pattern("retry", pattern_id="p")
    name = "import:good.csv@0123456789abcdef"
    tries = ({"pattern_id": "p", "outcome": 1.0, "event_id": f"e{n}"} for n in range(40))
    stranger.record_imported(tries, imported_from=name)
    bound = stranger.get_pattern("p").usage_count
    stranger.approve(name)
    assert (bound < 40, stranger.get_pattern("p").usage_count) == (True, 40)
    stranger.forget(containing="good.csv", now=True)
    for _ in range(2):
        assert (stranger.get_pattern("p").usage_count, stranger.stats().events) == (bound, bound)
        assert sum(held.tries for held in stranger.quarantine()) == 40 - bound
        assert_counts_agree(stranger)
        stranger.rebuild()


def test_an_export_keeps_where_tries_were_first_told_and_adds_itself(
    filled: Memory, open_memory: Open, tmp_path: Path
) -> None:
    first = tmp_path / "export.jsonl"
    export_jsonl(filled, first)
    other = open_memory(tmp_path / "other")
    import_jsonl(other, first)
    mine = label(first, "export")
    assert other.get_event("own").imported_from == (mine,)
    assert other.get_event("a1").imported_from == (mine, label(tmp_path / "good.jsonl"))
    export_jsonl(other, tmp_path / "again.jsonl")
    assert (tmp_path / "again.jsonl").read_bytes() == first.read_bytes()
    # A stranger's file cannot put on another name: the file itself is what is distrusted.
    assert other.distrust(mine).held == 6
    export_jsonl(other, first)
    third = open_memory(tmp_path / "third")
    assert import_jsonl(third, first).left == {"judgements": 1, "held": 6}
    assert import_jsonl(third, first, trust_judgements=True).written["held"] == 6
    export_jsonl(third, tmp_path / "again.jsonl")
    assert (tmp_path / "again.jsonl").read_bytes() == first.read_bytes()


def test_no_file_is_vouched_for_by_what_it_says_of_itself(
    open_memory: Open, memory: Memory, store: Path, tmp_path: Path
) -> None:
    stranger = open_memory(store, source="evil", channel="mcp-http")
    stranger.add_pattern("retry", pattern_id="p")
    inner = "import:good.csv@0123456789abcdef"
    tries = ({"pattern_id": "p", "outcome": 1.0, "event_id": f"e{n}"} for n in range(40))
    stranger.record_imported(tries, imported_from=inner)
    export = tmp_path / "export.jsonl"
    export_jsonl(memory, export)
    other = open_memory(tmp_path / "other")
    import_jsonl(other, export)
    counted = other.get_pattern("p").usage_count
    assert counted < 40
    other.approve(inner)
    assert other.get_pattern("p").usage_count == counted
    other.approve(label(export, "export"))
    assert other.get_pattern("p").usage_count == 40
    other.distrust(inner)
    assert other.get_pattern("p").usage_count == 0
    other.rebuild()
    assert other.get_pattern("p").usage_count == 0


def test_a_line_of_an_export_that_names_a_source_as_its_file_is_left_out(
    memory: Memory, open_memory: Open, tmp_path: Path
) -> None:
    memory.add_pattern("retry", pattern_id="p")
    inner = "import:good.csv@0123456789abcdef"
    memory.record_imported([{"pattern_id": "p", "outcome": 1.0}], imported_from=inner)
    export = tmp_path / "export.jsonl"
    export_jsonl(memory, export)
    export.write_text(export.read_text().replace(inner, "local"))
    other = open_memory(tmp_path / "other")
    (skip,) = import_jsonl(other, export).skipped
    assert "imported_from has 'local'; expected labels such as import:NAME@HASH" in skip.reason
    assert other.stats().events == 0


@pytest.mark.parametrize("bad", ["", "x" * 600, 7, "local", "import:a.csv", "import:@00", "share:a@00"])
def test_a_label_that_is_none_is_refused(memory: Memory, bad: str) -> None:
    with pytest.raises(InvalidInputError, match="imported_from"):
        memory.record_imported([], imported_from=bad)
