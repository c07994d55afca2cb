"""Where the server listens, and that no token crosses a network in the clear unless one says so."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn

from support.spaces import HEADERS, filled, opened
from whatworks import InvalidInputError
from whatworks.mcp.address import Address
from whatworks.mcp.pool import Pool
from whatworks.mcp.serving import spaces_app
from whatworks.spaces import tokens
from whatworks.spaces.tokens import Keys


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    words = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    words += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    subprocess.run(
        ["openssl", *words, "-keyout", str(key), "-out", str(cert)], check=True, capture_output=True
    )
    key.chmod(0o600)
    return cert, key


@pytest.mark.parametrize("port", [0, -1, 65_536, 99_999])
def test_a_port_that_is_none_is_refused(port: int) -> None:
    with pytest.raises(InvalidInputError, match="expected 1 to 65535"):
        Address(port)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "memory.example.org", "2001:db8::1"])
def test_other_machines_are_served_by_tls_or_through_a_proxy_alone(
    host: str, pair: tuple[Path, Path]
) -> None:
    names = ["memory.example.org:1"]
    with pytest.raises(InvalidInputError, match="--tls-cert and --tls-key, or --behind-proxy"):
        Address(1, host, hosts=names)
    assert Address(1, host, hosts=names, behind_proxy=True).scheme == "http"
    assert Address(1, host, hosts=names, cert=pair[0], key=pair[1]).scheme == "https"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.1.2.3"])
def test_the_loopback_needs_no_tls(host: str) -> None:
    assert Address(1, host).url.startswith("http://")


def test_who_listens_everywhere_says_what_clients_call_it() -> None:
    with pytest.raises(InvalidInputError, match="--allow-host"):
        Address(1, "0.0.0.0", behind_proxy=True)
    allowed = Address(1, "0.0.0.0", hosts=["m.example:1"], behind_proxy=True).security()
    assert "0.0.0.0:1" not in allowed.allowed_hosts
    assert "m.example:1" in allowed.allowed_hosts
    assert Address(1, "::1").security().allowed_hosts == ["127.0.0.1:1", "localhost:1", "[::1]:1"]


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "::0", "0:0::0", "::ffff:0.0.0.0", "::%lo"])
def test_every_way_to_write_every_address_is_one(host: str) -> None:
    with pytest.raises(InvalidInputError, match="--allow-host"):
        Address(1, host, behind_proxy=True)


@pytest.mark.parametrize(
    "host",
    ["", " ", "0", "0x0", "0x", "127.1", "2130706433", "a.0", "[::1]", "a b", "a/b", "a\n", "a..0x7f."],
)
def test_what_is_no_plain_address_or_name_is_refused(host: str) -> None:
    with pytest.raises(InvalidInputError, match="expected an address"):
        Address(1, host, hosts=["m.example:1"], behind_proxy=True)


def test_names_of_machines_are_taken() -> None:
    for host in ("localhost", "memory", "memory.example.org", "memory_1", "7up.example", "0x0.example"):
        assert Address(1, host, behind_proxy=True).host == host


def test_half_a_pair_or_none_is_refused(pair: tuple[Path, Path], tmp_path: Path) -> None:
    cert, key = pair
    with pytest.raises(InvalidInputError, match="needs both"):
        Address(1, cert=cert)
    with pytest.raises(InvalidInputError, match="no certificate and its key"):
        Address(1, cert=key, key=key)
    with pytest.raises(InvalidInputError, match="no certificate and its key"):
        Address(1, cert=cert, key=tmp_path / "nothing.pem")
    shown = tmp_path / "shown.pem"
    shown.write_bytes(key.read_bytes())
    shown.chmod(0o644)
    with pytest.raises(InvalidInputError, match="everybody may read"):
        Address(1, cert=cert, key=shown)


def test_a_key_with_a_password_is_refused_and_asks_nobody(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    locked = tmp_path / "locked.pem"
    words = ["rsa", "-aes256", "-passout", "pass:secret", "-in", str(pair[1]), "-out", str(locked)]
    subprocess.run(["openssl", *words], check=True, capture_output=True)
    locked.chmod(0o600)
    with pytest.raises(InvalidInputError, match="without a password"):
        Address(1, cert=pair[0], key=locked)


def test_over_tls_it_answers_and_in_the_clear_it_does_not(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    filled(tmp_path / "root", "web")
    _, secret = tokens.add(tmp_path / "root", "ada", ["web"])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = Address(port, cert=pair[0], key=pair[1])
    app = spaces_app(Pool(tmp_path / "root", opened), Keys(tmp_path / "root"), address=address)
    server = uvicorn.Server(
        uvicorn.Config(app, log_level="error", host=address.host, port=address.port, **address.tls())
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        request: dict[str, Any] = {
            "json": {"jsonrpc": "2.0", "id": 1, "method": "tools/list"},
            "headers": HEADERS | {"authorization": f"Bearer {secret}"},
        }
        trusted = ssl.create_default_context(cafile=os.fspath(pair[0]))
        found = httpx2.post(f"https://127.0.0.1:{port}/mcp", verify=trusted, **request)
        assert found.status_code == 200
        assert "suggest_pattern" in found.text
        with pytest.raises(httpx2.TransportError):
            httpx2.post(f"http://127.0.0.1:{port}/mcp", **request)
    finally:
        server.should_exit = True
        thread.join(10)
