"""Which namespaces a team's database has.

Whoever may make a schema there can make one of such a name, with views and policies in the place of
tables, and reading those runs what that one has written, in the name of whoever reads. So names, owners
and sizes come from the catalog, and tables are read only where they belong to oneself or to a
superuser, who can do all anyway.
"""

from __future__ import annotations

from whatworks.errors import StoreError, UnreachableError
from whatworks.team import schemas
from whatworks.team import settings as stored
from whatworks.team.database import Database
from whatworks.team.records import TeamNamespace

__all__ = ["namespaces"]

_SCHEMAS = """
    SELECT n.nspname AS schema, pg_get_userbyid(n.nspowner)::text AS owner,
        pg_total_relation_size(log.oid) AS bytes,
        NOT EXISTS (
            SELECT FROM pg_roles r WHERE r.oid IN (n.nspowner, machines.relowner)
                AND NOT r.rolsuper AND r.rolname <> current_user
        ) AS trusted
    FROM pg_namespace n
    JOIN pg_class log ON log.relnamespace = n.oid AND log.relname = 'log'
    JOIN pg_class machines ON machines.relnamespace = n.oid AND machines.relname = 'machines'
    WHERE starts_with(n.nspname::text, 'whatworks') AND has_schema_privilege(n.oid, 'USAGE')
        AND has_table_privilege(log.oid, 'SELECT') AND has_table_privilege(machines.oid, 'SELECT')
    ORDER BY n.nspname <> 'whatworks', n.nspname
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
        # The schema that the address names is anybody's, and may have functions that fit better.
        database.do("SET search_path = pg_catalog, pg_temp")
        return [
            TeamNamespace(
                schemas.namespace(row["schema"]),
                row["owner"],
                _machines(database, row["schema"]) if row["trusted"] else None,
                row["bytes"],
            )
            for row in database.rows(_SCHEMAS)
            if row["schema"] == schemas.ALONE or schemas.namespace(row["schema"])
        ]
    finally:
        database.close()


def _machines(database: Database, schema: str) -> int | None:
    query = f"SELECT count(*) AS count FROM {schemas.quoted(schema)}.machines WHERE NOT retired"
    try:
        return int(database.row(query)["count"])
    except UnreachableError:
        raise
    except StoreError:  # a schema of such a name that is no team's
        return None
