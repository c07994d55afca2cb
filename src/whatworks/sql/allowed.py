"""What a statement may be: one SELECT, from documented views."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection as Connection

__all__ = ["VIEWS", "RefusedError", "require"]

VIEWS = (
    "patterns",
    "usage_events",
    "contexts",
    "predictions",
    "trend_daily",
    "weekly_rates",
    "tool_rates",
    "file_rates",
    "file_pairs",
)
# Table functions that read nothing but their arguments.
_FUNCTIONS = frozenset({"unnest", "range", "generate_series"})
# Functions of values that tell of the machine or the process rather than of the rows.
_TELLING = frozenset({"getenv", "current_setting", "getvariable", "write_log"})
_INSTEAD = f"select from {', '.join(VIEWS)}"


class RefusedError(Exception):
    """A statement that may not run; says why in one line."""


def require(con: Connection, query: str) -> None:
    """Raise unless ``query`` may run. The engine's own parser says what it is."""
    parsed = con.execute("SELECT json_serialize_sql(?)", [query]).fetchall()[0][0]
    tree = orjson.loads(parsed)
    if tree["error"]:
        message = str(tree["error_message"]).splitlines()[0]
        if tree["error_type"] == "not implemented":
            message = f"only SELECT can run here: {_INSTEAD}"
        raise RefusedError(message)
    if len(tree["statements"]) != 1:
        raise RefusedError(f"one statement at a time, not {len(tree['statements'])}")
    nodes = list(_nodes(tree))
    named = {entry["key"].lower() for node in nodes for entry in _named(node)}
    if strange := [name for name in named if not name.isidentifier()]:
        raise RefusedError(f"WITH cannot name something {min(strange)!r} here; use a plain word")
    named -= _tables(con)
    for node in nodes:
        _require(node, named)


def _require(node: dict[str, Any], named: set[str]) -> None:
    kind = node.get("type")
    if kind == "BASE_TABLE":
        name, place = node["table_name"], [node["catalog_name"], node["schema_name"]]
        own = place in (["", ""], ["", "main"]) and name.lower() in VIEWS
        if not own and not (place == ["", ""] and name.lower() in named):
            where = ".".join(part for part in [*place, name] if part)
            raise RefusedError(f"there is no view {where!r} here: {_INSTEAD}")
    elif kind == "TABLE_FUNCTION":
        function = node["function"].get("function_name", "")
        if function.lower() not in _FUNCTIONS:
            raise RefusedError(f"the table function {function!r} cannot be used here: {_INSTEAD}")
    elif kind == "SHOW_REF":
        if node["query"] is None and node["table_name"].strip('"').lower() not in VIEWS:
            raise RefusedError(f"only a view can be described: {_INSTEAD}")
    elif node.get("class") == "FUNCTION" and node["function_name"].lower() in _TELLING:
        raise RefusedError(f"the function {node['function_name']!r} cannot be used here")


def _named(node: dict[str, Any]) -> list[dict[str, Any]]:
    """What a WITH gives a name to."""
    cte = node.get("cte_map")
    return cte["map"] if isinstance(cte, dict) else []


def _tables(con: Connection) -> set[str]:
    """What there is behind the views, which no WITH may take the name of: outside it, that is meant."""
    rows = con.execute(
        """
        SELECT lower(table_name) FROM duckdb_tables() UNION SELECT lower(view_name) FROM duckdb_views()
        UNION SELECT lower(function_name) FROM duckdb_functions() WHERE function_type LIKE '%table%'
        """
    ).fetchall()
    return {name for (name,) in rows}


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    waiting = [tree]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            yield part
            waiting += part.values()
        elif isinstance(part, list):
            waiting += part
