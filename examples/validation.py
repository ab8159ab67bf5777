"""A training loop of the package's countries that ranks the valid triples after every epoch, without a server.

    python -m examples.validation --out run
    python -m examples.validation --out run --log tensorboard --log wandb --log mlflow

It trains a small network on the choices of a search, with a loop of its own, as yours is. It writes ``valid.csv`` and
the best policy into the folder, and stops when the MRR no longer improves. ``--log`` adds a logger: TensorBoard and
Weights & Biases (offline) with files in the folder, MLflow with a database there.
"""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from pathlib import Path

import torch

from examples.countries import Choices, Countries, keep_padding_zero, loss_of
from proofrank.callbacks import (
    CsvLogger,
    InProcess,
    Logger,
    MlflowLogger,
    TensorBoardLogger,
    Validation,
    WandbLogger,
)


def make_logger(name: str, folder: Path, until_done: ExitStack) -> Logger:
    """Makes a logger that writes into ``folder`` and is closed at the end."""
    if name == "tensorboard":
        return until_done.enter_context(TensorBoardLogger(folder / "tensorboard"))
    if name == "wandb":
        return until_done.enter_context(WandbLogger(project="countries", mode="offline", dir=str(folder)))
    return until_done.enter_context(
        MlflowLogger(tracking_uri=f"sqlite:///{folder / 'mlflow.db'}", experiment="countries")
    )


def main() -> None:
    """Trains and validates as the command line says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for the logs and the best policy")
    parser.add_argument("--epochs", type=int, default=12, help="maximum number of epochs")
    parser.add_argument("--patience", type=int, default=3, help="epochs without a better MRR before it stops")
    parser.add_argument(
        "--log",
        choices=["tensorboard", "wandb", "mlflow"],
        action="append",
        default=[],
        help="log there too; may be given more than once",
    )
    parsed = parser.parse_args()
    parsed.out.mkdir(parents=True, exist_ok=True)

    countries = Countries.load()
    choices = Choices(countries)
    network = countries.network
    optimizer = torch.optim.Adam(network.parameters(), lr=countries.options.learning_rate)
    with ExitStack() as until_done:
        loggers: list[Logger] = [CsvLogger(parsed.out / "valid.csv")]
        loggers += [make_logger(name, parsed.out, until_done) for name in parsed.log]
        validation = until_done.enter_context(
            Validation(
                InProcess(countries.dataset, split="valid", side="tail", corruptions="all"),
                like=countries.like,
                loggers=loggers,
                patience=parsed.patience,
                best_folder=parsed.out / "best",
            )
        )
        for epoch in range(parsed.epochs):
            for batch in choices:
                optimizer.zero_grad()
                loss_of(network, batch).backward()
                optimizer.step()
                keep_padding_zero(network)
            for result in validation(epoch, network):
                print(f"epoch {result.step}: valid MRR {result.metrics['mrr']:.3f}")
            if validation.should_stop:
                break
    if validation.best is not None:
        print(f"best: epoch {validation.best.step}, in {parsed.out / 'best'}")


if __name__ == "__main__":
    main()
