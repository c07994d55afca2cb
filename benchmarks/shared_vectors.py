"""How soon a new machine of a team answers: ``python -m benchmarks.shared_vectors``.

One machine knows many approaches, has embedded them, and has put the vectors on S3. Others join, one
after another: half of them take the vectors from there, half embed everything themselves. Server and
storage are of our own (moto's, a Python program, takes the place of S3), on the same processors.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter, process_time

from whatworks import Memory
from whatworks.team import applying, lending, membership, shared, syncing
from whatworks.team.bucket import Bucket
from whatworks.team.exchange import exchanging

TEXTS, ROUNDS = 20_000, 3
URL = "s3://memory/vectors"
QUESTION = "the import of a module fails in the build"
WORDS = ("parser", "engine", "client", "store", "import", "cache", "socket", "report", "budget")


def text(n: int) -> str:
    """An approach in some ninety characters, each another one."""
    one, two, three = (WORDS[n // len(WORDS) ** power % len(WORDS)] for power in range(3))
    return (
        f"Run the tests of the {one}, mend what the {two} complains of, and try the {three} again ({n})"
    )


def fill(folder: Path, url: str, count: int) -> None:
    """The machine that begins the team, and puts its vectors there."""
    Memory.open(folder).close()
    membership.init(folder, url, name="ada")
    shared.give(folder, URL)
    with exchanging(folder), Memory.open(folder) as memory:  # so that it does not exchange by itself
        start, used = perf_counter(), process_time()
        memory.add_patterns(text(n) for n in range(count))
        memory.flush()
        spent = f"{perf_counter() - start:.1f} s, {process_time() - used:.1f} s of processors"
        print(f"added and embedded in {spent}", flush=True)
    applying.EVERY_SECONDS = 0.0
    syncing.sync(folder)
    start = perf_counter()
    syncing.sync(folder)  # now that it has fetched what it shipped itself
    spent = perf_counter() - start
    found = membership.status(folder).vectors
    assert found is not None and found.vectors == count and not found.behind, found
    bucket = Bucket(URL)
    size = sum(len(bucket.get(name)) for name in bucket.names(""))
    print(f"put there in {spent:.1f} s, {size / 1e6:.1f} MB", flush=True)


def joined(folder: Path, url: str, *, takes: bool) -> tuple[float, float, float]:
    """Seconds until a new machine has the journal, until it then has answered, of processors."""
    few = lending.FEW
    lending.FEW = few if takes else sys.maxsize
    try:
        start, used = perf_counter(), process_time()
        membership.join(folder, url, name=folder.name)
        syncing.sync(folder)
        middle = perf_counter()
        with exchanging(folder), Memory.open(folder) as memory:
            assert memory.find_similar(QUESTION, limit=1)
            end = perf_counter()
            taken = memory.stats().vectors["shared"]["taken"]
            assert bool(taken) is takes, taken
        return middle - start, end - middle, process_time() - used
    finally:
        lending.FEW = few


def main() -> None:
    """Print what docs/team.md says."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.shared_vectors")
    parser.add_argument("--texts", type=int, default=TEXTS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    given = parser.parse_args()
    sys.path.append(str(Path(__file__).parents[1] / "tests"))
    from support.postgres import Postgres
    from support.s3 import S3

    server, storage = Postgres(), S3()
    os.environ.update(storage.environment)
    try:
        server.start()
        url = server.create("vectors")
        with TemporaryDirectory(prefix="whatworks-vectors-") as name:
            fill(Path(name) / "ada", url, given.texts)
            found: dict[bool, list[tuple[float, float, float]]] = {True: [], False: []}
            for n in range(given.rounds):
                for takes, times in found.items():
                    folder = Path(name) / f"{'takes' if takes else 'embeds'}-{n}"
                    times.append(joined(folder, url, takes=takes))
                    print(folder.name, *(f"{spent:.2f} s" for spent in times[-1]), flush=True)
    finally:
        server.close()
        storage.close()
    print(f"\n| {given.texts:,} texts | journal fetched | first answer | processor time |")
    print("|---|---|---|---|")
    for takes, times in found.items():
        how = "takes the vectors" if takes else "embeds by itself"
        fetched, answered, used = (median(column) for column in zip(*times, strict=True))
        print(f"| {how} | {fetched:.1f} s | {answered:.1f} s | {used:.1f} s |")
    print(f"\nmedians of {given.rounds}; {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
