"""The bits of a least model that ticks look up: who has them, their size, and making them ahead of the first use."""

from __future__ import annotations

import torch

from proofrank.core.evaluator.base import GivesBits
from proofrank.core.graph import Dataset
from proofrank.core.prover.atom_bits import MOST_BYTES, num_bytes_of


def size_of_model(dataset: Dataset) -> tuple[int, int]:
    """Returns the numbers of predicates and constants of a least model of ``dataset``."""
    return dataset.vocabulary.num_predicates, dataset.vocabulary.num_constants


def num_model_bytes(dataset: Dataset, device: torch.device, is_wanted: bool | None = None) -> int:
    """Returns the bytes of the bits that an evaluator on ``device`` has; 0 if it has none.

    Args:
        dataset: its graph.
        device: where it computes.
        is_wanted: as ``EvaluatorOptions.has_model_bits``: None for on CUDA, if they are not too many.
    """
    if is_wanted is None:
        is_wanted = device.type == "cuda"
    number = num_bytes_of(*size_of_model(dataset))
    return number if is_wanted and number <= MOST_BYTES else 0


def prepare_bits(model: object, dataset: Dataset, device: torch.device, is_wanted: bool | None = None) -> int:
    """Makes the bits of ``model`` if evaluators on ``device`` have bits, so that loading it is only a copy.

    The model keeps them for all evaluators of the process. It may be done in any thread, and needs no device.

    Args:
        model: a least model of ``dataset``; nothing happens if it gives no bits.
        dataset: the graph.
        device: where the evaluators compute.
        is_wanted: as of :func:`num_model_bytes`.

    Returns:
        The bytes that they take on the host; 0 if none are needed.
    """
    number = num_model_bytes(dataset, device, is_wanted)
    if not number or not isinstance(model, GivesBits):
        return 0
    return model.bits(*size_of_model(dataset)).nbytes
