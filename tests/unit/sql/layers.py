"""Runs statements as ``whatworks.sql.child`` does, with any of its layers taken out.

Standard input has the snapshot, the statements and which layers stand; standard output gets for
each statement what it gave, or why it gave nothing.
"""

from __future__ import annotations

import json
import os
import resource
import sys

import duckdb

from whatworks.sql import allowed, child


def main() -> None:
    given = json.loads(sys.stdin.read())
    said = [_apart(query, given["snapshot"], given["layers"]) for query in given["statements"]]
    most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    print(json.dumps({"said": said, "kilobytes": most}))


def _apart(query: str, snapshot: str, layers: list[str]) -> list[str]:
    """In a process of its own: one statement may leave the engine in a state that ends it."""
    reading, writing = os.pipe()
    if not (child_id := os.fork()):
        os.write(writing, json.dumps(_said(query, snapshot, layers)).encode()[:60_000])
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as answer:
        read = answer.read()
    os.waitpid(child_id, 0)
    return json.loads(read) if read else ["died", ""]


def _said(query: str, snapshot: str, layers: list[str]) -> list[str]:
    con = (
        child.opened(snapshot, 256 << 20)
        if "engine" in layers
        else duckdb.connect(snapshot, config={"autoinstall_known_extensions": "false"})
    )
    if "process" in layers:
        child.give_up(60)
    try:
        if "statement" in layers:
            allowed.require(con, query)
        found = con.execute(query)
        return ["ran", str(found.fetchall()) if found else ""]
    except (allowed.RefusedError, duckdb.Error, OSError, ValueError, TypeError) as error:
        return [type(error).__name__, str(error)]


if __name__ == "__main__":
    main()
