"""What users of the team's database may do in its namespace: write, read only, or nothing.

A *reader* fetches all, and what it records stays on its machine. It still tells how far it is, since
what is forgotten has to reach it. Nobody but the owner of the tables writes for machines of others.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from whatworks.errors import InvalidInputError, StoreError
from whatworks.team import schemas
from whatworks.team.database import OWNS, Database
from whatworks.team.records import Role

__all__ = ["grant", "is_loose", "mend", "of_connection", "shares", "sharing"]

_NOTHING = (
    "REVOKE ALL ON ALL TABLES IN SCHEMA {schema} FROM {user}",
    "REVOKE ALL ON SCHEMA {schema} FROM {user}",
)
_READER = (
    "GRANT USAGE ON SCHEMA {schema} TO {user}",
    "GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {user}",
    "GRANT INSERT, UPDATE ON {schema}.machines TO {user}",
)
GRANTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "none": (),
        "reader": _READER,
        "writer": (
            *_READER,
            "GRANT INSERT, UPDATE ON {schema}.segments, {schema}.log TO {user}",
            "GRANT UPDATE (entries, forgotten, erased) ON {schema}.team TO {user}",
            "GRANT INSERT, DELETE ON {schema}.snapshots TO {user}",
        ),
    }
)
# Where the team shares its vectors, see ``shared``.
_SHARING: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "none": (),
        "reader": ("GRANT SELECT ON {schema}.leases, {schema}.vectors TO {user}",),
        "writer": (
            "GRANT SELECT ON {schema}.leases, {schema}.vectors TO {user}",
            "GRANT INSERT, UPDATE ON {schema}.leases TO {user}",
            "GRANT UPDATE (place, version, vectors, entry, machine, epoch, moved_at) "
            "ON {schema}.vectors TO {user}",
        ),
    }
)
_HAVE = """
    SELECT CASE grantee WHEN 0 THEN 'PUBLIC'
            ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(grantee)) END AS user,
        bool_or(privilege_type = 'INSERT') AS writes
    FROM pg_class c, pg_catalog.aclexplode(relacl)
    WHERE relname = 'log' AND grantee <> relowner
        AND relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = $1)
    GROUP BY grantee
"""
_NOW = """
    SELECT pg_catalog.pg_has_role(relowner, 'USAGE') AS owner,
        pg_catalog.has_table_privilege(pg_class.oid, 'INSERT') AS writes,
        pg_catalog.has_table_privilege(pg_class.oid, 'SELECT') AS reads
    FROM pg_class WHERE relname = 'log'
        AND relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = $1)
"""
_OWNS = """
    SELECT pg_catalog.pg_has_role($2, relowner, 'USAGE') AS owns FROM pg_class WHERE relname = 'log'
        AND relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = $1)
"""


def grant(database: Database, user: str, role: str) -> tuple[str, ...]:
    """Give a user of the database a role in this namespace instead of the one that it has.

    It returns the statements that did.

    Raises
    ------
    InvalidInputError
        There is no such role, or no such user; or it may do all, and a role would take that away.
    NotFoundError
        The database holds no team.
    StoreError
        This connection's user is not the one that began the team.
    """
    if role not in GRANTS:
        raise InvalidInputError(f"the role is {role!r}; expected {', '.join(GRANTS)}")
    database.team()
    known = "SELECT pg_catalog.quote_ident(rolname) AS quoted FROM pg_roles WHERE rolname = $1"
    found = database.row(known, user)
    if found is None:
        raise InvalidInputError(
            f"the database has no user {user!r}: make it with CREATE USER, or createuser"
        )
    # PostgreSQL itself would warn, and do nothing.
    if of_connection(database) != "owner":
        raise StoreError(
            f"the database's user may not give {user!r} a role: whoever began the team may"
        )
    if database.row(_OWNS, database.schema, user)["owns"]:
        raise InvalidInputError(
            f"{user!r} owns the tables of the team, or is a superuser, and may do all: give a role to "
            "another user"
        )
    statements = tuple(
        each.format(user=found["quoted"], schema=schemas.quoted(database.schema))
        for each in (*_NOTHING, *GRANTS[role], *(_SHARING[role] if shares(database) else ()))
    )
    with database.transaction():
        mend(database)
        for statement in statements:
            database.do(statement)
    return statements


def is_loose(database: Database) -> bool:
    """Whether ``owns`` is a text that each session reads anew, as in teams that were made long ago.

    A writer who may make functions in any schema can then write for machines of others.
    """
    query = (
        "SELECT 1 FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace "
        "WHERE n.nspname = $1 AND p.proname = 'owns' AND p.prosqlbody IS NULL"
    )
    return database.row(query, database.schema) is not None


def mend(database: Database) -> None:
    """Bind ``owns`` where it is loose; for the owner of the tables alone."""
    if is_loose(database):
        database.do(OWNS)


def of_connection(database: Database) -> Role:
    """What the connection's user may do."""
    found = database.row(_NOW, database.schema)
    if found is None:
        return "none"
    if found["owner"]:
        return "owner"
    if found["writes"]:
        return "writer"
    return "reader" if found["reads"] else "none"


def shares(database: Database) -> bool:
    """Whether the team has tables of shared vectors, which the connection's user may read."""
    query = (
        "SELECT EXISTS (SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE n.nspname = $1 AND c.relname = 'vectors' "
        "AND pg_catalog.has_table_privilege(c.oid, 'SELECT')) AS there"
    )
    return bool(database.row(query, database.schema)["there"])


def sharing(database: Database) -> list[str]:
    """What lets all who have a role do the same with the vectors that the team begins to share."""
    return [
        statement.format(user=row["user"], schema=schemas.quoted(database.schema))
        for row in database.rows(_HAVE, database.schema)
        for statement in _SHARING["writer" if row["writes"] else "reader"]
    ]
