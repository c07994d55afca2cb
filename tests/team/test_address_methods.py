"""The tests of the public methods once more, with a memory that is opened by its team's address."""

from __future__ import annotations

from pathlib import Path

import pytest

from unit import test_memory

# One value after the other that is refused at the door, before a store is asked; and another model.
LEFT_OUT = {
    "test_what_is_refused_leaves_everything_as_it_was",
    "test_any_printable_id_gives_exactly_its_row",
    "test_the_example_of_the_documentation_works",
}
SAME = {name: test for name, test in vars(test_memory).items() if name.startswith("test_")}
globals().update({name: test for name, test in SAME.items() if name not in LEFT_OUT})


class Address(str):
    """An address beside which there are folders."""

    place: Path

    def with_name(self, name: str) -> Path:
        return self.place / name


@pytest.fixture
def store(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Address:
    """What these tests open."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    made = Address(url)
    made.place = tmp_path
    return made


def test_these_are_most_of_the_tests_of_the_public_methods() -> None:
    assert set(SAME) >= LEFT_OUT and len(SAME) > 25
