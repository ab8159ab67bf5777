"""The callback in a trainer of PyTorch Lightning."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import proofrank
from proofrank.callbacks import InProcess, OnServer, Validation
from proofrank.client import Client
from proofrank.core.policy import Policy, PolicyNetwork
from tests.helpers.serving import RunningServer

lightning = pytest.importorskip("lightning.pytorch", reason="needs proofrank[lightning]")

pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings("ignore")]

Train = Callable[[PolicyNetwork, int], None]


class Module(lightning.LightningModule):
    """A policy's network whose weights each epoch changes; what it learns does not matter here."""

    def __init__(self, network: PolicyNetwork, train: Train) -> None:
        super().__init__()
        self.network = network
        self.unused = torch.nn.Parameter(torch.ones(1))
        self._train = train

    def on_train_epoch_start(self) -> None:
        self._train(self.network, self.current_epoch)

    def training_step(self, batch: list[torch.Tensor], index: int) -> torch.Tensor:
        return (self.unused * batch[0]).sum()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD([self.unused], lr=0.1)

    def train_dataloader(self) -> Any:
        return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.ones(4, 1)), batch_size=2)


def fit(validation: Validation, module: Module, folder: Path, epochs: int, **options: Any) -> Any:
    from lightning.pytorch.loggers import CSVLogger  # pyright: ignore[reportMissingImports]

    from proofrank.callbacks.lightning import LightningValidation

    trainer = lightning.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=CSVLogger(folder, name="", version=""),
        callbacks=[LightningValidation(validation, lambda module: module.network, **options)],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module)
    return trainer


def test_each_epoch_is_evaluated_and_logged_by_the_trainers_logger(
    family: proofrank.Dataset, policy: Policy, train: Train, tmp_path: Path
) -> None:
    with Validation(InProcess(family, split="test", engine="original"), like=policy) as validation:
        fit(validation, Module(policy.network, train), tmp_path, 4, every_n_epochs=2)
    assert validation.failures == 0
    assert [result.step for result in validation.results] == [1, 3]
    with (tmp_path / "metrics.csv").open(newline="") as file:
        logged = {int(row["step"]): float(row["proofrank/mrr"]) for row in csv.DictReader(file)}
    assert logged == {result.step: pytest.approx(result.metrics["mrr"]) for result in validation.results}
    last = proofrank.evaluate(family, policy, split="test", engine="original")
    assert validation.results[-1].metrics["mrr"] == last.metrics.mrr


def test_the_trainer_stops_when_nothing_gets_better(
    family: proofrank.Dataset, policy: Policy, tmp_path: Path
) -> None:
    in_process = InProcess(family, split="test", engine="original")
    with Validation(in_process, like=policy, patience=2) as validation:
        trainer = fit(validation, Module(policy.network, lambda network, epoch: None), tmp_path, 20)
    assert [result.step for result in validation.results] == [0, 1, 2]
    assert trainer.current_epoch < 5


def test_a_server_evaluates_while_the_trainer_goes_on(
    server: RunningServer, policy: Policy, train: Train, tmp_path: Path
) -> None:
    with Client(server.url) as client:
        with Validation(OnServer(client, "lightning", corruptions=1), like=policy) as validation:
            fit(validation, Module(policy.network, train), tmp_path, 3)
            assert [result.step for result in validation.results] == [0, 1, 2]
        steps = client.run("lightning").steps
    assert validation.failures == 0
    assert [step.step for step in steps] == [0, 1, 2]
