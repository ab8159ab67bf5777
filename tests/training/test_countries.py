"""The committed countries graph: where it comes from, and that its queries are a fair task."""

from __future__ import annotations

from pathlib import Path

import pytest

from proofrank.core.default import DATASET
from proofrank.core.graph import Dataset, Triple, load_dataset
from proofrank.core.prover import ProverSettings
from proofrank.training.make_countries import SOURCE, write_dataset
from proofrank.training.search import ProofSearch


@pytest.fixture(scope="module")
def countries() -> Dataset:
    return load_dataset(DATASET)


def test_the_committed_files_are_what_the_program_writes(tmp_path: Path) -> None:
    pytest.importorskip(SOURCE, reason="the package that the facts come from is not installed")
    write_dataset(tmp_path)
    written = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    committed = {path.name: path.read_bytes() for path in DATASET.iterdir()}
    assert written == committed


def test_no_held_out_triple_is_known(countries: Dataset) -> None:
    splits = {name: set(triples) for name, triples in countries.splits.items()}
    assert not splits["train"] & (splits["valid"] | splits["test"])
    assert not splits["valid"] & splits["test"]
    assert not countries.warnings


def test_of_a_held_out_country_and_its_neighbors_no_region_is_known(countries: Dataset) -> None:
    predicate = countries.vocabulary.predicate_index
    in_region, in_subregion, neighbor = map(predicate, ("locatedInCR", "locatedInCS", "neighborOf"))
    for query in countries.splits["valid"] + countries.splits["test"]:
        assert query.predicate == in_region
        assert not countries.facts.with_first(in_region, query.head)
        assert not countries.facts.with_first(in_subregion, query.head)
        for _, _, country in countries.facts.with_first(neighbor, query.head):
            assert not countries.facts.with_first(in_region, country)


@pytest.mark.parametrize("split", ["valid", "test"])
def test_the_region_of_each_held_out_country_can_be_proved(countries: Dataset, split: str) -> None:
    search = ProofSearch(countries, ProverSettings())
    # r2, its two neighbours, and the end.
    steps = {query: search.steps_to_proof((query,), None, limit=4) for query in countries.splits[split]}
    assert set(steps.values()) == {3}


def test_every_border_counts_in_both_directions(countries: Dataset) -> None:
    neighbor = countries.vocabulary.predicate_index("neighborOf")
    borders = {triple for triple in countries.splits["train"] if triple.predicate == neighbor}
    assert borders == {Triple(neighbor, tail, head) for _, head, tail in borders}
