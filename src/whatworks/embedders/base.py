"""What turns texts into vectors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from whatworks.errors import InvalidInputError, StoreError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["EmbedFunction", "Embedder", "EmbeddingPool", "embedder_for", "vectors_of"]

# Below this length a float32 vector has no direction that can be trusted.
MIN_NORM = 1e-12

EmbedFunction = Callable[[list[str]], Any]  # float32 vectors (n, dim)


@runtime_checkable
class Embedder(Protocol):
    """A function from texts to float32 vectors ``(n, dim)``, with the name of its model."""

    model_id: str

    def __call__(self, texts: list[str], /) -> NDArray[np.float32]: ...


class EmbeddingPool(Protocol):
    """Who embeds much at once, in the place of an embedder that does it in this process."""

    def vectors(
        self, embedder: Embedder, lists: Iterable[list[str]], /
    ) -> Iterator[NDArray[np.float32]]:
        """For each list of texts what ``vectors_of`` makes of it, in order; lists are read ahead."""
        ...


class _Named:
    """A plain function with a name; a lambda's name is its place in the code."""

    def __init__(self, function: EmbedFunction) -> None:
        self._function = function
        module = getattr(function, "__module__", None) or type(function).__module__
        name = getattr(function, "__qualname__", None) or type(function).__qualname__
        self.model_id = f"{module}.{name}"

    def __call__(self, texts: list[str], /) -> NDArray[np.float32]:
        made: NDArray[np.float32] = self._function(texts)
        return made


def embedder_for(given: Embedder | EmbedFunction) -> Embedder:
    """``given`` with a ``model_id``: its own attribute, else ``module.name`` of the function."""
    if not callable(given):
        raise InvalidInputError(
            f"embedder is {type(given).__name__}; expected a function from a list of texts to "
            "float32 vectors of shape (n, dim)"
        )
    if isinstance(getattr(given, "model_id", None), str):
        return given  # type: ignore[return-value]
    return _Named(given)


def vectors_of(embedder: Embedder, texts: Sequence[str]) -> NDArray[np.float32]:
    """Vectors of length 1 for ``texts``, shape ``(n, dim)``.

    A row is zero where the embedder gave no direction: a zero vector, NaN or
    infinity.

    Raises
    ------
    StoreError
        The embedder failed, or did not return one vector for each text.
    """
    import numpy as np

    try:
        made = np.asarray(embedder(list(texts)), dtype=np.float32)
    except Exception as error:
        raise StoreError(f"the embedder {embedder.model_id} failed: {error!r}") from error
    if made.ndim != 2 or len(made) != len(texts) or made.shape[1] == 0:
        raise StoreError(
            f"the embedder {embedder.model_id} returned shape {made.shape} for {len(texts)} texts; "
            f"expected ({len(texts)}, dim)"
        )
    wide = made.astype(np.float64)
    norms = np.linalg.norm(wide, axis=1, keepdims=True)
    directed = np.isfinite(norms) & (norms >= MIN_NORM)
    unit = np.where(directed, wide, 0) / np.where(directed, norms, 1)
    return np.asarray(unit, np.float32)
