"""Generations of a store's vectors: another is made beside the present one, then switched to at once.

A generation is what was made with one embedder for one engine, in a folder of its own. The
configuration names the present one, and the one before the last migration, which can be gone back to.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

from whatworks import migration
from whatworks.config import Config, Current
from whatworks.embedders import Embedder, EmbeddingPool, vectors_of
from whatworks.embeddings import COLLECTIONS, Basis, Embeddings
from whatworks.errors import InvalidInputError, MissingExtraError, StoreError
from whatworks.evidence import Evidence, texts
from whatworks.model import Model
from whatworks.vectors import Vectors, remove

__all__ = ["Generations"]


class Generations:
    """Moves a store's vectors from one generation to the next, and removes those that are over.

    Parameters
    ----------
    folder
        Where the stores of vectors lie.
    config, model, embeddings
        Those of the store.
    evidence
        The evidence, up to everything acknowledged so far.
    basis
        As in ``Embeddings``.
    """

    def __init__(
        self,
        folder: Path,
        *,
        config: Current,
        model: Model,
        embeddings: Embeddings,
        evidence: Callable[[], Evidence],
        basis: Callable[[], Basis],
    ) -> None:
        self.moving = threading.RLock()  # one move of the vectors at a time; taken before all others
        self._folder = folder
        self._config = config
        self._model = model
        self._embeddings = embeddings
        self._evidence = evidence
        self._basis = basis

    def migrate(
        self, to: str | None, *, keep: bool, progress: Callable[[int], object] = lambda _: None
    ) -> dict[str, migration.Checked]:
        """Move the vectors to another store while questions go on to be answered by the old one.

        Interrupted, the store stays with the old one; run again, it goes on
        where it was.
        """
        with self.moving:
            after = migration.target(self._config.now, to)
            found = {} if after is self._config.now else self._migrate(after, progress)
            if not keep:
                self._forget_former()
            return found

    def _migrate(
        self, after: Config, progress: Callable[[int], object]
    ) -> dict[str, migration.Checked]:
        evidence, before, basis = self._evidence(), self._config.now, self._basis()
        if self._model.embedder is not None:
            self._embeddings.embed()
        with ExitStack() as ends:
            made = {}
            for name in COLLECTIONS:
                made[name] = self._embeddings.open_one(evidence, after, name, progress)
                ends.callback(made[name].close)
                made[name].project(force=True)
                made[name].maintain()
            checked = self._checked(evidence, after, made, progress)
            with self._embeddings.still():
                if self._basis() != basis:
                    raise StoreError(
                        "the evidence was made anew, or something forgotten, meanwhile; run it again"
                    )
                for vectors in made.values():
                    vectors.catch_up()
                self._config.save(after.changed(dim=self._config.now.dim))
                self._embeddings.replace(made)
            ends.pop_all()
        if before.former is not None and before.former != after.vectors:
            self._remove(before.former, before.former_generation)
        return checked

    def _checked(
        self,
        evidence: Evidence,
        after: Config,
        made: dict[str, Vectors],
        progress: Callable[[int], object],
    ) -> dict[str, migration.Checked]:
        try:
            return migration.check(evidence, made, progress)
        except StoreError:  # not to be gone on with
            for vectors in made.values():
                vectors.close()
            self._remove(after.vectors, after.generation)
            raise

    def reembed(
        self,
        embedder: Embedder,
        progress: Callable[[int], object] | None = None,
        pool: EmbeddingPool | None = None,
        *,
        switched: Callable[[], object],
    ) -> None:
        """Change the embedder: embed everything anew beside the old, then switch at once.

        Interrupted, the store stays with the old embedder; run again, it
        goes on where it was. ``switched`` is called before the old
        embeddings are removed.
        """
        evidence = self._evidence()
        with self.moving, self._embeddings.still():
            old, before = self._model.embedder, self._config.now
            made = vectors_of(embedder, ["dimension"])
            same = embedder.model_id == before.embedder
            if same and before.dim not in (None, made.shape[1]):
                raise InvalidInputError(
                    f"the store has embeddings of {embedder.model_id!r} with {before.dim} dimensions, "
                    f"this one makes {made.shape[1]}; give it another model_id"
                )
            after = before.changed(
                embedder=embedder.model_id, dim=made.shape[1], generation=before.next_generation()
            )
            self._embeddings.close()
            self._model.embedder, self._config.now = embedder, after
            try:
                self._embeddings.embed(progress, pool)
                self._config.save(after)
            except BaseException:
                self._model.embedder, self._config.now = old, before
                raise
            switched()
            texts.drop_other_models(evidence, embedder.model_id)
            self._remove(before.vectors, before.generation)
            self._forget_former()  # which has vectors of the other model

    def erase(self, progress: Callable[[int], object]) -> None:
        """Have no store of vectors with what was forgotten; one that cannot erase is filled anew.

        ``progress`` is called with the number of vectors that the new one was just given.
        """
        before = self._config.now
        if not self._folder.exists() or before.dim is None:
            return
        opened = list(self._embeddings.open_all().values())
        if not all(vectors.erase() for vectors in opened):
            self._clear_generations()  # one that was begun before may have it, too
            self._migrate(before.changed(generation=before.next_generation()), progress)
        self._forget_former()
        self._clear_generations()

    def remove_all(self) -> None:
        """Remove all stores of vectors here, none of which may be open."""
        _remove_folder(self._folder)

    def _forget_former(self) -> None:
        """Remove the store of vectors before the last migration."""
        former, generation = self._config.now.former, self._config.now.former_generation
        if former is not None:
            self._config.save(self._config.now.changed(former=None, former_generation=None))
            self._remove(former, generation)

    def _clear_generations(self) -> None:
        """Remove all stores of vectors but the present one and the one before the last migration."""
        for folder in self._folder.iterdir():
            if folder.name.isdigit() and folder.name not in self._config.now.generations():
                self._remove(self._config.now.vectors, int(folder.name))

    def _remove(self, vectors: str, generation: int | None) -> None:
        folder = self._folder / str(generation)
        with suppress(StoreError, MissingExtraError):  # a server out of reach keeps a copy
            for name in COLLECTIONS:
                remove(vectors, folder / name)
        _remove_folder(folder)


def _remove_folder(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)
