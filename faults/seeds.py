"""Small real files for the fuzzer to begin with, one and more of each form, and words."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb

__all__ = ["WORDS", "write"]

# Keys and values that lead into the branches of readers.
WORDS = (
    "kind", "header", "format", "pattern", "prior", "event", "pattern_id", "description", "metadata",
    "outcome", "state", "resolved", "timestamp", "2025-01-01T00:00:00Z", "$report_type", "TestReport",
    "nodeid", "when", "call", "longrepr", "<testsuite", "<testcase", "<failure", "<skipped",
    "<!DOCTYPE", "<!ENTITY", "---\\x0a", "permalink", "confidence", "whatworks-id",
    "entityType", "observations",
    "entity", "relation", "memory", "results", "message", "type", "assistant", "user", "content",
    "tool_use", "tool_result", "tool_use_id", "is_error", "sessionId", "payload", "session_meta",
    "function_call", "exec_command_end", "exit_code", "steps", "tool_calls", "source_call_id",
    "traces", "observations", "scores", "dataType", "NUMERIC", "run_type", "run_id", "feedback",
    "info", "trace_id", "assessments", "resourceSpans", "scopeSpans", "spans", "attributes", "intValue",
    "conversation_context", "successful_patterns", "tools_used", "user_query", "success_rate",
    "1e999", "-0", "NaN", "null", "\\\\ud800", "\\\\u0000", "[[[[", "{}", "&amp;", "PAR1",
)  # fmt: skip

_AT = "2025-01-01T00:00:00Z"
_PATTERN = {
    "kind": "pattern", "pattern_id": "p1", "pattern_type": "t", "description": "one way",
    "metadata": {}, "created_at": _AT, "updated_at": _AT,
}  # fmt: skip
_EVENT = {
    "kind": "event", "event_id": "e1", "pattern_id": "p1", "timestamp": _AT, "state": "resolved",
    "outcome": 1.0, "context": "case", "session_id": None, "source": "local", "channel": "library",
    "files": [], "tools": [], "duration_ms": None, "cost": None, "prediction_id": None,
    "metadata": {}, "resolved_at": None,
}  # fmt: skip
_BASH = {"type": "tool_use", "id": "t1", "name": "Bash", "input": {"command": "pytest -q"}}
_TURN = {
    "timestamp": "2025-01-02T03:04:05.678901234Z", "user_query": "unresolved import",
    "query_type": "debugging", "files_involved": ["a.rs"], "tools_used": ["rg"],
    "outcome_quality": 0.75, "lessons_learned": [],
}  # fmt: skip
_LEARNED = {
    "pattern_id": "p", "pattern_type": "T", "description": "d", "context": "c", "success_rate": 0.5,
    "usage_count": 4, "first_learned": _AT, "last_reinforced": _AT, "files_involved": [],
    "tools_involved": ["rg"], "conditions": [],
}  # fmt: skip
_LANGFUSE = [
    {"id": "t1", "name": "answer", "timestamp": _AT, "input": {"question": "why"}},
    {"id": "s1", "name": "helpful", "dataType": "NUMERIC", "value": 1, "traceId": "t1"},
]
_LANGSMITH = [
    {"id": "r1", "name": "tool", "run_type": "tool", "status": "success", "start_time": _AT},
    {"run_id": "r1", "key": "correct", "score": True},
]
_MLFLOW = {
    "info": {"trace_id": "tr-1", "assessments": [{"assessment_name": "a", "feedback": {"value": 1}}]},
    "data": {"spans": [{"span_id": "1", "name": "s"}]},
}
_SPAN = {
    "traceId": "0" * 31 + "1", "spanId": "0" * 15 + "1", "name": "chat", "startTimeUnixNano": "1",
    "attributes": [{"key": "gen_ai.tool.name", "value": {"stringValue": "search"}}],
    "events": [{"name": "gen_ai.evaluation.result", "attributes": []}],
}  # fmt: skip
_OTLP = {"resourceSpans": [{"scopeSpans": [{"spans": [_SPAN]}]}]}
_XML = (
    '<testsuite name="s" timestamp="2025-01-01T00:00:00"><testcase classname="c" name="n" time="0.1">'
    '<failure message="m">text</failure></testcase><testcase name="k"><skipped/></testcase></testsuite>'
)
_RULES = "# Style\n\n- Run the tests first\n- Keep functions very small\n\nNever push to main.\n"


def _lines(*rows: Any) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def _texts() -> Iterator[tuple[str, bytes]]:
    yield "export.jsonl", _lines({"kind": "header", "format": 1}, _PATTERN, _EVENT)
    yield "report.xml", _XML.encode()
    test = {"$report_type": "TestReport", "nodeid": "a::b", "when": "call", "outcome": "failed"}
    yield "log.jsonl", _lines(test | {"longrepr": {"reprcrash": {"message": "no"}}, "start": 1.0})
    yield "AGENTS.md", _RULES.encode()
    yield "SKILL.md", b"---\nname: s\ndescription: Always run the tests\n---\nbody\n"
    yield "note.md", b"---\ntitle: t\npermalink: p\n---\n- [tip] keep it small #tag (why)\n"
    yield "note.md", b"---\nid: 1\nconfidence: 0.5\n---\nalways run the tests\n---\n"
    entity = {"type": "entity", "name": "n", "entityType": "k", "observations": ["likes short words"]}
    yield "memory.jsonl", _lines(entity, {"type": "relation"})
    yield "mem0.json", json.dumps({"results": [{"id": "1", "memory": "likes short words"}]}).encode()
    result = {"type": "tool_result", "tool_use_id": "t1", "is_error": True, "content": "1 failed"}
    yield (
        "session.jsonl",
        _lines(
            {"type": "user", "sessionId": "s", "timestamp": _AT, "message": {"content": "fix it"}},
            {"type": "assistant", "timestamp": _AT, "message": {"content": [_BASH]}},
            {"type": "user", "timestamp": _AT, "message": {"content": [result]}},
        ),
    )
    yield (
        "session.jsonl",
        _lines(
            {"type": "session_meta", "timestamp": _AT, "payload": {"id": "c"}},
            {
                "type": "x",
                "payload": {"type": "exec_command_end", "command": ["pytest"], "exit_code": 1},
            },
        ),
    )
    call = {"tool_call_id": "1", "function_name": "bash", "arguments": {"command": "pytest"}}
    steps = [{"source": "user", "message": "fix"}, {"source": "agent", "tool_calls": [call]}]
    yield "session.json", json.dumps({"session_id": "a", "steps": steps}).encode()
    yield "traces.jsonl", _lines(*_LANGFUSE)
    yield "traces.jsonl", _lines(*_LANGSMITH, _MLFLOW, _OTLP)
    yield "traces.json", json.dumps({"data": _LANGFUSE}).encode()
    session = {"session_id": "s", "conversation_context": [_TURN], "successful_patterns": [_LEARNED]}
    yield "sessions/s.json", json.dumps(session).encode()
    yield "patterns/p.json", json.dumps([_LEARNED]).encode()
    yield "table.csv", b'p,o\none way,1\n"two, ways",failed\n'
    yield "table.jsonl", _lines({"p": "one way", "o": 1}, {"p": "two", "o": "ok"})


def _binaries(scratch: Path) -> Iterator[tuple[str, bytes]]:
    with closing(sqlite3.connect(scratch / "seed.db")) as con:
        con.execute("PRAGMA page_size = 512")
        con.execute("CREATE TABLE observations (id INTEGER, title TEXT, narrative TEXT)")
        con.execute("INSERT INTO observations VALUES (1, 'keep it', 'very short')")
        con.commit()
    yield "claude-mem.db", (scratch / "seed.db").read_bytes()
    for name, query in (
        ("table.parquet", "SELECT 'one way' AS p, 1 AS o"),
        ("traces.parquet", "SELECT 't1' AS id, 'answer' AS name, TIMESTAMP '2025-01-01' AS timestamp"),
    ):
        with closing(duckdb.connect()) as engine:
            engine.execute(f"COPY ({query}) TO '{scratch / 'seed.parquet'}'")
        yield name, (scratch / "seed.parquet").read_bytes()


def write(folder: Path, scratch: Path, firsts: dict[str, int]) -> int:
    """Put the seeds into ``folder``, each behind the first byte that chooses its importer."""
    count = 0
    for name, content in (*_texts(), *_binaries(scratch)):
        (folder / f"{count:02}").write_bytes(bytes([firsts[name]]) + content)
        count += 1
    return count
