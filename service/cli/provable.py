"""``proofrank provable``: which triples of a split have a proof at all, the fewest steps, and the highest MRR."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from proofrank.core.choices import SPLITS
from proofrank.core.errors import ProofrankError
from proofrank.core.evaluator.artifacts import default_cache_folder
from proofrank.core.evaluator.proof_depths import DEFAULT_MAX_STATES, DepthSearch, ProofDepth
from proofrank.core.formats.atoms import NamedAtom
from proofrank.core.formats.depths import NOT_FOUND, write_depths
from proofrank.core.graph import Dataset, Triple
from proofrank.core.provability import immediate_model, stored_least_model
from proofrank.core.prover import ProverSettings
from proofrank.core.ranking import Corruptor, HighestMrr, depth_order, highest_mrr, sides_of
from proofrank.service.cli.files import check_writable, write_output
from proofrank.service.cli.options import (
    add_dataset,
    add_prover_settings,
    prover_overrides,
    read_dataset,
    say_files,
)
from proofrank.service.cli.ranking_options import positive
from proofrank.service.terminal.progress import progress_bar

COLUMNS = ("head", "relation", "tail", "provable", "fewest_steps", "at_least", "at_most")


def set_up(parser: argparse.ArgumentParser) -> None:
    """Gives the parser of the command its options."""
    parser.description = (
        f"{__doc__} No policy is needed. Steps are those of a trajectory under the prover settings; the highest MRR is "
        "against all corruptions of both sides, filtered, with realistic ranks."
    )
    add_dataset(parser)
    parser.add_argument("--split", default="test", choices=SPLITS, help="which triples (default: test)")
    parser.add_argument(
        "--table", type=Path, metavar="FILE", help="write a tab-separated row for each triple to FILE"
    )
    parser.add_argument(
        "--depths",
        type=Path,
        metavar="FILE",
        help="write 'relation(head,tail) DEPTH' for each triple to FILE, -1 where no proof was found; evaluate "
        "reads the dataset folder's <split>_depths.txt",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the summary to FILE")
    parser.add_argument(
        "--max-states",
        type=positive,
        default=DEFAULT_MAX_STATES,
        metavar="N",
        help=f"number of states of a triple after which its search ends (default: {DEFAULT_MAX_STATES})",
    )
    parser.add_argument("--cache-folder", type=Path, metavar="DIR", help="where least models are kept")
    add_prover_settings(parser)


def run(parsed: argparse.Namespace) -> int:
    """Runs the command."""
    for name in ("table", "depths", "json"):
        check_writable(f"--{name}", getattr(parsed, name))
    dataset = read_dataset(parsed)
    say_files(dataset)
    triples = dataset.splits[parsed.split]
    if not triples:
        raise ProofrankError(f"split {parsed.split!r} of dataset {dataset.name!r} has no triples")
    model = stored_least_model(dataset, parsed.cache_folder or default_cache_folder())
    settings = ProverSettings.from_dict(prover_overrides(parsed))
    search = DepthSearch(dataset, settings, model, max_states=parsed.max_states)
    found: list[ProofDepth] = []
    with progress_bar(Console(stderr=True), "triples", len(triples)) as on_progress:
        for triple in triples:
            found.append(search.depth(triple))
            on_progress(len(found))
    bounds = highest_mrr(
        triples,
        [depth.is_provable is not False for depth in found],
        sides_of("both"),
        Corruptor(dataset),
        immediate_model(dataset),
    )
    console = Console(highlight=False, markup=False, soft_wrap=True)
    console.print(_summary(dataset, parsed.split, found, bounds, is_exact=model.is_exact))
    if parsed.table is not None:
        write_output("--table", parsed.table, _table(dataset, triples, found))
    if parsed.depths is not None:
        _write_depths(parsed.depths, dataset, triples, found, console)
    if parsed.json is not None:
        write_output("--json", parsed.json, _as_json(dataset, parsed.split, found, bounds))
    return 0


def _counts(found: Sequence[ProofDepth]) -> dict[str, int]:
    """Name of a depth -> number of triples, in order."""
    counted = Counter(depth.name for depth in found)
    return {name: counted[name] for name in sorted(counted, key=depth_order)}


def _summary(
    dataset: Dataset, split: str, found: Sequence[ProofDepth], bounds: HighestMrr, *, is_exact: bool
) -> str:
    num_provable = sum(depth.is_provable is True for depth in found)
    num_unprovable = sum(depth.is_provable is False for depth in found)
    lines = [
        f"{dataset.name} {split}: {len(found)} triples, {num_provable} have a proof, {num_unprovable} have none, "
        f"{len(found) - num_provable - num_unprovable} are not known",
        "fewest steps: " + ", ".join(f"{name}: {number}" for name, number in _counts(found).items()),
        f"highest MRR of any policy: {bounds.any_policy:.4f}",
        f"highest MRR if triples without a proof rank at random: {bounds.without_luck:.4f}",
    ]
    if not is_exact:
        lines.append(
            "the least model is too large here: a superset was used, which finds fewer triples without a proof"
        )
    return "\n".join(lines)


def _table(dataset: Dataset, triples: Sequence[Triple], found: Sequence[ProofDepth]) -> str:
    """The rows, with nothing in the place of what is not known."""
    words = {True: "yes", False: "no", None: ""}

    def cell(number: int | None) -> str:
        return "" if number is None else str(number)

    rows = [COLUMNS]
    rows += [
        (
            *dataset.names(triple),
            words[depth.is_provable],
            *(cell(depth.steps), cell(depth.at_least), cell(depth.at_most)),
        )
        for triple, depth in zip(triples, found, strict=True)
    ]
    return "".join("\t".join(row) + "\n" for row in rows)


def _write_depths(
    path: Path, dataset: Dataset, triples: Sequence[Triple], found: Sequence[ProofDepth], console: Console
) -> None:
    atoms = []
    for triple, depth in zip(triples, found, strict=True):
        head, relation, tail = dataset.names(triple)
        atoms.append((NamedAtom(relation, head, tail), NOT_FOUND if depth.steps is None else depth.steps))
    left_out = write_depths(path, atoms)
    if left_out:
        console.print(
            f"{path}: without {len(left_out)} triples whose names its form cannot hold, such as {left_out[0]}"
        )


def _as_json(dataset: Dataset, split: str, found: Sequence[ProofDepth], bounds: HighestMrr) -> str:
    return json.dumps(
        {
            "dataset": {"name": dataset.name, "sha256": dataset.content_hash},
            "split": split,
            "triples": len(found),
            "by_depth": _counts(found),
            "highest_mrr": bounds.any_policy,
            "highest_mrr_without_luck": bounds.without_luck,
            "share_that_may_be_proved": bounds.provable,
        },
        indent=1,
    )
