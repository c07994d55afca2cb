"""Embedders that workers load, some of them bad."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from whatworks.bulk import PROBES
from whatworks.testing import HashEmbedder

Vectors = NDArray[np.float32]


class Slow(HashEmbedder):
    """Takes a twentieth of a second for each batch."""

    def __call__(self, texts: list[str], /) -> Vectors:
        threading.Event().wait(0.05)
        return super().__call__(texts)


class Deadly(HashEmbedder):
    """Kills the worker that it is in over a text ``kill``, so often as files in a folder say."""

    def __init__(self, marks: Path, times: int) -> None:
        super().__init__()
        self.marks, self.times = marks, times

    def __call__(self, texts: list[str], /) -> Vectors:
        if "kill" in texts and len(list(self.marks.iterdir())) < self.times:
            (self.marks / str(os.getpid())).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(texts)


class Elsewhere(HashEmbedder):
    """Makes other vectors in other processes: of other words, or by a little."""

    def __init__(self, by: float) -> None:
        super().__init__()
        self.by, self.home = by, os.getpid()

    def __call__(self, texts: list[str], /) -> Vectors:
        made = super().__call__(texts)
        return made if os.getpid() == self.home else made + np.float32(self.by) * np.arange(self.dim)


class Failing(HashEmbedder):
    """Fails over all but the probes."""

    def __call__(self, texts: list[str], /) -> Vectors:
        if texts != PROBES:
            raise ValueError("no such token")
        return super().__call__(texts)


class Bound(HashEmbedder):
    """Cannot leave its process."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()
