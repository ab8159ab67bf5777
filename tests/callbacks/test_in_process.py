"""Callbacks in the process of the training: the numbers of ``proofrank.evaluate``, logs, early stopping, the best."""

from __future__ import annotations

import copy
import csv
import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
import torch

import proofrank
from proofrank.callbacks import CsvLogger, InProcess, StepResult, Validation
from proofrank.callbacks.metrics import METRICS
from proofrank.core.policy import Policy, PolicyNetwork, policy_of, save_policy
from proofrank.core.prover import ProverSettings

Train = Callable[[PolicyNetwork, int], None]
STEPS = (0, 1, 5)


class Memory:
    """A logger that keeps what it is given."""

    def __init__(self) -> None:
        self.logged: list[tuple[int, dict[str, float]]] = []

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        self.logged.append((step, dict(metrics)))


class Scripted:
    """Evaluations whose MRRs a test has written down; a step without one stays open until it is let go."""

    def __init__(self, report: proofrank.EvaluationReport, mrrs: Mapping[int, float]) -> None:
        self.futures: dict[int, Future[StepResult]] = {}
        self._report = report
        self._mrrs = mrrs

    def start(self, step: int, policy: Policy) -> Future[StepResult]:
        self.futures[step] = Future()
        if step in self._mrrs:
            self.give(step, self._mrrs[step])
        return self.futures[step]

    def give(self, step: int, mrr: float) -> None:
        self.futures[step].set_result(StepResult(step, {"mrr": mrr, "mean_rank": 1 / mrr}, self._report))

    def keep(self, step: int, policy: Policy) -> None:
        return None

    def close(self) -> None:
        return None


def without_seconds(report: proofrank.EvaluationReport) -> dict:
    return {name: value for name, value in vars(report.metrics).items() if name != "seconds"}


@pytest.mark.parametrize("background", [False, True], ids=["at-once", "in-a-thread"])
def test_the_results_are_those_of_evaluate_for_the_weights_of_each_step(
    family: proofrank.Dataset, policy: Policy, train: Train, tmp_path: Path, background: bool
) -> None:
    memory, expected = Memory(), []
    options: dict[str, Any] = {"split": "test", "corruptions": "all", "seed": 3, "engine": "original"}
    in_process = InProcess(family, background=background, **options)
    with Validation(in_process, like=policy, loggers=[memory]) as validation:
        for step in STEPS:
            train(policy.network, step)
            folder = tmp_path / f"step-{step}"
            save_policy(folder, policy.network, policy.vocabulary, policy.settings or ProverSettings())
            expected.append(proofrank.evaluate(family, proofrank.load_policy(folder, family), **options))
            validation(step, policy.network)
            if not background:
                assert validation.results[-1].step == step
            for parameter in policy.network.parameters():  # further training changes nothing of this step
                parameter.data.mul_(0.5)
    assert [result.step for result in validation.results] == list(STEPS)
    assert validation.failures == 0
    for result, report in zip(validation.results, expected, strict=True):
        assert isinstance(result.report, proofrank.EvaluationReport)
        assert result.report.rankings == report.rankings
        assert result.report.policy_sha256 == report.policy_sha256
        assert without_seconds(result.report) == without_seconds(report)
        assert result.metrics["mrr"] == report.metrics.mrr
        assert result.metrics["hits@3"] == report.metrics.hits_at[3]
    assert memory.logged == [(result.step, dict(result.metrics)) for result in validation.results]
    assert len({report.policy_sha256 for report in expected}) == len(STEPS)


@pytest.mark.parametrize("background", [False, True], ids=["at-once", "in-a-thread"])
def test_training_is_the_same_with_and_without_it(
    family: proofrank.Dataset, policy: Policy, background: bool
) -> None:
    policy.network.train().requires_grad_(True)
    torch.manual_seed(7)
    before = copy.deepcopy(policy.network.state_dict())
    expected = torch.rand(3)
    torch.manual_seed(7)
    in_process = InProcess(family, corruptions=1, background=background)
    with Validation(in_process, like=policy, strict=True) as validation:
        validation(0, policy.network)
    assert len(validation.results) == 1
    assert torch.equal(torch.rand(3), expected)
    assert policy.network.training
    assert all(parameter.requires_grad for parameter in policy.network.parameters())
    after = policy.network.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
    assert torch.is_grad_enabled()


def test_a_csv_has_a_line_for_each_step_and_is_continued(
    policy: Policy, report: proofrank.EvaluationReport, tmp_path: Path
) -> None:
    path = tmp_path / "logs" / "valid.csv"
    for steps in ({0: 0.5, 1: 0.25}, {2: 0.125}):
        with Validation(Scripted(report, steps), loggers=[CsvLogger(path)]) as validation:
            for step in steps:
                validation(step, policy)
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["step", *METRICS]
    assert [(row["step"], row["mrr"], row["mean_rank"], row["hits@1"]) for row in rows] == [
        ("0", "0.5", "2.0", ""),
        ("1", "0.25", "4.0", ""),
        ("2", "0.125", "8.0", ""),
    ]
    path.write_text("epoch,loss\n")
    with pytest.raises(proofrank.ProofrankError, match=r"valid\.csv: begins with \['epoch', 'loss'\]"):
        CsvLogger(path)


@pytest.mark.parametrize(
    ("mrrs", "options", "stops_at", "best"),
    [
        ([0.5, 0.6, 0.6, 0.55, 0.7], {"patience": 2}, 3, 1),
        ([0.5, 0.6, 0.6, 0.7, 0.7], {"patience": 2}, None, 3),
        ([0.5, 0.505, 0.509, 0.508], {"patience": 2, "min_delta": 0.01}, 2, 2),
        ([0.5, 0.505, 0.512, 0.5], {"patience": 2, "min_delta": 0.01}, None, 2),
        ([0.5, 0.4, 0.3], {"patience": 1, "metric": "mean_rank"}, 1, 0),
        ([0.5, 0.4, 0.3, 0.2], {}, None, 0),
    ],
)
def test_training_is_to_stop_after_so_many_results_without_an_improvement(
    policy: Policy,
    report: proofrank.EvaluationReport,
    mrrs: list[float],
    options: dict,
    stops_at: int | None,
    best: int,
) -> None:
    stopped = None
    with Validation(Scripted(report, dict(enumerate(mrrs))), **options) as validation:
        for step in range(len(mrrs)):
            validation(step, policy)
            if validation.should_stop:
                stopped = step
                break
    assert stopped == stops_at
    assert validation.best is not None
    assert validation.best.step == best


def test_a_network_in_wrappers_of_torch_is_the_network_within(
    policy: Policy, report: proofrank.EvaluationReport
) -> None:
    expected = policy_of(policy.network, policy.vocabulary, policy.settings or ProverSettings(), name="it")
    evaluated: list[str] = []

    class Hashing(Scripted):
        def start(self, step: int, policy: Policy) -> Future[StepResult]:
            evaluated.append(policy.content_hash)
            return super().start(step, policy)

    with Validation(Hashing(report, {0: 0.5, 1: 0.5, 2: 0.5}), like=policy) as validation:
        validation(0, torch.compile(policy.network))
        validation(1, torch.nn.DataParallel(policy.network))
        validation(2, torch.nn.DataParallel(torch.compile(policy.network)))  # pyright: ignore[reportArgumentType]

    assert evaluated == [expected.content_hash] * 3


@pytest.mark.parametrize(
    "options",
    [{"protocol": "filtered-all"}, {"candidates_from": "relations", "beam": 3, "beam_score": "logsumexp"}],
)
def test_protocols_and_beams_are_those_of_evaluate(
    family: proofrank.Dataset, policy: Policy, options: dict[str, Any]
) -> None:
    options = {"split": "train", "engine": "eager", "corruptions": "all", **options}
    expected = proofrank.evaluate(family, policy, **options)
    with Validation(InProcess(family, **options)) as validation:
        (result,) = validation(0, policy)

    assert isinstance(result.report, proofrank.EvaluationReport)
    assert result.report.rankings == expected.rankings
    assert result.report.protocol == expected.protocol


def test_results_are_taken_in_by_step_whichever_is_first(
    policy: Policy, report: proofrank.EvaluationReport
) -> None:
    scripted, memory = Scripted(report, {}), Memory()
    validation = Validation(scripted, loggers=[memory])
    assert [validation(step, policy) for step in (1, 2, 3)] == [(), (), ()]
    scripted.give(2, 0.5)
    assert validation(4, policy) == ()
    scripted.give(1, 0.25)
    assert [result.step for result in validation(5, policy)] == [1, 2]
    assert validation.num_pending == 3
    threading.Timer(0.05, lambda: [scripted.give(step, 1.0) for step in (5, 4, 3)]).start()
    assert [result.step for result in validation.finish()] == [1, 2, 3, 4, 5]
    assert [step for step, _ in memory.logged] == [1, 2, 3, 4, 5]


def test_the_best_policy_is_in_its_folder(
    family: proofrank.Dataset,
    policy: Policy,
    report: proofrank.EvaluationReport,
    train: Train,
    tmp_path: Path,
) -> None:
    weights = {}
    best = tmp_path / "best"
    mrrs = {0: 0.5, 1: 0.75, 2: 0.75, 3: 0.25}
    with Validation(Scripted(report, mrrs), like=policy, best_folder=best) as validation:
        for step in mrrs:
            train(policy.network, step)
            weights[step] = {name: tensor.clone() for name, tensor in policy.network.state_dict().items()}
            validation(step, policy.network)
    kept = proofrank.load_policy(best, family).network.state_dict()
    assert all(torch.equal(kept[name], tensor) for name, tensor in weights[1].items())
    assert sorted(file.name for file in best.iterdir()) == ["policy.json", "policy.safetensors", "vocab.json"]


def test_what_fails_is_counted_and_logged_and_training_goes_on(
    policy: Policy, report: proofrank.EvaluationReport, caplog: pytest.LogCaptureFixture
) -> None:
    class Full:
        def log(self, step: int, metrics: Mapping[str, float]) -> None:
            raise OSError("disk full")

    scripted, memory = Scripted(report, {2: 0.5}), Memory()
    validation = Validation(scripted, like=policy, loggers=[Full(), memory], max_pending=2)
    validation(0, policy)
    scripted.futures[0].set_exception(RuntimeError("out of memory"))
    validation(1, policy)
    validation(2, policy)
    validation(3, policy)  # 1 and 2 are unfinished
    policy.network.embedding.arguments.data[1, 0] = torch.nan
    scripted.give(1, 0.25)
    validation(4, policy.network)
    assert validation.finish() == tuple(validation.results)
    told = [record.getMessage() for record in caplog.records if record.name == "proofrank.callbacks"]
    assert told[:2] == [
        "step 0: RuntimeError: out of memory",
        "step 3: ProofrankError: 2 evaluations are unfinished; it is left out",
    ]
    assert any("step 4: PolicyError" in line and "not finite" in line for line in told)
    assert told.count("step 1: OSError: disk full") == 1
    assert all(record.levelno == logging.WARNING for record in caplog.records)
    assert validation.failures == len(told) == 5
    assert [step for step, _ in memory.logged] == [1, 2]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda network: network.half(), r"is torch\.float16; expected torch\.float32"),
        (lambda network: network.embedding.predicates.data.fill_(float("nan")), "not finite"),
        (lambda network: network.embedding.predicates.set_(torch.zeros(2, 2)), r"has shape \[2, 2\]"),
    ],
    ids=["of half precision", "not finite", "of another size"],
)
def test_a_first_network_that_cannot_be_evaluated_is_raised(
    policy: Policy, report: proofrank.EvaluationReport, change: Callable[[PolicyNetwork], Any], message: str
) -> None:
    network = policy.network.requires_grad_(False)
    change(network)

    with Validation(Scripted(report, {}), like=policy) as validation:
        with pytest.raises(proofrank.PolicyError, match=message):
            validation(0, network)
        assert validation.failures == 0


def test_an_evaluation_that_is_not_done_in_time_is_a_failure(
    policy: Policy, report: proofrank.EvaluationReport
) -> None:
    validation = Validation(Scripted(report, {1: 0.5}))
    validation(0, policy)
    validation(1, policy)
    assert [result.step for result in validation.finish(timeout=0.05)] == [1]
    assert validation.failures == 1


def test_a_failure_is_raised_if_strict(policy: Policy, report: proofrank.EvaluationReport) -> None:
    scripted = Scripted(report, {})
    validation = Validation(scripted, strict=True)
    validation(0, policy)
    scripted.futures[0].set_exception(RuntimeError("out of memory"))
    with pytest.raises(RuntimeError, match="out of memory"):
        validation(1, policy)
    validation.close()


def test_what_can_never_be_right_is_refused(
    family: proofrank.Dataset, policy: Policy, report: proofrank.EvaluationReport
) -> None:
    scripted = Scripted(report, {0: 0.5, 3: 0.5})
    wrong_options: list[tuple[dict[str, Any], str]] = [
        ({"metric": "mr"}, "metric is 'mr'; expected one of mrr, hits@1"),
        ({"patience": 0}, "patience is 0; expected a whole number, 1 or more"),
        ({"min_delta": -0.1}, "min_delta is -0.1; expected a number, 0 or more"),
        ({"max_pending": 0}, "max_pending is 0; expected"),
    ]
    for options, message in wrong_options:
        with pytest.raises(proofrank.ProofrankError, match=message):
            Validation(scripted, **options)
    with pytest.raises(
        proofrank.ProofrankError,
        match=r"unknown option 'corruption'; expected one of side.*; did you mean 'corruptions'",
    ):
        InProcess(family, corruption=3)  # pyright: ignore[reportCallIssue]
    validation = Validation(scripted)
    with pytest.raises(proofrank.PolicyError, match="needs like="):
        validation(0, policy.network)
    with pytest.raises(proofrank.PolicyError, match="module is a Linear"):
        validation(1, torch.nn.Linear(1, 1))
    validation(3, policy)
    with pytest.raises(proofrank.ProofrankError, match="step is 3; expected a whole number, more than 3"):
        validation(3, policy)
    validation.finish()
    with pytest.raises(proofrank.ProofrankError, match="was closed"):
        validation(4, policy)
    with (
        Validation(InProcess(family, split="vald")) as wrong,  # pyright: ignore[reportArgumentType]
        pytest.raises(proofrank.RankingError, match="split is 'vald'"),
    ):
        wrong(0, policy)


def test_with_a_tolerance_the_mrr_is_the_middle_of_an_interval(
    family: proofrank.Dataset, policy: Policy
) -> None:
    exact = proofrank.evaluate(family, policy, split="train", corruptions="all", engine="original")
    ranking = InProcess(family, split="train", corruptions="all", engine="original", mrr_tolerance=0.05)
    with Validation(ranking) as validation:
        (result,) = validation(0, policy)
    assert isinstance(result.report, proofrank.IntervalEvaluation)
    assert result.metrics["mrr_low"] <= exact.metrics.mrr <= result.metrics["mrr_high"]
    assert result.metrics["mrr"] == result.report.metrics.mrr.low / 2 + result.report.metrics.mrr.high / 2
