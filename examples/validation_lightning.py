"""The countries with PyTorch Lightning: the trainer ranks the valid triples after each epoch, and stops early.

    python -m examples.validation_lightning --out run

Lightning's own logger writes ``metrics.csv``, with the losses and the metrics; the best policy is in ``best``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from lightning.pytorch import LightningModule, Trainer  # pyright: ignore[reportMissingImports]
from lightning.pytorch.loggers import CSVLogger  # pyright: ignore[reportMissingImports]

from examples.countries import Choices, Countries, keep_padding_zero, loss_of
from proofrank.callbacks import InProcess, Validation
from proofrank.callbacks.lightning import LightningValidation
from proofrank.core.policy import PolicyNetwork
from proofrank.training.batches import Batch


class Imitation(LightningModule):
    """Learns the choices of a search."""

    def __init__(self, network: PolicyNetwork, learning_rate: float) -> None:
        super().__init__()
        self.network = network
        self._learning_rate = learning_rate

    def training_step(self, batch: Batch, batch_idx: int) -> torch.Tensor:
        loss = loss_of(self.network, batch)
        self.log("loss", loss, on_step=False, on_epoch=True, batch_size=len(batch.weights))
        return loss

    def on_train_batch_end(self, outputs: object, batch: Batch, batch_idx: int) -> None:
        keep_padding_zero(self.network)

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        return batch  # on the CPU

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=self._learning_rate)


def main() -> None:
    """Trains and validates as the command line says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for the log and the best policy")
    parser.add_argument("--epochs", type=int, default=12, help="maximum number of epochs")
    parsed = parser.parse_args()

    countries = Countries.load()
    with Validation(
        InProcess(countries.dataset, split="valid", side="tail", corruptions="all"),
        like=countries.like,
        patience=3,
        best_folder=parsed.out / "best",
    ) as validation:
        trainer = Trainer(
            max_epochs=parsed.epochs,
            accelerator="cpu",
            logger=CSVLogger(parsed.out, name="", version=""),
            callbacks=[LightningValidation(validation, lambda module: module.network)],
            enable_checkpointing=False,
            enable_progress_bar=False,
        )
        trainer.fit(
            Imitation(countries.network, countries.options.learning_rate),
            train_dataloaders=Choices(countries),
        )
    for result in validation.results:
        print(f"epoch {result.step}: valid MRR {result.metrics['mrr']:.3f}")


if __name__ == "__main__":
    main()
