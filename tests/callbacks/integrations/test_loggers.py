"""Loggers of other libraries: each library reads back what was logged."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import proofrank
from proofrank.callbacks import InProcess, Logger, MlflowLogger, TensorBoardLogger, Validation, WandbLogger
from proofrank.core.policy import Policy, PolicyNetwork
from tests.helpers.wandb_file import exit_code, logged_rows

Train = Callable[[PolicyNetwork, int], None]


@pytest.fixture(scope="module")
def wandb() -> Any:
    return pytest.importorskip("wandb", reason="needs proofrank[wandb]")


@pytest.fixture(scope="module")
def mlflow() -> Any:
    return pytest.importorskip("mlflow", reason="needs proofrank[mlflow]")


def validate(family: proofrank.Dataset, policy: Policy, train: Train, logger: Logger) -> Validation:
    """Evaluates two steps of a training, after each of which a logger is told the metrics."""
    in_process = InProcess(family, split="test", engine="original")
    with Validation(in_process, loggers=[logger], strict=True) as validation:
        for step in (2, 4):
            train(policy.network, step)
            validation(step, policy)
    assert [result.step for result in validation.results] == [2, 4]
    assert validation.results[0].metrics != validation.results[1].metrics
    return validation


@pytest.mark.integration
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_scalars_are_read_back_by_tensorboard(
    family: proofrank.Dataset, policy: Policy, train: Train, tmp_path: Path
) -> None:
    pytest.importorskip("tensorboard", reason="needs proofrank[tensorboard]")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # pyright: ignore[reportMissingImports]

    with TensorBoardLogger(tmp_path, prefix="v/") as logger:
        validation = validate(family, policy, train, logger)
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    assert set(events.Tags()["scalars"]) == {f"v/{name}" for name in validation.results[0].metrics}
    for result, scalar in zip(validation.results, events.Scalars("v/mrr"), strict=True):
        assert (scalar.step, scalar.value) == (result.step, pytest.approx(result.metrics["mrr"], abs=1e-6))


@pytest.mark.integration
@pytest.mark.filterwarnings("ignore")
def test_wandb_keeps_each_step_of_a_run_that_the_logger_begins_and_finishes(
    wandb: Any, family: proofrank.Dataset, policy: Policy, train: Train, tmp_path: Path
) -> None:
    with WandbLogger(prefix="v/", project="towns", mode="offline", dir=str(tmp_path)) as logger:
        assert logger.run.project == "towns"
        validation = validate(family, policy, train, logger)
    assert logged_rows(tmp_path) == [
        {"v/step": result.step, **{f"v/{name}": value for name, value in result.metrics.items()}}
        for result in validation.results
    ]
    assert exit_code(tmp_path) == 0


@pytest.mark.integration
@pytest.mark.filterwarnings("ignore")
def test_wandb_keeps_results_that_arrive_after_later_steps_of_the_training(
    wandb: Any, tmp_path: Path
) -> None:
    with wandb.init(project="towns", mode="offline", dir=str(tmp_path)) as run:
        logger = WandbLogger(run)
        run.log({"loss": 0.5}, step=10)
        logger.log(2, {"mrr": 0.25})
        run.log({"loss": 0.25}, step=20)
        logger.close()
        run.log({"loss": 0.125}, step=30)  # it is still the caller's
    rows = logged_rows(tmp_path)
    assert [row["loss"] for row in rows if "loss" in row] == [0.5, 0.25, 0.125]
    assert [(row["valid/step"], row["valid/mrr"]) for row in rows if "valid/mrr" in row] == [(2, 0.25)]


@pytest.mark.integration
@pytest.mark.filterwarnings("ignore")
def test_wandb_is_told_of_a_training_that_failed(wandb: Any, tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), WandbLogger(mode="offline", dir=str(tmp_path)):
        raise ZeroDivisionError
    assert exit_code(tmp_path) == 1


@pytest.mark.integration
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("store", ["files", "sqlite"])
def test_mlflow_gives_each_step_of_a_run_that_the_logger_begins_and_ends(
    mlflow: Any, family: proofrank.Dataset, policy: Policy, train: Train, tmp_path: Path, store: str
) -> None:
    uri = (tmp_path / "runs").as_uri() if store == "files" else f"sqlite:///{tmp_path / 'runs.db'}"
    with MlflowLogger(tracking_uri=uri, experiment="towns", prefix="v/") as logger:
        validation = validate(family, policy, train, logger)
    client = mlflow.MlflowClient(uri)
    (run,) = client.search_runs([client.get_experiment_by_name("towns").experiment_id])
    assert (run.info.run_id, run.info.status) == (logger.run_id, "FINISHED")
    assert set(run.data.metrics) == {
        f"v/{name}".replace("@", "_at_") for name in validation.results[0].metrics
    }
    for name in ("mrr", "hits@1", "mean_rank"):
        history = client.get_metric_history(logger.run_id, f"v/{name}".replace("@", "_at_"))
        expected = [(result.step, result.metrics[name]) for result in validation.results]
        assert sorted((metric.step, metric.value) for metric in history) == expected


@pytest.mark.integration
@pytest.mark.filterwarnings("ignore")
def test_mlflow_logs_to_a_run_of_the_training_and_leaves_it_open(mlflow: Any, tmp_path: Path) -> None:
    uri = (tmp_path / "runs").as_uri()
    client = mlflow.MlflowClient(uri)
    run_id = client.create_run("0").info.run_id
    with MlflowLogger(run_id, tracking_uri=uri) as logger:
        logger.log(3, {"mrr": 0.5})
    (metric,) = client.get_metric_history(run_id, "valid/mrr")
    assert (metric.step, metric.value) == (3, 0.5)
    assert client.get_run(run_id).info.status == "RUNNING"
    with pytest.raises(mlflow.MlflowException, match="nosuchrun"):
        MlflowLogger("nosuchrun", tracking_uri=uri)
    with pytest.raises(ZeroDivisionError), MlflowLogger(tracking_uri=uri) as failing:
        raise ZeroDivisionError
    assert client.get_run(failing.run_id).info.status == "FAILED"


@pytest.mark.integration
def test_a_run_and_options_of_another_one_are_refused(wandb: Any, mlflow: Any) -> None:
    with pytest.raises(proofrank.ProofrankError, match=r"project is an option of wandb\.init"):
        WandbLogger(object(), project="towns")  # pyright: ignore[reportArgumentType]
    with pytest.raises(proofrank.ProofrankError, match="experiment is 'towns', and run 'r' has one"):
        MlflowLogger("r", experiment="towns")


@pytest.mark.parametrize(
    ("make", "module", "extra"),
    [
        (lambda: TensorBoardLogger("."), "torch.utils.tensorboard", "tensorboard"),
        (WandbLogger, "wandb", "wandb"),
        (MlflowLogger, "mlflow", "mlflow"),
    ],
)
def test_a_missing_library_is_named_with_its_extra(
    make: Callable[[], object], module: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(proofrank.ProofrankError, match=rf"pip install 'proofrank\[{extra}\]'"):
        make()
