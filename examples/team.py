"""Two agents on two machines share what they learn, by the commands of docs/team.md.

``make demo-team`` starts a PostgreSQL in a temporary folder, types the commands and shows what they
print. Each machine is a store of its own; nothing stays behind.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.support.postgres import Postgres

STEPS = """
# The first machine makes the team, the second one joins it.
team init {url} --name ada --store ada
team join {url} --name bob --store bob
# The agent on ada tries two ways, and one works.
add "Run cargo check, fix the imports it names" --id fix-imports --store ada
add "Delete the lock file and build anew" --id new-lock --store ada
record fix-imports --outcome 1 --context "bad import in lib.rs" --store ada
record fix-imports --outcome 1 --context "unknown crate in lib.rs" --store ada
record new-lock --outcome 0 --context "bad import in build.rs" --store ada
team sync --store ada
# The agent on bob never tried anything, and knows what to do.
team sync --store bob
predict "bad import in main.rs" --store bob
# It does not work there this time, and ada learns of that.
record fix-imports --outcome 0 --context "bad import in main.rs" --store bob
team sync --store bob
team sync --store ada
patterns --store ada
team status --store ada
"""


def main() -> None:
    server = Postgres()
    try:
        server.start()
        url = server.create("memory")
        with TemporaryDirectory(prefix="whatworks-team-") as folder:
            for line in STEPS.strip().splitlines():
                _say(line) if line.startswith("#") else _type(line.format(url=url), Path(folder))
    finally:
        server.close()


def _say(line: str) -> None:
    print(f"\n{line}", flush=True)


def _type(command: str, folder: Path) -> None:
    """Show a command of whatworks, and do it."""
    print(f"$ whatworks {command}", flush=True)
    own = {"XDG_DATA_HOME": str(folder / "data"), "WHATWORKS_STORE": ""}
    words = [sys.executable, "-m", "whatworks", *shlex.split(command)]
    subprocess.run(words, cwd=folder, env=os.environ | own, check=True)


if __name__ == "__main__":
    main()
