"""The steps of a training job after every epoch: upload the policy, make it live, and have it rank a split.

    python -m examples.hot_swap --url http://127.0.0.1:8000

The server must serve the graph that the policy is trained on. So that this runs in seconds, the training is simulated:
a finished policy with noise that shrinks in each epoch. :func:`evaluate` is as in a real training job. Several training
jobs may share a server: each gives its policies a name of its own (``--name``).
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch

from proofrank.client import Client, JobResult
from proofrank.core.default import DATASET, POLICY
from proofrank.core.graph import Dataset, load_dataset
from proofrank.core.policy import PolicyNetwork, load_policy, save_policy
from proofrank.core.prover import ProverSettings


def evaluate(
    client: Client, name: str, network: PolicyNetwork, settings: ProverSettings, dataset: Dataset
) -> JobResult:
    """Uploads a network as policy ``name``, makes it live, and has it rank the split ``valid``.

    The job is pinned to this upload: another training job may make its own policy live before this one is evaluated.
    """
    with tempfile.TemporaryDirectory() as folder:
        save_policy(folder, network, dataset.vocabulary, settings)
        uploaded = client.upload_policy(name, folder, activate=True)
    return client.evaluate("valid", policy=uploaded, side="tail", corruptions="all", progress=False)


def train(network: PolicyNetwork, epochs: int) -> Iterator[int]:
    """Simulates a training: changes ``network`` and yields the number of each finished epoch."""
    generator = torch.Generator().manual_seed(0)
    trained = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    for epoch in range(1, epochs + 1):
        noise = (1 - epoch / epochs) / 2
        for name, tensor in network.state_dict().items():
            tensor.copy_(trained[name] + noise * torch.randn(tensor.shape, generator=generator))
            if name.startswith("embedding."):
                tensor[0] = 0  # padding
        yield epoch


def main() -> None:
    """Trains and evaluates as the command line says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="URL of the server")
    parser.add_argument("--dataset", type=Path, default=DATASET, help="graph that the server serves")
    parser.add_argument(
        "--policy", type=Path, default=POLICY, help="checkpoint that the simulated training ends with"
    )
    parser.add_argument("--name", default="in-training", help="name of the policies of this training job")
    parser.add_argument("--epochs", type=int, default=4, help="number of epochs")
    parsed = parser.parse_args()
    dataset = load_dataset(parsed.dataset)
    policy = load_policy(parsed.policy, dataset)
    settings = policy.settings or ProverSettings()
    with Client(parsed.url) as client:
        for epoch in train(policy.network, parsed.epochs):
            # One name for all epochs: each upload replaces the one before, so nothing accumulates.
            result = evaluate(client, parsed.name, policy.network, settings, dataset)
            identity = result.job.policy
            print(f"epoch {epoch}: MRR {result.metrics.mrr:.3f} by {identity.name} {identity.sha256[:12]}")


if __name__ == "__main__":
    main()
