"""``proofrank rank``: have a running server rank a triple, a file of triples or a split."""

from __future__ import annotations

import argparse
import contextlib
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from proofrank.core.choices import HITS_AT, SPLITS, untrained_name, untrained_seed
from proofrank.core.errors import ProofrankError, did_you_mean
from proofrank.core.formats.triples import TripleFile, read_triples
from proofrank.core.formats.warnings import MOST_PLACES
from proofrank.core.protocol_rules import CANDIDATE_SOURCES, WITHOUT_PROTOCOL
from proofrank.service import client
from proofrank.service.cli.files import check_writable, write_output
from proofrank.service.cli.ranking_options import (
    add_beam,
    add_hits_at,
    add_protocol,
    add_pruning,
    add_ranking,
    add_ties,
    add_tolerance,
    check_triples,
    positive,
    settle_protocol,
)
from proofrank.service.cli.scoring_options import add_scoring, check_weights, given_weights, scoring_words
from proofrank.service.cli.server_options import add_server, make_client
from proofrank.service.cli.tables import (
    print_intervals,
    print_metrics,
    print_rank_intervals,
    pruning_line,
)
from proofrank.service.client import Client
from proofrank.service.client.requests import CandidatesFrom
from proofrank.service.terminal.trees import fit_tree
from proofrank.service.wire import Scoring, ScoringKind, answer_to_json

_QUERY = re.compile(r"queries\[(?P<index>\d+)\]\.")


def set_up(parser: argparse.ArgumentParser) -> None:
    """Gives the parser of the command its options."""
    parser.description = f"{__doc__} Files and splits are ranked as jobs, which Ctrl-C cancels."
    parser.add_argument("triple", nargs="*", metavar="HEAD RELATION TAIL", help="a triple to rank")
    parser.add_argument("--split", choices=SPLITS, help="rank the triples of a split of the server's dataset")
    parser.add_argument("--file", type=Path, metavar="FILE", help="rank the triples of FILE")
    add_server(parser)
    add_ranking(parser, default_number=None)
    add_ties(parser)
    add_hits_at(parser)
    add_protocol(parser, has_files=False)
    add_pruning(parser, default="exact; ranks with --mrr-tolerance")
    add_tolerance(parser)
    add_beam(parser)
    add_scoring(parser, has_embedding=False)
    parser.add_argument("--policy", metavar="NAME", help="for files and splits: a policy of the server")
    parser.add_argument("--proof", action="store_true", help="for a triple: print its proof")
    parser.add_argument(
        "--deadline-ms", type=positive, metavar="N", help="for a triple: the server gives up after N ms"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the server's answer to FILE")


def run(parsed: argparse.Namespace) -> int:
    """Runs the command."""
    _check(parsed)
    check_weights(parsed)
    settle_protocol(parsed)
    check_writable("--json", parsed.json)
    with make_client(parsed) as speaker:
        answer = _rank_triple(speaker, parsed) if parsed.triple else _run_job(speaker, parsed)
    if parsed.json is not None:
        write_output("--json", parsed.json, answer_to_json(answer, indent=1).decode() + "\n")
    return 0


def _check(parsed: argparse.Namespace) -> None:
    """Refuses options that do not go together."""
    check_triples(parsed)
    only_for = {
        "--policy": (
            parsed.policy is not None,
            bool(parsed.triple),
            "a triple is ranked by the active policy",
        ),
        "--queries": (parsed.queries is not None, parsed.split is None, "it is for --split"),
        "--proof": (parsed.proof, not parsed.triple, "it is for a single triple"),
        "--proof with --mrr-tolerance": (
            parsed.proof,
            parsed.mrr_tolerance is not None,
            "a proof comes with exact ranks",
        ),
        "--proof with --scoring embedding": (
            parsed.proof,
            parsed.scoring == "embedding",
            "an embedding alone proves nothing",
        ),
        "--deadline-ms": (parsed.deadline_ms is not None, not parsed.triple, "it is for a single triple"),
    }
    for flag, (is_given, is_out_of_place, reason) in only_for.items():
        if is_given and is_out_of_place:
            raise ProofrankError(f"{flag} cannot be given here: {reason}")


def _rank_triple(
    speaker: Client, parsed: argparse.Namespace
) -> client.RankResult | client.IntervalRankResult:
    head, relation, tail = parsed.triple
    result = speaker.rank(
        [(head, relation, tail)],
        side=parsed.side,
        corruptions="all" if parsed.corruptions is None else parsed.corruptions,
        filtered=not parsed.unfiltered,
        seed=parsed.seed,
        ties=parsed.ties,
        pruning=parsed.pruning,
        # An older server knows no beams.
        beam=parsed.beam if parsed.beam > 1 else None,
        beam_score=parsed.beam_score if parsed.beam > 1 else None,
        mrr_tolerance=parsed.mrr_tolerance,
        return_proof=parsed.proof,
        deadline_ms=parsed.deadline_ms,
        hits_at=_hits_at(parsed),
        protocol=parsed.protocol,
        candidates_from=_candidates_from(parsed),
        scoring=_scoring(parsed),
        hybrid=_weights(parsed),
    )
    title = f"{relation}({head}, {tail}): {_names(result.dataset, result.policy)}, engine {result.engine}"
    _say(None if result.scoring is None else result.scoring.warning)
    if isinstance(result, client.IntervalRankResult):
        print_rank_intervals(result.queries[0].rankings, title + _scores(result.scoring))
        _say_pruning(result.pruning, result.metrics.open)
        return result
    title += _scores(result.scoring)
    rankings = result.queries[0].rankings
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for column in ("side", "rank", "candidates", "score", "proved", "steps"):
        table.add_column(column, justify="left" if column == "side" else "right")
    for ranking in rankings:
        table.add_row(
            ranking.side,
            f"{ranking.rank:g}",
            str(ranking.num_candidates),
            f"{ranking.score:.4f}",
            "yes" if ranking.proved else "no",
            str(ranking.steps),
        )
    console = Console(highlight=False, markup=False, soft_wrap=True)
    console.print(table)
    _say_pruning(result.pruning)
    # Both sides have the same positive, and so the same proof.
    proofs = [
        proof
        for ranking in rankings
        for proof in (ranking.proofs or (ranking.proof,))  # all of a beam, or the one trajectory
        if proof is not None
    ]
    for text in dict.fromkeys(proof.text for proof in proofs):
        console.print(fit_tree(text, sys.stdout))
    return result


def _scores(scoring: Scoring | None) -> str:
    """What the scores are, in words; nothing for those of proofs, as an older server's are."""
    if scoring is None or scoring.embedding is None:
        return ""
    return scoring_words(scoring.kind, scoring.embedding.name, scoring.weights_from)


def _say(warning: str | None) -> None:
    """Says a warning on standard error."""
    if warning is not None:
        Console(stderr=True, highlight=False, markup=False, soft_wrap=True).print(f"warning: {warning}")


def _say_pruning(pruning: client.Pruning | None, num_open: int | None = None) -> None:
    """Says on standard error how many candidates took which way, where anything might be left out, and are open; or why
    the level that was asked for has no use.
    """
    console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    if pruning is not None and pruning.note is not None:
        console.print(pruning.note)
    if pruning is not None and pruning.level != "none":
        line = pruning_line(pruning.evaluated, pruning.unprovable, pruning.fallen_behind)
        if num_open is not None:
            line += f"; {num_open} are open"
        console.print(line)


def _run_job(speaker: Client, parsed: argparse.Namespace) -> client.JobResult:
    triples, lines = parsed.split, ()
    if parsed.file is not None:
        file = _read_file(parsed.file)
        triples, lines = [(atom.first, atom.predicate, atom.second) for atom in file.triples], file.lines
    try:
        job = speaker.submit(
            triples,
            side=parsed.side,
            corruptions="all" if parsed.corruptions is None else parsed.corruptions,
            filtered=not parsed.unfiltered,
            seed=parsed.seed,
            ties=parsed.ties,
            pruning=parsed.pruning,
            # An older server knows no beams.
            beam=parsed.beam if parsed.beam > 1 else None,
            beam_score=parsed.beam_score if parsed.beam > 1 else None,
            mrr_tolerance=parsed.mrr_tolerance,
            policy=_name_of(parsed.policy),
            limit=parsed.queries,
            hits_at=_hits_at(parsed),
            protocol=parsed.protocol,
            candidates_from=_candidates_from(parsed),
            scoring=_scoring(parsed),
            hybrid=_weights(parsed),
        )
    except client.InvalidRequestError as error:
        if untrained_seed(parsed.policy or "") is not None and "policy" in {
            wrong.field for wrong in error.errors
        }:
            raise ProofrankError(
                f"--policy {parsed.policy}: {error}; a server has it that was started with --policy {parsed.policy}"
            ) from error
        raise _with_lines(error, parsed.file, lines) from error
    try:
        result = speaker.wait(job.id)
    except KeyboardInterrupt:
        # Somebody may have removed it: then there is nothing left to cancel.
        with contextlib.suppress(client.NotFoundError):
            speaker.cancel_job(job.id)
        raise
    what = parsed.split if parsed.file is None else parsed.file.name
    title = f"{what}: {_names(job.dataset, job.policy)}, job {job.id}{_scores(result.job.scoring)}"
    _say(None if result.job.scoring is None else result.job.scoring.warning)
    if isinstance(result, client.IntervalJobResult):
        _say_pruning(result.job.pruning, result.intervals.open)
        print_intervals(result.intervals, f"{title}, MRR to {parsed.mrr_tolerance:g} up and down")
    else:
        _say_pruning(result.job.pruning)
        print_metrics(result.metrics, title)
    return result


def _read_file(path: Path) -> TripleFile:
    """The triples of a file; says on standard error what is probably wrong in it, such as duplicates dropped."""
    file = read_triples(path)
    if not file.triples:
        raise ProofrankError(f"--file {path}: no triples in it")
    errors = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    for warning in file.warnings:
        errors.print(f"warning: {warning}")
    return file


def _name_of(policy: str | None) -> str | None:
    """The name of a policy on the server; that of ``untrained:SEED`` has another form."""
    seed = untrained_seed(policy) if policy is not None else None
    return policy if seed is None else untrained_name(seed)


def _with_lines(error: client.InvalidRequestError, path: Path | None, lines: Sequence[int]) -> ProofrankError:
    """The error with the lines of the file in place of the places in the request, the first ``MOST_PLACES``."""
    shown: list[str] = []
    for wrong in error.errors:
        place = _QUERY.match(wrong.field)
        if path is None or place is None or int(place["index"]) >= len(lines):
            return error
        near = did_you_mean(list(wrong.nearest))
        shown.append(f"{path}:{lines[int(place['index'])]}: {wrong.value!r}: {wrong.message}{near}")
    if not shown:
        return error
    _, _, summary = error.detail.rpartition("; ")
    if len(shown) > MOST_PLACES and "names are unknown" in summary:
        shown = [*shown[:MOST_PLACES], summary]
    return ProofrankError("\n".join(shown))


def _hits_at(parsed: argparse.Namespace) -> tuple[int, ...] | None:
    """The k to ask for; None for those that every server answers."""
    return None if parsed.hits_at == HITS_AT else parsed.hits_at


def _candidates_from(parsed: argparse.Namespace) -> CandidatesFrom | None:
    """Where candidates come from; None for the domains, as every server has them."""
    for source in CANDIDATE_SOURCES[1:]:
        if parsed.candidates_from == source:
            return source
    if parsed.candidates_from != WITHOUT_PROTOCOL.candidates_from:
        raise ProofrankError(
            f"--candidates-from {parsed.candidates_from}: a server takes {', '.join(CANDIDATE_SOURCES)}; files are for "
            "proofrank evaluate"
        )
    return None


def _scoring(parsed: argparse.Namespace) -> ScoringKind | None:
    """What a score is to be; None for scores of proofs, as every server has them."""
    return None if parsed.scoring == "proof" else parsed.scoring


def _weights(parsed: argparse.Namespace) -> dict[str, Any] | None:
    """The weights to send; None for those that the server has."""
    hybrid = given_weights(parsed)
    if hybrid is not None:  # the server does not learn what they were fitted to
        _say(hybrid.warning_for(parsed.beam, parsed.beam_score))
    return None if hybrid is None else hybrid.to_dict()


def _names(dataset: client.Identity, policy: client.Identity) -> str:
    return f"dataset {dataset.name}, policy {policy.name} ({policy.sha256[:12]})"
