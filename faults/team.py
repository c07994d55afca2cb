"""Machines of a team and their database are killed, and cut off, while all record and ask."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from time import monotonic, sleep

from tests.support.postgres import Postgres, free_port
from tests.support.snapshot import snapshot

from faults.acknowledged import Acknowledged, Verdict, examined, reopened
from faults.cables import NETWORK, Cable
from faults.child import command
from faults.network import Cut, Network
from faults.processes import Child, started
from faults.result import Control, Figure, Result, Size, none_of, not_run
from whatworks import Memory, config
from whatworks.team import membership, syncing
from whatworks.team.database import Database
from whatworks.testing import HashEmbedder

__all__ = ["NAME", "WHAT", "run"]

NAME = "team"
WHAT = (
    "kill -9 on the agents of 4 machines and on their database, and the network between them cut; one "
    "answer in five is lost"
)
SECONDS = {"smoke": 12.0, "full": 60.0}
CONTROL_SECONDS = 8.0
CONTROL_TRIES = 4
MACHINES, AGENTS = 4, 2
RATE = 15  # calls a second and agent
PAUSE = (0.2, 0.8)  # between two kills
DATABASE = 8  # one kill in so many is the database's
AWAY = (0.1, 2.0)  # how long it is away then
CUTS = 3  # one blow in so many cuts the network of a machine
CUT_OFF = (0.5, 6.0)  # for how long
KINDS: tuple[Cut, ...] = ("black hole", "half open", "refused")
# Machines in network namespaces, where root allows; the others are behind a router that forgets.
CABLES = 2
_PLACES = """
    SELECT count(*) FROM (
        SELECT start, lag(start + length(data), 1, 0::bigint)
            OVER (PARTITION BY segment ORDER BY start, entry) AS before
        FROM whatworks.log WHERE kind = 'bytes') found
    WHERE start <> before
"""


Way = Cable | Network


@dataclass(slots=True)
class Storm:
    """What has happened so far."""

    folders: list[Path]
    acknowledged: Acknowledged = field(default_factory=Acknowledged)
    networks: Sequence[Way] = ()
    kills: int = 0
    cuts: int = 0
    database_kills: int = 0
    asked: int = 0
    unseen: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def hear(self, child: Child) -> None:
        """Take down all that an agent said in its life."""
        lines = child.lines()
        self.acknowledged.hear(lines)
        self.asked += sum(line.startswith(("asked", "unseen")) for line in lines)
        self.unseen += [line for line in lines if line.startswith("unseen")]
        self.errors += [line for line in lines if line.startswith(("refused", "untyped"))]


def run(size: Size, seed: int, folder: Path) -> Result:
    """Kill for a while, let all exchange, and compare the machines with each other and one store."""
    port = free_port()
    with _ways(port) as ways:
        hosts = sorted({way.host for way in ways})
        try:
            server = Postgres(listen_addresses=",".join(hosts), port=str(port))
        except RuntimeError as error:
            return not_run(str(error))
        server.trust(NETWORK)
        try:
            server.start()
            storm, url = _team(server, ways, folder / "team", "team")
            _storm(storm, server, Random(seed), folder, SECONDS[size], guard="answers_lost")
            verdicts, places, differing, compared = _ended(storm, url)
            control = _control(server, ways, seed, folder)
        finally:
            server.close()
    options = (
        f"{SECONDS[size]:.0f} s, {MACHINES} machines of {AGENTS} agents, {RATE} calls a second each, "
        f"{storm.kills} kills, {storm.database_kills} of them of the database, {storm.cuts} cuts of "
        f"the network of a machine, {sum(isinstance(way, Cable) for way in ways)} machines in network "
        "namespaces"
    )
    notes = [f"machine {n}: {each.said()}" for n, each in enumerate(verdicts) if not each.sound]
    return Result(
        _figures(storm, verdicts, places, len(differing), compared),
        options,
        control,
        (*notes, *differing, *sorted(set(storm.errors))),
    )


@contextmanager
def _ways(port: int) -> Iterator[list[Way]]:
    """How each machine reaches the server."""
    with ExitStack() as ended:
        ways = list[Way]()
        with suppress(OSError):  # then there are processes alone
            for n in range(CABLES):
                ways.append(ended.enter_context(closing(Cable(n, port))))
        while len(ways) < MACHINES:
            ways.append(ended.enter_context(closing(Network("127.0.0.1", port))))
        yield ways


def _team(server: Postgres, ways: Sequence[Way], folder: Path, name: str) -> tuple[Storm, str]:
    url = server.create(name)
    folders = [folder / f"m{n}" for n in range(MACHINES)]
    folder.mkdir()
    addresses = [f"postgresql://whatworks@{way.host}:{way.port}/{name}" for way in ways]
    Memory.open(folders[0], embedder=HashEmbedder(), vectors="exact").close()
    membership.init(folders[0], addresses[0], name="m0")
    for each, address in zip(folders[1:], addresses[1:], strict=True):
        membership.join(each, address, name=each.name, model=HashEmbedder().model_id)
    return Storm(folders, networks=ways), url


def _storm(
    storm: Storm, server: Postgres, random: Random, folder: Path, seconds: float, *, guard: str
) -> None:
    with started() as children:

        def start(n: int) -> Child:
            said = folder / f"said-{guard}-{len(children)}"
            told = command("mixed", storm.folders[n], str(random.random()), "--rate", RATE)
            children.append(Child([*storm.networks[n].inside, *told, "--guard", guard], said))
            return children[-1]

        living = [(n, start(n)) for n in range(MACHINES) for _ in range(AGENTS)]
        for _, child in living:
            child.wait_for("ready")
        until = monotonic() + seconds
        cut_off: dict[int, float] = {}
        while monotonic() < until:
            sleep(random.uniform(*PAUSE))
            _mend(storm, cut_off, monotonic())
            if random.randrange(CUTS) == 0:
                n = random.randrange(len(storm.networks))
                storm.networks[n].cut(random.choice(KINDS))
                cut_off[n] = monotonic() + random.uniform(*CUT_OFF)
                storm.cuts += 1
                continue
            storm.kills += 1
            if storm.kills % DATABASE == 0:
                storm.database_kills += 1
                server.kill()
                sleep(random.uniform(*AWAY))
                server.start()
                continue
            victim = random.randrange(len(living))
            n, child = living[victim]
            child.kill()
            living[victim] = n, start(n)
    _mend(storm, cut_off, float("inf"))
    for child in children:
        storm.hear(child)


def _mend(storm: Storm, cut_off: dict[int, float], now: float) -> None:
    for n in [n for n, until in cut_off.items() if until <= now]:
        storm.networks[n].mend()
        del cut_off[n]


def _ended(storm: Storm, url: str) -> tuple[list[Verdict], int, list[str], int]:
    """Let all have everything: what is wrong, gaps in the log, machines that answer otherwise."""
    _settle(storm.folders)
    for folder in storm.folders:
        with reopened(folder) as memory:
            snapshot(memory)  # which learns what is to be learned
    _settle(storm.folders)
    verdicts, answers = [], []
    for folder in storm.folders:
        with reopened(folder) as memory:
            verdicts.append(examined(memory, storm.acknowledged))
            answers.append(snapshot(memory))
    answers.append(_alone(storm.folders[0]))
    names = [*(folder.name for folder in storm.folders), "one store with the same journal"]
    differing = [
        f"{name} answers otherwise about {kind} than {names[0]}"
        for name, answer in zip(names, answers, strict=True)
        for kind in answer
        if answer[kind] != answers[0][kind]
    ]
    return verdicts, _gaps(url), differing, len(answers)


def _gaps(url: str) -> int:
    with closing(Database(url)) as database:
        return int(database.row(_PLACES)[0])


def _settle(folders: Sequence[Path]) -> None:
    for _ in range(2):
        for folder in folders:
            syncing.sync(folder)


def _alone(folder: Path) -> dict[str, object]:
    """What a single store answers that folds the journal of a machine in its order."""
    place = folder.with_name("alone")
    model = HashEmbedder()
    config.create(place, embedder=model.model_id, dim=model.dim, vectors="exact")
    shutil.copytree(folder / "journal", place / "journal", dirs_exist_ok=True)
    with reopened(place) as memory:
        return snapshot(memory)


def _figures(
    storm: Storm, verdicts: Sequence[Verdict], places: int, differing: int, compared: int
) -> tuple[Figure, ...]:
    among = len(storm.acknowledged) * len(verdicts)
    return (
        none_of("acknowledged that a machine lost", sum(len(v.lost) for v in verdicts), among),
        none_of("events that a machine has twice", sum(len(v.doubled) for v in verdicts), among),
        none_of(
            "machines whose counts are not those of the events",
            sum(bool(v.miscounted) for v in verdicts),
            len(verdicts),
        ),
        none_of("answers that differ between machines and one store", differing, compared),
        none_of("gaps and overlaps in the log of the team", places, storm.kills),
        none_of("agents that met an error", len(storm.errors), storm.kills + MACHINES * AGENTS),
        none_of("own writes that their writer did not see", len(storm.unseen), storm.asked),
    )


def _control(server: Postgres, ways: Sequence[Way], seed: int, folder: Path) -> Control:
    """Shipping that goes on from what it remembers doubles what was taken without an answer.

    Whether a kill falls between a commit and its answer is chance: a busy machine has another try.
    """
    places = kills = 0
    for number in range(CONTROL_TRIES):
        name = f"control{number}"
        storm, url = _team(server, ways, folder / name, name)
        _storm(storm, server, Random(seed + number), folder, CONTROL_SECONDS, guard="remembered")
        places = _gaps(url)
        kills += storm.kills
        if places:
            break
    said = f"{places} gaps and overlaps in the log after {kills} kills"
    return Control("shipping that asks the database how far it is", places > 0, said)
