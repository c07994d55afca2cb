from __future__ import annotations

import errno
import inspect
import os

import pytest

import whatworks
from whatworks import errors

KINDS = [name for name in errors.__all__ if name.endswith("Error")]


@pytest.mark.parametrize("name", KINDS)
def test_every_error_is_one_of_whatworks_and_is_exported(name: str) -> None:
    kind = getattr(errors, name)
    assert issubclass(kind, errors.WhatWorksError)
    assert getattr(whatworks, name) is kind


@pytest.mark.parametrize(
    ("kind", "standard"),
    [
        (errors.InvalidInputError, ValueError),
        (errors.NotFoundError, LookupError),
        (errors.MissingExtraError, ImportError),
        (errors.StoreBusyError, errors.StoreError),
        (errors.StoreFullError, errors.StoreError),
        (errors.StoreClosedError, errors.StoreError),
        (errors.ModelMismatchError, errors.StoreError),
    ],
)
def test_errors_are_caught_by_the_kinds_that_are_promised(
    kind: type[Exception], standard: type[Exception]
) -> None:
    with pytest.raises(standard):
        raise kind("said")


def test_a_newer_store_is_no_store_error() -> None:
    # "Upgrade" is another answer than "mend the store".
    assert not issubclass(errors.SchemaVersionError, errors.StoreError)


def test_the_busy_error_names_the_process() -> None:
    assert errors.StoreBusyError("busy", 42).pid == 42
    assert errors.StoreBusyError("busy").pid is None


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, errors.StoreFullError),
        (errno.EDQUOT, errors.StoreFullError),
        (errno.EFBIG, errors.StoreFullError),
        (errno.EIO, errors.StoreError),
        (errno.EACCES, errors.StoreError),
    ],
)
def test_an_error_of_the_disk_becomes_one_of_ours(number: int, kind: type[Exception]) -> None:
    made = errors.disk_error(OSError(number, os.strerror(number)), "write x")
    assert type(made) is kind
    assert "write x" in str(made)


def test_the_tree_in_the_docstring_is_complete() -> None:
    drawn = inspect.getdoc(errors)
    assert drawn is not None
    assert all(name in drawn for name in KINDS)
