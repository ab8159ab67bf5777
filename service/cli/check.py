"""``proofrank check``: read a dataset, and perhaps a policy, and say what was understood and what is probably wrong."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from proofrank.core.errors import PolicyError, ProofrankError, counted, first_few
from proofrank.core.graph import Dataset, load_dataset
from proofrank.service.cli.described_policy import DescribedPolicy, describe
from proofrank.service.cli.files import check_writable, write_output
from proofrank.service.cli.options import add_dataset
from proofrank.service.cli.understood import RelationCounts, Understood, understand

EXIT_WARNINGS = 1
EXIT_ERROR = 2


def set_up(parser: argparse.ArgumentParser) -> None:
    """Gives the parser of the command its options."""
    parser.description = (
        f"{__doc__} Ends with 0, with 1 if there are warnings, or with 2 if something cannot be used."
    )
    add_dataset(parser)
    parser.add_argument(
        "--policy",
        type=Path,
        metavar="PATH",
        help="policy folder that must fit the dataset, or untrained or untrained:SEED; or a checkpoint file of the "
        "public DeepProofLog code that was not imported",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what was understood to FILE")


def run(parsed: argparse.Namespace) -> int:
    """Runs the command."""
    check_writable("--json", parsed.json)
    console = Console(highlight=False, markup=False, soft_wrap=True)
    described: DescribedPolicy | None = None
    try:
        dataset = load_dataset(parsed.dataset, rules_format=parsed.rules_format, strict=parsed.strict)
        understood = understand(dataset)
        if parsed.policy is not None:
            described = describe(parsed.policy, dataset)
            if described.problem is not None:
                for line in described.lines:
                    console.print(line)
                raise PolicyError(described.problem)
    except ProofrankError as error:
        policy = None if described is None else described.fields
        _write(parsed.json, {"status": EXIT_ERROR, "error": str(error), "policy": policy})
        raise
    status = EXIT_WARNINGS if dataset.warnings else 0
    _write(parsed.json, {"status": status, "error": None, **_to_dict(dataset, understood, described)})
    _print(console, dataset, understood, described)
    return status


def _write(path: Path | None, content: dict[str, Any]) -> None:
    if path is not None:
        write_output("--json", path, json.dumps(content, ensure_ascii=False, indent=1) + "\n")


def _to_dict(dataset: Dataset, understood: Understood, policy: DescribedPolicy | None) -> dict[str, Any]:
    return {
        "dataset": {"name": dataset.name, "sha256": dataset.content_hash},
        "files": [
            {
                "path": str(file.path),
                "holds": file.holds,
                "format": file.format,
                "count": file.count,
                "notes": list(file.notes),
            }
            for file in dataset.files
        ],
        "not_read": understood.not_read,
        "constants": dataset.vocabulary.num_constants,
        "facts": len(dataset.fact_triples),
        "rules": len(dataset.rules),
        "relations": {name: counts._asdict() for name, counts in understood.relations.items()},
        "relations_without_rules": understood.without_rules,
        "test_triples": len(dataset.splits["test"]),
        "test_triples_with_a_rule": understood.num_with_rule,
        "test_triples_with_a_constant_of_no_fact": understood.num_with_new_constant,
        "policy": None if policy is None else policy.fields,
        "warnings": [warning.to_dict() for warning in dataset.warnings],
    }


def _print(
    console: Console, dataset: Dataset, understood: Understood, policy: DescribedPolicy | None
) -> None:
    console.print(f"dataset {dataset.name} ({dataset.content_hash[:12]})")
    for file in dataset.files:
        console.print(f"read {file}")
    if understood.not_read:
        console.print(f"not read: {first_few(understood.not_read, _MOST_FILES, str)}")
    num_relations = len(understood.relations)
    console.print(
        f"{counted(dataset.vocabulary.num_constants, 'constant')}, {counted(num_relations, 'relation')}, "
        f"{num_relations - len(understood.without_rules)} of them with rules, "
        f"{counted(len(dataset.fact_triples), 'fact')}, {counted(len(dataset.rules), 'rule')}"
    )
    console.print(_table(understood))
    num_test = len(dataset.splits["test"])
    if num_test:
        console.print(
            f"the head of a rule matches {understood.num_with_rule} of {counted(num_test, 'test triple')} "
            f"({understood.num_with_rule / num_test:.1%}); the others can never be proved"
        )
        if understood.num_with_new_constant:
            triples = counted(understood.num_with_new_constant, "test triple has", "test triples have")
            console.print(f"{triples} a constant that no fact has")
    if policy is not None:
        for line in policy.lines:
            console.print(line)
    for warning in dataset.warnings:
        console.print(f"warning: {warning}")
    console.print(counted(len(dataset.warnings), "warning"))


_MOST_FILES = 10
"""Number of files in the printed line of those that are not read; the file has all."""

_MOST_RELATIONS = 50
"""Number of relations in the printed table; the file has all."""


def _table(understood: Understood) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("relation")
    for column in RelationCounts._fields:
        table.add_column(column, justify="right")
    for name, counts in list(understood.relations.items())[:_MOST_RELATIONS]:
        table.add_row(name, *map(str, counts))
    if len(understood.relations) > _MOST_RELATIONS:
        table.add_row(f"and {len(understood.relations) - _MOST_RELATIONS} more")
    return table
