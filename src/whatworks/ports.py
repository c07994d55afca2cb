"""Ports of this machine, taken before anybody is told of them."""

from __future__ import annotations

import errno
import os
import socket
from contextlib import ExitStack

from whatworks.errors import StoreError

__all__ = ["taken"]

BACKLOG = 128
# What a machine without IPv6 says of the second address of a name such as localhost.
_NONE_SUCH = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)


def taken(host: str, port: int) -> list[socket.socket]:
    """Sockets that listen at every address of ``host``, so that a client may connect at once.

    Parameters
    ----------
    port
        0 takes a free one, where the host has one address.

    Raises
    ------
    StoreError
        Another program has the port, or it cannot be used here.
    """
    try:
        # Without the port: of one that is none it would take the lower bits.
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        places = [(family, (at[0], port, *at[2:])) for family, *_, at in found]
        return _listening(list(dict.fromkeys(places)))
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise StoreError(
            f"port {port} cannot be used on {host}: {why}; give another one with --port"
        ) from error


def _listening(addresses: list[tuple[int, tuple[object, ...]]]) -> list[socket.socket]:
    made: list[socket.socket] = []
    with ExitStack() as undo:
        missing: OSError | None = None
        for family, address in addresses:
            try:
                made.append(undo.enter_context(_bound(family, address)))
            except OSError as error:
                if error.errno not in _NONE_SUCH:
                    raise
                missing = error
        if missing is not None and not made:
            raise missing
        for one in made:
            one.listen(BACKLOG)
        undo.pop_all()
    return made


def _bound(family: int, address: tuple[object, ...]) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        if os.name == "posix":  # elsewhere it would let two programs listen at once
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:  # else it would take the port of IPv4, too
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind(address)
    except BaseException:
        made.close()
        raise
    return made
