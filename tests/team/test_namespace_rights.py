"""Rights are given in one namespace, and count there alone."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from support.machines import Machine
from support.namespaces import alone_store, at, do
from whatworks import Memory, StoreError, config
from whatworks.cli import app
from whatworks.team import listing, membership, roles, settings
from whatworks.team.database import Database
from whatworks.team.exchange import Exchange
from whatworks.testing import HashEmbedder

Enter = Callable[..., Machine]
MODEL = HashEmbedder().model_id


def refuses(url: str, statement: str) -> None:
    with pytest.raises(StoreError, match="refuses"):
        do(url, statement)


def role(address: str) -> str:
    database = Database(address)
    try:
        return roles.of_connection(database)
    finally:
        database.close()


@pytest.mark.parametrize("role", ["reader", "writer"])
def test_whoever_has_rights_in_one_namespace_has_none_in_another(
    enter: Enter, url: str, user: Callable[[str], str], tmp_path: Path, role: str
) -> None:
    ada, web, alone = enter("ada", "api"), enter("web", "web"), enter("alone", None)
    for machine in (ada, web, alone):
        machine.memory.add_pattern("the password is hunter2", pattern_id="p")
        machine.sync()
    bob = user("bob")
    membership.grant(ada.folder, bob, role)
    eve = enter("eve", "api", user=bob)
    eve.sync()
    eve.memory.record("p", outcome=1.0)
    assert (eve.sync().shipped > 0) is (role == "writer")
    for space, schema in (("web", "whatworks_web"), (None, "whatworks")):
        address = at(url, space, bob)
        with pytest.raises(StoreError, match=r"permission denied.*whatworks team grant"):
            membership.join(tmp_path / "no", address, name="no", model=MODEL)
        with pytest.raises(StoreError, match="whatworks team grant"):
            membership.init(alone_store(tmp_path / f"new {space}"), address)
        for name in ("team", "machines", "segments", "log", "snapshots"):
            for statement in (
                f"SELECT * FROM {name}",
                f"SELECT * FROM {schema}.{name}",
                f"DELETE FROM {schema}.{name}",
            ):
                refuses(address, statement)
        refuses(at(url, "api", bob), f"UPDATE {schema}.log SET data = ''")
        refuses(at(url, "api", bob), f"INSERT INTO {schema}.machines VALUES ('m', 'n', 't')")
        refuses(at(url, "api", bob), f"GRANT SELECT ON {schema}.log TO {bob}")
    assert [each.namespace for each in listing.namespaces(at(url, None, bob))] == ["api"]
    ours = settings.load(eve.folder)
    settings.save(eve.folder, ours.changed(url=at(url, "web", bob)))
    eve.exchange.close()
    with pytest.raises(StoreError, match="refuses"):
        Exchange(eve.folder, eve.settle).once()


def test_a_role_is_given_in_the_namespace_of_the_store_alone_and_taken_there(
    enter: Enter, url: str, user: Callable[[str], str]
) -> None:
    ada, web = enter("ada", "api"), enter("web", "my-team")
    bob = user("bob")
    for machine in (ada, web):
        membership.grant(machine.folder, bob, "writer")
    said = membership.grant(web.folder, bob, "reader")
    assert all("whatworks_my-team" in each for each in said)
    membership.grant(web.folder, bob, "none")
    assert role(at(url, "api", bob)) == "writer" and role(at(url, "my-team", bob)) == "none"
    with pytest.raises(StoreError, match="whatworks team grant"):
        do(at(url, "my-team", bob), "SELECT 1 FROM log")


def test_who_may_make_no_schema_is_told_so_and_no_store_is_left(
    enter: Enter, url: str, user: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    enter("ada", None)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    bob = user("bob")
    address = at(url, "web", bob)
    done = CliRunner().invoke(app, ["team", "init", address, "--store", str(tmp_path / "new")])
    printed = " ".join((done.output + str(done.exception)).split())
    assert done.exit_code != 0 and re.search(
        rf"'{bob}' may begin no namespace 'web' in team_\w+: .*GRANT CREATE ON DATABASE", printed
    )
    assert not (tmp_path / "new").exists()
    with pytest.raises(StoreError, match="GRANT CREATE ON DATABASE"):
        Memory.open(address, embedder=HashEmbedder(), vectors="exact")
    assert not config.locate(address).exists()
    name = url.split("?")[0].rpartition("/")[2]
    do(url, f"GRANT CREATE ON DATABASE {name} TO {bob}")
    with Memory.open(address, embedder=HashEmbedder(), vectors="exact") as memory:
        memory.add_pattern("retry the build")
    assert role(address) == "owner" and role(at(url, None, bob)) == "none"
    assert [each.namespace for each in listing.namespaces(address)] == ["web"]


@pytest.mark.parametrize("old", [False, True])
def test_a_writer_cannot_have_it_that_machines_of_others_are_its_own(
    enter: Enter, url: str, user: Callable[[str], str], old: bool
) -> None:
    """Who may make a schema says there what is equal to what; what checks rights does not heed it."""
    ada = enter("ada", "api")
    ada.memory.add_pattern("retry the build")
    ada.sync()
    bob = user("bob")
    if old:  # as it was before
        do(
            at(url, "api"),
            "CREATE OR REPLACE FUNCTION owns(given text) RETURNS boolean LANGUAGE sql STABLE AS "
            "'SELECT EXISTS (SELECT 1 FROM whatworks_api.machines "
            "WHERE machine = given AND owner = current_user)'",
        )
    membership.grant(ada.folder, bob, "writer")
    name = url.split("?")[0].rpartition("/")[2]
    do(url, f"GRANT CREATE ON DATABASE {name} TO {bob}")
    machine = settings.load(ada.folder).machine
    database = Database(at(url, "api", bob))
    try:
        database.do("CREATE SCHEMA evil")
        for kind in ("text", "name"):
            database.do(
                f"CREATE FUNCTION evil.same(a {kind}, b {kind}) RETURNS boolean "
                "LANGUAGE sql IMMUTABLE AS 'SELECT true'"
            )
            database.do(
                f"CREATE OPERATOR evil.= (leftarg = {kind}, rightarg = {kind}, function = evil.same)"
            )
        database.do("CREATE TEMP TABLE machines AS SELECT machine, current_user AS owner FROM machines")
        database.do("SET search_path = pg_temp, evil, pg_catalog")
        with pytest.raises(StoreError, match="row-level security"):
            database.do(f"INSERT INTO whatworks_api.segments VALUES ('ada-9.log', '{machine}', 0)")
    finally:
        database.close()


# A function in a schema that somebody made up, which does something in the name of whoever calls it.
ACT = (
    "CREATE FUNCTION whatworks_trap.{} RETURNS {} LANGUAGE plpgsql AS "
    "'BEGIN UPDATE whatworks_api.machines SET name = ''taken''; RETURN {}; END'"
)
# They fit what is asked of the catalog better than PostgreSQL's own do.
BETTER = (
    ("pg_total_relation_size(oid)", "bigint", "7"),
    ("has_database_privilege(name, text)", "boolean", "true"),
    ("quote_ident(name)", "text", "''eve''"),
    ("pg_advisory_lock(text)", "integer", "1"),
)


def test_beginning_a_namespace_runs_nothing_of_a_schema_that_another_user_has_made_up(
    enter: Enter, url: str, user: Callable[[str], str], tmp_path: Path
) -> None:
    enter("ada", "api")
    eve, name = user("eve"), url.split("?")[0].rpartition("/")[2]
    do(url, f"GRANT CREATE ON DATABASE {name} TO {eve}")
    do(
        at(url, None, eve),
        "CREATE SCHEMA whatworks_trap",
        "GRANT USAGE ON SCHEMA whatworks_trap TO PUBLIC",
        *(ACT.format(*each) for each in BETTER),
    )
    with pytest.raises(StoreError, match="whatworks_trap that holds no team: name another"):
        membership.init(alone_store(tmp_path / "new"), at(url, "trap"), name="new")
    with pytest.raises(StoreError, match="whatworks_trap that holds no team"):
        Memory.open(at(url, "trap"), embedder=HashEmbedder(), vectors="exact")
    database = Database(at(url, "api"))
    try:
        assert database.row("SELECT name FROM machines")["name"] == "ada"
    finally:
        database.close()


def test_a_namespace_that_another_user_has_made_up_runs_nothing_when_it_is_listed(
    enter: Enter, url: str, user: Callable[[str], str]
) -> None:
    enter("ada", "api")
    eve, name = user("eve"), url.split("?")[0].rpartition("/")[2]
    do(url, f"GRANT CREATE ON DATABASE {name} TO {eve}")
    do(
        at(url, None, eve),
        "CREATE SCHEMA whatworks_trap",
        ACT.format("act()", "boolean", "true"),
        *(ACT.format(*each) for each in BETTER),
        "CREATE TABLE whatworks_trap.log ()",
        "CREATE VIEW whatworks_trap.machines AS SELECT whatworks_trap.act() AS retired",
        "GRANT USAGE ON SCHEMA whatworks_trap TO PUBLIC",
        "GRANT SELECT ON ALL TABLES IN SCHEMA whatworks_trap TO PUBLIC",
    )
    for address in (url, at(url, "trap")):  # the latter looks in her schema
        found = {each.namespace: (each.machines, each.owner) for each in listing.namespaces(address)}
        assert found == {"api": (1, "whatworks"), "trap": (None, eve)}
    database = Database(at(url, "api"))
    try:
        assert database.row("SELECT name FROM machines")["name"] == "ada"
    finally:
        database.close()
