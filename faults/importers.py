"""All importers fuzzed by coverage: any bytes at all are imported, or refused in one line."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from faults import seeds
from faults.processes import ROOT
from faults.result import Control, Figure, Result, Size, at_least, none_of, not_run

__all__ = ["NAME", "WHAT", "run"]

NAME = "importers"
WHAT = "all importers are given files that a fuzzer grows by coverage"
# Executions in all.
SIZES = {"smoke": 10_000, "full": 1_000_000}
# A Python with atheris, which `make fuzz` makes; atheris is no package of the project.
PYTHON = "WHATWORKS_FUZZ"
WORKERS = 2
LONGEST = 4_096
# An execution that takes longer has hung; memory in MB.
SECONDS, MEGABYTES = 25, 2_048
# How deep the planted fault lies, in bytes, and within how many executions it must be found.
CONTROLS = {"smoke": (2, 100_000), "full": (4, 400_000)}
QUIET = 6 * 3_600
_DONE = re.compile(rb"stat::number_of_executed_units:\s*(\d+)")
_SO_FAR = re.compile(rb"^#(\d+)\t", re.MULTILINE)
_COVERED = re.compile(rb"cov: (\d+)")


@dataclass(frozen=True, slots=True)
class _Ran:
    """What became of one run of the fuzzer."""

    executed: int
    covered: int
    found: tuple[str, ...]
    said: str


def run(size: Size, seed: int, folder: Path) -> Result:
    """Let it run on several processors, then against an importer with a fault."""
    python = os.environ.get(PYTHON, "")
    if not python:
        return not_run(f"no atheris; `make fuzz` installs it apart and sets {PYTHON}")
    if (names := _names(python)) is None:
        return not_run(f"{python} has no atheris for this Python")
    (folder / "seeds").mkdir()
    count = seeds.write(folder / "seeds", folder, {name: first for first, name in reversed(names)})
    (folder / "words").write_text("".join(f'"{word}"\n' for word in _escaped(seeds.WORDS)))
    share = SIZES[size] // WORKERS
    started = [_start(python, folder, n, seed, share) for n in range(WORKERS)]
    ran = [_ended(process, folder / f"worker-{n}") for n, process in enumerate(started)]
    executed = sum(one.executed for one in ran)
    found = [name for one in ran for name in one.found]
    broken = [one.said for one in ran if not one.executed]
    crashes = [name for name in found if name.startswith(("crash-", "leak-"))]
    others = [name for name in found if name.startswith(("timeout-", "oom-"))]
    figures = (
        at_least("executions", executed, SIZES[size], ""),
        Figure("branches reached", max(one.covered for one in ran), "", "", held=True),
        none_of("crashes, and errors that are none of ours", len(crashes) + len(broken), executed),
        none_of(f"longer than {SECONDS} s, or more than {MEGABYTES:,} MB", len(others), executed),
    )
    options = (
        f"{count} seeds, {len(seeds.WORDS)} words, {WORKERS} workers, files of at most {LONGEST:,} B"
    )
    return Result(figures, options, _control(python, folder, seed, size), (*broken, *found))


def _names(python: str) -> list[tuple[int, str]] | None:
    """Which importer each first byte stands for, as the target has it."""
    code = "from faults.fuzzing import chosen\nfor n in range(256): print(n, chosen(n)[0])"
    done = subprocess.run(
        [python, "-c", code], cwd=ROOT, env=_environment(), capture_output=True, check=False
    )
    if done.returncode:
        return None
    pairs = (line.split(" ", 1) for line in done.stdout.decode().splitlines())
    return [(int(first), name) for first, name in pairs]


def _escaped(words: Sequence[str]) -> list[str]:
    return [word.replace('"', '\\"') for word in words]


def _environment(**more: str) -> dict[str, str]:
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    return {**os.environ, "PYTHONPATH": path, **more}


def _start(
    python: str, folder: Path, n: int, seed: int, runs: int, **environment: str
) -> subprocess.Popen[bytes]:
    own = folder / f"worker-{n}"
    (own / "corpus").mkdir(parents=True)
    words = [
        python, "-m", "faults.fuzzing", str(own / "corpus"), str(folder / "seeds"),
        f"-runs={runs}", f"-seed={seed + n}", f"-max_len={LONGEST}", f"-timeout={SECONDS}",
        f"-rss_limit_mb={MEGABYTES}", f"-dict={folder / 'words'}", f"-artifact_prefix={own}/",
        "-print_final_stats=1", "-len_control=20",
    ]  # fmt: skip
    with (own / "log").open("wb") as log:
        return subprocess.Popen(
            words, cwd=ROOT, env=_environment(**environment), stdout=log, stderr=subprocess.STDOUT
        )


def _ended(process: subprocess.Popen[bytes], own: Path) -> _Ran:
    process.wait(QUIET)
    log = (own / "log").read_bytes()
    # One that was interrupted has run as often as it says last.
    done, covered = _DONE.findall(log) or _SO_FAR.findall(log), _COVERED.findall(log)
    found = tuple(
        f"{path.name}: {path.read_bytes()[:60]!r}"
        for path in sorted(own.iterdir())
        if path.name.startswith(("crash-", "timeout-", "oom-", "leak-"))
    )
    said = log.decode(errors="replace").strip().splitlines()
    if found:
        found += tuple(line for line in said if "rror" in line or line.startswith("=="))[:5]
    return _Ran(
        int(done[-1]) if done else 0,
        int(covered[-1]) if covered else 0,
        found,
        " ".join(said[-3:])[:300],
    )


def _control(python: str, folder: Path, seed: int, size: Size) -> Control:
    """An importer that fails behind bytes that no seed has must be found out."""
    depth, most = CONTROLS[size]
    process = _start(python, folder, WORKERS, seed, most, WHATWORKS_PLANTED=str(depth))
    ran = _ended(process, folder / f"worker-{WORKERS}")
    said = f"after {ran.executed:,} executions" if ran.found else f"not in {most:,} executions"
    return Control("an importer with a planted fault", bool(ran.found), said)
