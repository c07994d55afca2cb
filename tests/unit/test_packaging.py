from __future__ import annotations

import inspect
import re
import tomllib
from importlib import import_module, resources
from importlib.metadata import entry_points, version
from pathlib import Path
from pkgutil import walk_packages

import pytest

import whatworks
from whatworks.stores import VectorStore
from whatworks.stores.registry import engine_class, engines

CORE = [
    "answers", "cache", "checks", "config", "embedders", "embedders.base", "embedders.minilm", "errors",
    "evidence", "evidence.database", "evidence.fold", "evidence.questions", "evidence.schema",
    "evidence.texts", "ids", "journal", "keeper", "lock", "memory", "rank", "records", "stores",
    "stores.base", "stores.exact", "stores.lance", "stores.registry", "testing", "text", "trends",
    "vectors", "writer",
    "embeddings", "generations", "model", "problems", "upkeep",
    "calibration", "calibrations", "evidence.ledger", "interval_check", "ledgers",
    "recalibration", "wording",
]  # fmt: skip


def test_types_are_shipped() -> None:
    assert resources.files("whatworks").joinpath("py.typed").is_file()


def test_the_version_is_that_of_the_package() -> None:
    assert whatworks.__version__ == version("whatworks")


def test_every_exported_name_is_there_and_no_other() -> None:
    assert len(set(whatworks.__all__)) == len(whatworks.__all__)
    for name in whatworks.__all__:
        assert getattr(whatworks, name) is not None
    assert set(dir(whatworks)) == {*whatworks.__all__, "__version__"}
    with pytest.raises(AttributeError, match="nosuch"):
        _ = whatworks.nosuch  # type: ignore[attr-defined]


def test_type_checkers_see_what_is_exported() -> None:
    source = inspect.getsource(whatworks)
    for name in whatworks.__all__:
        assert f" import {name} as {name}\n" in source


@pytest.mark.parametrize("name", whatworks.__all__)
def test_every_public_name_is_documented(name: str) -> None:
    thing = getattr(whatworks, name)
    assert inspect.getdoc(thing)
    if inspect.isclass(thing):
        for key, member in vars(thing).items():
            if not key.startswith("_") and (
                callable(member) or isinstance(member, (property, classmethod))
            ):
                assert inspect.getdoc(member), f"{name}.{key}"


@pytest.mark.parametrize("name", CORE)
def test_a_module_exports_what_it_defines(name: str) -> None:
    module = import_module(f"whatworks.{name}")
    assert module.__doc__
    for public in module.__all__:
        assert hasattr(module, public), public


def test_every_module_can_be_imported() -> None:
    for found in walk_packages(whatworks.__path__, "whatworks."):
        if found.name != "whatworks.cli.__main__":
            import_module(found.name)


def test_engines_are_found_by_their_names() -> None:
    assert set(engines()) >= {"exact", "lance"}
    for point in entry_points(group="whatworks.stores"):
        assert issubclass(point.load(), VectorStore)
        assert engine_class(point.name) is point.load()
    with pytest.raises(
        whatworks.InvalidInputError, match=r"no vector store 'nosuch'; known are .*exact"
    ):
        engine_class("nosuch")


def test_no_module_of_the_core_imports_the_package_root() -> None:
    root = Path(whatworks.__file__).parent
    for name in CORE:
        path = root.joinpath(*name.split("."))
        source = (path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text()
        assert "import whatworks\n" not in source, name


def test_only_the_evidence_opens_the_database() -> None:
    """Any other handle on the file, once closed, would take the engine's lock with it.

    A statement of SQL is run on a copy, and in a process of its own.
    """
    root = Path(whatworks.__file__).parent
    for path in root.rglob("*.py"):
        source = path.read_text()
        if "duckdb.connect(" in source and path.parts[-2] not in ("evidence", "importers", "sql"):
            assert ":memory:" in source or "duckdb.connect()" in source, path


def test_make_installs_every_extra_so_that_no_test_is_left_out() -> None:
    root = Path(__file__).parents[2]
    extras = tomllib.loads((root / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    installed = re.search(r"--editable '\.\[(.*)\]' --group dev", (root / "Makefile").read_text())
    assert installed
    assert installed[1].split(",") == sorted(set(extras) - {"ray"})
    assert "--editable '.[ray]'" in (root / "Makefile").read_text()
