"""Small file systems that go away with this process, however it ends."""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["keep_to_ourselves", "may_mount", "mounted"]

CLONE_NEWNS = 0x00020000
_private = False


def keep_to_ourselves() -> None:
    """Give this process mounts of its own: the kernel undoes them when it and its children are gone."""
    global _private
    if ctypes.CDLL(None).unshare(CLONE_NEWNS) != 0:
        return
    command = ["mount", "--make-rprivate", "/"]
    _private = subprocess.run(command, capture_output=True, check=False).returncode == 0


def may_mount() -> bool:
    """Whether this process can mount: it must be root, with a mount namespace of its own."""
    return _private


@contextmanager
def mounted(folder: Path, *options: str) -> Iterator[Path]:
    """``mount OPTIONS... folder`` for a while; a loop device is freed by the kernel with its mount."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", *options, str(folder)], check=True, capture_output=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
