from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from support.exports import LANGFUSE, lines

Run = Callable[..., Result]

TABLE = """at,request,tool,ok
2026-01-02,fix the import,rg,yes
2026-01-03,fix the import,rg,no
2026-01-04,build it,cargo,maybe
"""
COLUMNS = "pattern=tool,context=request,outcome=ok,timestamp=at"


def shown(result: Result, code: int = 0) -> Any:
    """The one JSON document that a command printed."""
    assert result.exit_code == code, result.stderr
    assert result.stderr == ""
    return json.loads(result.stdout)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A file-based memory with one pattern, one turn that used it, and a broken file."""
    root = tmp_path / "old"
    (root / "sessions").mkdir(parents=True)
    (root / "patterns").mkdir()
    pattern = {
        "pattern_id": "p1",
        "pattern_type": "DebuggingStrategy",
        "description": "Read the first error only",
        "context": "it does not build",
        "success_rate": 0.75,
        "usage_count": 4,
        "first_learned": "2025-07-01T00:00:00.123456789Z",
        "last_reinforced": "2025-07-02T00:00:00Z",
        "files_involved": [],
        "tools_involved": ["cargo"],
        "conditions": [],
    }
    turn = {
        "timestamp": "2025-07-01T10:00:00Z",
        "user_query": "it does not build",
        "query_type": "debugging",
        "files_involved": ["a.rs"],
        "tools_used": ["cargo"],
        "outcome_quality": 0.9,
        "lessons_learned": [],
    }
    session = {
        "session_id": "s1",
        "project_path": "/p",
        "started_at": "2025-07-01T10:00:00Z",
        "last_activity": "2025-07-01T10:00:00Z",
        "conversation_context": [turn],
        "successful_patterns": [],
        "user_preferences": {},
        "project_insights": {},
    }
    (root / "patterns" / "p.json").write_text(json.dumps([pattern]))
    (root / "sessions" / "s.json").write_text(json.dumps(session))
    return root


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "log.csv"
    path.write_text(TABLE)
    return path


# -- import ---------------------------------------------------------------------------------------


def test_files_are_imported_once(run: Run, folder: Path, tmp_path: Path) -> None:
    words = ["import", "files", folder, "--no-embed", "--json", "--store", tmp_path / "s"]
    first, second = shown(run(*words)), shown(run(*words))
    assert first["read"] == second["read"] == {"sessions": 1, "turns": 1, "patterns": 1}
    assert first["written"] == {"patterns": 1, "events": 1, "priors": 1}
    assert second["written"] == {"patterns": 0, "events": 0, "priors": 0}
    assert first["skipped"] == []


def test_the_report_of_an_import_is_a_table(run: Run, folder: Path, tmp_path: Path) -> None:
    result = run("import", "files", folder, "--no-embed", "--store", tmp_path / "s")
    assert result.exit_code == 0
    lines = [line.split() for line in result.stdout.splitlines()]
    assert ["kind", "read", "written"] in lines
    assert ["patterns", "1", "1"] in lines
    assert ["events", "-", "1"] in lines


def test_what_is_skipped_is_named_with_its_reason_and_the_exit_code_says_so(
    run: Run, folder: Path, tmp_path: Path
) -> None:
    broken = folder / "sessions" / "broken.json"
    broken.write_text('{"session_id": "s2", ')
    result = run("import", "files", folder, "--no-embed", "--store", tmp_path / "s")
    assert result.exit_code == 3
    (line,) = [line for line in result.stdout.splitlines() if line.startswith("skipped ")]
    assert line.startswith(f"skipped {broken}: line 1 column ")
    again = run("import", "files", folder, "--no-embed", "--json", "--store", tmp_path / "s")
    (skipped,) = shown(again, code=3)["skipped"]
    assert skipped["path"] == str(broken)


def test_a_dry_run_reports_and_writes_nothing(run: Run, folder: Path, tmp_path: Path) -> None:
    result = run("import", "files", folder, "--dry-run", "--store", tmp_path / "s")
    assert result.exit_code == 0
    assert "would write" in result.stdout
    assert not (tmp_path / "s").exists()
    run("init", "--store", tmp_path / "s")
    report = shown(run("import", "files", folder, "--dry-run", "--json", "--store", tmp_path / "s"))
    assert report["written"]["patterns"] == 1
    assert shown(run("stats", "--store", tmp_path / "s", "--json"))["patterns"] == 0


def test_a_folder_of_something_else_is_refused(run: Run, tmp_path: Path) -> None:
    assert run("import", "files", tmp_path, "--store", tmp_path / "s").exit_code == 2


def test_a_table_is_imported_by_its_columns(run: Run, table: Path, tmp_path: Path) -> None:
    words = ["import", "table", table, "--no-embed", "--store", tmp_path / "s"]
    result = run(*words, "--map", COLUMNS)
    assert result.exit_code == 3
    assert f"skipped {table}: row 3: column 'ok' is 'maybe'" in result.stdout
    stats = shown(run("stats", "--store", tmp_path / "s", "--json"))
    assert (stats["patterns"], stats["events"]) == (1, 2)


def test_the_map_may_come_in_parts(run: Run, table: Path, tmp_path: Path) -> None:
    words = ["import", "table", table, "--no-embed", "--store", tmp_path / "s", "--json"]
    parts = ["--map", "pattern=tool,context=request", "--map", "outcome=ok"]
    assert shown(run(*words, *parts), code=3)["written"]["events"] == 2


@pytest.mark.parametrize("given", ["pattern", "pattern=", "=tool", "pattern=tool,pattern=ok", ""])
def test_a_map_that_is_none_is_refused(run: Run, table: Path, tmp_path: Path, given: str) -> None:
    result = run("import", "table", table, "--map", given, "--store", tmp_path / "s")
    assert result.exit_code == 2
    assert "--map" in result.stderr
    assert not (tmp_path / "s").exists()


def test_texts_wait_for_their_embedding_where_the_embedder_is_not_at_hand(
    run: Run, table: Path, filled: Any
) -> None:
    result = run("import", "table", table, "--map", COLUMNS, "--store", filled.path)
    assert result.exit_code == 3
    vectors = shown(run("stats", "--store", filled.path, "--json"))["vectors"]
    assert vectors["patterns"] == {"vectors": 2, "waiting": 1, "in_memory": 0}


def test_scores_and_their_runs_are_imported_from_several_files(run: Run, tmp_path: Path) -> None:
    runs, scores = LANGFUSE[:2], (LANGFUSE[2], {**LANGFUSE[2], "id": "2", "name": "stars", "value": 2})
    files = [lines(tmp_path / "scores.jsonl", *scores), lines(tmp_path / "runs.jsonl", *runs)]
    words = ["import", "scores", *files, "--no-embed", "--json", "--store", tmp_path / "s"]
    result = run(*words)
    assert result.exit_code == 2 and "helpfulness (1), stars (1)" in result.stderr
    chosen = ["--score", "stars", "--score", "helpfulness", "--scale", "stars=1:5", "--scale", "1:0"]
    assert shown(run(*words, *chosen))["read"] == {
        "runs": 2, "scores": 2, "unmatched": 0, "unread": 0, "events": 2
    }  # fmt: skip
    found = shown(run("events", "--json", "--store", tmp_path / "s"))
    assert sorted(event["outcome"] for event in found) == [0.0, 0.25]


def test_scores_are_imported_from_a_time_on(run: Run, tmp_path: Path) -> None:
    file = lines(tmp_path / "a.jsonl", *LANGFUSE)
    words = ["import", "scores", file, "--no-embed", "--json", "--store", tmp_path / "s", "--since"]
    assert shown(run(*words, "2026-05-02"))["read"]["events"] == 0
    assert shown(run(*words, "2026-05-01T10:00:00Z"))["read"]["events"] == 2
    assert run(*words, "yesterday").exit_code == 2


def test_the_lines_of_an_export_that_cannot_be_read_are_told(run: Run, tmp_path: Path) -> None:
    file = lines(tmp_path / "a.jsonl", *LANGFUSE)
    file.write_text(file.read_text() + "no json")
    result = run("import", "scores", file, "--no-embed", "--store", tmp_path / "s")
    assert result.exit_code == 3
    assert "line 4: is not JSON" in result.stdout + result.stderr


@pytest.mark.parametrize("scale", ["1", "1:2:3", "a:b", "1:1", "nan:1", "0:inf", "stars=", "stars=2:2"])
def test_a_scale_that_is_none_is_refused(run: Run, tmp_path: Path, scale: str) -> None:
    file = lines(tmp_path / "a.jsonl", *LANGFUSE)
    result = run("import", "scores", file, "--scale", scale, "--store", tmp_path / "s")
    assert result.exit_code == 2 and "expected WORST:BEST" in result.stderr


def test_two_scales_of_one_score_are_refused(run: Run, tmp_path: Path) -> None:
    file = lines(tmp_path / "a.jsonl", *LANGFUSE)
    scales = ["--scale", "stars=1:5", "--scale", "stars=1:3"]
    result = run("import", "scores", file, *scales, "--store", tmp_path / "s")
    assert result.exit_code == 2 and "one scale of each score" in result.stderr


def test_importing_needs_a_form(run: Run) -> None:
    result = run("import")
    assert result.exit_code == 2
    assert "whatworks import --help" in result.stderr


# -- export ---------------------------------------------------------------------------------------


def test_an_export_imported_and_exported_again_is_the_same(
    run: Run, filled: Any, tmp_path: Path
) -> None:
    written = shown(run("export", "a.jsonl", "--store", filled.path, "--json"))
    assert written["written"] == {"patterns": 2, "priors": 0, "events": 32}
    result = run("import", "jsonl", "a.jsonl", "--no-embed", "--store", tmp_path / "copy")
    assert result.exit_code == 0
    assert "written to b.jsonl" in run("export", "b.jsonl", "--store", tmp_path / "copy").stdout
    first, second = ((tmp_path / name).read_text().splitlines() for name in ("a.jsonl", "b.jsonl"))
    assert first[1:] == second[1:]  # the header names the embedder, which is another


def test_an_export_goes_to_standard_output(run: Run, filled: Any, tmp_path: Path) -> None:
    run("export", "a.jsonl", "--store", filled.path)
    result = run("export", "--store", filled.path)
    assert result.stdout_bytes == (tmp_path / "a.jsonl").read_bytes()


@pytest.mark.parametrize("form", ["csv", "parquet"])
@pytest.mark.parametrize(("kind", "rows"), [("patterns", 2), ("events", 32)])
def test_tables_are_exported_to_files_and_to_standard_output(
    run: Run, filled: Any, tmp_path: Path, form: str, kind: str, rows: int
) -> None:
    import duckdb

    words = ["export", "--format", form, "--kind", kind, "--store", filled.path]
    assert f"{rows} {kind} written to a.{form}" in run(*words, f"a.{form}").stdout
    (tmp_path / f"b.{form}").write_bytes(run(*words).stdout_bytes)
    for name in ("a", "b"):
        found = duckdb.sql(f"SELECT count(*) FROM '{tmp_path / name}.{form}'").fetchall()
        assert found == [(rows,)]


@pytest.mark.parametrize(
    "words",
    [
        ["--format", "csv"],
        ["--kind", "events"],
        ["--json"],
        ["--format", "xml"],
        ["no/such/folder/file"],
    ],
)
def test_exports_that_cannot_be_are_refused(run: Run, filled: Any, words: list[str]) -> None:
    result = run("export", *words, "--store", filled.path)
    assert result.exit_code == 2
    assert result.stdout == ""
