"""Fixtures that every test may use: the shared data beside the repository, and small graphs."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from core.graph import Dataset, load_dataset

SHARED = Path(__file__).resolve().parents[1].parent / "shared"

DatasetMaker = Callable[..., Dataset]
"""Takes lines of ``train``, ``rules``, ``valid``, ``test`` and perhaps ``domains``; loads what they make."""


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of whole data sets beside the repository."""
    if not (SHARED / "data").is_dir():
        pytest.skip(f"no data sets: {SHARED / 'data'} is missing")
    return SHARED / "data"


@pytest.fixture(scope="session")
def shared_truth() -> Path:
    """The folder of recorded evaluations beside the repository."""
    if not (SHARED / "truth").is_dir():
        pytest.skip(f"no recorded evaluations: {SHARED / 'truth'} is missing")
    return SHARED / "truth"


@pytest.fixture(scope="session")
def make_dataset(tmp_path_factory: pytest.TempPathFactory) -> DatasetMaker:
    """A function that writes lines into a new folder and loads it.

    Of session scope, so that it may be called for each example of a property test.
    """
    root = tmp_path_factory.mktemp("datasets")
    numbers = itertools.count()

    def make(
        train: Iterable[str],
        rules: Iterable[str],
        *,
        valid: Iterable[str] = (),
        test: Iterable[str] = (),
        domains: Iterable[str] | None = None,
    ) -> Dataset:
        folder = root / f"graph{next(numbers)}"
        write_dataset(folder, train, rules, valid=valid, test=test, domains=domains)
        return load_dataset(folder)

    return make


def write_dataset(
    folder: Path,
    train: Iterable[str],
    rules: Iterable[str],
    *,
    valid: Iterable[str] = (),
    test: Iterable[str] = (),
    domains: Iterable[str] | None = None,
) -> None:
    """Writes the files of a dataset, a string a line."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {"train": train, "valid": valid, "test": test, "rules": rules}
    if domains is not None:
        files["domain2constants"] = domains
    for stem, lines in files.items():
        content = "".join(f"{line}\n" for line in lines)
        (folder / f"{stem}.txt").write_bytes(content.encode("utf-8"))
