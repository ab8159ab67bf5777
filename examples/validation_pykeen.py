"""The countries with PyKEEN: TransE learns the constants, a policy chooses with them, and the valid triples are ranked.

    python -m examples.validation_pykeen --out run

A PyKEEN model is no policy. After each of its epochs, the policy takes over the embeddings of the entities, and the
rest of its network learns the choices of a search for one epoch. The best policy is in ``best``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from pykeen.models import Model, TransE
from pykeen.training import SLCWATrainingLoop
from pykeen.triples import TriplesFactory

from examples.countries import Choices, Countries, keep_padding_zero, loss_of
from proofrank.callbacks import CsvLogger, InProcess, Validation
from proofrank.callbacks.pykeen import PykeenValidation
from proofrank.core.policy import PolicyNetwork


class PolicyBeside:
    """A policy that learns beside a model, whose entities it has as constants."""

    def __init__(self, countries: Countries) -> None:
        """Searches for choices to learn from."""
        self._network = countries.network
        self._choices = Choices(countries)
        # Small, or the network memorises the constants of the choices instead of what they have in common.
        self._scale = countries.options.embedding_scale * countries.like.network.config.embedding_dim**0.5
        learning = [
            parameter for name, parameter in self._network.named_parameters() if name != "embedding.arguments"
        ]
        self._optimizer = torch.optim.Adam(learning, lr=countries.options.learning_rate)

    def __call__(self, model: Model) -> PolicyNetwork:
        """Takes over the entities of ``model``, learns for an epoch, and returns the network."""
        with torch.no_grad():
            entities = model.entity_representations[0]()  # pyright: ignore
            self._network.embedding.arguments[1 : 1 + len(entities)] = self._scale * entities
        for batch in self._choices:
            self._optimizer.zero_grad()
            loss_of(self._network, batch).backward()
            self._optimizer.step()
            keep_padding_zero(self._network)
        return self._network


def main() -> None:
    """Trains and validates as the command line says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for the log and the best policy")
    parser.add_argument("--epochs", type=int, default=12, help="maximum number of epochs")
    parsed = parser.parse_args()

    countries = Countries.load()
    constants = {name: index for index, name in enumerate(countries.dataset.vocabulary.constants)}
    names = [countries.dataset.names(triple) for triple in countries.dataset.splits["train"]]
    # The same order of constants in both.
    factory = TriplesFactory.from_labeled_triples(np.array(names), entity_to_id=constants)
    model = TransE(
        triples_factory=factory,
        embedding_dim=countries.like.network.config.embedding_dim,
        random_seed=countries.options.seed,
    )
    loop = SLCWATrainingLoop(
        model=model, triples_factory=factory, optimizer=torch.optim.Adam(model.parameters(), lr=0.01)
    )
    with Validation(
        InProcess(countries.dataset, split="valid", side="tail", corruptions="all"),
        like=countries.like,
        loggers=[CsvLogger(parsed.out / "valid.csv")],
        patience=3,
        best_folder=parsed.out / "best",
    ) as validation:
        loop.train(
            triples_factory=factory,
            num_epochs=parsed.epochs,
            use_tqdm=False,
            callbacks=PykeenValidation(validation, PolicyBeside(countries)),
        )
    for result in validation.results:
        print(f"epoch {result.step}: valid MRR {result.metrics['mrr']:.3f}")


if __name__ == "__main__":
    main()
