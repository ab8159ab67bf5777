"""Trains a policy for a dataset, saves it, and prints its test MRR beside that of an untrained one.

    python -m proofrank.training.train --dataset core/default/countries --out core/default/policy --seed 0

In: a dataset folder, the shape of a network and the options of the training. Out: a checkpoint folder that
:func:`proofrank.core.policy.load_policy` reads. On one machine the same command gives the same bytes: everything random
has its seed, and torch uses one thread.
"""

from __future__ import annotations

import argparse
import dataclasses
import random
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from proofrank.core.errors import ProofrankError
from proofrank.core.evaluator import ENGINES, create_evaluator
from proofrank.core.formats.rules import RULE_FORMATS
from proofrank.core.graph import SPLITS, Dataset, load_dataset
from proofrank.core.policy import Policy, PolicyConfig, PolicyNetwork, save_policy
from proofrank.core.policy.config import ATOM_EMBEDDERS, STATE_POOLINGS
from proofrank.core.prover import ProverSettings
from proofrank.core.ranking import (
    SIDE_OPTIONS,
    Corruptor,
    Metrics,
    aggregate,
    corrupted_queries,
    rank_queries,
    sides_of,
)
from proofrank.training.imitation import train, untrained_network
from proofrank.training.options import TrainingOptions

RankingProgress = Callable[[int, int], None]
"""A function that is called with the number of candidates done, and of all."""


@dataclasses.dataclass(frozen=True)
class Measurement:
    """The queries on which a policy is measured.

    Attributes:
        split: split of the triples.
        sides: ``head``, ``tail`` or ``both``.
        corruptions: corruptions of each triple, on each side; None for all.
        most_queries: size of a seeded sample of the triples; None for all.
        engine: name of the engine.
        seed: seed of the corruptions and of the sample.
    """

    split: str = "test"
    sides: str = "tail"
    corruptions: int | None = None
    most_queries: int | None = None
    engine: str = "auto"
    seed: int = 0


def measure(
    dataset: Dataset,
    network: PolicyNetwork,
    settings: ProverSettings,
    measurement: Measurement,
    on_progress: RankingProgress = lambda done, total: None,
) -> Metrics:
    """Returns the metrics of a network as a policy, with realistic ranks.

    Raises:
        EvaluationError: the network lacks variables for such long proofs.
    """
    policy = Policy("measured", network, dataset.vocabulary, settings, "")
    evaluator = create_evaluator(measurement.engine, dataset, policy, settings)
    triples = dataset.splits[measurement.split]
    if measurement.most_queries is not None and measurement.most_queries < len(triples):
        triples = random.Random(measurement.seed).sample(triples, measurement.most_queries)  # noqa: S311
    corruptor = Corruptor(dataset, number=measurement.corruptions, seed=measurement.seed)
    queries = corrupted_queries(triples, sides_of(measurement.sides), corruptor)
    total = sum(query.num_candidates for query in queries)
    return aggregate(rank_queries(evaluator, queries, on_progress=lambda done: on_progress(done, total)))


class _Bars:
    """Shows the progress of training and ranking on the terminal."""

    def __init__(self, console: Console, options: TrainingOptions) -> None:
        self._options = options
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
        )
        self._epochs = self._bar.add_task("epochs", total=options.rounds * options.epochs)
        self._candidates = self._bar.add_task("candidates rolled out", total=None, visible=False)

    def __enter__(self) -> _Bars:
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def collecting(self, round_index: int, done: int, total: int) -> None:
        """See :class:`proofrank.training.imitation.Progress`."""
        description = f"candidates of round {round_index + 1}"
        self._bar.update(self._candidates, description=description, completed=done, total=total, visible=True)

    def learning(self, round_index: int, epoch: int, num_examples: int, loss: float) -> None:
        """See :class:`proofrank.training.imitation.Progress`."""
        done = round_index * self._options.epochs + epoch + 1
        self._bar.update(self._epochs, completed=done, description=f"epochs, loss {loss:.3f}")
        if epoch == self._options.epochs - 1:
            self._bar.console.print(f"round {round_index + 1}: {num_examples} examples, loss {loss:.3f}")

    def ranking(self, done: int, total: int) -> None:
        """Shows the number of candidates ranked."""
        self._bar.update(
            self._candidates, description="candidates ranked", completed=done, total=total, visible=True
        )


def _parser() -> argparse.ArgumentParser:
    options, network, prover = TrainingOptions(), PolicyConfig(), ProverSettings()
    parser = argparse.ArgumentParser(
        prog="python -m proofrank.training.train",
        description="Trains a policy for a dataset and prints its test MRR beside that of an untrained one.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--dataset", type=Path, required=True, help="folder of the graph")
    parser.add_argument("--rules-format", choices=tuple(RULE_FORMATS), help="of the graph's rules")
    parser.add_argument("--out", type=Path, required=True, help="folder of the checkpoint")
    parser.add_argument("--seed", type=int, default=options.seed, help="seed of everything random")
    parser.add_argument(
        "--state", type=Path, help="file to write after each round; the same command goes on from it"
    )

    shape = parser.add_argument_group("network")
    shape.add_argument("--embedding-dim", type=int, default=32)
    shape.add_argument("--hidden-dim", type=int, default=64)
    shape.add_argument("--num-layers", type=int, default=2)
    shape.add_argument("--atom-embedder", choices=ATOM_EMBEDDERS, default=network.atom_embedder)
    shape.add_argument("--state-pooling", choices=STATE_POOLINGS, default=network.state_pooling)
    shape.add_argument("--max-variables", type=int, default=100, help="run-time variables with an embedding")

    settings = parser.add_argument_group("prover")
    settings.add_argument("--padding-atoms", type=int, default=prover.padding_atoms)
    settings.add_argument("--padding-states", type=int, default=prover.padding_states)
    settings.add_argument("--max-depth", type=int, default=prover.max_depth)

    training = parser.add_argument_group("training")
    training.add_argument(
        "--rounds", type=int, default=options.rounds, help="rounds of roll-outs and learning"
    )
    training.add_argument("--epochs", type=int, default=options.epochs, help="epochs of each round")
    training.add_argument(
        "--most-queries", type=int, help="train triples rolled out in a round (default: all)"
    )
    training.add_argument(
        "--corruptions",
        type=int,
        default=options.corruptions,
        help="corruptions of each triple, on each side",
    )
    training.add_argument("--corruption-weight", type=float, default=options.corruption_weight)
    training.add_argument(
        "--sides", choices=SIDE_OPTIONS, default=options.sides, help="sides to corrupt and to rank"
    )
    training.add_argument(
        "--search-limit", type=int, default=options.search_limit, help="maximum steps of a proof"
    )
    training.add_argument(
        "--search-budget", type=int, default=options.search_budget, help="maximum states of a search"
    )
    training.add_argument(
        "--exploration", type=float, default=options.exploration, help="share of random choices"
    )
    training.add_argument(
        "--most-choices", type=int, default=options.most_choices, help="maximum examples of a trajectory"
    )
    training.add_argument("--learning-rate", type=float, default=options.learning_rate)
    training.add_argument("--weight-decay", type=float, default=options.weight_decay)
    training.add_argument("--embedding-scale", type=float, default=options.embedding_scale)
    training.add_argument(
        "--evenness", type=float, default=options.evenness, help="share of the loss that asks for all targets"
    )
    training.add_argument(
        "--batch-rows", type=int, default=options.batch_rows, help="maximum states and actions of a batch"
    )
    training.add_argument(
        "--time-limit", type=float, help="seconds after which no round begins (default: none)"
    )

    ranking = parser.add_argument_group("measurement")
    ranking.add_argument("--split", choices=SPLITS, default="test")
    ranking.add_argument("--rank-corruptions", type=int, help="corruptions on each side (default: all)")
    ranking.add_argument("--rank-queries", type=int, help="size of a seeded sample to rank (default: all)")
    ranking.add_argument("--engine", choices=ENGINES, default="auto", help="engine that ranks")
    ranking.add_argument("--no-untrained", action="store_true", help="do not rank the untrained policy")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    parsed = _parser().parse_args(arguments)
    torch.set_num_threads(1)  # more threads sum in another order and give other weights
    torch.use_deterministic_algorithms(True)
    console, errors = Console(), Console(stderr=True)
    try:
        _run(parsed, console, errors)
    except (ProofrankError, ValueError, OSError) as error:
        errors.print(f"[red]error:[/red] {escape(str(error))}", highlight=False, soft_wrap=True)
        return 2
    return 0


def _run(parsed: argparse.Namespace, console: Console, errors: Console) -> None:
    dataset = load_dataset(parsed.dataset, rules_format=parsed.rules_format)
    for warning in dataset.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    config = PolicyConfig(
        embedding_dim=parsed.embedding_dim,
        hidden_dim=parsed.hidden_dim,
        num_layers=parsed.num_layers,
        atom_embedder=parsed.atom_embedder,
        state_pooling=parsed.state_pooling,
        max_variables=parsed.max_variables,
        padding_atoms=parsed.padding_atoms,
    )
    settings = ProverSettings(
        padding_atoms=parsed.padding_atoms, padding_states=parsed.padding_states, max_depth=parsed.max_depth
    )
    names = [field.name for field in dataclasses.fields(TrainingOptions)]
    options = TrainingOptions(**{name: getattr(parsed, name) for name in names})
    measurement = Measurement(
        parsed.split, parsed.sides, parsed.rank_corruptions, parsed.rank_queries, parsed.engine, parsed.seed
    )
    if parsed.out.exists() and not parsed.out.is_dir():  # told before the work
        raise ProofrankError(f"--out {parsed.out}: a file; expected a folder")
    untrained = untrained_network(config, dataset.vocabulary, options.seed, options.embedding_scale)
    with _Bars(errors, options) as bars:
        network = train(dataset, config, settings, options, bars, parsed.state)
        record = {"dataset": dataset.content_hash, "torch": torch.__version__, **dataclasses.asdict(options)}
        save_policy(parsed.out, network, dataset.vocabulary, settings, record)
        if not dataset.splits[parsed.split]:
            console.print(
                f"wrote {parsed.out}; {parsed.split} has no triples to rank",
                markup=False,
                highlight=False,
                soft_wrap=True,
            )
            return
        measured = {"trained": measure(dataset, network, settings, measurement, bars.ranking)}
        if not parsed.no_untrained:
            measured["untrained"] = measure(dataset, untrained, settings, measurement, bars.ranking)
    console.print(_table(dataset, measurement, measured))


def _table(dataset: Dataset, measurement: Measurement, measured: dict[str, Metrics]) -> Table:
    against = (
        "all corruptions" if measurement.corruptions is None else f"{measurement.corruptions} corruptions"
    )
    table = Table(
        title=f"{dataset.name} {measurement.split}, {measurement.sides}, {against}, realistic ranks"
    )
    for column in ("policy", "MRR", "Hits@1", "Hits@10", "positives proved", "corruptions proved", "queries"):
        table.add_column(column)
    for name, metrics in measured.items():
        table.add_row(
            name,
            f"{metrics.mrr:.4f}",
            f"{metrics.hits_at[1]:.4f}",
            f"{metrics.hits_at[10]:.4f}",
            "-" if metrics.positives_proved is None else f"{metrics.positives_proved:.4f}",
            "-" if metrics.corruptions_proved is None else f"{metrics.corruptions_proved:.5f}",
            str(metrics.queries),
        )
    return table


if __name__ == "__main__":
    sys.exit(main())
