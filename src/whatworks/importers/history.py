"""A git history: each commit is a try of its kind of change, and one that was reverted has failed.

The kind of change is what the message says first, as far as it follows a
convention ("fix:", "refactor(parser):"), with the folder where most of the
change lies. Commits that a later one reverts by name have failed, as have
those that a fix of the same files follows within two days; those younger than
that are left for the next time. What is reverted later is corrected then.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath

from whatworks.errors import InvalidInputError
from whatworks.ids import content_id
from whatworks.importers import origin
from whatworks.importers.intake import Intake
from whatworks.importers.report import At, Report
from whatworks.memory import Memory
from whatworks.readers.items import printable
from whatworks.records import NewEvent, NewPattern
from whatworks.redaction import Secrets
from whatworks.text import clean_text

__all__ = ["Commit", "commits", "import_history"]

PATTERN_TYPE = "change"
# A fix of the same files within this time says that the change was not right.
FOLLOWED_BY_FIX = timedelta(days=2)
# A commit of more files is a move or a merge: nothing follows from what it touches.
MOST_FILES = 100
SECONDS = 600
# A repository's own settings may name a program that verifies signatures, and places to fetch from.
GIT = ("git", "-c", "core.quotepath=false", "-c", "log.showSignature=false")
ENVIRONMENT = {"GIT_NO_LAZY_FETCH": "1", "GIT_ALLOW_PROTOCOL": "none", "GIT_TERMINAL_PROMPT": "0"}
_KIND = re.compile(
    r"^(build|chore|ci|docs|feat|fix|perf|refactor|revert|style|test)(?:\([^)]*\))?!?:\s", re.IGNORECASE
)
_FIX = re.compile(r"^(?:hot)?fix\b|\bfix(?:es|ed)?\b|\bbug\b|\bregression\b", re.IGNORECASE)
_REVERTS = re.compile(r"This reverts commit ([0-9a-f]{7,40})")


@dataclass(frozen=True, slots=True)
class Commit:
    """One commit; ``files`` as far as it has at most ``MOST_FILES``."""

    name: str
    at: datetime
    author: str
    subject: str
    body: str
    files: tuple[str, ...]

    @property
    def is_fix(self) -> bool:
        """Whether its subject says that it repairs something."""
        return bool(_FIX.search(self.subject))


def import_history(
    memory: Memory,
    repository: str | Path,
    *,
    since: str | None = None,
    dry_run: bool = False,
    progress: Callable[[int], object] | None = None,
) -> Report:
    """Import the commits of a repository's present branch, the oldest first; merges are left out.

    Parameters
    ----------
    repository
        A folder inside it.
    since
        As ``git log --since`` takes it, such as ``"1 year ago"``.
    dry_run
        Find out what would be written, and write nothing.
    progress
        Called with the number of commits taken since the last call.

    Raises
    ------
    InvalidInputError
        It is no git repository, or git is not installed.
    """
    report = Report(read={"commits": 0, "reverted": 0, "followed by a fix": 0, "too young": 0})
    found = commits(Path(repository), since=since)
    # The name of the newest commit stands for all before it.
    head = found[-1].name if found else ""
    label = origin.named(Path(repository).resolve().name, head, memory.secrets)
    intake = Intake(memory, report, dry_run=dry_run, checked=True, label=label)
    reverted = _reverted(found)
    now, taken = memory.clock(), list[tuple[Commit, NewPattern, NewEvent]]()
    for place, commit in enumerate(found):
        report.read["commits"] += 1
        outcome = 1.0
        if commit.name in reverted:
            outcome = 0.0
            report.read["reverted"] += 1
        elif _followed(found, place):
            outcome = 0.0
            report.read["followed by a fix"] += 1
        elif commit.at > now - FOLLOWED_BY_FIX:
            report.read["too young"] += 1
            continue
        taken.append((commit, *_records(commit, outcome, memory.secrets)))
    if not dry_run:
        _correct(memory, {event.event_id or "": event for _, _, event in taken})
    for place, (commit, pattern, event) in enumerate(taken):
        intake.event(At(printable(repository), commit.name[:12]), event, pattern=pattern)
        if progress and place % 100 == 0:
            progress(100)
    intake.finish()
    return report


def _records(commit: Commit, outcome: float, secrets: Secrets) -> tuple[NewPattern, NewEvent]:
    description = _described(commit)
    pattern = NewPattern(description, PATTERN_TYPE, pattern_id=content_id(PATTERN_TYPE, description))
    event = NewEvent(
        pattern.pattern_id or "",
        outcome=outcome,
        context=clean_text(secrets.redacted(commit.subject), max_bytes=1_000) or None,
        timestamp=commit.at,
        event_id=f"git-{commit.name[:24]}",
        session_id=f"git-{commit.at:%Y-%m-%d}",
        files=[name[:1_000] for name in commit.files],
    )
    return pattern, event


def _correct(memory: Memory, events: Mapping[str, NewEvent]) -> None:
    """Commits that were taken for good, and were reverted since."""
    for name, known in memory.get_events(list(events)).items():
        if known.outcome not in (None, events[name].outcome):
            memory.resolve(name, outcome=events[name].outcome, checked=True)


def _described(commit: Commit) -> str:
    kind = _KIND.match(commit.subject)
    word = kind[1].lower() if kind else "fix" if commit.is_fix else "change"
    folders = Counter(str(PurePosixPath(name).parent) for name in commit.files)
    if not folders:
        return f"{word} without files"
    (folder, _), *_ = folders.most_common(1)
    tests = any("test" in name.lower() for name in commit.files)
    return f"{word} in {clean_text(folder)}, {'with' if tests else 'without'} tests"


def _reverted(found: Sequence[Commit]) -> set[str]:
    """The commits that a later one takes back; taking a revert back restores them."""
    names = {commit.name for commit in found}
    gone: dict[str, str] = {}
    for commit in found:
        for short in _REVERTS.findall(commit.body):
            whole = next((name for name in names if name.startswith(short)), None)
            if whole is None:
                continue
            if whole in gone.values():  # what it took back stands again
                gone = {name: by for name, by in gone.items() if by != whole}
            gone[whole] = commit.name
    return set(gone)


def _followed(found: Sequence[Commit], place: int) -> bool:
    """Whether a fix of mostly the same files came soon after the commit at ``place``."""
    commit = found[place]
    if not commit.files or commit.is_fix:
        return False
    mine = set(commit.files)
    for nth in range(place + 1, len(found)):
        other = found[nth]
        if other.at - commit.at > FOLLOWED_BY_FIX:
            return False
        if other.is_fix and other.files and len(mine & set(other.files)) * 2 >= len(set(other.files)):
            return True
    return False


def commits(repository: Path, *, since: str | None = None) -> list[Commit]:
    """The commits of the present branch, the oldest first, without merges."""
    form = "%x1e%H%x1f%at%x1f%an%x1f%s%x1f%b%x1f"
    words = [
        *GIT,
        "-C",
        str(repository),
        "log",
        "--no-merges",
        "--reverse",
        "--name-only",
    ]
    words += [f"--format={form}", *(["--since", since] if since else [])]
    try:
        done = subprocess.run(
            words,
            capture_output=True,
            timeout=SECONDS,
            check=True,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **ENVIRONMENT},
        )
    except subprocess.TimeoutExpired as error:
        raise InvalidInputError(
            f"git took more than {SECONDS} s to read {repository}; give a part with since"
        ) from error
    except FileNotFoundError as error:
        raise InvalidInputError("git is not installed; install it to import a history") from error
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip().splitlines()
        raise InvalidInputError(f"{repository} has no history that git can read: {said[:1]}") from error
    return list(_parsed(done.stdout.decode(errors="replace")))


def _parsed(log: str) -> Iterator[Commit]:
    for record in log.split("\x1e")[1:]:
        fields = record.split("\x1f")
        if len(fields) != 6:  # a message with our separators in it
            continue
        name, at, author, subject, body, files = fields
        named = tuple(line for line in files.splitlines() if line.strip())
        moment = datetime.fromtimestamp(int(at), UTC)
        yield Commit(name, moment, author, subject, body, named if len(named) <= MOST_FILES else ())
