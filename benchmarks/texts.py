"""Real texts and their embeddings: sentences of Debian's package descriptions.

The index of descriptions is fetched by apt, which checks its signature, into a folder of its own. A
description has the licence of its package, all of them free; nothing of it comes with this project.
Texts and embeddings are cached, and an embedding that was interrupted goes on where it was.
"""

from __future__ import annotations

import os
import random
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["SOURCE", "embeddings", "read_texts", "sentences"]

SOURCE = "sentences of the package descriptions of Debian 12, main"
MIRROR = "http://deb.debian.org/debian bookworm main"
KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg"
HELPER = "/usr/lib/apt/apt-helper"
SHORTEST, LONGEST = 20, 1_000  # characters
BLOCK = 1_000
_DESCRIPTION = re.compile(r"^Description-en: (.*(?:\n .*)*)", re.MULTILINE)
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")
_PARAGRAPH = re.compile(r"\n \.(?=\n|$)|\n(?= +[*-] )")

Float32 = NDArray[np.float32]


def read_texts(cache: Path) -> list[str]:
    """Distinct texts in an order that has nothing to do with what they say, always the same."""
    file = cache / "texts.txt"
    if not file.exists():
        found = sorted(sentences(_descriptions(cache)))
        random.Random(0).shuffle(found)
        _replace(file, "\n".join(found).encode())
    return file.read_text(encoding="utf-8").split("\n")


def sentences(index: str) -> set[str]:
    """The distinct sentences and points of lists in an index of descriptions.

    Examples
    --------
    >>> one = "Description-en: Reads all your mails\\n It is. It does so\\n twice a day.\\n .\\n No."
    >>> sorted(sentences(f"{one}\\n\\nDescription-en: Reads all your mails"))
    ['It does so twice a day.', 'Reads all your mails']
    """
    found = set()
    for description in _DESCRIPTION.findall(index):
        title, _, body = description.partition("\n")
        for paragraph in [title, *_PARAGRAPH.split("\n" + body)]:
            found.update(_SENTENCE.split(" ".join(paragraph.split())))
    return {text for text in found if SHORTEST <= len(text) <= LONGEST}


def _descriptions(cache: Path) -> str:
    lists = cache / "apt"
    (lists / "partial").mkdir(parents=True, exist_ok=True)
    sources = cache / "debian.list"
    sources.write_text(f"deb [arch=amd64 signed-by={KEYS}] {MIRROR}\n")
    settings = {
        "Dir::Etc::SourceList": sources,
        "Dir::Etc::SourceParts": "-",
        "Dir::State::Lists": lists,
        "Dir::Cache": cache,
        "Acquire::Languages": "en",
    }
    options = [f"-o{name}={value}" for name, value in settings.items()]
    subprocess.run(["apt-get", "update", "-qq", *options], check=True)
    (file,) = lists.glob("*_Translation-en*")
    done = subprocess.run([HELPER, "cat-file", str(file)], check=True, capture_output=True)
    return done.stdout.decode()


def embeddings(texts: list[str], cache: Path) -> Float32:
    """Vectors of ``texts`` by the built-in model, shape ``(n, 384)``; those in the cache are read."""
    folder = cache / "embeddings"
    folder.mkdir(parents=True, exist_ok=True)
    return np.concatenate(list(_blocks(texts, folder)))


def _blocks(texts: list[str], folder: Path) -> Iterator[Float32]:
    from rich.progress import track

    from whatworks.embedders.minilm import MiniLM

    embedder = MiniLM()
    for start in track(range(0, len(texts), BLOCK), description="embeddings"):
        file = folder / f"{embedder.model_id}-{start:07}.npy"
        part = texts[start : start + BLOCK]
        if not file.exists() or len(np.load(file, mmap_mode="r")) < len(part):
            draft = file.with_suffix(".tmp.npy")
            np.save(draft, embedder(part))
            draft.replace(file)
        yield np.load(file)[: len(part)]


def _replace(file: Path, content: bytes) -> None:
    draft = file.with_suffix(f".{os.getpid()}.tmp")
    draft.write_bytes(content)
    draft.replace(file)
