"""The exceptions that whatworks raises; nothing else escapes from it.

::

    WhatWorksError
    ├── InvalidInputError (also ValueError)     what was given cannot be stored or asked
    ├── NotFoundError (also LookupError)        no such pattern, event or prediction
    ├── MissingExtraError (also ImportError)    an optional package is not installed
    ├── StoreError                              the store cannot do it
    │   ├── StoreBusyError                      another process holds the store
    │   ├── StoreFullError                      no room on the disk; nothing was acknowledged
    │   ├── StoreClosedError                    the handle was closed, or the process forked
    │   ├── ModelMismatchError                  the store's vectors are of another model
    │   ├── CopiedStoreError                    a copy of the folder is in the team already
    │   └── UnreachableError                    the team's database does not answer
    └── SchemaVersionError                      the store was written by a newer whatworks

Every message is one line: what was given, what was expected, what to do. The
types are promised, the wording is not.
"""

from __future__ import annotations

import errno

__all__ = [
    "CopiedStoreError",
    "InvalidInputError",
    "MissingExtraError",
    "ModelMismatchError",
    "NotFoundError",
    "SchemaVersionError",
    "StoreBusyError",
    "StoreClosedError",
    "StoreError",
    "StoreFullError",
    "UnreachableError",
    "WhatWorksError",
    "disk_error",
]


class WhatWorksError(Exception):
    """Base of all errors of whatworks."""


class InvalidInputError(WhatWorksError, ValueError):
    """A value given by the caller is not acceptable; nothing was written."""


class NotFoundError(WhatWorksError, LookupError):
    """The named pattern, event or prediction is not in this store."""


class MissingExtraError(WhatWorksError, ImportError):
    """A feature needs an optional package; the message names the pip command."""


class StoreError(WhatWorksError):
    """The store cannot do what was asked."""


class StoreBusyError(StoreError):
    """Another process holds the store; ``pid`` names it when it is known."""

    def __init__(self, message: str, pid: int | None = None) -> None:
        super().__init__(message)
        self.pid = pid


class StoreFullError(StoreError):
    """The disk is full. What was not acknowledged was not kept; reading goes on."""


class StoreClosedError(StoreError):
    """The handle was closed, or belongs to the parent of a forked process."""


class ModelMismatchError(StoreError):
    """The store holds embeddings of another model, or of another dimension."""


class CopiedStoreError(StoreError):
    """Another copy of this folder, or a later state of it, has shipped to the team under its name."""


class UnreachableError(StoreError):
    """The database of the team does not answer; what is recorded is shipped when it does."""


class SchemaVersionError(WhatWorksError):
    """The store was written by a newer version of whatworks."""


def disk_error(error: OSError, what: str) -> StoreError:
    """``error`` of the operating system while doing ``what``, as one of ours."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return StoreFullError(f"no room left on the disk to {what}: free some space and try again")
    return StoreError(f"cannot {what}: {error.strerror or error}")
