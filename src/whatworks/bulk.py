"""Texts embedded in bulk, by Ray: on the processors of this machine, or on those of a cluster.

Whoever keeps the store hands out texts and takes vectors. Workers know no store, so that the death of
one costs its texts another try, and the death of the keeper only what it had not yet kept.
"""

from __future__ import annotations

import os
import pickle
from collections import deque
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Self

from whatworks.checks import count, shown
from whatworks.embedders import Embedder, vectors_of
from whatworks.errors import InvalidInputError, MissingExtraError, StoreError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["LOCAL", "RayPool"]

LOCAL = "local"
# Texts of a task: a fifth of a second of work, beside which handing it out is little. Fewer than
# from which on the built-in model takes all processors for them.
TASK = 64
# Tasks that are handed out ahead for each processor: it has work while the oldest are waited for.
AHEAD = 4
# Processors that a task takes.
TASK_CPUS = 1.0
# How often texts are tried again whose worker died.
TRIES = 3
# Every worker first embeds these, and has to get what this machine gets. Other processors round
# otherwise, by less than this; another model, or another version of one, is farther away.
PROBES = ["retry the request with a longer timeout", "E0277 in src/lib.rs", "größer als zuvor"]
SAME_DISTANCE = 1e-3
# Of a Ray that is begun here: texts and vectors under way are a few megabytes.
OBJECT_STORE_BYTES = 100 << 20


class RayPool:
    """Embeds by the workers of a Ray, for ``flush``, ``rebuild`` and ``reembed`` of a memory.

    Ray is begun or joined when there is something to embed. What it makes is
    what the memory would have made itself. Open to one thread.

    Parameters
    ----------
    address
        ``local`` begins a Ray on this machine alone, which listens on the
        loopback interface, wants a token that only it knows, and tells nobody that it is used;
        it ends with ``close``. Else the address of a cluster that this machine
        is part of, as ``host:6379``, or ``auto``; the same Python and whatworks
        must be installed on its machines. What a cluster listens on and tells is
        up to who started it. A Ray that this process has joined already is used
        as it is.
    workers
        How many processes of a local one; as many as there are processors.

    Raises
    ------
    MissingExtraError
        Ray is not installed; the message has the command.
    """

    def __init__(self, address: str = LOCAL, *, workers: int | None = None) -> None:
        if not isinstance(address, str) or not address.strip():
            raise InvalidInputError(
                f"address is {shown(address)}; expected 'local', 'auto' or a cluster's host:port"
            )
        if workers is not None and address != LOCAL:
            raise InvalidInputError(
                "workers are counted on this machine alone; a cluster uses all its processors"
            )
        self._address = address
        self._workers = None if workers is None else count(workers, "workers", least=1, most=1_024)
        self._folder: str | None = None
        self._begun = False
        self._ray: Any = None
        _require()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def vectors(self, embedder: Embedder, lists: Iterable[list[str]]) -> Iterator[NDArray[np.float32]]:
        """For each list of texts their vectors, ``(n, dim)`` and of length 1, in order.

        Raises
        ------
        StoreError
            Ray cannot be reached, the embedder failed or cannot be sent, a worker makes other vectors
            than this machine, or several died over the same texts.
        """
        sent: Any = None
        waiting: deque[list[Any]] = deque()
        for texts in lists:
            if sent is None:
                ray = self._reached()
                sent = ray.put(_packed(embedder))
                task = ray.remote(num_cpus=TASK_CPUS, max_retries=TRIES)(_vectors)
                ahead = AHEAD * _processors(ray, self._address)
            parts = [texts[start : start + TASK] for start in range(0, len(texts), TASK)]
            waiting.append([task.remote(sent, part) for part in parts])
            while sum(map(len, waiting)) - len(waiting[0]) >= ahead:
                yield self._gathered(waiting.popleft())
        while waiting:
            yield self._gathered(waiting.popleft())

    def _gathered(self, tasks: list[Any]) -> NDArray[np.float32]:
        import numpy as np

        errors = self._ray.exceptions
        try:
            return np.concatenate(self._ray.get(tasks))
        except errors.RayTaskError as error:
            cause = error.cause
            told = str(cause) if isinstance(cause, StoreError) else f"a worker failed: {cause!r}"
            raise StoreError(told) from error
        except errors.RayError as error:
            first = str(error).strip().splitlines()[0]
            raise StoreError(
                f"workers died {TRIES + 1} times over the same texts ({first}); what was embedded "
                "until then is kept, run it again"
            ) from error

    def _reached(self) -> Any:
        """Ray, begun or joined."""
        if self._ray is None:
            local = self._address == LOCAL
            # One error is raised; those of texts that were handed out ahead are not worth a page each.
            os.environ.setdefault("RAY_IGNORE_UNHANDLED_ERRORS", "1")
            if local:
                _keep_to_itself()
            import ray

            if not ray.is_initialized():
                self._begun = True
                try:
                    self._begin(ray) if local else self._join(ray)
                except Exception as error:  # whatever it is, for Ray raises that very class
                    self.close()
                    first = (str(error).strip().splitlines() or [repr(error)])[0]
                    # It waits half a minute for its parts to start, which a busy machine may exceed.
                    raise StoreError(
                        f"no Ray at {shown(self._address)}, run it again: {first}"
                    ) from error
            self._ray = ray
        return self._ray

    def _begin(self, ray: Any) -> None:
        import tempfile

        self._folder = tempfile.mkdtemp(prefix="whatworks-ray-")
        ray.init(
            address=LOCAL,
            num_cpus=self._workers,
            include_dashboard=False,
            object_store_memory=OBJECT_STORE_BYTES,
            _node_ip_address="127.0.0.1",
            _temp_dir=self._folder,
            **_QUIET,
        )
        listens = ray.util.get_node_ip_address()
        if listens != "127.0.0.1":  # it was imported before it could be told
            raise RuntimeError(f"it listens on {listens}; begin it before anything else imports ray")

    def _join(self, ray: Any) -> None:
        ray.init(address=self._address, **_QUIET)

    def close(self) -> None:
        """End the Ray that was begun here, or leave the cluster; a second call does nothing."""
        if self._begun:
            import ray

            ray.shutdown()
            self._begun = False
        self._ray = None
        if self._folder is not None:
            import shutil

            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None


def _processors(ray: Any, address: str) -> int:
    found = int(ray.cluster_resources().get("CPU", 0))
    if not found:
        raise StoreError(f"the Ray at {shown(address)} has no processor for work: give it some")
    return found


_QUIET = {"configure_logging": False, "log_to_driver": False, "logging_level": "ERROR"}


def _require() -> None:
    from importlib.util import find_spec

    if find_spec("ray") is None:
        raise MissingExtraError("work in bulk needs an optional package: pip install 'whatworks[ray]'")


def _keep_to_itself() -> None:
    """Have a Ray that is begun tell nobody of itself, and let nobody else in."""
    import secrets

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    # Ray of some kinds tells once that it may not tell: that has nowhere to go.
    os.environ.setdefault("RAY_USAGE_STATS_REPORT_URL", "http://127.0.0.1:9/")
    # Without a cluster, all that it starts listens on the loopback interface; read at its import.
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    # Workers are otherwise put behind all else, and a busy machine would not get on with them at all.
    os.environ.setdefault("RAY_worker_niceness", "0")
    # Who else has an account on this machine could run anything as this user.
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))


def _packed(embedder: Embedder) -> bytes:
    """The embedder as workers get it, with what it makes of the probes here."""
    from ray import cloudpickle

    from whatworks.embedders.minilm import MiniLM

    # There are as many workers as processors.
    sent = MiniLM(threads=1) if type(embedder) is MiniLM else embedder
    expected = vectors_of(embedder, PROBES)
    try:
        return bytes(cloudpickle.dumps((sent, expected)))
    except Exception as error:
        raise StoreError(
            f"the embedder {embedder.model_id} cannot be sent to workers: {error}; expected a function "
            "or an object that can be pickled"
        ) from error


def _vectors(packed: bytes, texts: list[str]) -> NDArray[np.float32]:
    """What a worker does."""
    return vectors_of(_unpacked(packed), texts)


@lru_cache(maxsize=1)
def _unpacked(packed: bytes) -> Embedder:
    """The embedder, loaded once by each worker, if it makes here what it makes elsewhere."""
    import numpy as np

    embedder: Embedder
    embedder, expected = pickle.loads(packed)
    made = vectors_of(embedder, PROBES)
    if made.shape != expected.shape or np.any((made * expected).sum(axis=1) < 1 - SAME_DISTANCE):
        from platform import node

        raise StoreError(
            f"the embedder {embedder.model_id} makes other vectors on {node()} than here; install the "
            "same versions there"
        )
    return embedder
