"""``python -m faults smoke|full [--seed N] [--only SUITE ...] [--write]``, or ``points``."""

from __future__ import annotations

import argparse
import signal
import sys

from faults import page, running
from faults.mounts import keep_to_ourselves


def main() -> int:
    """Run the suites; 1 if something was lost or a null control was not found out."""
    parser = argparse.ArgumentParser(prog="python -m faults", description="Fault tests of whatworks.")
    parser.add_argument("size", choices=("smoke", "full", "points"))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", nargs="+", choices=running.SUITES, metavar="SUITE")
    parser.add_argument("--write", action="store_true", help="write the figures into the documentation")
    given = parser.parse_args()
    if given.size == "points":  # no suite: the list of failpoints alone
        page.write([])
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything is cleaned up
    if given.size == "smoke" and not given.write and len(given.only or running.SUITES) > 1:
        return running.abreast(given.size, given.seed, given.only or running.SUITES)
    keep_to_ourselves()
    done = running.run(given.size, given.seed, given.only or running.SUITES)
    if given.write:
        page.write(done)
    unsound = [one for one in done if not one.sound]
    for one in unsound:  # once more at the end, where whoever looks for the reason looks first
        print(*running.lines(one), "", sep="\n", flush=True)
    return 1 if unsound else 0


if __name__ == "__main__":
    sys.exit(main())
