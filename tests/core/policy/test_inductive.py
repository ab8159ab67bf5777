"""A policy that embeds all constants alike ranks in another graph with the same relations; any other is refused."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pytest
import torch

import proofrank
from proofrank.core.evaluator import ReferenceEvaluator, settings_for
from proofrank.core.graph import Dataset, load_dataset, load_other_graph
from proofrank.core.policy import Policy, carried_over, load_policy, save_policy
from proofrank.core.policy.exported import ExportedNetwork
from proofrank.core.policy.exported.rows import random_inputs
from proofrank.core.prover import Candidate, ProverSettings
from proofrank.service.cli.main import main
from tests.helpers.datasets import write_dataset
from tests.helpers.family import TEST, TRAIN, VALID, write_family, write_untrained_policy
from tests.helpers.own_networks import NETWORKS, make_network

OTHER_TRAIN = (
    "parent(ida,jon).",
    "parent(jon,kim).",
    "parent(kim,lea).",
    "parent(kim,max).",
    "parent(max,nia).",
    "parent(nia,ole).",
    "ancestor(ida,kim).",
    "parent(pia,ida).",
    "parent(pia,quin).",
    "parent(quin,ron).",
)
OTHER_TEST = ("ancestor(jon,lea).", "ancestor(ida,ole).", "ancestor(pia,ron).")


def renamed(lines: tuple[str, ...]) -> list[str]:
    """The same atoms of other constants, whose names sort in the same order."""
    return [re.sub(r"\((.+),(.+)\)", r"(z\1,z\2)", line) for line in lines]


@pytest.fixture(scope="module")
def family(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return load_dataset(write_family(tmp_path_factory.mktemp("data") / "family"))


@pytest.fixture(scope="module")
def own_vectors(family: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy folder in which each constant has a vector of its own."""
    folder = tmp_path_factory.mktemp("policies") / "own"
    return write_untrained_policy(folder, family.files[0].path.parent)


@pytest.fixture(scope="module")
def alike(family: Dataset, own_vectors: Path) -> Path:
    """The same policy with one vector for all constants."""
    policy = load_policy(own_vectors, family)
    table = policy.network.embedding.arguments.data
    table[1 : 1 + family.vocabulary.num_constants] = table[3].clone()
    folder = own_vectors.with_name("alike")
    save_policy(folder, policy.network, family.vocabulary, ProverSettings())
    return folder


@pytest.fixture
def other_folder(tmp_path: Path) -> Path:
    """A graph of other, and more, constants. Its rules are not those of the family."""
    write_dataset(tmp_path / "other", OTHER_TRAIN, ["parent(X,Y) -> parent(Y,X)"], test=OTHER_TEST)
    return tmp_path / "other"


def test_the_same_graph_of_other_names_has_the_same_scores_and_ranks(
    family: Dataset, alike: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "renamed"
    write_dataset(folder, renamed(TRAIN), [], valid=renamed(VALID), test=renamed(TEST))
    policy = load_policy(alike, family)
    for engine in ("original", "eager"):
        here = proofrank.evaluate(family, policy, corruptions="all", engine=engine)
        there = proofrank.evaluate(family, policy, corruptions="all", engine=engine, facts=folder)
        names = ("rank", "rank_random", "score", "proved", "steps", "num_candidates", "side")
        assert [[getattr(one, name) for name in names] for one in there.rankings] == [
            [getattr(one, name) for name in names] for one in here.rankings
        ]
        assert [one.head for one in there.rankings] == [f"z{one.head}" for one in here.rankings]
        assert (there.dataset, there.policy_sha256) == ("renamed", policy.content_hash)
        assert there.dataset_sha256 != here.dataset_sha256
        assert here.metrics.corruptions_proved


def test_a_larger_graph_is_ranked_by_its_facts_and_the_rules_of_the_first(
    family: Dataset, alike: Path, other_folder: Path
) -> None:
    other = load_other_graph(other_folder, family)
    assert [rule.name for rule in other.rules] == [rule.name for rule in family.rules]
    assert other.vocabulary.num_constants > family.vocabulary.num_constants
    policy = carried_over(load_policy(alike, family), other)
    reference = ReferenceEvaluator(other, policy, settings_for(policy))
    report = proofrank.evaluate(
        family,
        load_policy(alike, family),
        facts=other_folder,
        engine="eager",
        corruptions="all",
        pruning="none",
    )
    for one in report.rankings:
        outcome = reference.prove(Candidate(other.triple(one.head, one.relation, one.tail), is_positive=True))
        assert (one.proved, one.steps) == (outcome.success, outcome.steps)
        assert one.score == pytest.approx(outcome.score, abs=1e-4)
    assert report.metrics.corruptions_proved


def test_the_vector_of_a_constant_is_that_of_all_and_variables_keep_theirs(
    family: Dataset, alike: Path, other_folder: Path
) -> None:
    policy = load_policy(alike, family)
    other = load_other_graph(other_folder, family)
    before = policy.network.embedding.arguments
    after = carried_over(policy, other).network.embedding.arguments
    first, last = family.vocabulary.first_variable_index, other.vocabulary.first_variable_index
    assert torch.equal(after[last:], before[first:])
    assert torch.equal(after[1:last], before[1:2].expand(last - 1, -1))
    assert not after[0].any()


def test_a_policy_of_the_same_constants_stays_as_it_is(family: Dataset, own_vectors: Path) -> None:
    policy = load_policy(own_vectors, family)
    assert carried_over(policy, family) is policy


def test_vectors_of_their_own_are_refused_with_the_reason(
    family: Dataset, own_vectors: Path, other_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(
        proofrank.PolicyError, match="embeds 8 constants by 8 different vectors, and there is none"
    ):
        proofrank.evaluate(family, load_policy(own_vectors, family), facts=other_folder)
    arguments = ["--dataset", str(family.files[0].path.parent), "--policy", str(own_vectors)]
    assert main(["evaluate", *arguments, "--facts", str(other_folder)]) == 2
    assert "expected one vector for all constants" in capsys.readouterr().err


class OfRelations(torch.nn.Module):
    """Knows relations alone."""

    def __init__(self, sizes: proofrank.NetworkSizes) -> None:
        super().__init__()
        self.table = torch.nn.Embedding(sizes.num_predicates, 8)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        return self.table(states[:, :, 0]).sum(dim=1)


class OfKinds(torch.nn.Module):
    """Knows which arguments are variables, are there and are equal, beside the relation; a logit for a pair."""

    def __init__(self, sizes: proofrank.NetworkSizes, num_constants: int) -> None:
        super().__init__()
        self.num_constants = num_constants
        self.table = torch.nn.Embedding(sizes.num_predicates, 8)
        self.layers = torch.nn.Sequential(torch.nn.Linear(16, 16), torch.nn.GELU(), torch.nn.Linear(16, 16))

    def _read(self, states: torch.Tensor) -> torch.Tensor:
        predicate, first, second = states.unbind(dim=-1)
        flags = [
            first > self.num_constants,
            second <= self.num_constants,
            first >= self.num_constants + 1,
            second < self.num_constants + 1,
            first == second,
            first != 0,
            second != 0,
        ]
        column = (states[..., 1:2].flip(1) == second.unsqueeze(-1)).float()
        told = torch.stack([flag.float() for flag in flags], dim=-1)
        return self.layers(torch.cat([self.table(predicate), told, column], dim=-1)).sum(dim=1)

    def forward(self, state: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        equal = (state[:, 0] == action[:, 0]).float().sum(dim=-1)
        return (self._read(state) * self._read(action)).sum(dim=-1) + equal


def alike_table(network: torch.nn.Module, num_constants: int) -> torch.nn.Module:
    """The network with one vector for all constants."""
    assert isinstance(network.arguments, torch.nn.Embedding)
    table = network.arguments.weight.data
    table[1 : 1 + num_constants] = table[2].clone()
    return network


def make_own(kind: str, family: Dataset) -> torch.nn.Module:
    """A network of one's own that does not tell constants apart."""
    sizes, number = proofrank.network_sizes(family), family.vocabulary.num_constants
    if kind == "relations":
        return OfRelations(sizes)
    return OfKinds(sizes, number) if kind == "kinds" else alike_table(make_network(kind, family), number)


@pytest.mark.parametrize("kind", ["relations", "kinds", *NETWORKS])
def test_a_network_of_ones_own_that_tells_no_constants_apart_ranks_elsewhere(
    kind: str, family: Dataset, other_folder: Path, tmp_path: Path
) -> None:
    policy = proofrank.export_policy(make_own(kind, family), family, tmp_path / "exported")
    folder = tmp_path / "renamed"
    write_dataset(folder, renamed(TRAIN), [], valid=renamed(VALID), test=renamed(TEST))
    options: dict = {"corruptions": "all", "engine": "eager", "pruning": "none"}

    here = proofrank.evaluate(family, policy, **options)
    there = proofrank.evaluate(family, policy, facts=folder, **options)

    assert [(one.score, one.rank) for one in there.rankings] == [
        (one.score, one.rank) for one in here.rankings
    ]
    other = load_other_graph(other_folder, family)
    carried = carried_over(policy, other)
    assert carried.vocabulary.constants == other.vocabulary.constants
    reference = ReferenceEvaluator(other, carried, settings_for(carried))
    report = proofrank.evaluate(family, policy, facts=other_folder, **options)
    for one in report.rankings:
        outcome = reference.prove(Candidate(other.triple(one.head, one.relation, one.tail), is_positive=True))
        assert (one.proved, one.steps) == (outcome.success, outcome.steps)
        assert one.score == pytest.approx(outcome.score, abs=1e-4)


@pytest.mark.parametrize("kind", ["relations", "kinds", *NETWORKS])
def test_what_a_network_gives_for_a_state_is_the_same_by_other_constants(
    kind: str, family: Dataset, other_folder: Path, tmp_path: Path
) -> None:
    policy = proofrank.export_policy(make_own(kind, family), family, tmp_path / "exported")
    other = load_other_graph(other_folder, family)
    carried = carried_over(policy, other)
    before, after = (graph.vocabulary.num_constants for graph in (family, other))
    generator = torch.Generator().manual_seed(2)
    network, moved = policy.model, carried.model
    assert isinstance(network, ExportedNetwork) and isinstance(moved, ExportedNetwork)
    inputs = random_inputs(network.program, 5, network.num_arguments, generator)
    # Another constant for each, and the same variables.
    new = torch.cat(
        [
            torch.zeros(1, dtype=torch.int64),
            torch.randperm(after, generator=generator)[:before] + 1,
            torch.arange(after + 1, moved.num_arguments),
        ]
    )
    others = [torch.cat([given[..., :1], new[given[..., 1:]]], dim=-1) for given in inputs]

    expected = network.tile(*inputs, *network.weights())

    assert torch.equal(moved.tile(*others, *moved.weights()), expected)
    assert len(torch.unique(expected)) > 10


class OfNumbers(torch.nn.Module):
    """Computes with the numbers of arguments, in a way of its choice."""

    def __init__(self, sizes: proofrank.NetworkSizes, way: str) -> None:
        super().__init__()
        self.table = torch.nn.Embedding(sizes.num_arguments, 8)
        self.way = way

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        if self.way == "floats":
            return states.float().sum(dim=1)
        first = states[..., 1]
        if self.way == "order":
            return (first > states[..., 2]).float().unsqueeze(-1).sum(dim=1)
        if self.way == "one constant":
            return (first == 3).float().unsqueeze(-1).sum(dim=1)
        if self.way == "masked":
            return self.table(torch.where(states[..., 0] == 1, first, 1)).sum(dim=1)
        if self.way == "reused":
            return self.table(first).sum(dim=1) + self.table.weight.sum(dim=0)
        return self.table(first).sum(dim=1)


@pytest.mark.parametrize(
    ("way", "reason"),
    [
        ("floats", "computes with the numbers of arguments"),
        ("order", "computes with the numbers of arguments"),
        ("one constant", "computes with the numbers of arguments"),
        ("masked", "computes with the numbers of arguments"),
        ("reused", "uses a table of arguments otherwise than by looking them up"),
        ("own vectors", "has 8 different vectors for 8 constants, and none for those of another graph"),
    ],
)
def test_a_network_of_ones_own_that_tells_constants_apart_is_refused_with_the_operation(
    way: str, reason: str, family: Dataset, other_folder: Path, tmp_path: Path
) -> None:
    network = OfNumbers(proofrank.network_sizes(family), way)
    if way == "reused":
        table = network.table.weight.data
        table[1 : 1 + family.vocabulary.num_constants] = table[1].clone()
    policy = proofrank.export_policy(network, family, tmp_path / "exported")
    with pytest.raises(proofrank.PolicyError, match=f"cannot be carried over .*{reason}.*export it for"):
        carried_over(policy, load_other_graph(other_folder, family))


def test_other_relations_are_refused_with_the_line(family: Dataset, alike: Path, tmp_path: Path) -> None:
    write_dataset(tmp_path / "other", [*OTHER_TRAIN, "parents(a,b)."], [], test=OTHER_TEST)
    with pytest.raises(
        proofrank.DatasetError, match=r"train\.txt:11: relation 'parents'.*did you mean 'parent'"
    ):
        load_other_graph(tmp_path / "other", family)
    write_dataset(tmp_path / "third", ["r(a,b)."], ["r(X,Y) -> r(Y,X)"])
    with pytest.raises(proofrank.PolicyError, match="it has other relations, such as 'ancestor'"):
        carried_over(load_policy(alike, family), load_dataset(tmp_path / "third"))
    bare = dataclasses.replace(family, files=())
    with pytest.raises(proofrank.DatasetError, match="was not loaded from files"):
        load_other_graph(tmp_path / "other", bare)


def test_a_graph_that_lacks_a_relation_keeps_its_index(family: Dataset, tmp_path: Path) -> None:
    write_dataset(tmp_path / "parents", [line for line in OTHER_TRAIN if line.startswith("parent")], [])
    other = load_other_graph(tmp_path / "parents", family)
    assert other.vocabulary.predicates == family.vocabulary.predicates


def test_the_command_ranks_in_the_other_graph_and_names_it(
    family: Dataset, alike: Path, other_folder: Path, tmp_path: Path
) -> None:
    written = tmp_path / "metrics.json"
    arguments = [
        "--dataset",
        str(family.files[0].path.parent),
        "--policy",
        str(alike),
        "--engine",
        "original",
    ]
    options = ["--facts", str(other_folder), "--protocol", "filtered-all", "--json", str(written)]
    assert main(["evaluate", *arguments, *options]) == 0
    content = json.loads(written.read_text())
    policy: Policy = load_policy(alike, family)
    expected = proofrank.evaluate(
        family, policy, facts=other_folder, protocol="filtered-all", engine="original"
    )
    assert content["mrr"] == expected.metrics.mrr
    assert content["dataset"] == {
        "name": "other",
        "sha256": load_other_graph(other_folder, family).content_hash,
    }
    assert content["queries"] == len(OTHER_TEST)
