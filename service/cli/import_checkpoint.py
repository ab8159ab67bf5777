"""``proofrank import``: make a policy folder of a checkpoint of the public DeepProofLog code."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from rich.console import Console

from proofrank.core.graph import TERMINAL_PREDICATES, Dataset
from proofrank.core.policy import load_policy
from proofrank.core.policy.importing import Facts, ImportedPolicy, import_checkpoint, read_facts
from proofrank.core.policy.importing.facts import ATOM_CHOICES, FACTORIES, STATE_CHOICES
from proofrank.service.cli.options import add_dataset, read_dataset
from proofrank.service.cli.tables import listed

_FACTS = (
    "factory",
    "atom_embedder",
    "state_embedder",
    "l2_norm",
    "sqrt_scale",
    "temperature",
    "attention_heads",
    "padding_atoms",
    "padding_states",
    "max_depth",
    "memory_pruning",
    "end_proof_action",
    "skip_unary_actions",
    "number_of_variables",
)


def set_up(parser: argparse.ArgumentParser) -> None:
    """Gives the parser of the command its options."""
    parser.description = (
        "Reads a state dict (.pt) or a Stable-Baselines3 archive (.zip) of the public DeepProofLog code and writes a "
        "policy folder. What the file does not tell is asked for; nothing of it is executed."
    )
    parser.add_argument("checkpoint", type=Path, metavar="CHECKPOINT", help="the .pt or .zip file")
    add_dataset(parser, is_required=True)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="policy folder to write")
    parser.add_argument("--overwrite", action="store_true", help="replace the policy in --out")
    group = parser.add_argument_group("what the file does not tell")
    group.add_argument(
        "--facts", type=Path, metavar="FILE", help="JSON file of the facts below by name; options come first"
    )
    group.add_argument(
        "--public-defaults",
        action="store_true",
        help="take the public code's defaults for facts that are not given",
    )
    group.add_argument("--factory", metavar="NAME", help=f"what made the policy: {', '.join(FACTORIES)}")
    group.add_argument(
        "--atom-embedder", metavar="NAME", help=f"{', '.join(ATOM_CHOICES)}; others are read from the file"
    )
    group.add_argument(
        "--state-embedder", metavar="NAME", help=f"{', '.join(STATE_CHOICES)}; others are read from the file"
    )
    _add_flag(group, "--l2-norm", "whether both vectors of a logit have length 1")
    _add_flag(group, "--sqrt-scale", "whether logits are divided by the square root of the embedding size")
    group.add_argument(
        "--temperature", type=_temperature, metavar="NUMBER", help="what logits are divided by, or none"
    )
    group.add_argument(
        "--attention-heads", type=int, metavar="N", help="heads of the atom embedder attention (default: 4)"
    )
    group.add_argument("--padding-atoms", type=int, metavar="N", help="atom places of a state")
    group.add_argument(
        "--padding-states", type=int, metavar="N", help="actions of a state (default: as in the file)"
    )
    group.add_argument("--max-depth", type=int, metavar="N", help="maximum steps (default: 20)")
    _add_flag(group, "--memory-pruning", "whether visited states are no action (default: yes)")
    _add_flag(group, "--end-proof-action", "whether the policy may give up (default: yes)")
    _add_flag(group, "--skip-unary-actions", "whether single actions are followed at once (default: no)")
    group.add_argument(
        "--number-of-variables", type=int, metavar="N", help="variables with an embedding (default: 1000)"
    )


def _add_flag(group: Any, flag: str, text: str) -> None:
    group.add_argument(flag, action=argparse.BooleanOptionalAction, default=None, help=text)


def _temperature(text: str) -> float | str:
    try:
        return "none" if text == "none" else float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no temperature; expected a number or none") from None


def run(parsed: argparse.Namespace) -> int:
    """Runs the command."""
    dataset = read_dataset(parsed)
    facts = read_facts(parsed.facts) if parsed.facts is not None else Facts({})
    told = {name: getattr(parsed, name) for name in _FACTS if getattr(parsed, name) is not None}
    if told.get("temperature") == "none":
        told["temperature"] = None
    policy = import_checkpoint(
        parsed.checkpoint, dataset, facts.updated(told), with_defaults=parsed.public_defaults
    )
    policy.save(parsed.out, overwrite=parsed.overwrite)
    written = load_policy(parsed.out, dataset)
    console = Console(highlight=False, markup=False, soft_wrap=True)
    for line in _report(policy, dataset):
        console.print(line)
    console.print(f"wrote {parsed.out} (SHA-256 {written.content_hash})")
    return 0


def _report(policy: ImportedPolicy, dataset: Dataset) -> list[str]:
    """The lines that say what was read, told, taken by default and left out."""
    file, facts, names = policy.file, policy.facts, policy.names
    form = "a Stable-Baselines3 archive" if file.generation == "old" else "a state dict"
    variants = ["of a compiled module"] * file.is_compiled + ["with parity names"] * file.has_parity_names
    variants += [f"under the key {file.within!r}"] * (file.within is not None)
    variants += [f"names without their first part {file.prefix!r}"] * bool(file.prefix)
    variants += [f"{file.half}, which float32 holds exactly"] * (file.half is not None)
    generation = f"{file.generation} generation{', ' if variants else ''}{', '.join(variants)}"
    read = {
        "embedding_dim": file.embedding_dim,
        "hidden_dim": file.hidden_dim,
        "num_layers": file.num_layers,
        **facts.from_file,
    }
    vocabulary = policy.vocabulary
    lines = [
        f"{policy.source.name}: {form} ({generation}), {file.num_tensors} tensors in {file.num_storages} storages",
        f"  from the file: {listed(read)}",
        f"  told: {listed(facts.told)}",
        f"  the public code's defaults, since nobody told: {listed(facts.defaults)}",
        f"  left out: {file.num_left_out} tensors of the value network and copies, which no logit depends on; dropout",
        f"  predicates of {dataset.name}: {vocabulary.num_predicates}, sorted, then "
        f"{', '.join(TERMINAL_PREDICATES)}; constants: {vocabulary.num_constants}, sorted; variables: "
        f"{names.num_variables}, the first with index {vocabulary.first_variable_index}",
    ]
    lines += [
        f"  note: the public code reads {name!r} in the body of a rule as {cut!r}, for it finds letters, digits and "
        f"underscores there, and makes that a predicate of its own (row {vocabulary.predicate_index(cut)}). The folder "
        f"keeps its row, but no state has it here: proofrank reads such a body as {name!r}"
        for name, cut in names.cut_names.items()
    ]
    lines += [f"  note: {note}" for note in facts.notes]
    if policy.unused_facts:
        lines.append(f"  facts that an import does not use: {', '.join(policy.unused_facts)}")
    return lines
