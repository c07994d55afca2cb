"""Where the server listens over HTTP, who may call it what, and whether by TLS."""

from __future__ import annotations

import ipaddress
import re
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcp.server.transport_security import TransportSecuritySettings

from whatworks.checks import shown
from whatworks.errors import InvalidInputError

__all__ = ["HOST", "Address"]

HOST = "127.0.0.1"
LOOPBACK = (HOST, "localhost", "[::1]")
# A name of a machine, whose last part is no number: some systems take 0 and 0x0 for every address.
_NAME = re.compile(
    r"(?!.*(?:^|\.)(?:\d+|0[xX][0-9a-fA-F]*)\.?$)[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?\.?"
)


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen.

    ``hosts`` and ``origins`` are allowed beside its own. ``cert`` and ``key`` are PEM files;
    ``behind_proxy`` says that a proxy in front does TLS.

    Raises
    ------
    InvalidInputError
        The port is none, or the host no plain address or name; or tokens would
        cross the network in the clear; or the files of TLS are none, or can be read by everybody.
    """

    port: int
    host: str = HOST
    hosts: Sequence[str] = ()
    origins: Sequence[str] = ()
    cert: Path | None = None
    key: Path | None = None
    behind_proxy: bool = False

    def __post_init__(self) -> None:
        if self._ip is None and not _NAME.fullmatch(self.host):
            raise InvalidInputError(
                f"host is {shown(self.host)}; expected an address such as 192.168.1.2 or ::1, or a name"
            )
        if not 0 < self.port < 65_536:
            raise InvalidInputError(f"port is {self.port}; expected 1 to 65535")
        if (self.cert is None) != (self.key is None):
            raise InvalidInputError("TLS needs both --tls-cert and --tls-key; one of them is missing")
        if self.key is not None and self.cert is not None:
            _require_pair(self.cert, self.key)
        if self._is_loopback:
            return
        if self.cert is None and not self.behind_proxy:
            raise InvalidInputError(
                f"other machines reach host {shown(self.host)}, and tokens would cross the network in "
                "the clear: give --tls-cert and --tls-key, or --behind-proxy where a proxy does TLS"
            )
        if self._is_any and not self.hosts:
            raise InvalidInputError(
                f"host {shown(self.host)} is every address of this machine; say with --allow-host by "
                "which names clients call it, as in memory.example.org:8765"
            )

    @property
    def _ip(self) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
        """The address that the host is; ``None`` for a name."""
        try:
            found = ipaddress.ip_address(self.host)
        except ValueError:
            return None
        # One of IPv4 in the form of IPv6 is what it holds.
        return getattr(found, "ipv4_mapped", None) or found

    @property
    def _is_loopback(self) -> bool:
        return self.host == "localhost" if self._ip is None else self._ip.is_loopback

    @property
    def _is_any(self) -> bool:
        """Whether it is every address of this machine."""
        return self._ip is not None and self._ip.is_unspecified

    @property
    def scheme(self) -> str:
        """``https`` where it does TLS itself."""
        return "http" if self.cert is None else "https"

    @property
    def url(self) -> str:
        """What a client on this machine calls it."""
        return f"{self.scheme}://{self._named(self.host)}/mcp"

    def _named(self, host: str) -> str:
        is_plain_v6 = ":" in host and not host.startswith("[")
        return f"[{host}]:{self.port}" if is_plain_v6 else f"{host}:{self.port}"

    def security(self) -> TransportSecuritySettings:
        """The ``Host`` and ``Origin`` that are answered; all others end in 421 and 403."""
        names = LOOPBACK if self._is_any else (*LOOPBACK, self.host)
        own = list(dict.fromkeys(self._named(name) for name in names))
        return TransportSecuritySettings(
            allowed_hosts=[*own, *self.hosts],
            allowed_origins=[*(f"{self.scheme}://{name}" for name in own), *self.origins],
        )

    def tls(self) -> dict[str, Any]:
        """The options of uvicorn for TLS; none without."""
        if self.cert is None:
            return {}
        return {"ssl_certfile": str(self.cert), "ssl_keyfile": str(self.key)}


def _require_pair(cert: Path, key: Path) -> None:
    """Raise if the files are no certificate with its key, or everybody may read the key."""
    try:
        if key.stat().st_mode & 0o007:
            raise InvalidInputError(f"everybody may read the key {key}: chmod o= {key}")
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(cert, key, password="")
    except (OSError, ValueError) as error:  # what is wrong with PEM files is an OSError, too
        if isinstance(error, InvalidInputError):
            raise
        raise InvalidInputError(
            f"{cert} and {key} are no certificate and its key without a password ({error}); "
            "give PEM files"
        ) from error
