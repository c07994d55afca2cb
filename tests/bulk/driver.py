"""Embeds what waits in a store by a Ray of its own, and says how far it is: ``driver.py STORE``."""

import sys
from pathlib import Path

from models import Slow

from whatworks import Memory
from whatworks.bulk import RayPool


def main(store: Path) -> None:
    with RayPool(workers=1) as pool, Memory.open(store, embedder=Slow()) as memory:
        memory.flush(progress=lambda count: print(count, flush=True), pool=pool)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
