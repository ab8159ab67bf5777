"""Options that several commands share."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from proofrank.core.choices import untrained_seed
from proofrank.core.default import DATASET, POLICY
from proofrank.core.errors import ProofrankError
from proofrank.core.evaluator import ENGINES, Evaluator
from proofrank.core.evaluator.recordings import Recording
from proofrank.core.formats.rules import RULE_FORMATS
from proofrank.core.graph import Dataset, load_dataset, load_other_graph
from proofrank.core.policy import Policy, carried_over, load_policy
from proofrank.core.policy.precision import PRECISIONS
from proofrank.core.prover import ProverSettings
from proofrank.service.cli.ranking_options import beam_of
from proofrank.service.engine.engine_options import EngineOptions
from proofrank.service.settings.settings import PROVER_FIELDS, Settings
from proofrank.service.threads import DEFAULT_THREADS


def add_dataset_and_policy(parser: argparse.ArgumentParser) -> None:
    """Adds ``--dataset`` and ``--policy``, by default those in the package, and how the dataset is read."""
    add_dataset(parser)
    parser.add_argument(
        "--policy",
        type=Path,
        default=POLICY,
        metavar="DIR",
        help="checkpoint folder, or untrained or untrained:SEED for a network with random weights (default: the "
        "package's policy)",
    )


def add_dataset(parser: argparse.ArgumentParser, *, is_required: bool = False) -> None:
    """Adds ``--dataset``, by default that in the package unless it is required, and how it is read."""
    parser.add_argument(
        "--dataset",
        type=Path,
        default=DATASET,
        required=is_required,
        metavar="DIR",
        help="dataset folder" + " (default: the package's countries)" * (not is_required),
    )
    parser.add_argument(
        "--rules-format",
        choices=tuple(RULE_FORMATS),
        metavar="NAME",
        help=f"of the dataset's rules: {', '.join(RULE_FORMATS)} (default: as the file's lines look)",
    )
    parser.add_argument(
        "--strict", action="store_true", help="refuse a dataset in which something is probably wrong"
    )


def read_dataset(parsed: argparse.Namespace) -> Dataset:
    """The dataset of the options of :func:`add_dataset`; says on standard error what is probably wrong with it.

    Raises:
        DatasetError: a file is missing or bad, or there is a warning and ``--strict``.
    """
    dataset = load_dataset(parsed.dataset, rules_format=parsed.rules_format, strict=parsed.strict)
    for warning in dataset.warnings:
        _say(f"warning: {warning}")
    return dataset


def read_policy(parsed: argparse.Namespace, dataset: Dataset) -> Policy:
    """The policy of the options of :func:`add_dataset_and_policy`; says on standard error where it is an untrained one.

    Raises:
        PolicyError: it cannot be used, or does not fit the dataset.
    """
    policy = load_policy(parsed.policy, dataset)
    if untrained_seed(parsed.policy) is not None:
        _say(f"policy {policy.name} ({policy.content_hash[:12]}): random weights, nothing is trained")
    return policy


def other_graph(parsed: argparse.Namespace, dataset: Dataset, policy: Policy) -> tuple[Dataset, Policy]:
    """The graph of ``--facts`` with the rules of ``dataset``, and the policy for it; what is given without it.

    Raises:
        DatasetError: a file is missing or bad, or has other relations.
        PolicyError: the policy embeds constants by vectors of their own.
    """
    if parsed.facts is None:
        return dataset, policy
    other = load_other_graph(parsed.facts, dataset, rules_format=parsed.rules_format, strict=parsed.strict)
    for warning in other.warnings:
        _say(f"warning: {warning}")
    return other, carried_over(policy, other)


def say_files(dataset: Dataset) -> None:
    """Says on standard error how each file of the dataset was read."""
    for file in dataset.files:
        _say(f"read {file}")


def _say(text: str) -> None:
    Console(stderr=True, highlight=False, markup=False, soft_wrap=True).print(text)


def add_recorded_data(parser: argparse.ArgumentParser) -> None:
    """Adds ``--data``, where the datasets that recordings name are looked up."""
    parser.add_argument(
        "--data",
        type=Path,
        metavar="ROOT",
        help="folder of dataset folders (default: 'data' beside the recording's parent)",
    )


def recorded_dataset(parsed: argparse.Namespace, recording: Recording) -> Dataset:
    """The dataset that ``recording`` names, by the option of :func:`add_recorded_data`. Raises DatasetError."""
    root = parsed.data if parsed.data is not None else recording.folder.resolve().parent.parent / "data"
    return load_dataset(root / recording.dataset)


def add_engine(parser: argparse.ArgumentParser, default: str, *, is_for_a_server: bool = False) -> None:
    """Adds ``--engine`` and what goes with it.

    Args:
        parser: of the command.
        default: name of the engine that is taken by default.
        is_for_a_server: whether ``--threads`` are those of a server's evaluator, which is one process.
    """
    group = parser.add_argument_group("engine")
    group.add_argument(
        "--engine", default=default, metavar="NAME", help=f"one of {', '.join(ENGINES)} (default: {default})"
    )
    group.add_argument("--device", metavar="NAME", help="torch device (default: CUDA where there is one)")
    group.add_argument(
        "--fullgraph",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="compile each part of the tick as one graph, or not at all (default: yes)",
    )
    group.add_argument("--precision", default=PRECISIONS[0], choices=PRECISIONS, help="of matrix products")
    group.add_argument(
        "--calibrate",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="fit buffers of fixed shape to what a short run at first start finds out (default: yes)",
    )
    group.add_argument("--cache-folder", type=Path, metavar="DIR", help="where compiled artifacts are kept")
    group.add_argument(
        "--threads",
        type=int,
        metavar="N",
        help=f"threads of torch on a CPU, as the server's setting (default: {DEFAULT_THREADS})"
        if is_for_a_server
        else "processor cores that a long evaluation on a CPU may use, one process each (default: all that there are)",
    )
    parser.set_defaults(is_for_a_server=is_for_a_server)


def make_evaluator(
    parsed: argparse.Namespace,
    dataset: Dataset,
    policy: Policy,
    settings: ProverSettings,
    buckets: Sequence[int] | None = None,
) -> Evaluator:
    """The evaluator that the options of :func:`add_engine` ask for, with the threads that fit it."""
    return engine_options(parsed).make_evaluator(dataset, policy, settings, buckets)


def engine_options(parsed: argparse.Namespace) -> EngineOptions:
    """The values of the options of :func:`add_engine`.

    Raises:
        ProofrankError: ``--threads`` is below 1.
    """
    if parsed.threads is not None and parsed.threads < 1:
        raise ProofrankError(f"threads is {parsed.threads}; expected at least 1")
    threads, processes = (parsed.threads, 1) if parsed.is_for_a_server else (None, parsed.threads)
    return EngineOptions(
        engine=parsed.engine,
        device=parsed.device,
        fullgraph=parsed.fullgraph,
        precision=parsed.precision,
        calibrate=parsed.calibrate,
        cache_folder=parsed.cache_folder,
        threads=threads,
        processes=processes,
        beam=beam_of(parsed) if hasattr(parsed, "beam") else None,
    )


def add_prover_settings(parser: argparse.ArgumentParser) -> None:
    """Adds a flag for each prover setting; those not given stay as the policy was trained."""
    group = parser.add_argument_group("prover settings (default: as the policy was trained)")
    for name in PROVER_FIELDS:
        flag = f"--{name.replace('_', '-')}"
        text = Settings.model_fields[name].description
        if isinstance(getattr(ProverSettings(), name), bool):
            group.add_argument(flag, action=argparse.BooleanOptionalAction, help=text)
        else:
            group.add_argument(flag, type=int, metavar="N", help=text)


def prover_overrides(parsed: argparse.Namespace) -> dict[str, int | bool]:
    """The prover settings that were given."""
    return {name: value for name in PROVER_FIELDS if (value := getattr(parsed, name)) is not None}
