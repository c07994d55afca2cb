"""What the address says of TLS is done, and passwords come from where they may."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.postgres import Postgres
from whatworks import StoreError
from whatworks.team.database import Database


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """A server on a port of the loopback, with a certificate for localhost."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    made = Postgres(listen_addresses="127.0.0.1", port=port, ssl="on")
    try:
        made.certify("localhost")
        made.start()
        yield made
    finally:
        made.close()


def encrypted(address: str) -> bool:
    database = Database(address)
    try:
        return bool(database.row("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")["ssl"])
    finally:
        database.close()


def test_a_certificate_that_is_checked_is_used(server: Postgres) -> None:
    assert encrypted(f"{server.address}?sslmode=verify-full&sslrootcert={server.certificate}")


def test_a_certificate_of_somebody_else_is_refused(server: Postgres, tmp_path: Path) -> None:
    other = tmp_path / "other.pem"
    words = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    subprocess.run(
        ["openssl", *words, "-keyout", os.devnull, "-out", str(other)], check=True, capture_output=True
    )
    with pytest.raises(StoreError):
        encrypted(f"{server.address}?sslmode=verify-full&sslrootcert={other}")


def test_without_tls_there_is_none(server: Postgres) -> None:
    assert not encrypted(f"{server.address}?sslmode=disable")


def test_a_password_comes_from_the_environment_or_the_password_file(
    server: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.require_password("whatworks", "s3cret")
    monkeypatch.delenv("PGPASSWORD", raising=False)
    monkeypatch.setenv("PGPASSFILE", str(tmp_path / "none"))
    with pytest.raises(StoreError):
        encrypted(server.address)
    monkeypatch.setenv("PGPASSWORD", "s3cret")
    assert encrypted(server.address)
    monkeypatch.delenv("PGPASSWORD")
    passwords = tmp_path / "passwords"
    passwords.write_text("*:*:*:whatworks:s3cret\n")
    passwords.chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(passwords))
    assert encrypted(server.address)
