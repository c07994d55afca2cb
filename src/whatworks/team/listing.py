"""Which namespaces a team's database has.

Whoever may make a schema there makes one of such a name as well, and what a table of another one's
does when it is read is what that one has written: so those alone are read that do nothing.
"""

from __future__ import annotations

from typing import Any

from whatworks.team import schemas
from whatworks.team import settings as stored
from whatworks.team.database import Database
from whatworks.team.records import TeamNamespace

__all__ = ["namespaces"]

# From the catalog, where names and sizes stand for everyone.
_SCHEMAS = """
    SELECT n.nspname AS schema, pg_get_userbyid(n.nspowner)::text AS owner,
        pg_total_relation_size(log.oid) AS bytes
    FROM pg_namespace n
    JOIN pg_class log ON log.relnamespace = n.oid AND log.relname = 'log'
    JOIN pg_class machines ON machines.relnamespace = n.oid AND machines.relname = 'machines'
    WHERE starts_with(n.nspname::text, 'whatworks') AND log.relkind = 'r' AND machines.relkind = 'r'
        AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(log.oid, 'SELECT')
        AND has_table_privilege(machines.oid, 'SELECT')
    ORDER BY n.nspname <> 'whatworks', n.nspname
"""
# No view, and no row security that would call something.
_INERT = """
    SELECT relkind = 'r' AND NOT EXISTS (
        SELECT FROM pg_policy WHERE polrelid = pg_class.oid AND polcmd IN ('r', '*')
            AND pg_get_expr(polqual, polrelid) IS DISTINCT FROM 'true'
    ) AS inert FROM pg_class WHERE oid = $1::text::regclass
"""


def namespaces(url: str) -> list[TeamNamespace]:
    """The namespaces of the database at an address in which its user may read, by name; reads only.

    Which one the address names does not matter. The team without a namespace comes first.

    Raises
    ------
    InvalidInputError
        The address holds a password, or is none.
    UnreachableError, StoreError
        The database does not answer, or refuses.
    """
    database = Database(stored.require_url(url))
    try:
        return [
            TeamNamespace(
                schemas.namespace(row["schema"]),
                row["owner"],
                _machines(database, row["schema"]),
                row["bytes"],
            )
            for row in database.rows(_SCHEMAS)
            if row["schema"] == schemas.ALONE or schemas.namespace(row["schema"])
        ]
    finally:
        database.close()


def _machines(database: Database, schema: str) -> int | None:
    table = f"{schemas.quoted(schema)}.machines"
    with database.transaction():
        database.do(f"LOCK TABLE {table} IN ACCESS SHARE MODE")  # it stays what it is found to be
        row: Any = database.row(_INERT, table)
        if not row["inert"]:
            return None
        return int(database.row(f"SELECT count(*) AS count FROM ONLY {table}")["count"])
