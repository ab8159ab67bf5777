"""Fixtures that every test may use: the shared data beside the repository, and small graphs."""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
import torch

from proofrank.core.graph import Dataset, load_dataset
from tests.helpers.datasets import SHARED, DatasetMaker, write_dataset

# Programs that tests start have one thread as well; it is set before torch reads it.
os.environ["OMP_NUM_THREADS"] = "1"

_data_home = tempfile.TemporaryDirectory(prefix="proofrank-data-")
# Default data folder of commands that tests run: never the user's, which another version may have written.
os.environ["XDG_DATA_HOME"] = _data_home.name

SLOW_SECONDS = 4 * 3600
"""That a slow test may take; the others have the ``timeout`` of the configuration, so that none hangs for ever."""


def pytest_collection_modifyitems(items: Iterable[pytest.Item]) -> None:
    """Gives slow tests their time."""
    for item in items:
        if item.get_closest_marker("slow") is not None:
            item.add_marker(pytest.mark.timeout(SLOW_SECONDS))


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """One thread for torch: with more, a test run beside another busy process takes ten times as long."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def one_thread_again(one_thread: None) -> Iterator[None]:
    """One thread also after a test of a command that has set its own."""
    yield
    torch.set_num_threads(1)


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
def shared_checkpoints() -> Path:
    """The folder of checkpoints of the public code beside the repository."""
    if not (SHARED / "checkpoints").is_dir():
        pytest.skip(f"no checkpoints: {SHARED / 'checkpoints'} is missing")
    return SHARED / "checkpoints"


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
