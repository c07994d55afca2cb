"""The inspector on the loopback, until Ctrl-C."""

from __future__ import annotations

from collections.abc import Callable

import uvicorn

from whatworks import ports
from whatworks.memory import Memory
from whatworks.ui.app import build
from whatworks.ui.guard import Session

__all__ = ["HOST", "serve"]

HOST = "127.0.0.1"
# How long Ctrl-C waits for answers that are under way.
SHUTDOWN_SECONDS = 2


def serve(memory: Memory, *, port: int, ready: Callable[[str], object]) -> None:
    """Serve a memory on ``127.0.0.1`` until the process is interrupted.

    Parameters
    ----------
    port
        0 takes a free one.
    ready
        Called with the address, which opens once, as soon as it can be opened.

    Raises
    ------
    StoreError
        The port is taken.
    """
    session = Session()
    [taken] = ports.taken(HOST, port)
    with taken:
        actual = int(taken.getsockname()[1])
        app = build(memory, session, port=actual)
        config = uvicorn.Config(
            app,
            log_level="warning",
            server_header=False,
            lifespan="off",
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        )
        ready(f"http://{HOST}:{actual}/?token={session.token}")
        uvicorn.Server(config).run(sockets=[taken])
