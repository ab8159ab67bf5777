"""Words of messages: a number and its noun agree."""

from __future__ import annotations

from proofrank.core.errors import counted
from tests.helpers.datasets import DatasetMaker


def test_one_of_a_thing_is_named_in_the_singular() -> None:
    assert counted(1, "triple") == "1 triple"
    assert counted(0, "triple") == "0 triples"
    assert counted(2, "query", "queries") == "2 queries"


def test_a_file_of_one_line_is_read_as_one_of_its_kind(make_dataset: DatasetMaker) -> None:
    dataset = make_dataset(["p(a,b)."], ["p(X,Y) -> p(Y,X)"], domains=["all a b"])

    read = [str(file).partition(": ")[2] for file in dataset.files]
    assert read[0] == "1 triple, Prolog facts"
    assert read[3:] == ["1 rule, proofrank", "1 domain, names"]
