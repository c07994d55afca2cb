"""A PostgreSQL and an S3 server for all tests of a process, a place in each, and machines of a team."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol
from uuid import uuid4

import pytest

from support.machines import Machine
from support.namespaces import at, begin, do
from support.postgres import Postgres
from support.s3 import S3
from whatworks import Memory
from whatworks.team import membership
from whatworks.testing import HashEmbedder

Join = Callable[[str], Machine]


class Enter(Protocol):
    def __call__(self, name: str, space: str | None, *, user: str = "whatworks") -> Machine: ...


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    server = Postgres()
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture(scope="session")
def server() -> Iterator[S3]:
    """An S3 server, which tests of shared files start."""
    made = S3()
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def bucket(server: S3, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of an empty folder there."""
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    return f"s3://memory/{uuid4().hex}"


@pytest.fixture
def url(postgres: Postgres) -> str:
    """The address of an empty database."""
    return postgres.create(f"team_{uuid4().hex}")


@pytest.fixture
def machine(url: str, tmp_path: Path) -> Iterator[Join]:
    """Opens a machine of the team by its name; the first one makes the team."""
    with ExitStack() as stack:
        made: list[str] = []

        def machine_(name: str) -> Machine:
            folder = tmp_path / name
            if made:
                membership.join(folder, url, name=name, model=HashEmbedder().model_id)
            else:
                Memory.open(folder, embedder=HashEmbedder(), vectors="exact").close()
                membership.init(folder, url, name=name)
            made.append(name)
            return stack.enter_context(Machine(folder))

        yield machine_


@pytest.fixture
def enter(url: str, tmp_path: Path) -> Iterator[Enter]:
    """Opens a machine of a namespace; the first one there makes the team."""
    with ExitStack() as stack:

        def enter_(name: str, space: str | None, *, user: str = "whatworks") -> Machine:
            folder, address = tmp_path / name, at(url, space, user)
            begin(folder, address)
            return stack.enter_context(Machine(folder))

        yield enter_


@pytest.fixture
def user(url: str) -> Callable[[str], str]:
    """Makes a user of the database who may nothing."""

    def user_(name: str) -> str:
        made = f"{name}_{uuid4().hex[:8]}"
        do(url, f"CREATE USER {made}")
        return made

    return user_
