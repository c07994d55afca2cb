"""Named points at which a test lets the process die, to see what the next one finds.

``WHATWORKS_FAIL=journal.synced:3`` ends the process, as ``kill -9`` would, when it
comes to that point for the third time. Without the variable a point costs a
comparison. The points are listed in ``docs/reliability.md``.
"""

from __future__ import annotations

import os
import threading

__all__ = ["reached"]

_wanted, _, _times = os.environ.get("WHATWORKS_FAIL", "").partition(":")
_left = int(_times or 1)
_lock = threading.Lock()


def reached(point: str) -> None:
    """Die here if the environment says so."""
    if not _wanted or point != _wanted:
        return
    global _left
    with _lock:
        _left -= 1
        if _left == 0:
            os._exit(9)
