"""The table of vector stores in docs/stores.md, from the stores and from their conformance tests."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

from whatworks.stores.overview import StoreKind, overview
from whatworks.testing import StoreConformance

__all__ = ["PAGE", "part", "table"]

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "stores.md"
TESTS = ROOT / "tests" / "conformance"
BEGIN, END = "<!-- stores -->\n", "<!-- end of stores -->"
ABILITIES = ("filters", "pages", "upkeep", "server", "stable_files")
CHECKS = [name for name in dir(StoreConformance) if name.startswith("test_s")]


def main() -> None:
    before, _, rest = PAGE.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(f"{before}{BEGIN}{table()}{END}{after}")


def part() -> str:
    """What the page has now."""
    return PAGE.read_text().partition(BEGIN)[2].partition(END)[0]


def table() -> str:
    """Stores that are here and tested, a row each, and below it what they fail."""
    found = [(kind, gaps(kind.name)) for kind in overview() if not kind.problem]
    tested = [(kind, missed) for kind, missed in found if missed is not None]
    head = "| store | filters | pages | upkeep | server | files stay | checks |"
    rows = [_row(kind, missed) for kind, missed in tested]
    listed = [
        f"- `{kind.name}`, {check}: {reason}." for kind, missed in tested for check, reason in missed
    ]
    return "\n".join([head, "|---" * 7 + "|", *rows, "", *listed, ""]).replace("\n\n\n", "\n\n")


def _row(kind: StoreKind, missed: list[tuple[str, str]]) -> str:
    can = ["yes" if getattr(kind, name) else "-" for name in ABILITIES]
    passed = len(CHECKS) - len({check for check, _ in missed})
    cells = [f"`{kind.name}`", *can, f"{passed} of {len(CHECKS)}"]
    return f"| {' | '.join(cells)} |"


def gaps(store: str) -> list[tuple[str, str]] | None:
    """Checks that its tests expect to fail, with the reason; ``None`` if nothing tests it."""
    file = TESTS / f"test_{store}.py"
    if not file.exists():
        return None
    found = {item for kind in _suites(file) for item in kind.gaps.items()}
    return sorted(found)


def _suites(file: Path) -> Iterator[type[StoreConformance]]:
    spec = spec_from_file_location(f"conformance_of_{file.stem}", file)
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    for thing in vars(module).values():
        if (
            isinstance(thing, type)
            and issubclass(thing, StoreConformance)
            and thing.__module__ == spec.name
        ):
            yield thing


if __name__ == "__main__":
    main()
