"""A training loop of the package's countries that ranks the valid triples after every epoch, without a server.

    python -m examples.validation --out run

It trains a small network on the choices of a search, as ``python -m proofrank.training.train`` does, but with a loop of
its own, as yours is. It writes ``valid.csv`` and the best policy into the folder, and stops when the MRR no longer
improves.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

import proofrank
from proofrank.callbacks import CsvLogger, InProcess, Validation
from proofrank.core.default import DATASET, POLICY
from proofrank.training.batches import ExampleSet, batch_logits, imitation_loss
from proofrank.training.examples import ExampleCollector
from proofrank.training.imitation import untrained_network
from proofrank.training.options import TrainingOptions
from proofrank.training.rollout import logits_of_network


def main() -> None:
    """Trains and validates as the command line says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for the log and the best policy")
    parser.add_argument("--epochs", type=int, default=12, help="maximum number of epochs")
    parser.add_argument("--patience", type=int, default=3, help="epochs without a better MRR before it stops")
    parsed = parser.parse_args()

    dataset = proofrank.load_dataset(DATASET)
    like = proofrank.load_policy(POLICY, dataset)  # its shape, names and prover settings
    assert like.settings is not None
    options = TrainingOptions(seed=0)
    network = untrained_network(
        like.network.config, dataset.vocabulary, options.seed, options.embedding_scale
    )
    collector = ExampleCollector(dataset, like.settings, options)
    examples = ExampleSet(collector.collect(logits_of_network(network), 0, lambda done, total: None))
    optimizer = torch.optim.Adam(network.parameters(), lr=options.learning_rate)
    generator = np.random.default_rng(options.seed)

    ranking = InProcess(dataset, split="valid", side="tail", corruptions="all")
    with Validation(
        ranking,
        like=like,
        loggers=[CsvLogger(parsed.out / "valid.csv")],
        patience=parsed.patience,
        best_folder=parsed.out / "best",
    ) as validation:
        for epoch in range(parsed.epochs):
            network.train().requires_grad_(True)
            for batch in examples.shuffled(generator, options.batch_rows):
                loss = imitation_loss(batch_logits(network, batch), batch, options.evenness)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                with torch.no_grad():  # padding
                    network.embedding.predicates[0] = 0
                    network.embedding.arguments[0] = 0
            for result in validation(epoch, network):
                print(f"epoch {result.step}: valid MRR {result.metrics['mrr']:.3f}")
            if validation.should_stop:
                break
    if validation.best is not None:
        print(f"best: epoch {validation.best.step}, in {parsed.out / 'best'}")


if __name__ == "__main__":
    main()
