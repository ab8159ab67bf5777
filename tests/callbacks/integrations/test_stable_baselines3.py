"""The callback in a training of Stable-Baselines3."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest

import proofrank
from proofrank.callbacks import InProcess, Validation
from proofrank.core.policy import Policy, PolicyNetwork

stable_baselines3 = pytest.importorskip("stable_baselines3", reason="needs proofrank[sb3]")
gymnasium = pytest.importorskip("gymnasium", reason="needs proofrank[sb3]")

pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings("ignore")]

Train = Callable[[PolicyNetwork, int], None]


@pytest.mark.parametrize(("patience", "steps"), [(None, [16, 32, 48, 64]), (1, [16, 32])])
def test_a_policy_is_evaluated_after_so_many_steps_until_nothing_gets_better(
    family: proofrank.Dataset,
    policy: Policy,
    train: Train,
    tmp_path: Path,
    patience: int | None,
    steps: list[int],
) -> None:
    from stable_baselines3.common.logger import configure  # pyright: ignore[reportMissingImports]

    from proofrank.callbacks.stable_baselines3 import StableBaselinesValidation

    def network(algorithm: object) -> PolicyNetwork:
        train(policy.network, algorithm.num_timesteps)  # pyright: ignore[reportAttributeAccessIssue]
        return policy.network

    algorithm = stable_baselines3.PPO(
        "MlpPolicy", gymnasium.make("CartPole-v1"), n_steps=32, batch_size=16, n_epochs=1, device="cpu"
    )
    algorithm.set_logger(configure(str(tmp_path), ["csv"]))
    in_process = InProcess(family, split="test", engine="original")
    with Validation(in_process, like=policy, patience=patience, min_delta=1.0) as validation:
        algorithm.learn(64, callback=StableBaselinesValidation(validation, network, every_n_steps=16))
    algorithm.logger.close()
    assert validation.failures == 0
    assert [result.step for result in validation.results] == steps
    last = proofrank.evaluate(family, policy, split="test", engine="original")
    assert validation.results[-1].metrics["mrr"] == last.metrics.mrr
    with (tmp_path / "progress.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["proofrank/mrr"]]
    logged = [(int(row["proofrank/step"]), float(row["proofrank/mrr"])) for row in rows]
    assert logged == [(result.step, pytest.approx(result.metrics["mrr"])) for result in validation.results]
