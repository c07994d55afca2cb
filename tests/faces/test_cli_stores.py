from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from whatworks.stores import overview, registry
from whatworks.stores.exact import ExactStore

Run = Callable[..., Result]


def listed(run: Run, *words: object) -> dict[str, Any]:
    result = run("stores", "--json", *words)
    assert (result.exit_code, result.stderr) == (0, "")
    return {kind["name"]: kind for kind in json.loads(result.stdout)}


def test_every_engine_is_listed_with_what_it_can_do(run: Run) -> None:
    found = listed(run)
    assert list(found) == registry.engines()
    lance, exact = found["lance"], found["exact"]
    assert lance["installed"] and lance["pages"] and lance["upkeep"] and not lance["filters"]
    assert found["qdrant"]["filters"] and found["usearch"]["filters"]
    assert lance["license"].startswith("Apache") and lance["install"] is None
    assert exact["packages"].keys() == {"numpy"} and not exact["filters"] and exact["stable_files"]
    assert found["omendb"]["license"] == "Elastic-2.0"
    assert not any(kind["in_use"] for kind in found.values())


def test_the_one_in_use_is_marked(run: Run, filled: Any) -> None:
    found = listed(run, "--store", filled.path)
    assert [name for name, kind in found.items() if kind["in_use"]] == ["exact"]
    assert "in use" in run("stores", "--store", filled.path).stdout
    assert "in use" not in run("stores").stdout


def test_a_store_that_is_not_there_is_said(run: Run, tmp_path: Path) -> None:
    assert run("stores", "--store", tmp_path / "none").exit_code == 4


def test_what_is_missing_comes_with_the_command_that_installs_it(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("whatworks.stores.omendb.OmenStore.packages", ("no-such-package",))
    found = listed(run)["omendb"]
    assert (found["installed"], found["license"]) == (False, None)
    assert found["packages"] == {"no-such-package": None}
    assert "pip install 'whatworks[omendb]'" in run("stores").stdout


def test_stores_of_other_packages_are_listed(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "others.py").write_text(
        "from whatworks.stores.exact import ExactStore\n"
        "class Other(ExactStore):\n"
        "    packages = ('others-engine',)\n"
        "    stable_files = False\n"
    )
    installed = tmp_path / "others-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: others\nVersion: 1.0\n")
    (installed / "entry_points.txt").write_text(
        "[whatworks.stores]\nother = others:Other\nbroken = others:Nothing\n"
    )
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    found = listed(run)
    assert found["other"]["install"] == "pip install others-engine"
    assert found["broken"]["problem"].startswith("AttributeError")
    printed = run("stores", columns=200).stdout
    assert "does not load" in printed and "writes to its files when it is only read" in printed
    sys.modules.pop("others", None)


@pytest.mark.parametrize(
    ("said", "license"),
    [
        ("License-Expression: MIT\nLicense: long", "MIT"),
        ("License: Apache-2.0", "Apache-2.0"),
        (
            "License: " + "all of it " * 20 + "\nClassifier: License :: OSI Approved :: MIT License",
            "MIT License",
        ),
        ("Summary: none", None),
    ],
)
def test_a_licence_is_a_name_and_never_a_whole_text(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    said: str,
    license: str | None,  # noqa: A002
) -> None:
    installed = tmp_path / "others_engine-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: others-engine\nVersion: 1.0\n{said}\n"
    )
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])

    class Other(ExactStore):
        packages = ("others-engine",)

    with registry.lent("other", Other):
        monkeypatch.setattr(overview, "engines", lambda: ["other"])
        (found,) = overview.overview(in_use="other+https://somewhere")
    assert (found.license, found.in_use) == (license, True)
