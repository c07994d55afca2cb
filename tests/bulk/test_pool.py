"""Workers make what this machine makes; where they do not, or die, nothing wrong is kept."""

from __future__ import annotations

import os
import time
from pathlib import Path

import models
import numpy as np
import psutil
import pytest

from whatworks import StoreError
from whatworks.bulk import TRIES, RayPool
from whatworks.embedders import Embedder, vectors_of
from whatworks.embedders.minilm import MiniLM
from whatworks.testing import HashEmbedder

LISTS = [["E0277 in lib.rs"], [f"retry {n} of job {n % 7}" for n in range(130)], ["x " * 400, "ü"]]


def made_here(embedder: Embedder) -> list[bytes]:
    return [vectors_of(embedder, texts).tobytes() for texts in LISTS]


def made_there(pool: RayPool, embedder: Embedder) -> list[bytes]:
    return [vectors.tobytes() for vectors in pool.vectors(embedder, iter(LISTS))]


def test_vectors_of_the_built_in_model_are_the_same_to_the_bit(pool: RayPool) -> None:
    assert made_there(pool, MiniLM()) == made_here(MiniLM())


def test_the_comparison_notices_the_last_bit(pool: RayPool) -> None:
    embedder = models.Elsewhere(by=1e-8)
    assert made_there(pool, embedder) != made_here(embedder)


def test_a_worker_that_makes_other_vectors_is_refused(pool: RayPool) -> None:
    with pytest.raises(StoreError, match=r"hash-64 makes other vectors on .* same versions"):
        made_there(pool, models.Elsewhere(by=1.0))


def test_nothing_to_embed_begins_no_ray() -> None:
    with RayPool() as pool:
        assert list(pool.vectors(HashEmbedder(), [])) == []
        assert pool._ray is None


def test_a_worker_that_dies_costs_no_text(pool: RayPool, tmp_path: Path) -> None:
    embedder = models.Deadly(tmp_path, times=1)
    lists = [["first"], ["kill"], [f"text {n}" for n in range(200)]]
    made = list(pool.vectors(embedder, lists))
    assert len(list(tmp_path.iterdir())) == 1
    for texts, vectors in zip(lists, made, strict=True):
        np.testing.assert_array_equal(vectors, vectors_of(HashEmbedder(), texts))


def test_texts_that_kill_every_worker_end_with_one_line(pool: RayPool, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"workers died 4 times .* run it again") as caught:
        list(pool.vectors(models.Deadly(tmp_path, times=99), [["kill"]]))
    assert "\n" not in str(caught.value)
    assert len(list(tmp_path.iterdir())) == TRIES + 1
    assert made_there(pool, HashEmbedder()) == made_here(HashEmbedder())


def test_an_embedder_that_fails_in_a_worker_says_why(pool: RayPool) -> None:
    with pytest.raises(StoreError, match=r"the embedder hash-64 failed: ValueError\('no such token'"):
        made_there(pool, models.Failing())


def test_an_embedder_that_cannot_be_sent_says_so(pool: RayPool) -> None:
    with pytest.raises(StoreError, match=r"hash-64 cannot be sent to workers: .*pickle"):
        made_there(pool, models.Bound())


def rays() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)


def test_nothing_listens_beyond_the_loopback_interface(pool: RayPool) -> None:
    made_there(pool, HashEmbedder())
    found = [
        connection.laddr.ip
        for process in [psutil.Process(), *rays()]
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert len(found) >= 4
    assert {address.removeprefix("::ffff:") for address in found} <= {"127.0.0.1", "::1"}


def test_no_process_of_ray_may_tell_of_its_use(pool: RayPool) -> None:
    made_there(pool, HashEmbedder())
    from ray._common.usage import usage_lib

    assert not usage_lib.usage_stats_enabled()
    told = [process for process in rays() if "ray" in process.exe() or "ray/" in str(process.cmdline())]
    # Workers write their title over their environment; they have that of the raylet.
    told = [process for process in told if not process.cmdline()[0].startswith("ray::")]
    assert len(told) >= 4
    assert {process.environ().get("RAY_USAGE_STATS_ENABLED") for process in told} == {"0"}


def test_what_ray_begins_says_that_it_will_not_tell_of_its_use(pool: RayPool) -> None:
    made_there(pool, HashEmbedder())
    assert pool._folder is not None
    [log] = Path(pool._folder).glob("session_2*/logs/dashboard.log")
    deadline = time.monotonic() + 120
    while "Usage reporting is" not in log.read_text() and time.monotonic() < deadline:
        time.sleep(0.2)
    assert "Usage reporting is disabled" in log.read_text()


def test_ray_would_tell_of_its_use_unless_it_is_forbidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """The null control of the test before."""
    from ray._common.usage import usage_lib

    monkeypatch.delenv("RAY_USAGE_STATS_ENABLED", raising=False)
    monkeypatch.setenv("RAY_USAGE_STATS_CONFIG_PATH", os.devnull + "/none")
    assert usage_lib.usage_stats_enabled()
