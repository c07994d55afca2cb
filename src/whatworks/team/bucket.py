"""A folder on S3-compatible storage: files that are put there once, read, and taken away.

Credentials, region and, for a server that is not Amazon's, the endpoint come from the environment
(``$AWS_ACCESS_KEY_ID``, ``$AWS_SECRET_ACCESS_KEY``, ``$AWS_REGION``, ``$AWS_ENDPOINT_URL``).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from whatworks.errors import (
    InvalidInputError,
    MissingExtraError,
    NotFoundError,
    StoreError,
    disk_error,
)
from whatworks.ids import uuid7

__all__ = ["Bucket", "allows_http", "first_line", "require_url"]

# A server that is not there is not waited for; one that is slow may take its time for a large file.
OPTIONS = {"connect_timeout": "5s", "timeout": "300s"}
RETRIES: Any = {"max_retries": 3}
PROBE = "probe"
CREDENTIALS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
# Without them the client asks the machines of Amazon who it is, which elsewhere nobody answers.
_NOBODY = ("169.254.169.254", "Missing SecretAccessKey", "Missing AccessKeyId")


def require_url(url: str, what: str = "the snapshots' address", otherwise: str = "") -> str:
    """The address of a folder on S3, without credentials, which would be told to all machines.

    ``what`` it is, and what is expected ``otherwise``, is said where it is none.

    Raises
    ------
    InvalidInputError
        It is none, or holds credentials.
    """
    try:
        parts = urlsplit(url)
        bare = parts.username is None and not parts.query
    except ValueError:
        parts, bare = urlsplit(""), True
    if parts.scheme != "s3" or not parts.netloc:
        expected = f"s3://BUCKET/PREFIX {otherwise}".rstrip()
        said = repr(url) if "@" not in url else f"on {parts.hostname or 'no host'}"  # no credentials
        raise InvalidInputError(f"{what} is {said}; expected {expected}")
    if not bare:
        raise InvalidInputError(
            f"{what} holds more than a bucket and a prefix: credentials come from "
            f"${' and $'.join(CREDENTIALS)}"
        )
    return url.rstrip("/")


def allows_http() -> bool:
    """Whether the server that the environment names is asked without TLS."""
    return os.environ.get("AWS_ENDPOINT_URL", "").startswith("http://")


def first_line(error: BaseException) -> str:
    """The first line of what an error says, of at most 300 characters; or its class."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


class Bucket:
    """Files under an address ``s3://BUCKET/PREFIX``.

    Parameters
    ----------
    waits
        How long a request may take, such as ``20s``.

    Raises
    ------
    MissingExtraError
        The client is not installed.
    InvalidInputError
        As ``require_url``.
    """

    def __init__(self, url: str, *, waits: str = OPTIONS["timeout"]) -> None:
        self.url = require_url(url)
        try:
            import obstore
            from obstore import exceptions
            from obstore.store import S3Store
        except ImportError as error:
            raise MissingExtraError(
                "files on S3 need an optional package: pip install 'whatworks[s3]'"
            ) from error
        self._obstore, self._errors = obstore, exceptions
        options: Any = OPTIONS | {"timeout": waits, "allow_http": allows_http()}
        with self._translated("open it"):
            self._store = S3Store.from_url(self.url, client_options=options, retry_config=RETRIES)

    @contextmanager
    def _translated(self, what: str) -> Iterator[None]:
        try:
            yield
        except (FileNotFoundError, self._errors.NotFoundError) as error:
            raise NotFoundError(f"{self.url}: there is no {what.partition(' ')[2]}") from error
        except self._errors.BaseError as error:
            said = first_line(error)
            if not all(map(os.environ.get, CREDENTIALS)) and any(mark in said for mark in _NOBODY):
                raise StoreError(
                    f"{self.url}: there are no credentials for S3: set ${' and $'.join(CREDENTIALS)}, "
                    "and $AWS_ENDPOINT_URL for a server that is not Amazon's"
                ) from error
            raise StoreError(f"{self.url}: cannot {what}: {said}") from error

    def probe(self) -> None:
        """See that the server puts a file only once where it is told to.

        Raises
        ------
        StoreError
            It does not, so that two machines could write over each other's files; or it refuses.
        """
        name = f"{PROBE}-{uuid7()}"
        try:
            if not self.put(name, b"first"):
                raise StoreError(f"{self.url}: a new file is said to be there: use another S3 server")
            if self.put(name, b"second") or self.get(name) != b"first":
                raise StoreError(
                    f"{self.url}: the server writes over a file that was to be new (it does not heed "
                    "If-None-Match): use another S3 server"
                )
        finally:
            with suppress(StoreError):  # what went wrong before is what has to be said
                self.delete([name])

    def put(self, name: str, body: bytes) -> bool:
        """Put a small file there unless there is one; whether it was put."""
        with self._translated(f"write {name}"):
            try:
                self._obstore.put(self._store, name, body, mode="create")
            except self._errors.AlreadyExistsError:
                return False
        return True

    def put_file(self, name: str, path: Path) -> None:
        """Put the contents of a file there."""
        with self._translated(f"write {name}"), open(path, "rb") as file:
            self._obstore.put(self._store, name, file)

    def get(self, name: str) -> bytes:
        """The contents of a small file.

        Raises
        ------
        NotFoundError
            There is none.
        """
        with self._translated(f"read {name}"):
            return bytes(self._obstore.get(self._store, name).bytes())

    def get_file(self, name: str, path: Path) -> None:
        """Write the contents of a file there into a new one here."""
        with self._translated(f"read {name}"):
            found = self._obstore.get(self._store, name)
            try:
                with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                    for block in found.stream():
                        file.write(block)
            except OSError as error:
                raise disk_error(error, f"write {path}") from error

    def names(self, prefix: str) -> list[str]:
        """The files whose names begin with ``prefix``, a folder."""
        with self._translated(f"list {prefix}"):
            return [
                str(item["path"]) for page in self._obstore.list(self._store, prefix) for item in page
            ]

    def delete(self, names: list[str]) -> None:
        """Remove files; those that are not there are gone already."""
        if names:
            with self._translated("remove files"):
                self._obstore.delete(self._store, names)
