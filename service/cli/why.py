"""``proofrank why``: why a triple has its rank on one side: its proof, and what scores higher or as much, and how."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from rich.console import Console

from proofrank.core.choices import SIDES
from proofrank.core.evaluator import settings_for
from proofrank.in_process import scoring_of
from proofrank.rank_reasons import explain_rank
from proofrank.service.cli.files import check_writable, write_output
from proofrank.service.cli.options import (
    add_dataset_and_policy,
    add_engine,
    add_prover_settings,
    engine_options,
    prover_overrides,
    read_dataset,
    read_policy,
)
from proofrank.service.cli.ranking_options import (
    add_beam,
    add_draw,
    add_protocol,
    add_pruning,
    add_ties,
    beam_of,
    not_negative,
    positive,
    ranking_rules,
)
from proofrank.service.cli.scoring_options import add_scoring, check_scoring, given_weights
from proofrank.service.terminal.trees import fit_tree


def set_up(parser: argparse.ArgumentParser) -> None:
    """Gives the parser of the command its options."""
    parser.description = __doc__
    parser.add_argument(
        "triple", nargs=3, metavar=("HEAD", "RELATION", "TAIL"), help="the triple, by its names"
    )
    add_dataset_and_policy(parser)
    add_engine(parser, default="auto")
    group = parser.add_argument_group("ranking (the rank is that of evaluate with the same options)")
    group.add_argument(
        "--side", default="tail", choices=SIDES, help="which constant is replaced (default: tail)"
    )
    add_draw(group)
    add_ties(parser)
    add_protocol(parser, has_files=True)
    add_pruning(parser)
    add_beam(parser)
    add_scoring(parser)
    parser.add_argument(
        "--first",
        type=not_negative,
        default=5,
        metavar="N",
        help="how many of those that score higher or as much are shown (default: 5)",
    )
    parser.add_argument(
        "--alternatives",
        type=positive,
        default=5,
        metavar="N",
        help="how many actions of each step are shown, the one taken included (default: 5)",
    )
    parser.add_argument(
        "--also",
        action="append",
        default=[],
        metavar="NAME",
        help="a constant whose corruption is shown too, wherever it ranks; may be given several times",
    )
    parser.add_argument(
        "--candidate",
        action="append",
        metavar="NAME",
        dest="candidates",
        help="a constant to rank against, in place of drawn corruptions; may be given several times",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all of it to FILE")
    add_prover_settings(parser)


def run(parsed: argparse.Namespace) -> int:
    """Runs the command."""
    check_writable("--json", parsed.json)
    check_scoring(parsed)
    options = engine_options(parsed)
    options.check()
    dataset = read_dataset(parsed)
    policy = read_policy(parsed, dataset)
    head, relation, tail = parsed.triple
    settings = settings_for(policy, prover_overrides(parsed))
    beam = beam_of(parsed)
    scoring = scoring_of(
        *(parsed.scoring, parsed.embedding, given_weights(parsed), dataset, (), parsed.device, policy), beam
    )
    if scoring is not None and scoring.warning is not None:
        Console(stderr=True).print(
            f"warning: {scoring.warning}", markup=False, highlight=False, soft_wrap=True
        )
    found = explain_rank(
        lambda: options.make_evaluator(dataset, policy, settings),
        dataset,
        policy,
        settings,
        (head, relation, tail),
        side=parsed.side,
        rules=ranking_rules(parsed),
        candidates=parsed.candidates,
        negatives=parsed.negatives,
        first=parsed.first,
        alternatives=parsed.alternatives,
        also=parsed.also,
        seed=parsed.seed,
        pruning=parsed.pruning or "exact",
        beam=beam,
        cache_folder=parsed.cache_folder,
        scoring=scoring,
    )
    if parsed.json is not None:
        write_output("--json", parsed.json, json.dumps(found.to_dict(), indent=1) + "\n")
    Console().print(fit_tree(found.text, sys.stdout), markup=False, highlight=False, soft_wrap=True)
    return 0
