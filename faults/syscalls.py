"""A process dies, or is refused, at a chosen system call on the store's files."""

from __future__ import annotations

import re
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice, zip_longest
from pathlib import Path
from random import Random
from subprocess import TimeoutExpired

from faults.acknowledged import Acknowledged, examined, reopened, stored_tries
from faults.child import Options, command, opened, say, write_one
from faults.processes import HANGS, Child, started
from faults.result import Control, Result, Size, none_of, not_run
from whatworks import WhatWorksError

__all__ = ["NAME", "WHAT", "run", "script"]

NAME = "syscalls"
WHAT = "SIGKILL, EIO and ENOSPC at single system calls on the store's files, by strace"
POINTS = {"smoke": (16, 12), "full": (300, 200)}
# Not writev: by that the child says what was acknowledged.
CALLS = (
    "write,pwrite64,fsync,fdatasync,rename,renameat,renameat2,link,linkat,unlink,unlinkat,ftruncate,"
    "openat,mkdir"
)
NO_ROOM = {"write", "pwrite64", "openat", "mkdir", "ftruncate"}  # calls that ENOSPC can come from
STEPS = 24
OF_ONE_SCRIPT = 12
AT_ONCE = 2
HUNG = 999
CONTROL_POINTS = 20


@dataclass(frozen=True, slots=True)
class Point:
    """The ``when``-th call of a thread, ``+``: and all later ones; ``fault`` is as strace takes it."""

    seed: str
    call: str
    fault: str
    when: str

    @property
    def kills(self) -> bool:
        return self.fault == "signal=SIGKILL"

    def __str__(self) -> str:
        return f"{self.call}:{self.fault}:when={self.when} (script {self.seed})"


@dataclass(frozen=True, slots=True)
class Found:
    """What came of a point; not ``hit`` if the call was another this time."""

    point: Point
    hit: bool
    wrong: tuple[str, ...] = ()

    def has(self, *kinds: str) -> bool:
        return any(wrong.startswith(kinds) for wrong in self.wrong)


def run(size: Size, seed: int, folder: Path) -> Result:
    """Find the calls by one run, then let one go wrong in each of many."""
    if shutil.which("strace") is None:
        return not_run("needs strace: scripts/fault-tools installs it")
    kills, errors = POINTS[size]
    killed = _tried(folder / "kill", seed, kills, _kills)
    refused = _tried(folder / "error", seed, errors, _errors)
    both = killed + refused
    figures = (
        none_of("kill points with something wrong", _wrong(killed, ""), len(killed)),
        none_of("error points with something acknowledged lost", _wrong(refused, "lost"), len(refused)),
        none_of(
            "error points with a refused write that is there", _wrong(refused, "kept"), len(refused)
        ),
        none_of("error points with an error without a type", _wrong(refused, "untyped"), len(refused)),
        none_of("error points with anything else wrong", _wrong(refused, "other"), len(refused)),
        none_of("points short of the number wanted", kills + errors - len(both), kills + errors),
    )
    calls = sorted({found.point.call for found in both})
    options = f"{kills} kills, {errors} errors, at {', '.join(calls)}"
    notes = tuple(f"{found.point}: {'; '.join(found.wrong)}" for found in both if found.wrong)
    return Result(figures, options, _control(seed, folder), notes)


def _wrong(found: list[Found], kind: str) -> int:
    return sum(one.has(kind) for one in found)


def _tried(
    folder: Path, seed: int, wanted: int, faults: Callable[[str, str, int, Random], Point]
) -> list[Found]:
    """Points that hit the store, as many as wanted if three times as many attempts suffice."""
    found: list[Found] = []
    points = _points(folder, seed, faults)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for _ in range(3 * wanted // AT_ONCE):
            if len(found) >= wanted:
                break
            some = [next(points) for _ in range(AT_ONCE)]
            found += [one for one in pool.map(lambda point: _try(folder, point), some) if one.hit]
    return found[:wanted]


def _points(
    folder: Path, seed: int, faults: Callable[[str, str, int, Random], Point]
) -> Iterator[Point]:
    """Calls on the store in an order that the seed chooses, each kind of call as often as it lasts."""
    random = Random(seed)
    for script_number in range(1_000):
        name = f"{seed}.{script_number}"
        kinds = [random.sample(places, len(places)) for places in _calls(folder / name, name)]
        places = (place for place in chain.from_iterable(zip_longest(*kinds)) if place is not None)
        for call, when in islice(places, OF_ONE_SCRIPT):
            yield faults(name, call, when, random)


def _kills(seed: str, call: str, when: int, random: Random) -> Point:
    return Point(seed, call, "signal=SIGKILL", str(when))


def _errors(seed: str, call: str, when: int, random: Random) -> Point:
    error = random.choice(["EIO", "ENOSPC"] if call in NO_ROOM else ["EIO"])
    return Point(seed, call, f"error={error}", str(when) + random.choice(["", "+"]))


def _calls(folder: Path, seed: str) -> list[list[tuple[str, int]]]:
    """Which calls touch the store when nothing goes wrong: their number within a thread, by kind."""
    store, log = folder / "store", folder / "log"
    with started() as children:
        children.append(_strace(folder, store, seed, log, f"trace={CALLS}"))
        children[0].wait(HANGS)
    count: dict[tuple[str, str], int] = defaultdict(int)
    found: dict[str, set[int]] = defaultdict(set)
    for line in log.read_text(errors="replace").splitlines():
        match = re.match(r"(\d+) +(\w+)\(", line)
        if match is None:
            continue
        thread, call = match.groups()
        count[thread, call] += 1
        if str(store) in line:
            found[call].add(count[thread, call])
    return [[(call, n) for n in sorted(numbers)] for call, numbers in sorted(found.items())]


def _strace(folder: Path, store: Path, seed: str, log: Path, *options: str, guard: str = "") -> Child:
    folder.mkdir(parents=True, exist_ok=True)
    told = [word for option in options for word in ("-e", option)]
    # Lance's runtime writes to descriptors of its own, which a full disk never refuses.
    engine = "lance" if int(seed.rpartition(".")[2]) % 2 else "exact"
    child = command("syscalls.script", store, seed, "--guard", guard, "--vectors", engine)
    return Child(["strace", "-f", "-qq", "-y", "-o", str(log), *told, *child], folder / "said")


def _try(folder: Path, point: Point, guard: str = "") -> Found:
    """Let one call go wrong, and see what the store holds then."""
    here = folder / re.sub(r"\W+", "-", f"{point}{guard}")
    store, log = here / "store", here / "log"
    inject = f"inject={point.call}:{point.fault}:when={point.when}"
    with started() as children:
        child = _strace(here, store, point.seed, log, f"trace={point.call}", inject, guard=guard)
        children.append(child)
        try:
            code = child.wait(HANGS)
        except TimeoutExpired:
            code = HUNG
    hit = _hit(log, store, point)
    wrong = (*_misbehaved(child, code, point), *_missing(child, store)) if hit else ()
    shutil.rmtree(here)
    return Found(point, hit, wrong)


def _hit(log: Path, store: Path, point: Point) -> bool:
    """Whether what went wrong was on the store, and nothing else did."""
    begun: dict[str, str] = {}
    struck = []
    for line in log.read_text(errors="replace").splitlines():
        thread = line.split(" ", 1)[0]
        if line.endswith("<unfinished ...>"):
            begun[thread] = line
        if line.endswith("= ?") if point.kills else "(INJECTED)" in line:
            struck.append(str(store) in line + begun.get(thread, ""))
    return bool(struck) and (any(struck) if point.kills else all(struck))


def _misbehaved(child: Child, code: int, point: Point) -> Iterator[str]:
    """Errors that are not ours, and ends that are not clean."""
    for line in child.lines():
        if line.startswith("untyped"):
            yield line
    printed = child.errors.read_text(errors="replace")
    if not point.kills and ("Traceback" in printed or "panicked" in printed):
        yield f"untyped on stderr: {_last(printed)}"
    if code not in ((-9, 137) if point.kills else (0, 2)):
        ended = f"exit code {code}" if code != HUNG else f"did not end within {HANGS} s"
        yield f"other: {ended}: {_last(printed)}"


def _last(printed: str) -> str:
    return printed.strip().rpartition("\n")[2]


def _missing(child: Child, store: Path) -> Iterator[str]:
    """What is wrong with the store when it is opened again, and after a rebuild."""
    acknowledged = Acknowledged()
    acknowledged.hear(child.lines())
    try:
        with reopened(store) as memory:
            yield from examined(memory, acknowledged).wrongs()
            refused = {line.split()[1] for line in child.lines() if line.startswith("refused-write")}
            for name in sorted(refused & stored_tries(memory)):
                yield f"kept: {name} was refused"
            memory.rebuild()
            yield from (f"{wrong} after a rebuild" for wrong in examined(memory, acknowledged).wrongs())
    except WhatWorksError as error:
        yield f"other: the store does not open: {type(error).__name__}: {error}"


def _control(seed: int, folder: Path) -> Control:
    """Both controls: acknowledged too early and killed, refused and not told."""
    found = [_found_out(folder / "early", seed, "early", _kills)]
    found.append(_found_out(folder / "swallow", seed, "swallow", _errors))
    said = "; ".join(f"something lost at point {n}" if n else "nothing lost" for n in found)
    return Control("a journal that acknowledges early; one that swallows errors", all(found), said)


def _found_out(
    folder: Path, seed: int, guard: str, faults: Callable[[str, str, int, Random], Point]
) -> int:
    """Which attempt is the first at which a store without a guard loses something; 0: none.

    As in ``_tried``, three attempts for each point: a call may be another one this time.
    """
    points = _points(folder, seed, faults)
    for n, point in zip(range(1, 3 * CONTROL_POINTS + 1), points, strict=False):
        if _try(folder, point, guard).has("lost"):
            return n
    return 0


# -- in the child -----------------------------------------------------------------------------------


def script(options: Options) -> None:
    """A short life of a store: made, written to, asked, put in order, closed."""
    memory, random = opened(options), Random(options.seed)
    for n in range(1, STEPS + 1):
        mark = f"{options.seed}-{n}"
        _attempt(partial(write_one, memory, random, mark, n), mark)
        if n % 8 == 0:
            _attempt(partial(memory.predict, "case 1"))
        if n % 12 == 0:
            _attempt(memory.flush)
    _attempt(memory.rebuild)
    _attempt(memory.close)


def _attempt(step: Callable[[], object], mark: str = "") -> None:
    try:
        step()
    except WhatWorksError as error:
        say("refused-write" if mark else "refused", mark or "-", type(error).__name__, error)
