"""The inspector of a filled store, served by its command, and Debian's chromium to look at it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

from support.inspected import fill
from support.served import LAUNCH, served
from whatworks import Memory


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.fail("there is no chromium: run scripts/install-browser")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=LAUNCH)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def told(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A filled store, with the built-in model."""
    path = tmp_path_factory.mktemp("told") / "store"
    with Memory.open(path) as memory:
        fill(memory)
        memory.predict("the build fails in module 2")
        memory.flush()
    return path


@pytest.fixture
def address(told: Path, tmp_path: Path) -> Iterator[str]:
    """The address of a copy of the store, with its token."""
    shutil.copytree(told, tmp_path / "copy")
    with served(tmp_path / "copy") as address:
        yield address


@pytest.fixture
def page(chromium: Browser, address: str) -> Iterator[Page]:
    """The overview, open; whatever the page complains of fails the test."""
    context = chromium.new_context(viewport={"width": 1200, "height": 800})
    page, complaints = context.new_page(), list[str]()

    def heard(message: ConsoleMessage) -> None:
        # Where a test asks for what is not there, the browser says so.
        if message.type in ("error", "warning") and "status of 40" not in message.text:
            complaints.append(message.text)

    page.on("console", heard)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(address)
    yield page
    context.close()
    assert complaints == []
