"""Trains an embedding with PyKEEN on the facts of a dataset, and saves it for scores beside proofs.

    python -m examples.train_embedding --dataset ../shared/data/family --out family-rotate

All names of the dataset have an embedding, those that are only in valid or test included. It is trained on the facts:
train, and ``facts.txt`` where there is one. Needs ``pip install 'proofrank[pykeen]'``.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pykeen.models import model_resolver
from pykeen.training import SLCWATrainingLoop
from pykeen.triples import TriplesFactory

import proofrank


def factory_of(dataset: proofrank.Dataset, triples: Any) -> TriplesFactory:
    """The triples for PyKEEN, with all names of the dataset."""
    vocabulary = dataset.vocabulary
    rows = np.array(triples, dtype=np.int64)[:, [1, 0, 2]] - 1  # (head, relation, tail), from 0
    return TriplesFactory(
        mapped_triples=torch.from_numpy(rows),
        entity_to_id={name: index for index, name in enumerate(vocabulary.constants)},
        relation_to_id={name: index for index, name in enumerate(vocabulary.predicates)},
    )


def main() -> None:
    """Trains and saves one embedding."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", type=Path, required=True, metavar="DIR")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--model", default="RotatE", metavar="NAME", help="PyKEEN's name (default: RotatE)")
    parser.add_argument("--dim", type=int, default=64, metavar="N", help="size of an embedding (default: 64)")
    parser.add_argument("--epochs", type=int, default=40, metavar="N")
    parser.add_argument("--learning-rate", type=float, default=0.01, metavar="RATE")
    parser.add_argument("--batch-size", type=int, default=512, metavar="N")
    parser.add_argument("--negatives", type=int, default=32, metavar="N", help="for each fact (default: 32)")
    parser.add_argument("--margin", type=float, default=6.0, metavar="M", help="of the loss (default: 6)")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    parser.add_argument("--threads", type=int, default=1, metavar="N")
    parser.add_argument(
        "--checkpoint",
        type=Path,
        metavar="FILE",
        help="where PyKEEN keeps the training each minute; the same command goes on from there",
    )
    parsed = parser.parse_args()
    torch.set_num_threads(parsed.threads)
    dataset = proofrank.load_dataset(parsed.dataset)
    factory = factory_of(dataset, dataset.fact_triples)
    model = model_resolver.make(
        parsed.model,
        triples_factory=factory,
        embedding_dim=parsed.dim,
        loss="NSSA",
        loss_kwargs={"margin": parsed.margin, "adversarial_temperature": 1.0},
        random_seed=parsed.seed,
    )
    loop = SLCWATrainingLoop(
        model=model,
        triples_factory=factory,
        optimizer=torch.optim.Adam(model.parameters(), lr=parsed.learning_rate),
        negative_sampler="basic",
        negative_sampler_kwargs={"num_negs_per_pos": parsed.negatives},
    )
    checkpoint: dict[str, Any] = {}
    if parsed.checkpoint is not None:
        # PyKEEN's own form, which is unpickled: only a file of one's own should be given.
        folder, name = parsed.checkpoint.resolve().parent, parsed.checkpoint.name
        checkpoint = {
            "checkpoint_directory": folder,
            "checkpoint_name": name,
            "checkpoint_frequency": 1,
            "checkpoint_on_failure": True,
        }
    loop.train(
        factory,
        num_epochs=parsed.epochs,
        batch_size=parsed.batch_size,
        use_tqdm_batch=False,
        **checkpoint,
    )
    notes = {"dataset": dataset.content_hash, "epochs": parsed.epochs, "seed": parsed.seed}
    saved = proofrank.save_embedding(model, factory, parsed.out, notes=notes, overwrite=True)
    print(f"wrote {parsed.out}: {saved.kind}, SHA-256 {saved.content_hash}")


if __name__ == "__main__":
    main()
