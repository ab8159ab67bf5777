"""The files of a policy folder: our names, and those of the Hugging Face convention.

Our name comes first: a folder may hold a ``config.json`` of something else beside ``policy.json``.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from proofrank.core.errors import PolicyError
from proofrank.core.hybrid import HYBRID_FILE

WEIGHTS_FILE = "policy.safetensors"
CONFIG_FILE = "policy.json"
VOCABULARY_FILE = "vocab.json"

HUB_WEIGHTS_FILE = "model.safetensors"
HUB_CONFIG_FILE = "config.json"
_HUB_SHARDS_FILE = "model.safetensors.index.json"


class PolicyPaths(NamedTuple):
    """Paths of the files of one policy; none of them need exist, and the last one often does not."""

    weights: Path
    config: Path
    vocabulary: Path
    hybrid: Path


def policy_paths(folder: Path) -> PolicyPaths:
    """Returns the paths of the files in ``folder``, by our names where neither name is there.

    Raises:
        PolicyError: both names of the weights are there, or the weights are cut into several files.
    """
    ours, hub = folder / WEIGHTS_FILE, folder / HUB_WEIGHTS_FILE
    if ours.is_file() and hub.is_file():
        raise PolicyError(
            f"{folder}: has {WEIGHTS_FILE} and {HUB_WEIGHTS_FILE}; expected one of them", file=WEIGHTS_FILE
        )
    if not ours.is_file() and not hub.is_file() and (folder / _HUB_SHARDS_FILE).is_file():
        raise PolicyError(
            f"{folder}: has weights in several files ({_HUB_SHARDS_FILE}); expected one {HUB_WEIGHTS_FILE}",
            file=WEIGHTS_FILE,
        )
    return PolicyPaths(
        weights=hub if hub.is_file() else ours,
        config=_first_there(folder, CONFIG_FILE, HUB_CONFIG_FILE),
        vocabulary=folder / VOCABULARY_FILE,
        hybrid=folder / HYBRID_FILE,
    )


def _first_there(folder: Path, ours: str, hub: str) -> Path:
    is_hub_alone = not (folder / ours).is_file() and (folder / hub).is_file()
    return folder / (hub if is_hub_alone else ours)
