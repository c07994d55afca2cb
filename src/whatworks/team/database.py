"""The team's database: a log of what machines wrote, in the order in which it was taken.

::

    team       one row: which store it is, its embedder, how many entries the log has had
    machines   who ships and fetches, and how far
    segments   whose a segment is, and how many bytes of it were shipped
    log        what was appended to segments, and what was written over since
    snapshots  where the beginning of the log lies as files; see ``snapshots.py``

Whoever adds to the log holds the row of the team, so entries get their numbers in the order in
which they are committed: who has all up to one has all that could be known when it was written.

A database may hold several teams, one for each namespace, in schemas of their own. Statements name no
schema: a connection looks in that of its team and in no other.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, TypeVar

from whatworks.errors import (
    MissingExtraError,
    NotFoundError,
    SchemaVersionError,
    StoreError,
    UnreachableError,
)
from whatworks.team import schemas
from whatworks.team.settings import split_namespace

if TYPE_CHECKING:
    from asyncpg import Connection

__all__ = ["BYTES", "ERASED", "OWNS", "Database"]

T = TypeVar("T")
VERSION = 2
OLDEST = 15
BYTES, ERASED = "bytes", "erased"
TURN = 0x77686174776F726B  # "whatwork", a key of this product's own
CONNECT_SECONDS, STATEMENT_SECONDS = 10.0, 60.0
# A clock that is further off would put what a machine writes into a wrong order for long; see
# also ``evidence.order``.
CLOCK_SECONDS = 60.0
# Whoever vanishes without a word, its network cut, must not hold up the others for hours: a transaction
# that waits for its machine ends, and the server asks whether the machine is still there.
SERVER = {
    "application_name": "whatworks",
    "idle_in_transaction_session_timeout": "10s",
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}
# Bound to its table and operators when it is made: as a text it would be read anew by each session,
# in which a writer says what is meant by them.
OWNS = """
CREATE OR REPLACE FUNCTION owns(given text) RETURNS boolean LANGUAGE sql STABLE
    RETURN EXISTS (SELECT 1 FROM machines WHERE machine = given AND owner = current_user);
"""
TABLES = f"""
CREATE TABLE team (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    version integer NOT NULL, store_id text NOT NULL, embedder text NOT NULL, dim integer,
    entries bigint NOT NULL DEFAULT 0,
    -- the last entry that forgets something, the last that writes over something
    forgotten bigint NOT NULL DEFAULT 0, erased bigint NOT NULL DEFAULT 0,
    -- up to here a snapshot has what was cut from the log
    cut bigint NOT NULL DEFAULT 0
);
CREATE TABLE machines (
    machine text PRIMARY KEY, name text NOT NULL UNIQUE, token text NOT NULL,
    settled bigint NOT NULL DEFAULT 0,
    retired boolean NOT NULL DEFAULT false,
    -- the database's user that it came as
    owner name NOT NULL DEFAULT current_user,
    joined_at timestamptz NOT NULL DEFAULT now(), seen_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE segments (
    segment text PRIMARY KEY, machine text NOT NULL REFERENCES machines,
    bytes bigint NOT NULL CHECK (bytes >= 0)
);
CREATE TABLE log (
    entry bigint PRIMARY KEY, kind text NOT NULL CHECK (kind IN ('bytes', 'erased')),
    machine text NOT NULL REFERENCES machines,
    segment text NOT NULL REFERENCES segments, start bigint NOT NULL,
    data bytea NOT NULL, at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE snapshots (
    place text PRIMARY KEY, url text NOT NULL, entry bigint NOT NULL, sha256 text NOT NULL,
    bytes bigint NOT NULL, machine text NOT NULL REFERENCES machines,
    made_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX log_places ON log (segment, start) WHERE kind = 'bytes';
-- Whoever is let in writes for machines of its own only, see ``roles``; the owner for all.
ALTER TABLE machines ENABLE ROW LEVEL SECURITY;
ALTER TABLE segments ENABLE ROW LEVEL SECURITY;
ALTER TABLE log ENABLE ROW LEVEL SECURITY;
ALTER TABLE snapshots ENABLE ROW LEVEL SECURITY;
CREATE POLICY reading ON machines FOR SELECT USING (true);
CREATE POLICY adding ON machines FOR INSERT WITH CHECK (owner = current_user);
CREATE POLICY changing ON machines FOR UPDATE USING (owner = current_user);
{OWNS}
CREATE POLICY reading ON segments FOR SELECT USING (true);
CREATE POLICY adding ON segments FOR INSERT WITH CHECK (owns(machine));
CREATE POLICY changing ON segments FOR UPDATE USING (owns(machine));
CREATE POLICY reading ON log FOR SELECT USING (true);
CREATE POLICY adding ON log FOR INSERT WITH CHECK (owns(machine));
-- What one machine forgets is written over in what others shipped, too.
CREATE POLICY erasing ON log FOR UPDATE USING (true) WITH CHECK (true);
CREATE POLICY reading ON snapshots FOR SELECT USING (true);
CREATE POLICY adding ON snapshots FOR INSERT WITH CHECK (owns(machine));
CREATE POLICY removing ON snapshots FOR DELETE USING (owns(machine));
"""


class Database:
    """A connection, for one thread at a time.

    Parameters
    ----------
    url
        As libpq reads it: ``sslmode`` and ``sslrootcert`` are heeded, a password comes from
        ``$PGPASSWORD`` or the password file. ``namespace`` says which of its teams is meant.

    Raises
    ------
    InvalidInputError
        It cannot be read, or there can be no such namespace.
    UnreachableError
        It does not answer.
    StoreError
        It refuses, or it is older than Postgres 15, or the clocks differ by minutes; or what lies
        between does not let the schema be chosen.
    MissingExtraError
        The driver is not installed.
    """

    def __init__(self, url: str) -> None:
        address, self.namespace = split_namespace(url)
        self.schema = schemas.named(self.namespace)
        try:
            import asyncpg
        except ImportError as error:
            raise MissingExtraError(
                "a team needs an optional package: pip install 'whatworks[team]'"
            ) from error
        self._errors = asyncpg
        self._loop = asyncio.new_event_loop()
        self._con: Connection | None = None
        try:
            with self._translated():
                self._con = self._loop.run_until_complete(
                    asyncpg.connect(
                        address,
                        timeout=CONNECT_SECONDS,
                        command_timeout=STATEMENT_SECONDS,
                        server_settings=SERVER | {"search_path": self._path},
                    )
                )
            self._require_fit()
        except BaseException:
            self.close()
            raise

    @property
    def _path(self) -> str:
        """Where names are looked for, after PostgreSQL's own.

        Of functions the one that fits best is taken, wherever it lies: what is asked of a schema that
        may be anybody's names ``pg_catalog``.
        """
        return f"{schemas.quoted(self.schema)}, pg_temp"

    def _require_fit(self) -> None:
        before = time.time()
        version, now, path = self.row(
            "SELECT pg_catalog.current_setting('server_version_num')::int, "
            "extract(epoch FROM pg_catalog.clock_timestamp()), "
            "pg_catalog.current_setting('search_path')"
        )
        if path != self._path:  # else it would be another team's tables
            raise StoreError(
                f"the connection looks for tables in {path}, not in {self._path}: a pooler between may "
                "have dropped the setting search_path; connect to the server itself"
            )
        if version < OLDEST * 10_000:
            raise StoreError(
                f"the database is PostgreSQL {version // 10_000}; a team needs {OLDEST} or newer"
            )
        off = (before + time.time()) / 2 - float(now)
        if abs(off) > CLOCK_SECONDS:
            raise StoreError(
                f"this machine's clock is {abs(off):.0f} s {'ahead of' if off > 0 else 'behind'} the "
                "database's: set it right, the order of what machines write hangs on it"
            )

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """The driver's errors as ours."""
        gone = (
            OSError,
            TimeoutError,
            asyncio.IncompleteReadError,
            self._errors.InterfaceError,
            self._errors.PostgresConnectionError,
            self._errors.OperatorInterventionError,
            self._errors.CannotConnectNowError,
            self._errors.TooManyConnectionsError,
        )
        try:
            yield
        except gone as error:
            said = str(error).strip().splitlines()
            raise UnreachableError(
                f"the team's database does not answer: {said[0] if said else type(error).__name__}"
            ) from error
        except (
            self._errors.InsufficientPrivilegeError,
            self._errors.UndefinedTableError,  # what one has no rights on is not looked in
        ) as error:
            raise self._refused(str(error).splitlines()[0]) from error
        except self._errors.PostgresError as error:
            raise StoreError(f"the team's database refuses: {str(error).splitlines()[0]}") from error

    @staticmethod
    def _refused(why: str) -> StoreError:
        return StoreError(
            f"the team's database refuses: {why}: whoever began the team gives rights with whatworks "
            "team grant"
        )

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        with self._translated():
            return self._loop.run_until_complete(work)

    @property
    def _open(self) -> Connection:
        if self._con is None or self._con.is_closed():
            raise UnreachableError("the team's database does not answer: the connection was closed")
        return self._con

    # -- statements -------------------------------------------------------------------------------

    def rows(self, query: str, *values: object) -> list[Any]:
        """All rows of a question."""
        return self._run(self._open.fetch(query, *values))

    def row(self, query: str, *values: object) -> Any:
        """The first row of a question, ``None`` if it has none."""
        return self._run(self._open.fetchrow(query, *values))

    def do(self, statement: str, *values: object) -> int:
        """Run a statement; how many rows it touched."""
        told = self._run(self._open.execute(statement, *values)).split()
        return int(told[-1]) if told and told[-1].isdigit() else 0

    def many(self, statement: str, values: Sequence[Sequence[object]]) -> None:
        """Run a statement for each row of values."""
        self._run(self._open.executemany(statement, values))

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; after an error in the commit nobody knows which until it is asked."""
        begun = self._open.transaction()
        self._run(begun.start())
        try:
            yield
        except BaseException:
            with suppress(StoreError):  # the connection may be what failed
                self._run(begun.rollback())
            raise
        self._run(begun.commit())

    def close(self) -> None:
        """Let go of the connection; a second call does nothing."""
        con, self._con = self._con, None
        if self._loop.is_closed():
            return
        try:
            if con is not None and not con.is_closed():
                with suppress(Exception):  # it may be dead
                    self._loop.run_until_complete(con.close(timeout=1.0))
        finally:
            if con is not None and not con.is_closed():
                con.terminate()
            with suppress(Exception):  # the loop closes sockets in its next turns
                for _ in range(3):
                    self._loop.run_until_complete(asyncio.sleep(0))
            self._loop.close()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Be the one connection that looks for a team in this namespace and makes it."""
        key = TURN
        if self.namespace is not None:
            told = f"{TURN} {self.namespace}".encode()
            key = int.from_bytes(blake2b(told, digest_size=8).digest(), signed=True)
        self.row("SELECT pg_catalog.pg_advisory_lock($1::bigint)", key)
        try:
            yield
        finally:
            with suppress(StoreError):  # it goes with the connection
                self.row("SELECT pg_catalog.pg_advisory_unlock($1::bigint)", key)

    # -- the team ---------------------------------------------------------------------------------

    def has_team(self) -> bool:
        """Whether the database holds a team's journal, in the namespace that is meant."""
        # Asked of the catalog, which whoever has no rights on the schema may read, too.
        query = (
            "SELECT EXISTS (SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
            "WHERE n.nspname = $1 AND c.relname = 'team') AS there"
        )
        return bool(self.row(query, self.schema)["there"])

    def require_room(self) -> None:
        """Raise if the connection's user cannot make a team here.

        Raises
        ------
        StoreError
            It may make no schema in the database, or there is one of that name already.
        """
        row = self.row(
            "SELECT pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE') AS may, "
            "current_user::text AS user, "
            "pg_catalog.quote_ident(pg_catalog.current_database()) AS database, "
            "pg_catalog.quote_ident(current_user) AS quoted, "
            "EXISTS (SELECT FROM pg_namespace WHERE nspname = $1) AS taken",
            self.schema,
        )
        if row["taken"]:
            raise StoreError(
                f"the database has a schema {self.schema} that holds no team: name another namespace, "
                "or have its owner drop it"
            )
        if not row["may"]:
            raise StoreError(
                f"the database's user {row['user']!r} may begin no {self._what} in {row['database']}: "
                f"whoever owns that may, or says GRANT CREATE ON DATABASE {row['database']} TO "
                f"{row['quoted']}"
            )

    @property
    def _what(self) -> str:
        return "team" if self.namespace is None else f"namespace {self.namespace!r}"

    def create(self, store_id: str, embedder: str, dim: int | None) -> None:
        """Make the tables; the caller has begun a transaction.

        Raises
        ------
        StoreError
            As ``require_room``; or there is a schema of that name already.
        """
        self.require_room()
        self.do(f"CREATE SCHEMA {schemas.quoted(self.schema)}")
        self.do(TABLES)
        self.do(
            "INSERT INTO team (version, store_id, embedder, dim) VALUES ($1, $2, $3, $4)",
            VERSION,
            store_id,
            embedder,
            dim,
        )

    def team(self) -> Any:
        """The row of the team.

        Raises
        ------
        NotFoundError
            There is none.
        StoreError
            The connection's user has no rights there.
        SchemaVersionError
            Another version of whatworks made it.
        """
        if not self.has_team():
            where = "" if self.namespace is None else f" in the namespace {self.namespace!r}"
            raise NotFoundError(
                f"the database holds no team{where}: whatworks team init makes one, from the first "
                "store"
            )
        may = "SELECT pg_catalog.has_schema_privilege($1, 'USAGE') AS may"
        if not self.row(may, self.schema)["may"]:
            raise self._refused(f"permission denied for schema {self.schema}")
        found = self.row("SELECT * FROM team")
        if found["version"] != VERSION:
            raise SchemaVersionError(
                f"the team's tables have version {found['version']}, this whatworks knows {VERSION}: "
                "use the same whatworks on all machines"
            )
        return found

    def hold(self) -> Any:
        """The row of the team, held until the transaction ends: entries are added one after another."""
        return self.row("SELECT entries, forgotten FROM team FOR UPDATE")

    def reserve(self, count: int) -> Any:
        """As ``hold``, with so many entries added already."""
        query = "UPDATE team SET entries = entries + $1 RETURNING entries, forgotten"
        return self.row(query, count)

    def add(self, entry: int, kind: str, machine: str, segment: str, start: int, data: bytes) -> None:
        """Add an entry to the log; the caller holds the row of the team."""
        self.do(
            "INSERT INTO log (entry, kind, machine, segment, start, data) "
            "VALUES ($1, $2, $3, $4, $5, $6)",
            entry,
            kind,
            machine,
            segment,
            start,
            data,
        )
