"""A PostgreSQL server of a test's own: in a temporary folder, on a socket there, not as root."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

__all__ = ["Postgres", "free_port"]

# Debian's place of the programs; elsewhere they are on the path.
PROGRAMS = "/usr/lib/postgresql/*/bin"
MISSING = "PostgreSQL 15 or newer is missing: scripts/install-postgres installs it"
SECONDS = 60.0
SETTINGS = {"listen_addresses": "", "max_connections": "100", "shared_buffers": "64MB"}


class Postgres:
    """A server that ``start`` starts and ``kill`` ends as a power cut would its processes."""

    def __init__(self, **settings: str) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="whatworks-postgres-"))
        self._folder.chmod(0o755)
        self._user = _user()
        self._settings = SETTINGS | settings
        self._process: subprocess.Popen[bytes] | None = None
        self._data = self._folder / "data"
        for path in (self._data, self._folder / "socket"):
            path.mkdir(mode=0o700)
            if self._user is not None:
                os.chown(path, self._user.pw_uid, self._user.pw_gid)
        (self._folder / "socket").chmod(0o755)
        self._run("initdb", "--auth=trust", "--username=whatworks", "--no-sync", "-D", str(self._data))

    def _run(self, program: str, *words: str) -> None:
        done = subprocess.run(
            [str(_program(program)), *words], capture_output=True, text=True, check=False, **self._as()
        )
        if done.returncode:
            raise RuntimeError(f"{program} failed: {done.stderr}")

    def _as(self) -> dict[str, Any]:
        if self._user is None:
            return {"cwd": self._folder}
        return {
            "user": self._user.pw_uid,
            "group": self._user.pw_gid,
            "extra_groups": [],
            "cwd": self._folder,
        }

    def url(self, database: str = "postgres") -> str:
        """The address of one of its databases."""
        port = f"&port={self._settings['port']}" if "port" in self._settings else ""
        return f"postgresql://whatworks@/{database}?host={self._folder / 'socket'}{port}"

    @property
    def address(self) -> str:
        """The address of its first database on the loopback."""
        return f"postgresql://whatworks@localhost:{self._settings['port']}/postgres"

    @property
    def certificate(self) -> Path:
        return self._folder / "server.pem"

    def certify(self, name: str) -> None:
        """Have it show a certificate of its own for a name."""
        words = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}"]
        words += ["-addext", f"subjectAltName=DNS:{name}"]
        key, shown = self._data / "server.key", self._data / "server.crt"
        words += ["-keyout", str(key), "-out", str(self.certificate)]
        subprocess.run(["openssl", *words], check=True, capture_output=True)
        shutil.copyfile(self.certificate, shown)
        key.chmod(0o600)
        if self._user is not None:
            for path in (key, shown):
                os.chown(path, self._user.pw_uid, self._user.pw_gid)

    def require_password(self, user: str, password: str) -> None:
        """Let nobody in over the loopback without it."""
        say = f"ALTER USER {user} PASSWORD '{password}'"
        self._run(
            "psql", "-q", "-h", str(self._folder / "socket"), "-U", user, "-c", say, *self._port()
        )
        (self._data / "pg_hba.conf").write_text(
            "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
        )
        self._run("pg_ctl", "reload", "-D", str(self._data))

    def trust(self, network: str) -> None:
        """Let everybody in from a network, as from the loopback; before it is started."""
        with (self._data / "pg_hba.conf").open("a") as rules:
            rules.write(f"host all all {network} trust\n")

    def _port(self) -> list[str]:
        return ["-p", self._settings.get("port", "5432"), "postgres"]

    @property
    def port(self) -> int:
        return int(self._settings.get("port", "5432"))

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it, and return when it answers."""
        words = [str(_program("postgres")), "-D", str(self._data), "-k", str(self._folder / "socket")]
        for name, value in self._settings.items():
            words += ["-c", f"{name}={value}"]
        with open(self._folder / "log", "ab") as log:
            self._process = subprocess.Popen(words, stdout=log, stderr=log, **self._as())
        deadline = time.monotonic() + SECONDS
        while not self._answers():
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise RuntimeError(f"it did not start: {(self._folder / 'log').read_text()[-2000:]}")
            time.sleep(0.05)

    def _answers(self) -> bool:
        words = [str(_program("pg_isready")), "-q", "-h", str(self._folder / "socket")]
        words += ["-p", self._settings.get("port", "5432")]
        return subprocess.run(words, check=False).returncode == 0

    def create(self, database: str) -> str:
        """Make a database and return its address."""
        words = ["-h", str(self._folder / "socket"), "-p", self._settings.get("port", "5432")]
        self._run("createdb", *words, "-U", "whatworks", database)
        return self.url(database)

    def kill(self) -> None:
        """Kill the server and all its processes."""
        assert self._process is not None
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        pids = [self.pid, *map(int, children.read_text().split())]
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()
        # What a new server takes for signs that the old one lives.
        deadline = time.monotonic() + SECONDS
        while any(Path(f"/proc/{pid}").exists() for pid in pids) and time.monotonic() < deadline:
            time.sleep(0.02)
        (self._data / "postmaster.pid").unlink(missing_ok=True)

    def close(self) -> None:
        """Remove everything; it is killed, for a checkpoint of many databases takes a minute."""
        if self._process is not None and self._process.poll() is None:
            self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)


def free_port() -> int:
    """A port of the loopback that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _user() -> pwd.struct_passwd | None:
    """Whom the server runs as: root may not."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            return pwd.getpwnam(name)
    raise RuntimeError("PostgreSQL does not run as root, and there is no user nobody")


def _program(name: str) -> Path:
    found = sorted(Path("/").glob(f"{PROGRAMS[1:]}/{name}"))
    if found:
        return found[-1]
    there = shutil.which(name)
    if there is None:
        raise RuntimeError(MISSING)
    return Path(there)
