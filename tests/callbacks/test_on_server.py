"""Callbacks with a real server: each step's job, what is stored, and what happens when the server goes away."""

from __future__ import annotations

import contextlib
import csv
import logging
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import proofrank
from proofrank.callbacks import CsvLogger, OnServer, Validation
from proofrank.client import Client, IntervalJobResult, JobResult, Retries
from proofrank.core.policy import Policy, PolicyNetwork
from tests.helpers.serving import RunningServer

Train = Callable[[PolicyNetwork, int], None]


def test_each_step_of_a_loop_is_stored_with_its_job_and_the_best_policy_has_a_name(
    server: RunningServer, policy: Policy, train: Train
) -> None:
    expected = {}
    with Client(server.url) as client:
        options: dict[str, Any] = {"split": "test", "corruptions": "all", "seed": 3}
        on_server = OnServer(client, "run-7", labels={"lr": "0.1"}, best_name="run-7-best", **options)
        with Validation(on_server, like=policy) as validation:
            for step in range(3):
                train(policy.network, step)
                validation(step, policy.network)
        assert validation.failures == 0
        assert [result.step for result in validation.results] == [0, 1, 2]
        for step, result in enumerate(validation.results):
            assert isinstance(result.report, JobResult)
            assert (result.report.job.run, result.report.job.step) == ("run-7", step)
            assert result.report.job.labels == {"lr": "0.1"}
            expected[step] = result.report.job.policy.sha256
        assert len(set(expected.values())) == 3
        assert [entry.step for entry in client.run("run-7").steps] == [0, 1, 2]
        assert validation.best is not None
        stored = {stored.name: stored for stored in client.policies()}
        assert stored["run-7-best"].sha256 == expected[validation.best.step]
        assert stored["run-7"].sha256 == expected[2]
        assert stored["run-7-best"].step == validation.best.step


def test_its_metrics_are_those_of_push_and_evaluate(
    server: RunningServer, policy: Policy, train: Train
) -> None:
    expected = []
    with Client(server.url) as client:
        on_server = OnServer(client, "run-8", split="test", corruptions="all", side="tail")
        with Validation(on_server, like=policy) as validation:
            for step in range(3):
                train(policy.network, step)
                pushed = client.push("plain", policy, step=step)
                expected.append(
                    client.evaluate("test", policy=pushed, corruptions="all", side="tail", progress=False)
                )
                validation(step, policy.network)
    assert len({result.job.policy.sha256 for result in expected}) == 3
    for result, plain in zip(validation.results, expected, strict=True):
        assert isinstance(result.report, JobResult)
        assert result.report.rankings == plain.rankings
        assert result.report.job.policy.sha256 == plain.job.policy.sha256
        assert result.metrics["mrr"] == plain.metrics.mrr
        assert result.metrics["hits@1"] == plain.metrics.hits_at_1
        assert result.metrics["mean_rank"] == plain.metrics.mean_rank


def test_a_server_that_goes_away_does_not_end_the_loop(
    server_arguments: list[str], policy: Policy, train: Train, caplog: pytest.LogCaptureFixture
) -> None:
    with RunningServer(*server_arguments) as server:
        server.wait_until_ready()
        with Client(server.url, retries=Retries(total_seconds=0.2)) as client:
            with Validation(OnServer(client, "run", corruptions=1), like=policy) as validation:
                validation(0, policy.network)
                assert len(validation.collect(wait=True)) == 1
                server.send(signal.SIGKILL)
                server.wait()
                for step in (1, 2, 3):
                    train(policy.network, step)
                    validation(step, policy.network)
            assert [result.step for result in validation.results] == [0]
            assert validation.failures == 3
    told = [record for record in caplog.records if record.name == "proofrank.callbacks"]
    assert [record.levelno for record in told] == [logging.WARNING] * 3
    for step, record in zip((1, 2, 3), told, strict=True):
        assert record.getMessage().startswith(f"step {step}: UnreachableError: ")


def test_the_loop_goes_on_while_the_server_does_not_answer(
    server_arguments: list[str], policy: Policy, train: Train
) -> None:
    with RunningServer(*server_arguments) as server:
        server.wait_until_ready()
        with (
            Client(server.url, timeout=60, retries=Retries(total_seconds=1)) as client,
            Validation(OnServer(client, "run", corruptions=1), like=policy) as validation,
        ):
            server.send(signal.SIGSTOP)
            try:
                for step in range(3):
                    train(policy.network, step)
                    assert validation(step, policy.network) == ()
                assert validation.num_pending == 3
            finally:
                server.send(signal.SIGCONT)
        assert [result.step for result in validation.results] == [0, 1, 2]
        assert validation.failures == 0


def test_a_refused_upload_is_a_failure_or_raised_if_strict(server: RunningServer, policy: Policy) -> None:
    for strict in (False, True):
        with Client(server.url) as client:
            on_server = OnServer(client, "run-9", labels={"x" * 1000: "y"}, corruptions=1)
            # The refusal may come back before the call has returned, or while `finish` waits for it.
            with (
                pytest.raises(proofrank.ClientError) if strict else contextlib.nullcontext(),
                Validation(on_server, like=policy, strict=strict) as validation,
            ):
                validation(0, policy.network)
            assert validation.results == []
            assert validation.failures == 1


def test_an_error_of_the_training_does_not_wait_for_the_server(server: RunningServer, policy: Policy) -> None:
    before = set(threading.enumerate())
    with Client(server.url) as client:
        with (
            pytest.raises(ZeroDivisionError),
            Validation(OnServer(client, "run-10", corruptions=1), like=policy) as validation,
        ):
            validation(0, policy.network)
            raise ZeroDivisionError
        with pytest.raises(proofrank.ProofrankError, match="was closed"):
            validation(1, policy.network)
        # Its threads end what they are at; the client is closed after that.
        for thread in set(threading.enumerate()) - before:
            if thread.name.startswith(("proofrank-send", "proofrank-wait")):
                thread.join(300)
                assert not thread.is_alive()


@pytest.mark.parametrize(
    ("run", "options", "message"),
    [
        ("run 7", {}, "policy"),
        ("run", {"split": "vald"}, "split"),
        ("run", {"side": "left"}, "side"),
        ("run", {"corruption": 3}, "unknown option 'corruption'"),
        ("run", {"protocol": "filtred-all"}, "filtered-all"),
        ("run", {"beam": 65}, "beam"),
        ("run", {"best_name": "run"}, "best_name is 'run', the run's name"),
    ],
)
def test_an_option_that_cannot_be_right_is_refused_before_anything_is_sent(
    run: str, options: dict, message: str
) -> None:
    with Client("http://127.0.0.1:9") as client, pytest.raises(proofrank.ProofrankError, match=message):
        OnServer(client, run, **options)


def test_with_a_tolerance_it_logs_the_middle_and_the_ends_of_the_mrr(
    server: RunningServer, policy: Policy, train: Train, tmp_path: Path
) -> None:
    loggers = [CsvLogger(tmp_path / "valid.csv")]
    exact = []
    with Client(server.url) as client:
        on_server = OnServer(client, "run-9", split="train", corruptions="all", mrr_tolerance=0.05)
        with Validation(on_server, like=policy, loggers=loggers, patience=5) as validation:
            for step in range(3):
                train(policy.network, step)
                pushed = client.push("plain-9", policy, step=step)
                exact.append(client.evaluate("train", policy=pushed, corruptions="all", progress=False))
                validation(step, policy.network)
    assert validation.failures == 0
    with (tmp_path / "valid.csv").open() as file:
        lines = list(csv.DictReader(file))
    for result, whole, line in zip(validation.results, exact, lines, strict=True):
        assert isinstance(result.report, IntervalJobResult)
        low, high = result.metrics["mrr_low"], result.metrics["mrr_high"]
        assert low <= whole.metrics.mrr <= high
        assert high - low <= 0.1
        assert result.metrics["mrr"] == (low + high) / 2 == float(line["mrr"])
        for name, interval in result.report.intervals.by_name.items():
            if name != "mrr":
                assert (name in result.metrics) == (interval is not None and interval.low == interval.high)
    assert validation.best is not None


@pytest.mark.parametrize("options", [{"mrr_tolerance": -1.0}, {"mrr_tolerance": 0.1, "pruning": "none"}])
def test_a_wrong_tolerance_is_refused_at_once(server: RunningServer, options: dict[str, Any]) -> None:
    with Client(server.url) as client, pytest.raises(proofrank.ProofrankError):
        OnServer(client, "run-10", **options)
