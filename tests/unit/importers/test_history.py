"""A git history tells which changes stood."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from whatworks import InvalidInputError, Memory
from whatworks.importers.history import commits, import_history

START = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Repository:
    """A repository whose commits have the times that a test gives them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self._git("init", "-q")

    def _git(self, *words: str, at: datetime = START) -> str:
        stamp = at.isoformat()
        identity = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a"}
        environment = identity | {"GIT_COMMITTER_EMAIL": "a@b", "GIT_CONFIG_GLOBAL": "/dev/null"}
        environment |= {"GIT_AUTHOR_DATE": stamp, "GIT_COMMITTER_DATE": stamp, "PATH": "/usr/bin:/bin"}
        done = subprocess.run(
            ["git", *words],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    def commit(self, message: str, days: float, *files: str) -> str:
        at = START + timedelta(days=days)
        for name in files:
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(path.read_text() + message if path.exists() else message)
        self._git("add", "-A", at=at)
        self._git("commit", "-q", "--allow-empty", "-m", message, at=at)
        return self._git("rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "repository")


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    now = START + timedelta(days=100)
    with Memory.open(tmp_path / "store", embedder="none", clock=lambda: now) as opened:
        yield opened


def outcomes(memory: Memory) -> dict[str | None, float | None]:
    return {event.context: event.outcome for event in memory.events()}


def test_what_was_reverted_or_soon_fixed_has_failed(repository: Repository, memory: Memory) -> None:
    gone = repository.commit("feat: cache all", 0, "src/cache.py")
    repository.commit("feat: parse dates", 5, "src/dates.py", "tests/test_dates.py")
    repository.commit(f"Revert feat\n\nThis reverts commit {gone}.", 10, "src/cache.py")
    repository.commit("refactor: split", 20, "src/parser.py", "src/lexer.py")
    repository.commit("fix: parser loses commas", 21, "src/parser.py")
    repository.commit("docs: explain", 99, "README.md")
    report = import_history(memory, repository.folder)
    assert report.read == {"commits": 6, "reverted": 1, "followed by a fix": 1, "too young": 1}
    assert outcomes(memory) == {
        "feat: cache all": 0.0,
        "feat: parse dates": 1.0,
        "Revert feat": 1.0,
        "refactor: split": 0.0,
        "fix: parser loses commas": 1.0,
    }
    names = {pattern.description for pattern in memory.patterns()}
    assert {
        "feat in src, with tests",
        "feat in src, without tests",
    } <= names


def test_a_revert_that_was_reverted_stands_again(repository: Repository, memory: Memory) -> None:
    first = repository.commit("feat: one", 0, "a.py")
    back = repository.commit(f"Revert\n\nThis reverts commit {first}.", 5, "a.py")
    repository.commit(f"Reapply\n\nThis reverts commit {back[:10]}.", 9, "a.py")
    import_history(memory, repository.folder)
    assert outcomes(memory) == {"feat: one": 1.0, "Revert": 0.0, "Reapply": 1.0}


def test_importing_again_adds_what_is_new(repository: Repository, memory: Memory) -> None:
    repository.commit("feat: one", 0, "a.py")
    assert import_history(memory, repository.folder, dry_run=True).written["events"] == 1
    assert memory.stats().events == 0
    import_history(memory, repository.folder)
    repository.commit("feat: two", 5, "b.py")
    assert import_history(memory, repository.folder).written["events"] == 1


def test_what_is_reverted_after_it_was_imported_is_corrected(
    repository: Repository, memory: Memory
) -> None:
    first = repository.commit("feat: one", 0, "a.py")
    import_history(memory, repository.folder)
    repository.commit(f"Revert\n\nThis reverts commit {first}.", 9, "a.py")
    import_history(memory, repository.folder)
    assert outcomes(memory)["feat: one"] == 0.0


def test_a_repository_cannot_name_a_program_to_run(repository: Repository, tmp_path: Path) -> None:
    commit = repository.commit("feat: one", 0, "a.py")
    raw = repository._git("cat-file", "commit", commit)
    head, message = raw.split("\n\n", 1)
    signature = "gpgsig -----BEGIN PGP SIGNATURE-----\n \n x\n -----END PGP SIGNATURE-----"
    signed = f"{head}\n{signature}\n\n{message}\n"
    (tmp_path / "commit").write_text(signed)
    made = repository._git("hash-object", "-t", "commit", "-w", str(tmp_path / "commit"))
    repository._git("reset", "-q", "--hard", made)
    evil = tmp_path / "evil"
    evil.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    evil.chmod(0o755)
    repository._git("config", "gpg.program", str(evil))
    repository._git("config", "log.showSignature", "true")
    assert len(commits(repository.folder)) == 1
    assert not (tmp_path / "ran").exists()


def test_odd_messages_and_names_are_read(repository: Repository) -> None:
    repository.commit("fix(x)!: \x1f odd — ünïcode\n\nbody\x1e", 0, "dir with space/ä.py", "-rf")
    repository.commit("plain", 1)
    assert [commit.subject for commit in commits(repository.folder)][-1] == "plain"


def test_what_is_no_repository_is_refused(memory: Memory, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="no history"):
        import_history(memory, tmp_path)
