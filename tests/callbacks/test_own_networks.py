"""Callbacks of a loop that trains a network of one's own: in process and by a server, live modules and policies."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

import proofrank
from proofrank.callbacks import InProcess, OnServer, Validation
from proofrank.client import Client, JobResult
from proofrank.core.default import DATASET, POLICY
from proofrank.core.policy import load_policy
from tests.helpers.own_networks import default_dataset, exported_policy, make_network
from tests.helpers.serving import RunningServer

STEPS = (0, 2)


@pytest.fixture(scope="module")
def default_server() -> Iterator[RunningServer]:
    """A server of the package's countries, which begins with a built-in network."""
    with RunningServer("--dataset", str(DATASET), "--policy", str(POLICY), "--engine", "eager") as running:
        yield running.wait_until_ready()


def export(module: nn.Module, folder: Path) -> proofrank.Policy:
    return proofrank.export_policy(module, default_dataset(), folder, training={"by": "a test"})


def train(network: nn.Module, step: int) -> None:
    """Changes a network as an epoch would, and leaves it in training."""
    generator = torch.Generator().manual_seed(step)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.4 * torch.randn(parameter.shape, generator=generator))
    network.train()


def ranks(report: proofrank.EvaluationReport | proofrank.IntervalEvaluation | JobResult) -> list[float]:
    """The exact ranks, in the order of triples and sides, which both kinds of reports share."""
    assert not isinstance(report, proofrank.IntervalEvaluation)
    return [ranking.rank for ranking in report.rankings]


def test_a_loop_ranks_a_module_as_it_is_at_each_step_in_process_and_by_a_server(
    default_server: RunningServer, tmp_path: Path
) -> None:
    dataset = default_dataset()
    network = make_network("two towers", dataset)
    expected = []
    options = {"split": "valid", "corruptions": 5, "side": "tail", "seed": 3}
    with (
        Client(default_server.url) as client,
        Validation(
            InProcess(dataset, engine="eager", **options), export=export, best_folder=tmp_path / "best"
        ) as here,
        Validation(
            OnServer(client, "towers", best_name="towers-best", **options), export=export
        ) as by_server,
    ):
        for step in STEPS:
            train(network, step)
            policy = export(network, tmp_path / f"step-{step}")
            expected.append(proofrank.evaluate(dataset, policy, engine="eager", **options))
            here(step, network)
            by_server(step, network)
            assert network.training
            assert all(parameter.requires_grad for parameter in network.parameters())
        by_server.finish()
        stored = {stored.name: stored for stored in client.policies()}
    assert (here.failures, by_server.failures) == (0, 0)
    assert ranks(expected[0]) != ranks(expected[1])
    for own, theirs, report in zip(here.results, by_server.results, expected, strict=True):
        assert ranks(own.report) == ranks(theirs.report) == ranks(report)
        assert own.metrics["mrr"] == theirs.metrics["mrr"] == report.metrics.mrr
        # Both have evaluated the same content.
        assert isinstance(own.report, proofrank.EvaluationReport)
        assert isinstance(theirs.report, JobResult)
        assert own.report.policy == "TwoTowers"
        assert own.report.policy_sha256 == theirs.report.job.policy.sha256
    assert here.best is not None
    kept = load_policy(tmp_path / "best", dataset)
    assert ranks(proofrank.evaluate(dataset, kept, engine="eager", **options)) == ranks(here.best.report)
    assert by_server.best is not None
    assert isinstance(by_server.best.report, JobResult)
    assert stored["towers-best"].sha256 == by_server.best.report.job.policy.sha256


def test_a_policy_that_was_exported_needs_no_export(tmp_path: Path) -> None:
    policy = exported_policy("two towers")
    options = {"split": "valid", "corruptions": 2, "side": "tail", "engine": "eager"}
    with Validation(InProcess(default_dataset(), **options), best_folder=tmp_path, strict=True) as validation:
        validation(0, policy)
    expected = proofrank.evaluate(default_dataset(), policy, **options)
    assert ranks(validation.results[0].report) == ranks(expected)
    kept = load_policy(tmp_path, default_dataset())
    assert kept.shape == policy.shape
    for mine, theirs in zip(
        kept.model.state_dict().values(), policy.model.state_dict().values(), strict=True
    ):
        assert torch.equal(mine, theirs)


def test_training_is_the_same_with_and_without_exports() -> None:
    network = make_network("two towers", default_dataset())
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    torch.manual_seed(7)
    drawn = torch.rand(3)
    torch.manual_seed(7)
    with Validation(
        InProcess(default_dataset(), split="valid", corruptions=1, side="tail"), export=export, strict=True
    ) as validation:
        validation(0, network)
    assert torch.equal(torch.rand(3), drawn)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert torch.is_grad_enabled()


def test_a_module_that_cannot_be_exported_is_raised_at_first_and_counted_later(
    caplog: pytest.LogCaptureFixture,
) -> None:
    network = make_network("two towers", default_dataset())
    in_process = InProcess(default_dataset(), split="valid", corruptions=1, side="tail", engine="eager")
    with Validation(in_process, export=export) as validation:
        with pytest.raises(proofrank.PolicyError, match=r"output is \[N, 6, 3\]"):
            validation(0, nn.Linear(3, 3))
        assert validation.failures == 0
        validation(1, network)
        next(iter(network.parameters())).data[1] = torch.nan
        assert validation(2, network) == ()
        assert validation.failures == 1
    (record,) = [record for record in caplog.records if record.name == "proofrank.callbacks"]
    assert record.getMessage().startswith("step 2: PolicyError: ")
    assert [result.step for result in validation.results] == [1]


def test_what_export_cannot_mean_is_refused() -> None:
    dataset = default_dataset()
    with pytest.raises(proofrank.ProofrankError, match="like is for the built-in network"):
        Validation(InProcess(dataset), like=load_policy(POLICY, dataset), export=export)
    returns_none = Validation(InProcess(dataset), export=lambda module, folder: None)  # pyright: ignore[reportArgumentType]
    with pytest.raises(proofrank.PolicyError, match="export returned a NoneType; expected the Policy"):
        returns_none(0, nn.Linear(1, 1))
    with pytest.raises(proofrank.PolicyError, match="or export= for a network of one's own"):
        Validation(InProcess(dataset))(0, nn.Linear(1, 1))
