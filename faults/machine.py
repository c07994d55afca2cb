"""What the figures depend on: processor, kernel, file system, versions."""

from __future__ import annotations

import os
import platform
import subprocess
import tempfile
from importlib.metadata import version
from pathlib import Path

from faults.processes import ROOT

__all__ = ["machine"]


def machine() -> str:
    """One line."""
    return (
        f"{_processor()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}, "
        f"{_file_system(Path(tempfile.gettempdir()).resolve())}, Python {platform.python_version()}, "
        f"DuckDB {version('duckdb')}, Lance {version('pylance')}, commit {_commit()}"
    )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _file_system(folder: Path) -> str:
    """The kind of file system that a folder is on: that of the longest mount point above it."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    above = [(len(where), kind) for _, where, kind, *_ in mounts if folder.is_relative_to(where)]
    return max(above)[1]


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty=, with changes"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()
