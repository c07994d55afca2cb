"""Tokens: what they open, and what their file lets nobody see or change."""

from __future__ import annotations

import hmac
import json
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from whatworks import InvalidInputError, NotFoundError, SchemaVersionError, StoreError
from whatworks.redaction import kind_of
from whatworks.spaces import names, tokens
from whatworks.spaces.tokens import Keys

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


def test_a_token_opens_what_it_was_made_for(root: Path) -> None:
    made, secret = tokens.add(root, "ada", ["web", "ops", "web"], clock=lambda: NOW)
    assert made == tokens.Token("ada", ("web", "ops"), True, "ada", NOW, None)
    assert Keys(root).find(secret) == made
    assert tokens.listed(root) == [made]


def test_nothing_in_the_file_is_the_token(root: Path) -> None:
    _, secret = tokens.add(root, "ada", ["web"])
    body = (root / tokens.FILE).read_text()
    assert secret not in body
    assert secret.removeprefix(tokens.PREFIX) not in body
    assert len(secret) > 40


def test_a_token_that_is_pasted_somewhere_is_taken_out_like_other_secrets(root: Path) -> None:
    secrets = [tokens.add(root, f"t{n}", ["web"])[1] for n in range(20)]
    assert {kind_of(f"call it with {secret}, please") for secret in secrets} == {"whatworks-token"}


def test_files_are_for_their_owner_whatever_the_mask(root: Path) -> None:
    before = os.umask(0)
    try:
        tokens.add(root, "ada", ["web"])
    finally:
        os.umask(before)
    assert stat.S_IMODE(root.stat().st_mode) == 0o700
    for name in (tokens.FILE, tokens.LOCK):
        assert stat.S_IMODE((root / name).stat().st_mode) == 0o600


@pytest.mark.parametrize("given", ["", "ww_", "ww_x", "\xff", "\ud800", "a" * 100_000])
def test_what_is_no_token_opens_nothing(root: Path, given: str) -> None:
    tokens.add(root, "ada", ["web"])
    assert Keys(root).find(given) is None


def test_all_hashes_are_compared_in_constant_time(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = [tokens.add(root, f"t{n}", ["web"])[1] for n in range(5)]
    real, compared = hmac.compare_digest, list[str]()

    def compare(given: str, expected: str) -> bool:
        compared.append(expected)
        return real(given, expected)

    monkeypatch.setattr(tokens.hmac, "compare_digest", compare)
    for secret in secrets:
        compared.clear()
        assert Keys(root).find(secret) is not None
        assert len(compared) == 5


def test_a_token_ends_at_its_time(root: Path) -> None:
    at = [NOW]
    made, secret = tokens.add(root, "ada", ["web"], days=2, clock=lambda: NOW)
    keys = Keys(root, clock=lambda: at[0])
    assert made.expires_at == NOW + timedelta(days=2)
    at[0] = NOW + timedelta(days=2, microseconds=-1)
    assert keys.find(secret) == made
    at[0] = NOW + timedelta(days=2)
    assert keys.find(secret) is None


def test_a_server_that_runs_sees_what_is_added_and_removed(root: Path) -> None:
    keys = Keys(root)
    assert keys.find("ww_any") is None
    made, secret = tokens.add(root, "ada", ["web"])
    assert keys.find(secret) == made
    assert tokens.remove(root, "ada") == made
    assert keys.find(secret) is None
    (root / tokens.FILE).unlink()
    assert keys.find(secret) is None


def test_names_are_taken_once_and_free_after_removal(root: Path) -> None:
    _, first = tokens.add(root, "ada", ["web"])
    with pytest.raises(InvalidInputError, match="there is a token 'ada' already"):
        tokens.add(root, "ada", ["ops"])
    tokens.remove(root, "ada")
    with pytest.raises(NotFoundError, match="no token 'ada'"):
        tokens.remove(root, "ada")
    _, second = tokens.add(root, "ada", ["web"])
    assert Keys(root).find(first) is None
    assert Keys(root).find(second) is not None


BAD = [
    "",
    ".",
    "..",
    "../web",
    "web/ops",
    "/web",
    "Web",
    "wéb",
    "-web",
    "_web",
    "we b",
    "web\n",
    "a" * 64,
    7,
]


@pytest.mark.parametrize("name", BAD)
def test_names_lead_nowhere_else(root: Path, name: Any) -> None:
    for given in ((name, ["web"], {}), ("ada", [name], {}), ("ada", ["web"], {"source": name})):
        with pytest.raises(InvalidInputError, match="expected at most 63"):
            tokens.add(root, given[0], given[1], **given[2])
    with pytest.raises(InvalidInputError):
        names.folder(root, name)
    assert not root.exists()


@pytest.mark.parametrize("days", [0, -1, float("nan"), float("inf"), 1e12, "1"])
def test_days_are_a_time_ahead(root: Path, days: Any) -> None:
    with pytest.raises(InvalidInputError, match="expected a number above 0"):
        tokens.add(root, "ada", ["web"], days=days)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_a_file_that_others_may_read_or_write_is_refused(root: Path, mode: int) -> None:
    _, secret = tokens.add(root, "ada", ["web"])
    (root / tokens.FILE).chmod(mode)
    with pytest.raises(StoreError, match="chmod 600"):
        tokens.listed(root)
    with pytest.raises(StoreError):
        tokens.add(root, "bob", ["web"])
    assert Keys(root).find(secret) is None


def test_a_file_that_could_not_be_read_for_a_moment_is_read_again(
    root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    made, secret = tokens.add(root, "ada", ["web"])
    keys, real = Keys(root), tokens._load

    def full(path: Path) -> list[Any]:
        raise StoreError("too many open files")

    monkeypatch.setattr(tokens, "_load", full)
    assert [keys.find(secret) for _ in range(3)] == [None, None, None]
    assert caplog.text.count("too many open files") == 1
    monkeypatch.setattr(tokens, "_load", real)
    assert keys.find(secret) == made


def test_a_link_in_place_of_the_file_is_refused(root: Path, tmp_path: Path) -> None:
    _, secret = tokens.add(root, "ada", ["web"])
    (root / tokens.FILE).rename(tmp_path / "elsewhere.json")
    (root / tokens.FILE).symlink_to(tmp_path / "elsewhere.json")
    with pytest.raises(StoreError):
        tokens.listed(root)
    assert Keys(root).find(secret) is None


def test_a_root_that_others_may_write_to_is_refused(root: Path) -> None:
    root.mkdir(mode=0o700)
    root.chmod(0o777)
    with pytest.raises(StoreError, match="other users may write"):
        tokens.add(root, "ada", ["web"])


def test_a_store_is_no_root(tmp_path: Path) -> None:
    from whatworks import Memory

    Memory.open(tmp_path / "store", embedder="none").close()
    with pytest.raises(StoreError, match="is a store"):
        tokens.add(tmp_path / "store", "ada", ["web"])


def damaged() -> list[Any]:
    whole = {
        "name": "ada", "sha256": "0" * 64, "namespaces": ["web"], "writes": True, "source": "ada",
        "made_at": "2026-05-04T12:00:00Z", "expires_at": None,
    }  # fmt: skip
    changes: list[dict[str, Any]] = [
        {"name": "../x"}, {"sha256": 7}, {"sha256": "0"}, {"namespaces": []}, {"namespaces": ["../x"]},
        {"namespaces": None}, {"writes": "no"}, {"writes": None}, {"source": "a/b"}, {"made_at": 7},
        {"made_at": None}, {"expires_at": "2026-05-04T12:00:00"}, {"expires_at": "soon"},
    ]  # fmt: skip
    wrong: list[Any] = [{"format": 1, "tokens": [whole | change]} for change in changes]
    missing = [{k: v for k, v in whole.items() if k != name} for name in whole]
    return [*wrong, *({"format": 1, "tokens": [item]} for item in missing), [], 7, {}, {"format": "x"}]


@pytest.mark.parametrize("body", damaged())
def test_a_file_that_does_not_say_what_it_should_lets_nobody_in(root: Path, body: Any) -> None:
    _, secret = tokens.add(root, "ada", ["web"])
    keys = Keys(root)
    assert keys.find(secret) is not None
    (root / tokens.FILE).write_text(json.dumps(body))
    with pytest.raises(StoreError, match="damaged"):
        tokens.listed(root)
    assert keys.find(secret) is None


def test_a_newer_format_is_refused(root: Path) -> None:
    tokens.add(root, "ada", ["web"])
    (root / tokens.FILE).write_text('{"format": 2, "tokens": []}')
    with pytest.raises(SchemaVersionError):
        tokens.listed(root)


def test_what_several_change_at_once_is_all_there(root: Path) -> None:
    tokens.add(root, "first", ["web"])
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: tokens.add(root, f"t{n}", ["web"]), range(12)))
        list(pool.map(lambda n: tokens.remove(root, f"t{n}"), range(6)))
    assert {token.name for token in tokens.listed(root)} == {"first", *(f"t{n}" for n in range(6, 12))}


@pytest.mark.skipif(os.name != "posix", reason="no such things elsewhere")
@pytest.mark.parametrize(
    "make", [lambda path: path.mkdir(mode=0o700), lambda path: os.mkfifo(path, 0o600)]
)
def test_a_folder_or_a_pipe_in_its_place_lets_nobody_in_and_leaves_no_file_open(
    root: Path, make: Any
) -> None:
    _, secret = tokens.add(root, "ada", ["web"])
    (root / tokens.FILE).unlink()
    make(root / tokens.FILE)
    keys, before = Keys(root), len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        assert keys.find(secret) is None
    assert len(os.listdir("/proc/self/fd")) == before
    with pytest.raises(StoreError, match="is no file"):
        tokens.listed(root)


def test_an_error_of_the_disk_while_reading_lets_nobody_in(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, secret = tokens.add(root, "ada", ["web"])

    def broken(_: int) -> os.stat_result:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:  # for a moment: others in this process ask too
        patched.setattr(os, "fstat", broken)
        found = Keys(root).find(secret)
    assert found is None
