"""What stands for a Qdrant server: its client's own local mode, the same calls without a network."""

from __future__ import annotations

import threading
from typing import Any

from qdrant_client import QdrantClient

__all__ = ["Served"]


class Served:
    """What a server does that local mode does not: answers threads, and outlives its clients."""

    def __init__(self, local: QdrantClient) -> None:
        self._local, self._lock = local, threading.Lock()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._local, name)

        def call(*given: Any, **named: Any) -> Any:
            with self._lock:
                return method(*given, **named)

        return call

    def close(self) -> None:
        pass
