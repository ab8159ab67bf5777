"""The example programs with other libraries: they train on the countries, log, and keep the best policy."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import proofrank
from proofrank.core.default import DATASET
from tests.helpers.serving import REPOSITORY, clean_environment
from tests.helpers.wandb_file import logged_rows

pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings("ignore")]


def run_example(name: str, out: Path, *arguments: str) -> dict[int, float]:
    """Runs an example, and returns the MRRs that it prints, by step."""
    ended = subprocess.run(
        [sys.executable, "-m", f"examples.{name}", "--out", str(out), *arguments],
        cwd=REPOSITORY,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    printed = re.findall(r"^(?:epoch|step) (\d+): valid MRR (\S+)$", ended.stdout, flags=re.MULTILINE)
    return {int(step): float(mrr) for step, mrr in printed}


def mrr_of_best(out: Path) -> Any:
    """The MRR of the policy in ``best``, as an example prints it."""
    countries = proofrank.load_dataset(DATASET)
    best = proofrank.load_policy(out / "best", countries)
    report = proofrank.evaluate(countries, best, split="valid", side="tail", corruptions="all")
    return pytest.approx(report.metrics.mrr, abs=6e-4)


def rows_of(path: Path, step: str, metric: str) -> dict[int, Any]:
    """The values of a metric by step, from a CSV file in which other rows may lack it."""
    with path.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row[metric]]
    return {int(row[step]): pytest.approx(float(row[metric]), abs=6e-4) for row in rows}


def test_a_lightning_trainer_learns_what_the_plain_loop_learns(tmp_path: Path) -> None:
    pytest.importorskip("lightning.pytorch", reason="needs proofrank[lightning]")
    plain = run_example("validation", tmp_path / "plain", "--epochs", "3")
    out = tmp_path / "lightning"
    mrrs = run_example("validation_lightning", out, "--epochs", "3")
    assert list(mrrs) == [0, 1, 2]
    assert mrrs == plain
    assert mrrs == rows_of(out / "metrics.csv", "step", "proofrank/mrr")
    assert max(mrrs.values()) == mrr_of_best(out)


def test_ppo_proves_train_triples(tmp_path: Path) -> None:
    pytest.importorskip("stable_baselines3", reason="needs proofrank[sb3]")
    mrrs = run_example("validation_sb3", tmp_path, "--steps", "1024")
    assert list(mrrs) == [512, 1024]
    assert mrrs[512] != mrrs[1024]
    assert mrrs == rows_of(tmp_path / "progress.csv", "proofrank/step", "proofrank/mrr")
    assert max(mrrs.values()) == mrr_of_best(tmp_path)
    with (tmp_path / "progress.csv").open(newline="") as file:
        rewards = [
            float(row["rollout/ep_rew_mean"]) for row in csv.DictReader(file) if row["rollout/ep_rew_mean"]
        ]
    assert all(0 < reward <= 1 for reward in rewards)


def test_a_policy_has_the_constants_that_pykeen_learns(tmp_path: Path) -> None:
    pytest.importorskip("pykeen", reason="needs proofrank[pykeen]")
    mrrs = run_example("validation_pykeen", tmp_path, "--epochs", "3")
    assert list(mrrs) == [1, 2, 3]
    assert mrrs == rows_of(tmp_path / "valid.csv", "step", "mrr")
    assert max(mrrs.values()) == mrr_of_best(tmp_path)


def test_the_plain_loop_logs_to_each_library(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="needs proofrank[tensorboard]")
    pytest.importorskip("wandb", reason="needs proofrank[wandb]")
    mlflow = pytest.importorskip("mlflow", reason="needs proofrank[mlflow]")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # pyright: ignore[reportMissingImports]

    names = ("tensorboard", "wandb", "mlflow")
    printed = run_example("validation", tmp_path, "--epochs", "3", *(f"--log={name}" for name in names))
    expected = rows_of(tmp_path / "valid.csv", "step", "mrr")
    assert printed == expected
    assert list(printed) == [0, 1, 2]

    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert {scalar.step: scalar.value for scalar in events.Scalars("valid/mrr")} == expected

    assert {row["valid/step"]: row["valid/mrr"] for row in logged_rows(tmp_path / "wandb")} == expected

    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    (run,) = client.search_runs([client.get_experiment_by_name("countries").experiment_id])
    history = client.get_metric_history(run.info.run_id, "valid/mrr")
    assert {metric.step: metric.value for metric in history} == expected
