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
    """A row for every file of tests of a store that is here, and below it what they fail."""
    kinds = {kind.name: kind for kind in overview() if not kind.problem}
    files = [file for file in sorted(TESTS.glob("test_*.py")) if _names(file)[0] in kinds]
    head = "| store | filters | pages | upkeep | server | files stay | checks |"
    rows = [_row(kinds[_names(file)[0]], file) for file in files]
    listed = [f"- {_title(file)}, {check}: {reason}." for file in files for check, reason in gaps(file)]
    return "\n".join([head, "|---" * 7 + "|", *rows, "", *listed, ""]).replace("\n\n\n", "\n\n")


def _names(file: Path) -> tuple[str, str]:
    """Store and variant of ``test_store_variant.py``."""
    store, _, variant = file.stem.removeprefix("test_").partition("_")
    return store, variant


def _title(file: Path) -> str:
    store, variant = _names(file)
    return f"`{store}` ({variant})" if variant else f"`{store}`"


def _row(kind: StoreKind, file: Path) -> str:
    can = ["yes" if getattr(kind, name) else "-" for name in ABILITIES]
    passed = len(CHECKS) - len({check for check, _ in gaps(file)})
    return f"| {' | '.join([_title(file), *can, f'{passed} of {len(CHECKS)}'])} |"


def gaps(file: Path) -> list[tuple[str, str]]:
    """Checks that the tests in a file expect to fail, with the reason."""
    return sorted({item for kind in _suites(file) for item in kind.gaps.items()})


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
