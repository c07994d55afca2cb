"""``whatworks ui`` as a process."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# A sandbox of its own cannot be had in a container; nothing of the browser may ask the network.
LAUNCH = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


@contextmanager
def served(store: Path) -> Iterator[str]:
    """The address of the inspector of a store."""
    words = [sys.executable, "-m", "whatworks", "ui", "--no-open", "--json", "--store", str(store)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield str(json.loads("".join(process.stdout.readline() for _ in range(3)))["url"])
        finally:
            process.terminate()
