"""An S3 server for tests, moto's, which a virtual environment of its own has; see the Makefile."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

__all__ = ["S3"]

SECONDS = 60.0
MISSING = (
    "there is no moto_server: make test-team installs it beside the environment that tests run in; "
    "$WHATWORKS_MOTO_SERVER names another one"
)


class S3:
    """A server with an empty bucket ``memory``."""

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        self.endpoint = f"http://127.0.0.1:{port}"
        words = [_program(), "-H", "127.0.0.1", "-p", port]
        self._process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + SECONDS
        while not self._answers():
            if time.monotonic() > deadline or self._process.poll() is not None:
                self.close()
                raise RuntimeError("the S3 server did not start")
            time.sleep(0.1)
        self.environment = {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": "ada",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": "us-east-1",
        }

    def _answers(self) -> bool:
        try:
            self._ask("PUT", "memory")
        except OSError:
            return False
        return True

    def _ask(self, method: str, path: str) -> None:
        request = urllib.request.Request(f"{self.endpoint}/{path}", method=method)
        urllib.request.urlopen(request, timeout=10).close()

    def close(self) -> None:
        """End it; what it held is gone."""
        self._process.terminate()
        self._process.wait(20)


def _program() -> str:
    beside = Path(f"{sys.prefix}-s3") / "bin" / "moto_server"
    found = os.environ.get("WHATWORKS_MOTO_SERVER") or (str(beside) if beside.is_file() else None)
    program = found or shutil.which("moto_server")
    if program is None:
        raise RuntimeError(MISSING)
    return program
