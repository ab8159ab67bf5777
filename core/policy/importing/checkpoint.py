"""Imports a checkpoint file of the public DeepProofLog code (arXiv 2511.08581) as a policy folder of ours."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass
from pathlib import Path

from proofrank.core.errors import PolicyError
from proofrank.core.graph import Dataset, Vocabulary
from proofrank.core.policy.checkpoint import check_weights, network_with, save_policy
from proofrank.core.policy.files import policy_paths
from proofrank.core.policy.importing.archive import read_state_dict
from proofrank.core.policy.importing.facts import Facts, Resolved, resolve
from proofrank.core.policy.importing.names import PublicNetwork, read_network
from proofrank.core.policy.importing.vocabulary import PublicVocabulary, rebuild_vocabulary
from proofrank.core.policy.network import PolicyNetwork


@dataclass(frozen=True)
class ImportedPolicy:
    """A checkpoint of the public code, ready to be saved.

    Attributes:
        source: the file.
        source_hash: SHA-256 of the file, in hexadecimal.
        file: what names, shapes and storages of the file tell.
        facts: formulas, sizes and settings, by where they come from.
        names: names of the rows of the tables.
        network: the network with all rows of the file.
        unused_facts: names of the facts file that mean nothing to an import.
    """

    source: Path
    source_hash: str
    file: PublicNetwork
    facts: Resolved
    names: PublicVocabulary
    network: PolicyNetwork
    unused_facts: tuple[str, ...]

    @property
    def vocabulary(self) -> Vocabulary:
        """Names of all rows, those included that the graph does not have."""
        return self.names.vocabulary

    def save(self, folder: Path | str, *, overwrite: bool = False) -> None:
        """Writes the policy folder.

        Raises:
            PolicyError: ``folder`` holds a policy, or cannot be written.
        """
        folder = Path(folder)
        if not overwrite and policy_paths(folder).weights.exists():
            raise PolicyError(f"{folder}: holds a policy; expected an empty or a new folder")
        try:
            self.write(folder)
        except OSError as error:
            raise PolicyError(f"{folder}: cannot be written: {error.strerror}") from error

    def write(self, folder: Path) -> None:
        """Writes the policy folder, whatever is in it. Raises OSError."""
        notes = {
            "imported": {
                "file": self.source.name,
                "sha256": self.source_hash,
                "generation": self.file.generation,
                "from_file": self.facts.from_file,
                "told": self.facts.told,
                "defaults": self.facts.defaults,
            }
        }
        save_policy(
            folder,
            self.network,
            self.vocabulary,
            self.facts.settings,
            notes,
            unused_predicates=self.names.unused_predicates,
        )


def import_checkpoint(
    path: Path | str,
    dataset: Dataset,
    facts: Facts,
    *,
    with_defaults: bool = False,
    shown_as: str | None = None,
) -> ImportedPolicy:
    """Reads a ``.pt`` state dict or a Stable-Baselines3 ``.zip`` of the public code.

    Args:
        path: the file.
        dataset: graph that it was trained on; the vocabulary is rebuilt from it.
        facts: what the file does not tell.
        with_defaults: whether facts of the network that were not given take the public code's defaults.
        shown_as: what errors and the notes in the policy folder call the file; its path by default.

    Raises:
        PolicyError: the file is bad, or does not fit the graph.
        MissingFactsError: a fact is missing.
        FactError: a fact is wrong.
    """
    path = Path(path)
    where = shown_as if shown_as is not None else f"{path}"
    state = read_state_dict(path, where)
    file = read_network(state, where)
    names = rebuild_vocabulary(
        dataset,
        file.num_predicate_rows,
        file.num_argument_rows,
        facts.told.get("number_of_variables"),
        where,
    )
    resolved = resolve(file, facts, names.num_variables, with_defaults=with_defaults, where=where)
    if facts.dataset not in (None, dataset.name):
        note = f"the facts are of dataset {facts.dataset!r}; the vocabulary is that of {dataset.name!r}"
        resolved = dataclasses.replace(resolved, notes=(*resolved.notes, note))
    check_weights(resolved.config, names.vocabulary, file.tensors, Path(where))
    network = network_with(resolved.config, names.vocabulary, file.tensors)
    with path.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    return ImportedPolicy(Path(where), digest, file, resolved, names, network, facts.unused)
