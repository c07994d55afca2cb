"""A namespace is named in the address of its database; what is no name is refused there."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as checks
from hypothesis import strategies as st

from support.namespaces import at, begin
from whatworks import InvalidInputError, Memory, config, places
from whatworks.team import listing, membership, schemas, settings
from whatworks.team.database import Database
from whatworks.testing import HashEmbedder

MODEL = HashEmbedder().model_id
HOSTILE = [
    "", "Web", "web.log", "../web", 'web"; DROP SCHEMA whatworks CASCADE; --', "web'", "-web", "_web",
    "wéb", "web%00", "web%0A", "web web", "web,pg_temp", "a" * 54, "$user", "web%22", "web/x",
    "pg_catalog.x",
]  # fmt: skip  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_refused_before_anybody_is_asked(name: str, tmp_path: Path) -> None:
    address = f"postgresql://ada@nowhere.invalid/memory?namespace={name}"
    with pytest.raises(InvalidInputError):
        Database(address)
    with pytest.raises(InvalidInputError):
        membership.join(tmp_path / "new", address, model=MODEL)
    with pytest.raises(InvalidInputError):
        Memory.open(address, embedder=HashEmbedder())
    with pytest.raises(InvalidInputError):
        listing.namespaces(address)
    assert config.locate(address) != config.locate("postgresql://ada@nowhere.invalid/memory")


@pytest.mark.parametrize(
    "said",
    ["?Namespace=api", "?NAMESPACE=api", "? namespace=api", "?VECTORS=s3://b", "#x?namespace=api"],
)
def test_a_word_that_would_be_passed_over_is_refused(said: str) -> None:
    with pytest.raises(InvalidInputError, match="the database's address"):
        settings.require_url(f"postgresql://ada@db.example.org/memory{said}")


@pytest.mark.parametrize("word", ["database", "service"])
def test_databases_named_in_the_query_are_places_of_their_own(word: str) -> None:
    one, other = (places.of_team(f"postgresql://ada@db/?{word}={name}") for name in ("a", "b"))
    assert one != other


def test_two_namespaces_in_one_address_are_refused() -> None:
    address = "postgresql://ada@nowhere.invalid/memory?namespace=api&namespace=api"
    with pytest.raises(InvalidInputError, match="names 2 namespaces"):
        settings.require_url(address)


@given(st.text(max_size=80))
def test_each_name_has_a_schema_of_its_own_or_none(name: str) -> None:
    try:
        schema = schemas.named(name)
    except InvalidInputError:
        return
    assert schemas.namespace(schema) == name and len(schema.encode()) <= 63
    assert schema != schemas.ALONE


@given(st.from_regex(r"[a-z0-9][a-z0-9_-]{0,52}", fullmatch=True))
@checks(max_examples=20)
def test_a_good_name_is_the_namespace_of_its_schema(name: str) -> None:
    assert schemas.namespace(schemas.named(name)) == name
    assert schemas.namespace(schemas.ALONE) is None


def test_the_longest_name_has_a_team(url: str, tmp_path: Path) -> None:
    names = ["a" * schemas.LONGEST, "a" * (schemas.LONGEST - 1) + "b", "0-_9"]
    for name in names:
        begin(tmp_path / name, at(url, name))
    assert {each.namespace for each in listing.namespaces(url)} == set(names)


@pytest.mark.parametrize(
    ("address", "rest", "space"),
    [
        ("postgresql://ada@db/memory", "postgresql://ada@db/memory", None),
        ("postgresql://ada@db/memory?namespace=api", "postgresql://ada@db/memory", "api"),
        ("postgresql://ada@db/memory?names%70ace=a%70i", "postgresql://ada@db/memory", "api"),
        (
            "postgresql://ada@/m?host=%2Ftmp&namespace=my-team&sslmode=require",
            "postgresql://ada@/m?host=%2Ftmp&sslmode=require",
            "my-team",
        ),
    ],
)
def test_the_driver_is_not_told_of_the_namespace(address: str, rest: str, space: str | None) -> None:
    assert settings.split_namespace(address) == (rest, space)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("?namespace=api", "?namespace=api&sslmode=require", True),
        ("?sslmode=require&namespace=api", "?namespace=api&vectors=s3://a/b", True),
        ("?namespace=api", "?namespace=a%70i", True),
        ("?namespace=api", "?namespace=web", False),
        ("?namespace=api", "", False),
        ("?namespace=", "", False),
    ],
)
def test_each_namespace_is_the_place_of_one_store(one: str, other: str, same: bool) -> None:
    places = [config.locate(f"postgresql://ada@db/memory{each}") for each in (one, other)]
    assert (places[0] == places[1]) is same


def test_a_memory_is_opened_by_the_address_of_its_namespace(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))

    def opened(address: str) -> Memory:
        return Memory.open(address, embedder=HashEmbedder(), vectors="exact")

    for space in ("api", "web"):
        with opened(at(url, space)) as memory:
            memory.add_pattern(f"the way of {space}", pattern_id="p")
    folders = {config.locate(at(url, space)) for space in ("api", "web")}
    assert len(folders) == 2 and all("namespace" in settings.load(each).url for each in folders)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "elsewhere"))
    for space in ("api", "web"):
        with opened(at(url, space)) as memory:
            assert memory.get_pattern("p").description == f"the way of {space}"
    strict = f"{at(url, 'api')}&sslmode=require"
    opened(strict).close()
    assert settings.load(config.locate(at(url, "api"))).url == strict
