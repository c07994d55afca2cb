"""Embeddings come in the order of their changes, however many there are."""

from __future__ import annotations

import numpy as np
import pytest

from whatworks import packing
from whatworks.evidence import Evidence, texts
from whatworks.evidence.texts import Text

CHANGES = [0, 1, 1, 2, 5, 5, 5, 8, 9, 12, 13]


@pytest.mark.parametrize("at_once", [1, 2, 3, 4, 100])
@pytest.mark.parametrize(("after", "until"), [(-1, 100), (1, 9), (5, 5), (12, 13), (50, 60)])
def test_they_are_read_in_parts_without_a_gap_or_a_repeat(
    evidence: Evidence, monkeypatch: pytest.MonkeyPatch, at_once: int, after: int, until: int
) -> None:
    monkeypatch.setattr(texts, "SORTED_AT_ONCE", at_once)
    batch = [Text(change, f"t{n}", "text") for n, change in enumerate(CHANGES)]
    made = np.arange(1, len(batch) * 2 + 1, dtype=np.float32).reshape(-1, 2)
    texts.add_embeddings(evidence, "patterns", "m", batch, made)
    found = [
        (name, row.tolist())
        for ids, rows, _ in texts.vectors(evidence, "patterns", "m", after, 2, until=until)
        for name, row in zip(ids, rows, strict=True)
    ]
    kept = packing.unpacked(packing.packed(made))
    wanted = [(t.id, kept[n].tolist()) for n, t in enumerate(batch) if after < t.change <= until]
    assert sorted(found) == sorted(wanted)
    changes = {t.id: t.change for t in batch}
    assert [changes[name] for name, _ in found] == sorted(changes[name] for name, _ in found)
