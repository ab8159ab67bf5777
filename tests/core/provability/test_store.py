"""A least model is computed once for a dataset, and read from its file afterwards."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from proofrank.core.graph import Dataset, load_other_graph
from proofrank.core.provability import store
from proofrank.core.provability.store import stored_least_model
from tests.helpers.datasets import DatasetMaker, write_dataset


@pytest.fixture
def dataset(make_dataset: DatasetMaker) -> Dataset:
    return make_dataset(["p(a,b).", "p(b,c).", "q(a,a)."], ["p(X,Z), p(Z,Y) -> v(X,Y)", "q(X,Y) -> p(Y,X)"])


def all_atoms(dataset: Dataset) -> np.ndarray:
    predicates, constants = dataset.vocabulary.num_predicates, dataset.vocabulary.num_constants
    return np.indices((predicates, constants, constants)).reshape(3, -1).T + 1


@pytest.mark.parametrize("seconds", [60.0, 0.0])
def test_the_second_process_reads_what_the_first_has_computed(
    seconds: float, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed = stored_least_model(dataset, tmp_path / "cache", seconds=seconds)
    monkeypatch.setattr(store, "compute_least_model", None)

    read = stored_least_model(dataset, tmp_path / "cache", seconds=seconds)

    assert read.is_exact == computed.is_exact == (seconds > 0)
    assert (read.contains(all_atoms(dataset)) == computed.contains(all_atoms(dataset))).all()
    assert set(read.relations) == set(computed.relations)


def test_another_dataset_has_another_file(
    dataset: Dataset, make_dataset: DatasetMaker, tmp_path: Path
) -> None:
    other = make_dataset(["p(a,b).", "p(b,c).", "q(a,a)."], ["p(X,Y) -> v(X,Y)", "q(X,Y) -> p(Y,X)"])
    stored_least_model(dataset, tmp_path)

    assert stored_least_model(other, tmp_path).contains([other.triple("b", "v", "c")])[0]
    assert not stored_least_model(dataset, tmp_path).contains([dataset.triple("b", "v", "c")])[0]


def test_a_graph_beside_two_others_has_a_file_for_the_relations_of_each(
    make_dataset: DatasetMaker, tmp_path: Path
) -> None:
    rules = ["p(X,Y) -> v(X,Y)"]
    write_dataset(tmp_path / "other", ["p(c,d)."], [])
    fewer = load_other_graph(tmp_path / "other", make_dataset(["p(a,b)."], rules))
    more = load_other_graph(tmp_path / "other", make_dataset(["p(a,b).", "before(a,b)."], rules))
    # The same triples and rules, but other indices: the relation that only one has comes first.
    assert fewer.content_hash == more.content_hash
    assert fewer.triple("c", "v", "d") != more.triple("c", "v", "d")

    for graph in (fewer, more, fewer):
        model = stored_least_model(graph, tmp_path / "cache")
        assert model.contains([graph.triple("c", "v", "d"), graph.triple("d", "v", "c")]).tolist() == [
            True,
            False,
        ]


@pytest.mark.parametrize("content", [b"", b"nonsense", "truncated"])
def test_a_damaged_file_is_computed_again_with_a_warning(
    content: bytes | str, dataset: Dataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stored_least_model(dataset, tmp_path)
    [path] = tmp_path.glob("*.safetensors")
    path.write_bytes(path.read_bytes()[:-8] if isinstance(content, str) else content)

    model = stored_least_model(dataset, tmp_path)

    assert model.contains([dataset.triple("a", "v", "c")])[0]
    assert "cannot be used, and is computed again" in caplog.text


def test_a_folder_that_cannot_be_written_to_costs_a_warning(
    dataset: Dataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")

    model = stored_least_model(dataset, tmp_path / "file" / "cache")

    assert model.contains([dataset.triple("a", "v", "c")])[0]
    assert "is not kept for the next time" in caplog.text


def test_without_a_folder_nothing_is_kept(dataset: Dataset, tmp_path: Path) -> None:
    assert stored_least_model(dataset, None).is_exact
    assert list(tmp_path.iterdir()) == []
