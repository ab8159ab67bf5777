"""The steps of a training job after every epoch: upload the policy, make it live, and ask for its MRR.

    python -m examples.hot_swap --url http://127.0.0.1:8000

The server must serve the graph that the policy is trained on. So that this runs in seconds, the training is simulated:
a finished policy with noise that shrinks in each epoch. :func:`evaluate` is as in a real training job.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import torch

from proofrank.core.default import DATASET, POLICY
from proofrank.core.graph import Dataset, load_dataset
from proofrank.core.policy import PolicyNetwork, load_policy, save_policy
from proofrank.core.prover import ProverSettings

PARTS = {"weights": "policy.safetensors", "config": "policy.json", "vocabulary": "vocab.json"}
"""The fields of an upload, and the files that ``save_policy`` writes for them."""


def evaluate(
    client: httpx.Client,
    name: str,
    network: PolicyNetwork,
    settings: ProverSettings,
    dataset: Dataset,
    queries: Sequence[dict[str, str]],
) -> dict[str, Any]:
    """Uploads a network as policy ``name``, makes it live, and returns the server's answer to ``queries``."""
    with tempfile.TemporaryDirectory() as folder:
        save_policy(folder, network, dataset.vocabulary, settings)
        files = {field: (Path(folder) / file).read_bytes() for field, file in PARTS.items()}
    client.put(f"/policies/{name}", params={"activate": True}, files=files).raise_for_status()
    answer = client.post("/rank", json={"queries": queries, "side": "tail", "corruptions": "all"})
    return answer.raise_for_status().json()


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
    parser.add_argument("--epochs", type=int, default=4, help="number of epochs")
    parsed = parser.parse_args()
    dataset = load_dataset(parsed.dataset)
    policy = load_policy(parsed.policy, dataset)
    settings = policy.settings or ProverSettings()
    names = (dataset.names(triple) for triple in dataset.splits["valid"])
    queries = [{"head": head, "relation": relation, "tail": tail} for head, relation, tail in names]
    with httpx.Client(base_url=parsed.url, timeout=300) as client:
        for epoch in train(policy.network, parsed.epochs):
            # One name for all epochs: each upload replaces the one before, so nothing accumulates.
            answer = evaluate(client, "in-training", policy.network, settings, dataset, queries)
            identity = answer["policy"]
            print(
                f"epoch {epoch}: MRR {answer['metrics']['mrr']:.3f} by {identity['name']} {identity['sha256'][:12]}"
            )


if __name__ == "__main__":
    main()
