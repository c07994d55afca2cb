"""Ports are taken before anybody is told of them."""

from __future__ import annotations

import socket

import pytest

from whatworks import StoreError, ports


def test_who_connects_as_soon_as_a_port_is_taken_is_not_refused() -> None:
    [taken] = ports.taken("127.0.0.1", 0)
    with taken:
        socket.create_connection(taken.getsockname(), timeout=5).close()


def test_a_name_is_listened_to_at_each_of_its_addresses() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    taken = ports.taken("localhost", port)
    try:
        at = {one.getsockname()[0] for one in taken}
        assert "127.0.0.1" in at and at <= {"127.0.0.1", "::1"}
    finally:
        for one in taken:
            one.close()


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-machine.invalid"])
def test_a_host_that_is_not_this_machine_is_told_in_one_line(host: str) -> None:
    with pytest.raises(StoreError, match=f"^port 80 cannot be used on {host}: .+--port$"):
        ports.taken(host, 80)


@pytest.mark.parametrize("port", [-1, 99_999])
def test_a_port_that_is_none_is_told(port: int) -> None:
    with pytest.raises(StoreError, match=f"^port {port} cannot be used on 127.0.0.1: .+--port$"):
        ports.taken("127.0.0.1", port)


def test_where_one_address_is_taken_the_others_are_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    def both(*_: object, **__: object) -> list[tuple[int, int, int, str, tuple[str, int]]]:
        return [(socket.AF_INET, 0, 0, "", (name, 0)) for name in ("127.0.0.2", "127.0.0.1")]

    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with monkeypatch.context() as patched:
            patched.setattr(socket, "getaddrinfo", both)  # a name of two addresses
            with pytest.raises(StoreError, match="cannot be used"):
                ports.taken("localhost", port)
        [again] = ports.taken("127.0.0.2", port)
        again.close()
