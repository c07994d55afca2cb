"""A machine with a network of its own and one cable to the server's, which can be unplugged."""

from __future__ import annotations

import subprocess
from contextlib import suppress
from os import getpid

from faults.network import Cut

__all__ = ["NETWORK", "Cable"]

# For tests of networks (RFC 2544): no machine has such an address.
NETWORK = "198.18.0.0/15"
# Words of ``ip``, on the server's side and, where they begin with THERE, in the machine's network.
THERE = "there: "
_PLUGGED = (
    "link add {link} type veth peer name eth0 netns {holder}",
    "address add {server}/30 dev {link}",
    "link set {link} up",
    f"{THERE}address add {{machine}}/30 dev eth0",
    f"{THERE}link set eth0 up",
    f"{THERE}link set lo up",
)
_CUTS: dict[Cut, str] = {
    "black hole": "link set {link} down",
    "half open": "route add blackhole {machine}/32",
    "refused": f"{THERE}route add unreachable {{server}}/32",
}
_MENDED = (
    "route del blackhole {machine}/32",
    f"{THERE}route del unreachable {{server}}/32",
    "link set {link} up",
)


class Cable:
    """A network namespace of Linux, and a pair of interfaces that leads into it.

    Unlike behind ``Network``, connections from before a cut go on after it: the kernel sends again
    what was lost.

    Raises
    ------
    OSError
        This process may not make one, or ``ip``, ``unshare`` or ``nsenter`` are missing.
    """

    def __init__(self, number: int, port: int) -> None:
        self.port = port
        # Its network is there as long as this process is, which ends with ours: its input does.
        self._holder = subprocess.Popen(
            ["unshare", "--net", "cat"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        addresses = f"198.18.{getpid() % 250}"
        self.host = f"{addresses}.{4 * number + 1}"
        self._names = {
            "link": f"ww{getpid() % 1_000_000}c{number}",
            "server": self.host,
            "machine": f"{addresses}.{4 * number + 2}",
            "holder": str(self._holder.pid),
        }
        try:
            self._wait_for_holder()
            for words in _PLUGGED:
                self._tell(words)
        except BaseException:
            self.close()
            raise

    def _wait_for_holder(self) -> None:
        """It is in its network once it has become ``cat``."""
        for _ in range(500):
            with open(f"/proc/{self._holder.pid}/comm") as name:
                if name.read().strip() == "cat":
                    return
            with suppress(subprocess.TimeoutExpired):
                self._holder.wait(0.01)
                break
        raise OSError("unshare --net is not permitted here")

    @property
    def inside(self) -> tuple[str, ...]:
        """What to put before a command so that it runs on the machine."""
        return "nsenter", f"--net=/proc/{self._holder.pid}/ns/net", "--"

    def _tell(self, words: str) -> None:
        side = self.inside if words.startswith(THERE) else ()
        command = [*side, "ip", *words.removeprefix(THERE).format(**self._names).split()]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise OSError(f"{' '.join(command)}: {done.stderr.strip()}")

    def cut(self, how: Cut) -> None:
        """Let nothing pass, or only what the machine sends, from now on."""
        self._tell(_CUTS[how])

    def mend(self) -> None:
        """Let everything pass."""
        for words in _MENDED:
            with suppress(OSError):  # only one of them was cut
                self._tell(words)

    def close(self) -> None:
        """Take it away; whoever still runs inside has no network."""
        with suppress(OSError):
            self._tell("link delete {link}")
        if self._holder.stdin is not None:
            self._holder.stdin.close()
        self._holder.wait(10)
