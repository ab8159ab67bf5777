"""Switches on one defect after the other and prints the cost of each in MRR.

The tables of ``docs/research/lost-mrr.md`` come from it:

    python -m benchmarks.lost_mrr.experiment --recording ../shared/truth/family-seed0
    python -m benchmarks.lost_mrr.experiment --dataset ../shared/data/family --policy runs/family --queries 60

In: a recording with its policy and candidates, or a graph and a policy with a seeded sample of queries. Out: a Markdown
table on standard output. Ranks are realistic, unless the defect is in the ranking of ties.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from benchmarks.lost_mrr.defects import DEFECTS, NONE, Defect
from proofrank.core.evaluator import settings_for
from proofrank.core.evaluator.recordings import read_recording
from proofrank.core.graph import SPLITS, Dataset, Triple, load_dataset
from proofrank.core.policy import Policy, load_policy
from proofrank.core.prover import Candidate, Outcome, ProverSettings
from proofrank.core.ranking import Corruptor, Query, corrupted_queries, replaced_constant, sides_of


@dataclass(frozen=True)
class Task:
    """Queries to rank with one policy on one graph."""

    dataset: Dataset
    policy: Policy
    settings: ProverSettings
    queries: tuple[Query, ...]

    @property
    def candidates(self) -> list[Candidate]:
        """All candidates, in the order of the queries."""
        return [candidate for query in self.queries for candidate in query.candidates]

    def by_query(self, outcomes: Sequence[Outcome]) -> list[list[Outcome]]:
        """Splits the outcomes of all candidates into a list for each query."""
        remaining = iter(outcomes)
        return [list(islice(remaining, query.num_candidates)) for query in self.queries]


@dataclass(frozen=True)
class Cost:
    """The effect of one defect.

    Attributes:
        defect: the defect.
        mrr: MRR with it.
        lost: MRR without it, less ``mrr``.
        trajectories: candidates with another trajectory or log-probability.
        successes: candidates with another success.
        positives_proved: share of the positives that are proved.
        corruptions_proved: share of the corruptions that are proved.
    """

    defect: Defect
    mrr: float
    lost: float
    trajectories: int
    successes: int
    positives_proved: float
    corruptions_proved: float


def task_of_recording(folder: Path, data: Path | None = None) -> Task:
    """Returns the policy and the candidates of a recording; its graph is in ``data``, or beside it."""
    recording = read_recording(folder)
    dataset = load_dataset((data or folder.resolve().parents[1] / "data") / recording.dataset)

    def triple(names: tuple[str, str, str]) -> Triple:
        return dataset.triple(names[1], names[0], names[2])

    queries = []
    for index, query in enumerate(recording.queries):
        (side,) = sides_of(query.side)
        corruptions = [triple(candidate.names) for candidate in query.candidates[1:]]
        constants = np.array([replaced_constant(other, side) for other in corruptions], dtype=np.int64)
        queries.append(Query(index, triple(query.names), side, constants))
    return Task(dataset, load_policy(folder, dataset), recording.settings, tuple(queries))


def task_of_policy(
    folder: Path, policy_folder: Path, *, split: str, num_queries: int, corruptions: int, side: str, seed: int
) -> Task:
    """Makes a seeded sample of a split, each query against sampled corruptions."""
    dataset = load_dataset(folder)
    policy = load_policy(policy_folder, dataset)
    triples = list(dataset.splits[split])
    if num_queries < len(triples):
        triples = random.Random(seed).sample(triples, num_queries)
    corruptor = Corruptor(dataset, number=corruptions, seed=seed)
    queries = corrupted_queries(triples, sides_of(side), corruptor)
    return Task(dataset, policy, settings_for(policy), tuple(queries))


def costs(task: Task, defects: Iterable[Defect]) -> Iterable[Cost]:
    """Yields the cost of each defect, after the evaluator without one."""
    candidates = task.candidates
    right = NONE.evaluate(task.dataset, task.policy, task.settings, candidates)
    right_mrr = NONE.mrr(task.queries, task.by_query(right), task.settings)
    for defect in (NONE, *defects):
        outcomes = right
        if defect.is_in_evaluator and defect is not NONE:
            outcomes = defect.evaluate(task.dataset, task.policy, task.settings, candidates)
        mrr = defect.mrr(task.queries, task.by_query(outcomes), task.settings)
        pairs = list(zip(right, outcomes, strict=True))
        proved = {
            is_positive: [
                outcome.success
                for candidate, outcome in zip(candidates, outcomes, strict=True)
                if candidate.is_positive is is_positive
            ]
            for is_positive in (True, False)
        }
        yield Cost(
            defect=defect,
            mrr=mrr,
            lost=right_mrr - mrr,
            trajectories=sum(is_other(ours, theirs) for ours, theirs in pairs),
            successes=sum(ours.success != theirs.success for ours, theirs in pairs),
            positives_proved=_share(proved[True]),
            corruptions_proved=_share(proved[False]),
        )


def is_other(ours: Outcome, theirs: Outcome) -> bool:
    """Returns whether two outcomes of one candidate differ by more than rounding."""
    tolerance = 1e-4 + 1e-6 * max(ours.largest_logit, theirs.largest_logit)
    return (ours.success, ours.actions) != (theirs.success, theirs.actions) or abs(
        ours.log_probability - theirs.log_probability
    ) > tolerance


def _share(flags: Sequence[bool]) -> float:
    return sum(flags) / len(flags) if flags else 0.0


def _row(cost: Cost) -> str:
    in_evaluator = cost.defect.is_in_evaluator
    changed = f"{cost.trajectories} | {cost.successes}" if in_evaluator else "– | –"
    proved = f"{cost.positives_proved:.2f} | {cost.corruptions_proved:.3f}" if in_evaluator else "– | –"
    change = round(-cost.lost, 3)
    shown = f"{change:+.3f}" if change else "0"
    return f"| `{cost.defect.name}`: {cost.defect.what} | {cost.mrr:.3f} | {shown} | {changed} | {proved} |"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.lost_mrr.experiment", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--recording", type=Path, help="a recorded evaluation: its policy and its candidates")
    parser.add_argument("--dataset", type=Path, help="folder of a graph, with --policy")
    parser.add_argument("--policy", type=Path, help="folder of a checkpoint")
    parser.add_argument("--split", choices=SPLITS, default="test")
    parser.add_argument("--queries", type=int, default=60, help="a seeded sample of the split")
    parser.add_argument("--corruptions", type=int, default=50, help="corruptions of each query on each side")
    parser.add_argument("--sides", choices=("head", "tail", "both"), default="both")
    parser.add_argument("--seed", type=int, default=0, help="seed of the sample and the corruptions")
    parser.add_argument("--only", nargs="*", choices=DEFECTS, metavar="NAME", help="only these defects")
    parsed = parser.parse_args(arguments)
    torch.set_num_threads(1)
    if parsed.recording is not None:
        task = task_of_recording(parsed.recording)
    elif parsed.dataset is not None and parsed.policy is not None:
        task = task_of_policy(
            parsed.dataset,
            parsed.policy,
            split=parsed.split,
            num_queries=parsed.queries,
            corruptions=parsed.corruptions,
            side=parsed.sides,
            seed=parsed.seed,
        )
    else:
        parser.error("give --recording, or --dataset and --policy")
    print(f"{len(task.queries)} rankings, {len(task.candidates)} candidates\n")
    print(
        "| defect | MRR | change | other outcomes | other successes | positives proved | corruptions proved |"
    )
    print("|---|---|---|---|---|---|---|")
    start, group = time.perf_counter(), ""
    for cost in costs(task, [DEFECTS[name] for name in parsed.only or DEFECTS]):
        if cost.defect.group != group:
            group = cost.defect.group
            print(f"| **{group}** | | | | | | |")
        print(_row(cost), flush=True)
        print(f"{time.perf_counter() - start:6.1f} s  {cost.defect.name}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
