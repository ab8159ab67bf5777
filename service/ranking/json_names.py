"""Names of a graph as JSON: each is escaped once, and then looked up by its index."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic_core import to_json

from proofrank.core.graph import Dataset


class JsonNames:
    """The names of one dataset as JSON strings; may be asked by several threads at once."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self._vocabulary = dataset.vocabulary
        self._constants: dict[int, str] = {}

    def predicate(self, index: int) -> str:
        """The name of a predicate, in quotation marks."""
        return _quoted(self._vocabulary.predicate_name(index))

    def constants(self, indices: Sequence[int]) -> list[str]:
        """The names of constants, in quotation marks."""
        known = self._constants
        for index in set(indices).difference(known):
            known[index] = _quoted(self._vocabulary.argument_name(index))
        return [known[index] for index in indices]


class JsonNamesOfServed:
    """Keeps the names of the dataset that is being served from one request to the next."""

    def __init__(self) -> None:
        self._names: JsonNames | None = None

    def of(self, dataset: Dataset) -> JsonNames:
        """The names of ``dataset``."""
        names = self._names
        if names is None or names.dataset is not dataset:
            names = self._names = JsonNames(dataset)
        return names


def _quoted(name: str) -> str:
    return to_json(name).decode()
