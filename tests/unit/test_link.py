"""Several processes on one store: one keeps it, the others ask it, each can take over."""

from __future__ import annotations

import errno
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.processes import Failed, Process
from whatworks import Memory, link, system

Start = Callable[..., Process]

OPEN = """
import os, sys, threading, time
from whatworks import Memory, errors
def open_(**options):
    if "embedder" not in options:
        from whatworks.testing import HashEmbedder
        options["embedder"] = HashEmbedder()
    return Memory.open(folder, **options)
"""
CLIENT = OPEN + "m = open_(embedder='none')"
KEEPER = OPEN + "m = open_(vectors='exact'); m.stats()"
# Heavy packages; numpy alone takes a client longer than all else.
ENGINES = ("duckdb", "lance", "lancedb", "numpy", "pyarrow", "onnxruntime", "tokenizers")
FILL = """
from datetime import UTC, datetime, timedelta
START = datetime(2025, 3, 1, tzinfo=UTC)
def fill(m):
    for n in range(4):
        m.add_pattern(f"retry the build number {n}", pattern_id=f"p{n}", metadata={"n": n, "x": None})
    m.record_many({"pattern_id": f"p{n % 4}", "outcome": None if n % 7 == 6 else n % 3 / 2,
                   "context": f"build failed in {n % 5}", "event_id": f"e{n}",
                   "tools": ["make"], "files": ["a.py"], "duration_ms": 1.5,
                   "timestamp": START + timedelta(hours=n)} for n in range(40))
    m.add_priors([{"pattern_id": "p0", "success_rate": 0.5, "usage_count": 20, "origin": "files"}])
    for n in range(3):
        made = m.predict("build failed", explore=0.3, mask=0.3, seed=n)
        m.record(made.answers[0].pattern_id, outcome=1.0, prediction_id=made.prediction_id)
"""
# All that can be asked; what differs by its nature from call to call is left out.
ANSWERS = """
from dataclasses import asdict, is_dataclass
from support.snapshot import rounded
def answers(m):
    made = m.predict("build failed in 2", explore=0.2, mask=0.2, seed=7)
    prediction = asdict(made)
    why = asdict(m.why(made.prediction_id))
    for each in (prediction, why["prediction"]):
        del each["prediction_id"], each["made_at"]
    early, late = START + timedelta(hours=10), START + timedelta(hours=30)
    stats = asdict(m.stats())
    counted = ("predictions", "shown", "shown_resolved")
    for name in ("cache", *counted, "journal_bytes", "evidence_bytes", "vector_bytes", "vectors"):
        del stats[name]
    judged = [asdict(m.evaluate("uniform")), asdict(m.evaluate("fixed:p1", as_placed=True))]
    for each in judged:
        del each["predictions"]
    return rounded(builtins({
        "predict": prediction, "why": why, "stats": stats,
        "as_of": [a.expected for a in m.predict("build failed", as_of=early, seed=1).answers],
        "similar": m.find_similar("retry build", limit=3, where={"metadata": {"n": 1}}),
        "trends": [m.trend(f"p{n}", window_days=3, as_of=late) for n in range(4)],
        "patterns": m.patterns(where={"min_usage": 1, "created_after": START}),
        "one": [m.get_pattern("p1"), m.get_event("e6")],
        "some": [m.get_patterns(["p0", "nobody"]), m.get_events(["e1"])],
        "events": m.events("p2", limit=5),
        "all": [list(m.iter_patterns()), list(m.iter_events()), list(m.iter_priors())],
        "diff": m.diff(early, late, context="build failed in 1"),
        "calibration": m.calibration(recalibrate="beta", as_of=late),
        "judged": judged,
        "lift": m.lift(by_context=True),
        "overview": m.overview(window_days=2, limit=3),
        "map": m.context_map("p1", limit=4),
        "optimize": m.optimize(keep=2),
    }))
def builtins(value):
    if is_dataclass(value):
        return (type(value).__name__, builtins(asdict(value)))
    if isinstance(value, dict):
        return {key: builtins(item) for key, item in value.items()}
    return [builtins(item) for item in value] if isinstance(value, list) else value
"""


@pytest.fixture
def start(store: Path) -> Iterator[Start]:
    """Starts a process and runs its first step."""
    started: list[Process] = []

    def start_(first: str, **environment: str) -> Process:
        started.append(Process(store, **environment))
        started[-1].do(first)
        return started[-1]

    yield start_
    for process in started:
        process.clean()


@pytest.fixture
def keeper(start: Start) -> Process:
    return start(KEEPER)


@pytest.fixture
def client(start: Start, keeper: Process) -> Process:
    made = start(CLIENT)
    assert made.do("m.stats().keeper") == keeper.pid
    return made


def until(condition: Callable[[], Any], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"nothing happened for {seconds} seconds"
        time.sleep(0.02)


# -- clients ----------------------------------------------------------------------------------------


def test_a_client_loads_no_engine_whatever_it_asks_and_does(client: Process) -> None:
    client.do(FILL + ANSWERS + "fill(m); answers(m)")
    client.do(
        "m.resolve('e6', outcome=1.0); m.record('p1', outcome=None, event_id='late');"
        "m.add_pattern('another'); m.flush(); m.rebuild();"
        "m.resolve('late', state='not_used'); m.copy_table('events', folder + '/t.csv', form='csv')"
    )
    assert client.do(f"[name for name in {ENGINES} if name in sys.modules]") == []
    client.do("m.close()")


# What the standard library and the package have that takes milliseconds and no client needs.
NEEDLESS = {
    "_hashlib", "asyncio", "concurrent.futures", "ctypes", "email", "hashlib", "http",
    "importlib.metadata", "importlib.resources", "json", "logging", "multiprocessing", "orjson",
    "random", "shlex", "ssl", "subprocess", "tempfile", "unicodedata", "zipfile", "zlib",
    "whatworks.findings", "whatworks.journal", "whatworks.keeper", "whatworks.ledgers",
    "whatworks.segments", "whatworks.server", "whatworks.tries", "whatworks.writer",
}  # fmt: skip


@pytest.mark.parametrize("embedder", ["None", "'none'"])
def test_a_client_that_asks_for_a_trend_loads_nothing_it_does_not_need(
    start: Start, store: Path, embedder: str
) -> None:
    keep = "from whatworks import Memory; m = Memory.open(folder, vectors='exact'); "
    start(keep + "m.add_pattern('x', pattern_id='p'); m.trend('p')")
    asks = (
        "import sys; from whatworks import Memory\n"
        f"m = Memory.open({str(store)!r}, embedder={embedder})\n"
        "m.trend('p'); print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", asks], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "whatworks.client" in loaded
    assert loaded & (NEEDLESS | set(ENGINES)) == set()


def test_what_a_client_writes_comes_after_what_it_was_told_before_it_had_a_journal(
    memory: Memory,
) -> None:
    link = memory._link
    assert link._journal is None
    ahead = time.time_ns() // 1_000 + 3_600_000_000
    link._observe(ahead)
    link._observe(ahead - 1)
    assert link.journal.stamp == ahead
    link._observe(ahead + 1)
    assert link.journal.stamp == ahead + 1
    assert link.journal is link.journal


def test_a_client_that_may_embed_loads_no_engine_either(start: Start, keeper: Process) -> None:
    opened = start(OPEN + "from whatworks.embedders.minilm import MiniLM; MiniLM()")
    assert opened.do(f"[name for name in {ENGINES} if name in sys.modules]") == []


def test_all_processes_are_given_the_same_answers(
    start: Start, client: Process, keeper: Process
) -> None:
    keeper.do(FILL + "fill(m); m.flush()")
    third = start(OPEN + "m = open_()")
    said = [each.do(FILL + ANSWERS + "said = answers(m)") or each.do("repr(said)")
            for each in (keeper, client, third)]  # fmt: skip
    assert len(said[0]) > 10_000
    assert said[0] == said[1] == said[2]


def test_errors_are_the_same_for_all_processes(client: Process, keeper: Process) -> None:
    for code in ("m.get_pattern('nobody')", "m.why('nothing')", "m.trend('p', window_days=0)",
                 "m.evaluate('boldest')", "m.evaluate('fixed:nobody')", "m.predict('')",
                 "m.record('nobody', outcome=1.0)", "m.resolve('nothing', outcome=1.0)"):  # fmt: skip
        raised = []
        for each in (keeper, client):
            with pytest.raises(Failed) as caught:
                each.do(code)
            raised.append(str(caught.value))
        assert raised[0] == raised[1]


def test_a_process_sees_its_own_writes_at_once(client: Process, keeper: Process) -> None:
    code = """
m.add_pattern("x", pattern_id=name)
for n in range(1, 11):
    event = m.record(name, outcome=n % 2)
    assert m.get_pattern(name).usage_count == n
    assert m.get_event(event.event_id) == event
    assert m.resolve(event.event_id, outcome=0.5).outcome == 0.5
    assert m.get_event(event.event_id).outcome == 0.5
assert m.get_pattern(name).success_rate == 0.5
"""
    for name, each in (("a", client), ("b", keeper)):
        each.begin(f"name = {name!r}\n{code}")
    assert [client.end(), keeper.end()] == [None, None]


def test_each_process_sees_what_the_others_wrote(client: Process, keeper: Process) -> None:
    keeper.do("m.add_pattern('x', pattern_id='p')")
    for n in range(1, 11):
        writer, reader = (client, keeper) if n % 2 else (keeper, client)
        writer.do("m.record('p', outcome=1.0)")
        # A look at what others wrote may be a moment old, on a busy machine a longer one.
        until(lambda: reader.do("m.get_pattern('p').usage_count") == n)  # noqa: B023


def test_an_outcome_given_in_one_process_corrects_that_of_another(
    client: Process, keeper: Process
) -> None:
    keeper.do("m.add_pattern('x', pattern_id='p'); m.record('p', outcome=None, event_id='e')")
    for n, each in enumerate([client, keeper, client, keeper]):
        time.sleep(0.03)
        each.do(f"m.resolve('e', outcome={n / 4})")
    time.sleep(0.03)
    for each in (client, keeper):
        assert each.do("m.get_event('e').outcome") == 0.75
    keeper.do("m.rebuild()")
    assert client.do("m.get_event('e').outcome") == 0.75


def test_a_client_asks_with_a_vector(client: Process, keeper: Process) -> None:
    keeper.do("m.add_pattern('clear the cache', pattern_id='p')")
    found = client.do("[n.pattern_id for n in m.find_similar(vector=[1.0] * 64)]")
    assert found == keeper.do("[n.pattern_id for n in m.find_similar(vector=[1.0] * 64)]") == ["p"]
    with pytest.raises(Failed, match="InvalidInputError: vector has 2 numbers"):
        client.do("m.find_similar(vector=[1.0, 2.0])")


# -- taking over ------------------------------------------------------------------------------------


def written(process: Process) -> None:
    process.do("m.add_pattern('x', pattern_id='p')")
    process.do("m.record_many({'pattern_id': 'p', 'outcome': 1.0} for _ in range(100))")


@pytest.mark.parametrize("end", ["kill -9", "close", "exit"])
def test_when_the_keeper_goes_a_client_takes_over_and_nothing_is_lost(
    client: Process, keeper: Process, end: str
) -> None:
    written(keeper)
    written(client)
    assert client.do("m.get_pattern('p').usage_count") == 200
    if end == "kill -9":
        keeper.kill()
    elif end == "close":
        keeper.do("m.close()")
    begin = time.monotonic()
    if end == "exit":
        assert keeper.finish() == 0
        begin = time.monotonic()
    assert client.do("m.get_pattern('p').usage_count") == 200
    took = time.monotonic() - begin
    load = os.getloadavg()[0]
    print(f"taken over in {took:.2f} s at load {load:.1f}")
    assert took < (1.5 if load < (os.cpu_count() or 1) else 3.0)
    assert client.do("m.stats().keeper") == client.pid
    written(client)
    assert client.do("m.get_pattern('p').usage_count") == 300


def test_one_of_many_takes_over_and_the_others_ask_it(start: Start, keeper: Process) -> None:
    written(keeper)
    clients = [start(CLIENT) for _ in range(3)]
    keeper.kill()
    for each in clients:
        each.begin("[m.record('p', outcome=1.0) and m.stats().keeper for _ in range(10)]")
    said = {pid for each in clients for pid in each.end()}
    assert len(said) == 1
    assert said <= {each.pid for each in clients}
    time.sleep(0.03)
    assert {each.do("m.get_pattern('p').usage_count") for each in clients} == {130}


def test_a_keeper_that_is_idle_lets_go_of_its_files(start: Start, store: Path) -> None:
    import duckdb

    short = {"WHATWORKS_IDLE_SECONDS": "0.3"}
    keeper, client = start(KEEPER, **short), start(CLIENT, **short)
    written(client)
    until(lambda: not (store / "keeper.sock").exists())

    def count() -> int:
        try:
            with duckdb.connect(str(store / "evidence.duckdb"), read_only=True) as con:
                return int(con.execute("SELECT count(*) FROM usage_events").fetchall()[0][0])
        except duckdb.IOException:  # it is only just being let go of
            return 0

    until(lambda: count() == 100)
    for each in (client, keeper):
        assert each.do("m.get_pattern('p').usage_count") == 100
    until(lambda: not (store / "keeper.sock").exists())
    assert sum("whatworks" in name for name in
               keeper.do("[thread.name for thread in threading.enumerate()]")) == 0  # fmt: skip


def test_processes_that_start_at_once_on_a_new_folder_share_one_store(start: Start) -> None:
    count = 4
    started = [start(OPEN) for _ in range(count)]
    for each in started:
        each.begin("m = open_(vectors='exact'); m.add_pattern('x', pattern_id='p');"
                   "m.record('p', outcome=1.0); m.add_pattern(str(os.getpid()))")  # fmt: skip
    for each in started:
        each.end()
    time.sleep(0.03)
    said = {each.do("(m.get_pattern('p').usage_count, m.stats().patterns, m.stats().keeper)")
            for each in started}  # fmt: skip
    assert [(used, patterns) for used, patterns, _ in said] == [(count, count + 1)]


# -- handing over -----------------------------------------------------------------------------------


def test_a_client_changes_the_embedder_and_the_former_keeper_goes_on(
    start: Start, keeper: Process, client: Process
) -> None:
    keeper.do(FILL + "fill(m)")
    embedding = start(OPEN + "m = open_()")
    embedding.do("from whatworks.testing import HashEmbedder; m.reembed(HashEmbedder(32))")
    for each in (embedding, client):
        assert each.do("m.stats().embedder") == "hash-32"
        assert each.do("m.find_similar('retry build')[0].pattern_id").startswith("p")
    # It has the old embedder, and is a client now.
    assert keeper.do("m.get_pattern('p1').usage_count") >= 10
    assert keeper.do("m.find_similar('retry build')[0].pattern_id").startswith("p")


def test_a_function_is_judged_in_the_process_that_has_it(client: Process, keeper: Process) -> None:
    client.do(FILL + "fill(m)")
    code = "m.evaluate(lambda receipt: {receipt['answers'][0]['pattern_id']: 1.0}).predictions"
    assert client.do(code) == 3
    assert keeper.do("m.evaluate('greedy').predictions") == 3
    assert keeper.do(code) == 3


def test_a_keeper_without_an_embedder_gives_the_store_to_who_has_one(start: Start) -> None:
    first = start(KEEPER + "\n" + FILL + "fill(m); m.close()")
    first.do("m = open_(embedder='none'); m.stats()")
    other = start(OPEN + "m = open_()")
    assert other.do("m.stats().keeper") == first.pid
    assert other.do("m.find_similar('retry build')[0].pattern_id").startswith("p")
    assert other.do("m.stats().keeper") == other.pid
    assert first.do("m.find_similar('retry build')[0].pattern_id").startswith("p")


def test_without_any_embedder_it_is_said_so(start: Start) -> None:
    first = start(KEEPER + "\nm.add_pattern('x', pattern_id='p'); m.close()")
    first.do("m = open_(embedder='none'); m.stats()")
    client = start(CLIENT)
    for each in (first, client):
        with pytest.raises(Failed, match="ModelMismatchError"):
            each.do("m.find_similar('x')")
        assert each.do("m.get_pattern('p').description") == "x"


# -- what goes wrong --------------------------------------------------------------------------------


def test_a_keeper_that_hangs_is_named_and_writing_goes_on(client: Process, keeper: Process) -> None:
    written(client)
    client.do("from whatworks import client, link")
    client.do("client.SILENCE_SECONDS = 0.3; link.PATIENCE_SECONDS = 1.0")
    keeper.signal(signal.SIGSTOP)
    try:
        with pytest.raises(Failed, match=f"StoreBusyError.*process {keeper.pid}"):
            client.do("m.stats()")
        client.do("try: m.stats()\nexcept errors.StoreBusyError as error: pid = error.pid")
        assert client.do("pid") == keeper.pid
        client.do("m.record('p', outcome=1.0)")
        with pytest.raises(Failed, match="StoreBusyError"):
            client.do("m.get_pattern('p')")
    finally:
        keeper.signal(signal.SIGCONT)
    until(lambda: client.do("m.get_pattern('p').usage_count") == 101)


def test_threads_that_ask_a_keeper_that_hangs_do_not_wait_for_one_another(
    client: Process, keeper: Process
) -> None:
    client.do("from whatworks import client, link")
    client.do("client.SILENCE_SECONDS = link.PATIENCE_SECONDS = 1.0")
    client.do("m.close(); m = open_(embedder='none')")
    keeper.signal(signal.SIGSTOP)
    try:
        took = client.do("""
def ask():
    try: m.stats()
    except errors.StoreBusyError: failed.append(1)
failed, threads, begin = [], [threading.Thread(target=ask) for _ in range(10)], time.monotonic()
for thread in threads: thread.start()
for thread in threads: thread.join()
took = time.monotonic() - begin
""") or client.do("(len(failed), took)")  # fmt: skip
        assert took[0] == 10
        assert took[1] < 8  # one after another, they would wait for 10 seconds
    finally:
        keeper.signal(signal.SIGCONT)


FORK = """
def in_child(step):
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try: said = repr(step())
        except BaseException as error: said = type(error).__name__
        os.write(write, said.encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(write)
    with os.fdopen(read) as file: return file.read()
def own():
    from whatworks.testing import HashEmbedder
    m.close()
    with Memory.open(folder, embedder=HashEmbedder()) as mine:
        mine.record("p", outcome=1.0)
        return mine.get_pattern("p").usage_count
"""


@pytest.mark.parametrize("forks", ["client", "keeper"])
def test_a_forked_child_opens_the_store_anew_and_its_parent_goes_on(
    client: Process, keeper: Process, forks: str
) -> None:
    parent, other = (client, keeper) if forks == "client" else (keeper, client)
    written(parent)
    parent.do(FORK)
    for step in ("m.stats", "lambda: m.record('p', outcome=1.0)", "lambda: list(m.iter_events())"):
        assert parent.do(f"in_child({step})") == "StoreClosedError"
    assert parent.do("in_child(m.close)") == "None"
    for n in (101, 102):
        assert parent.do("in_child(own)") == str(n)
        time.sleep(0.03)
        for each in (parent, other):
            assert each.do("m.get_pattern('p').usage_count") == n
    keeper.kill()
    assert client.do("m.get_pattern('p').usage_count") == 102


def test_a_child_that_lives_on_does_not_keep_the_store_of_its_dead_parent(
    client: Process, keeper: Process
) -> None:
    written(client)
    child = keeper.do(
        "child = os.fork()\nif child == 0:\n    time.sleep(60)\n    os._exit(0)"
    ) or keeper.do("child")
    try:
        keeper.kill()
        assert client.do("m.get_pattern('p').usage_count") == 100
        assert client.do("m.stats().keeper") == client.pid
    finally:
        os.kill(child, signal.SIGKILL)


def test_a_socket_that_was_left_is_taken_over(start: Start, store: Path) -> None:
    start(KEEPER).do("m.close()")
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(store / "keeper.sock"))
    assert start(KEEPER).do("m.stats().patterns") == 0
    assert stat.S_IMODE((store / "keeper.sock").stat().st_mode) == 0o600
    assert start(CLIENT).do("m.stats().patterns") == 0


@pytest.mark.parametrize(
    "answer", ["", "x" * 100, "\\x00\\x00\\x00\\x02{}"], ids=["ends", "noise", "no hello"]
)
def test_a_socket_of_something_else_is_taken_over(start: Start, store: Path, answer: str) -> None:
    start(KEEPER).do("m.close()")
    listens = subprocess.Popen(
        [sys.executable, "-c", f"""
import socket, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1]); listener.listen(); print("", flush=True)
while True:
    connection, _ = listener.accept()
    with connection: connection.sendall({answer!r}.encode().decode("unicode_escape").encode())
""", str(store / "keeper.sock")],
        stdout=subprocess.PIPE,
    )  # fmt: skip
    with listens:
        try:
            assert listens.stdout is not None
            listens.stdout.readline()
            assert start(KEEPER).do("m.stats().patterns") == 0
            assert start(CLIENT).do("m.stats().patterns") == 0
        finally:
            listens.kill()


# -- threads, and the end ---------------------------------------------------------------------------


def test_sixty_four_threads_in_two_processes_lose_and_mix_up_nothing(
    client: Process, keeper: Process
) -> None:
    keeper.do("m.add_pattern('x', pattern_id='p')")
    code = """
problems = []
def work(thread):
    try:
        name = f"WHO-{thread}"
        m.add_pattern(name, pattern_id=name)
        m.record("p", outcome=1.0)
        event = m.record(name, outcome=None, context=name)
        assert m.get_event(event.event_id).context == name
        m.resolve(event.event_id, outcome=1.0)
        assert m.get_pattern(name).resolved_count == 1
        assert m.find_similar(name, limit=1)[0].pattern_id == name
    except BaseException as error:
        problems.append(repr(error))
threads = [threading.Thread(target=work, args=[n]) for n in range(32)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""
    # Not by their process ids: of some, the test embedder takes two names for one.
    for each, who in ((client, "client"), (keeper, "keeper")):
        each.begin(code.replace("WHO", who))
    for each in (client, keeper):
        each.end()
        assert each.do("problems") == []
    time.sleep(0.03)
    for each in (client, keeper):
        assert each.do("(m.get_pattern('p').resolved_count, m.stats().events)") == (64, 128)


LEFT = """
import gc, psutil
def left():
    gc.collect()
    own = psutil.Process()
    files = sorted(os.readlink(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd")
                   if os.path.exists(f"/proc/self/fd/{n}"))
    return (files, own.children(), sorted(thread.name for thread in threading.enumerate()))
"""


@pytest.mark.parametrize("role", ["keeper", "client"])
def test_nothing_is_left_after_closing(start: Start, role: str) -> None:
    if role == "client":
        start(KEEPER)
    process = start(OPEN + LEFT + "open_(vectors='exact').close(); before = left()")
    for _ in range(3):
        process.do("m = open_(); m.add_pattern('x', pattern_id='p')")
        process.do("m.record('p', outcome=1.0); m.find_similar('x'); m.close()")
    until(lambda: process.do("left() == before"))  # a thread may only just be ending


def test_a_store_may_be_closed_by_two_threads_at_once(client: Process, keeper: Process) -> None:
    for each in (client, keeper):
        each.do("m.add_pattern('x'); m.stats()")
        each.do("""
threads = [threading.Thread(target=m.close) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join(30)
assert not any(thread.is_alive() for thread in threads)
""")
        with pytest.raises(Failed, match="StoreClosedError"):
            each.do("m.stats()")
        each.do("m = open_(embedder='none')")
        assert each.do("m.stats().patterns") == 1


def test_questions_that_run_while_the_store_is_closed_end(client: Process, keeper: Process) -> None:
    for each in (client, keeper):
        each.do("""
ended = []
def ask():
    try:
        while True: m.stats()
    except BaseException as error: ended.append(type(error).__name__)
threads = [threading.Thread(target=ask) for _ in range(4)]
for thread in threads: thread.start()
time.sleep(0.1)
m.close()
for thread in threads: thread.join(30)
""")
        assert each.do("ended") == ["StoreClosedError"] * 4


@pytest.mark.parametrize("role", ["keeper", "client"])
def test_the_interpreter_ends_while_questions_run(start: Start, role: str) -> None:
    if role == "client":
        start(KEEPER)
    process = start(OPEN + "m = open_(vectors='exact'); m.add_pattern('x', pattern_id='p')")
    process.do("""
def work():
    try:
        while True:
            m.record("p", outcome=1.0)
            m.find_similar("x")
    except errors.StoreClosedError: pass
for _ in range(4): threading.Thread(target=work, daemon=True).start()
time.sleep(0.2)
""")
    assert process.finish() == 0


def test_a_keeper_that_cannot_listen_answers_its_own_process_and_listens_when_it_can(
    memory: Memory, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no room")

    memory.add_pattern("try again", pattern_id="p")
    with memory._link.kept():
        pass
    memory._link._let_go(patience=5)
    with monkeypatch.context() as patch:
        patch.setattr(system, "listen", full)
        assert memory.get_pattern("p").pattern_id == "p"
        assert not (store / link.SOCKET).exists()
    until = time.monotonic() + 10
    while not (store / link.SOCKET).exists() and time.monotonic() < until:
        time.sleep(0.05)
    assert (store / link.SOCKET).exists()


def test_a_socket_that_was_removed_is_made_again(memory: Memory, store: Path) -> None:
    memory.add_pattern("try again", pattern_id="p")
    with memory._link.kept():
        (store / link.SOCKET).unlink()
    until = time.monotonic() + 10
    while not (store / link.SOCKET).exists() and time.monotonic() < until:
        time.sleep(0.05)
    assert (store / link.SOCKET).exists()


def test_a_correction_by_another_process_is_not_taken_for_what_was_said_here(
    memory: Memory, start: Start
) -> None:
    memory.add_pattern("try again", pattern_id="p")
    memory.record("p", outcome=None, event_id="e")
    memory.resolve("e", outcome=1.0)
    start(CLIENT).do("m.resolve('e', outcome=0.0)")
    memory.resolve("e", outcome=1.0)
    assert memory.get_event("e").outcome == 1.0
