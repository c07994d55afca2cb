"""Several teams in one database, each in a namespace: what is of one is of no other."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import settings as checks
from hypothesis import strategies as st
from typer.testing import CliRunner

from support.machines import Machine
from support.namespaces import at, begin, do
from support.postgres import Postgres
from whatworks import NotFoundError, StoreError
from whatworks.cli import app
from whatworks.team import listing, membership
from whatworks.team.database import Database
from whatworks.team.doctor import examine

Enter = Callable[..., Machine]
SPACES = ("api", "web", "my-team", None)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["add", "record", "forget", "sync"]),
        st.integers(0, len(SPACES) - 1),
        st.integers(0, 1),
        st.integers(0, 2),
    ),
    max_size=24,
)


@given(steps=STEPS)
@checks(max_examples=6, deadline=None, database=None)
def test_what_is_recorded_and_forgotten_in_one_namespace_is_of_no_other(
    postgres: Postgres, steps: list[tuple[str, int, int, int]]
) -> None:
    """Two machines a namespace do anything; each namespace then has its own tries, and those alone."""
    url = postgres.create(f"team_{uuid4().hex}")
    expected: list[dict[str, int]] = [{} for _ in SPACES]
    with TemporaryDirectory() as place, ExitStack() as stack:
        pairs = []
        for number, space in enumerate(SPACES):
            for each in "ab":
                begin(Path(place) / f"{number}{each}", at(url, space))
            pairs.append(
                [stack.enter_context(Machine(Path(place) / f"{number}{each}")) for each in "ab"]
            )
        for what, space_, which, pattern in steps:
            one, other = pairs[space_][which], pairs[space_][1 - which]
            known, name = expected[space_], f"p{pattern}"
            if what == "sync":
                one.sync()
            elif what == "add" and name not in known:
                one.memory.add_pattern(f"{marked(space_)} way {pattern}", pattern_id=name)
                exchange(one, other)
                known[name] = 0
            elif what == "record" and name in known:
                one.memory.record(name, outcome=1.0, context=f"{marked(space_)} case")
                known[name] += 1
            elif what == "forget" and name in known:
                exchange(one, other)
                one.memory.forget(name, now=True)
                exchange(one, other)
                del known[name]
        for number, pair in enumerate(pairs):
            exchange(*pair)
            for machine in pair:
                tries = {p.pattern_id: p.usage_count for p in machine.memory.iter_patterns()}
                assert tries == expected[number]
                written = b"".join(machine.journal.values())
                marks = {marked(n) for n in range(len(SPACES)) if marked(n).encode() in written}
                assert marks <= {marked(number)}
        assert {item.status for pair in pairs for item in examine(pair[0].folder)} == {"ok"}


def marked(number: int) -> str:
    return f"space{number}mark"


def exchange(*machines: Machine) -> None:
    for _ in range(2):
        for machine in machines:
            machine.sync()
            machine.settle()


def test_a_team_without_a_namespace_goes_on_where_it_was(enter: Enter, url: str) -> None:
    ada, bob = enter("ada", None), enter("bob", "api")
    for machine in (ada, bob):
        machine.memory.add_pattern(f"the way of {machine.folder.name}", pattern_id="p")
        machine.sync()
    do(url, "SELECT 1 FROM whatworks.log", 'SELECT 1 FROM "whatworks_api".log')
    database = Database(url)
    try:
        for schema in ("whatworks", "whatworks_api"):
            assert database.row(f"SELECT count(*) FROM {schema}.log")[0] == 1
    finally:
        database.close()


def test_statements_of_one_namespace_cannot_name_tables_of_another_by_chance(
    enter: Enter, url: str
) -> None:
    enter("ada", None)
    address = at(url, "web")
    database = Database(address)
    try:
        assert not database.has_team()
        with pytest.raises(NotFoundError, match="no team in the namespace 'web'"):
            database.team()
        for table in ("team", "machines", "log"):
            with pytest.raises(StoreError, match="does not exist"):
                database.row(f"SELECT * FROM {table}")
    finally:
        database.close()


@pytest.mark.parametrize("table", ["team", "machines", "segments", "log", "snapshots"])
def test_a_temporary_table_takes_the_place_of_none(enter: Enter, url: str, table: str) -> None:
    ada = enter("ada", "my-team")
    ada.memory.add_pattern("retry the build")
    ada.sync()
    database = Database(at(url, "my-team"))
    try:
        database.do(f"CREATE TEMP TABLE {table} (entry bigint)")
        found = database.row(f"SELECT tableoid::regclass::text FROM {table}")
        assert found is None or found[0] == table  # and not pg_temp.
        query = "SELECT nspname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace "
        assert (
            database.row(f"{query} WHERE c.oid = $1::text::regclass", table)[0] == "whatworks_my-team"
        )
    finally:
        database.close()


def test_a_setting_of_the_user_or_of_the_address_moves_nobody_elsewhere(
    enter: Enter, url: str, user: Callable[[str], str]
) -> None:
    ada = enter("ada", "api")
    enter("bob", "web")
    eve = user("eve")
    membership.grant(ada.folder, eve, "reader")
    do(url, f"ALTER USER {eve} SET search_path = whatworks_web, pg_temp")
    said = ("", "&search_path=whatworks_web", "&options=-csearch_path%3Dwhatworks_web")
    for each in said:
        database = Database(at(url, "api", eve) + each)
        try:
            assert [row["name"] for row in database.rows("SELECT name FROM machines")] == ["ada"]
        finally:
            database.close()


def test_a_pooler_that_drops_the_schema_is_noticed(
    enter: Enter, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import asyncpg

    enter("ada", None)
    connect = asyncpg.connect

    def dropping(*words: Any, server_settings: dict[str, str], **named: Any) -> Any:
        kept = {name: value for name, value in server_settings.items() if name != "search_path"}
        return connect(*words, server_settings=kept, **named)

    monkeypatch.setattr(asyncpg, "connect", dropping)
    with pytest.raises(StoreError, match="a pooler between may have dropped the setting search_path"):
        Database(at(url, "api"))


def test_the_namespaces_of_a_database_are_listed(
    enter: Enter, url: str, user: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "78")
    run = CliRunner().invoke
    assert "no team" in run(app, ["team", "namespaces", url]).output
    ada = enter("ada", None)
    for name, space in (("bob", "api"), ("eve", "api"), ("dan", "my-team")):
        enter(name, space)
    ada.memory.add_pattern("retry the build")
    ada.sync()
    do(url, "CREATE SCHEMA whatworks_other", 'CREATE SCHEMA "whatworks_A""b"')
    found = listing.namespaces(at(url, "api"))
    assert [(each.namespace, each.machines) for each in found] == [
        (None, 1),
        ("api", 2),
        ("my-team", 1),
    ]
    assert all(each.owner == "whatworks" and each.bytes > 0 for each in found)
    done = run(app, ["team", "namespaces", "--store", str(ada.folder)])
    assert done.exit_code == 0
    rows = [line.split() for line in done.output.splitlines()]
    assert [(row[0], row[1], row[-1]) for row in rows[2:]] == [
        ("-", "1", "whatworks"),
        ("api", "2", "whatworks"),
        ("my-team", "1", "whatworks"),
    ]
    assert '"my-team"' in run(app, ["team", "namespaces", url, "--json"]).output
    done = run(app, ["team", "status", "--store", str(ada.folder.with_name("bob"))])
    assert "namespace=api" in "".join(done.output.split())
    layers = {item.layer: item.message for item in examine(ada.folder.with_name("bob"))}
    assert layers["server"].endswith("namespace api")
