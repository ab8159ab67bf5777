"""What a checkpoint file of the public DeepProofLog code tells by itself, and what has to be told to import it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from proofrank.core.errors import PolicyError
from proofrank.core.graph import Dataset
from proofrank.core.policy.importing.archive import read_state_dict
from proofrank.core.policy.importing.facts import (
    NETWORK_DEFAULTS,
    PROVER_DEFAULTS,
    Facts,
    MissingFactsError,
    facts_in,
)
from proofrank.core.policy.importing.names import PublicNetwork, read_network
from proofrank.core.policy.importing.vocabulary import PublicVocabulary, rebuild_vocabulary


@dataclass(frozen=True)
class Inspection:
    """A checkpoint file that was not imported.

    Attributes:
        file: what names, shapes and storages tell.
        from_file: fact -> value, as the file tells it; sizes included.
        missing: fact that has to be told -> what it may be, with the public code's default.
        defaults: prover setting -> value that is taken unless another one is told.
        names: names of the rows of the tables; None if the dataset does not fit.
        misfit: how the tables differ from the dataset; None if they fit.
    """

    file: PublicNetwork
    from_file: dict[str, Any]
    missing: dict[str, str]
    defaults: dict[str, Any]
    names: PublicVocabulary | None
    misfit: str | None


def inspect_checkpoint(path: Path | str, dataset: Dataset) -> Inspection:
    """Reads a ``.pt`` state dict or a Stable-Baselines3 ``.zip`` of the public code without any facts.

    Args:
        path: the file.
        dataset: graph whose names its tables are compared with.

    Raises:
        PolicyError: the file cannot be read, or holds no policy of the public code.
    """
    file = read_network(read_state_dict(path), f"{path}")
    told = facts_in(file, Facts({}))
    sizes = {name: getattr(file, name) for name in ("embedding_dim", "hidden_dim", "num_layers")}
    missing = [name for name in NETWORK_DEFAULTS if name not in told]
    names: PublicVocabulary | None = None
    misfit: str | None = None
    try:
        names = rebuild_vocabulary(dataset, file.num_predicate_rows, file.num_argument_rows, None, f"{path}")
    except PolicyError as error:
        misfit = str(error)
    return Inspection(
        file=file,
        from_file={**sizes, **told},
        missing=MissingFactsError(f"{path}", missing).facts,
        defaults={name: value for name, value in PROVER_DEFAULTS.items() if name not in told},
        names=names,
        misfit=misfit,
    )
