"""Callbacks rank by hybrid scores and by an embedding alone, in the process and by a server, with the same numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import proofrank
from proofrank.callbacks import InProcess, OnServer, Validation
from proofrank.client import Client, JobResult
from proofrank.core.errors import ProofrankError
from proofrank.core.policy import Policy, PolicyNetwork
from tests.helpers.embeddings import write_distmult
from tests.helpers.serving import RunningServer

Train = Callable[[PolicyNetwork, int], None]
HYBRID = {"weight": 0.5, "penalty": 2.0, "by_relation": {"parent": {"weight": 3.0}}}


@pytest.mark.parametrize("scoring", ["embedding", "hybrid"])
def test_both_give_the_numbers_of_the_function(
    scoring: Any,
    family: proofrank.Dataset,
    policy: Policy,
    server_arguments: list[str],
    train: Train,
    tmp_path: Path,
) -> None:
    embedding = write_distmult(tmp_path / "distmult", family)
    options: dict[str, Any] = {"split": "test", "corruptions": "all", "scoring": scoring}
    if scoring == "hybrid":
        options["hybrid"] = HYBRID
    expected = []
    with (
        RunningServer(*server_arguments, "--embedding", str(embedding)) as server,
        Client(server.wait_until_ready().url) as client,
        Validation(OnServer(client, "run-7", **options), like=policy) as on_server,
        Validation(InProcess(family, embedding=embedding, **options), like=policy) as in_process,
    ):
        for step in range(2):
            train(policy.network, step)
            on_server(step, policy.network)
            in_process(step, policy.network)
            expected.append(proofrank.evaluate(family, policy, embedding=embedding, **options))
    assert on_server.failures == in_process.failures == 0
    for results in (on_server.results, in_process.results):
        assert [result.metrics["mrr"] for result in results] == [report.metrics.mrr for report in expected]
        # An undefined metric is left out.
        assert {"positives_proved" in result.metrics for result in results} == {scoring == "hybrid"}
    for result in on_server.results:
        assert isinstance(result.report, JobResult)
        assert result.report.job.scoring is not None
        assert result.report.job.scoring.kind == scoring


def test_options_that_do_not_go_together_are_refused_before_the_training(
    family: proofrank.Dataset, server: RunningServer, tmp_path: Path
) -> None:
    embedding = write_distmult(tmp_path / "distmult", family)
    with pytest.raises(ProofrankError, match="scoring is 'hybrid', and an embedding is missing"):
        InProcess(family, scoring="hybrid")
    with pytest.raises(ProofrankError, match="scoring is 'proof', and an embedding is given"):
        InProcess(family, embedding=embedding)
    with Client(server.url) as client:
        with pytest.raises(ProofrankError, match="'hybrid' gives weights; expected 'hybrid' as 'scoring'"):
            OnServer(client, "run-9", hybrid=HYBRID)
        with pytest.raises(ProofrankError, match="greater than or equal to 0"):
            OnServer(client, "run-9", scoring="hybrid", hybrid={"by_relation": {"parent": {"weight": -1}}})
