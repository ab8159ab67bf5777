"""From files of results, and from jobs, to rankings that can be compared."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from proofrank.core.comparison import Comparison, ComparisonError, Identity, Protocol, Rankings, ScoredBy
from proofrank.core.errors import shown
from proofrank.service import wire
from proofrank.service.storage.parquet import read_rows

EXPECTED = (
    "expected FILE.jsonl or FILE.parquet of 'proofrank evaluate --results', the JSON of 'evaluate --json --rankings', "
    "or the JSON of a job's results"
)

INTERVALS_MESSAGE = (
    "its ranks lie in intervals, and a comparison pairs exact ranks; "
    "submit the job without mrr_tolerance to compare it"
)


def to_comparison(comparison: Comparison) -> wire.Comparison:
    """Makes the form that goes over HTTP and into files."""
    return wire.answer_from_python(wire.Comparison, comparison.to_dict())


def job_rankings(results: wire.JobResults) -> Rankings:
    """The rankings of a job that a client has fetched."""
    rows = ({name: getattr(ranking, name) for name in _COLUMNS} for ranking in results.rankings)
    return rankings_of_job(results.job, rows)


_COLUMNS = ("head", "relation", "tail", "side", "rank", "num_candidates", "proved")


def rankings_of_job(job: wire.Job, rows: Iterable[Mapping[str, Any]]) -> Rankings:
    """The rankings of a job with these rows, as :meth:`Rankings.of_rows` takes them.

    Raises:
        ComparisonError: its ranks are not known exactly.
    """
    if job.request.mrr_tolerance is not None:
        raise ComparisonError(f"job {job.id}: {INTERVALS_MESSAGE}")
    return Rankings.of_rows(
        rows,
        label=f"job {job.id}",
        dataset=Identity(job.dataset.name, job.dataset.sha256),
        policy=Identity(job.policy.name, job.policy.sha256),
        protocol=protocol_of(job.request),
        # A server of before says nothing, and proves every candidate.
        pruning="none" if job.pruning is None else job.pruning.level,
        scored_by=None if job.scoring is None else ScoredBy.of(dataclasses.asdict(job.scoring)),
    )


def protocol_of(options: wire.JobOptions) -> Protocol:
    """How a job ranks."""
    return Protocol(
        split=options.split,
        limit=options.limit,
        side=options.side,
        corruptions=options.corruptions,
        filtered=options.filtered,
        ties=options.ties,
        seed=options.seed,
        scoring=options.scoring_kind,
        beam=options.beam_width,
        beam_score=options.score_of_beam,
        name=options.protocol,
        candidates_from=options.candidates_from or "domains",
    )


def read_rankings(path: Path) -> Rankings:
    """Reads the rankings of an evaluation that ``proofrank evaluate`` or a server has written.

    Args:
        path: path of ``FILE.jsonl`` or ``FILE.parquet`` with ``FILE.run.json`` beside it, or of JSON with rankings.

    Raises:
        ComparisonError: it is none of these, or is not whole; says what was expected.
        ParquetMissingError: pyarrow is not installed.
    """
    if not path.exists():
        raise ComparisonError(f"{path}: no such file; {EXPECTED}")
    with telling_of(path):
        if path.suffix in (".jsonl", ".parquet"):
            return _of_run(path)
        return _of_json(path, json.loads(path.read_bytes()))


def _of_run(path: Path) -> Rankings:
    """The rankings of ``evaluate --results``."""
    run_file = path.with_name(f"{path.name}.run.json")
    if not run_file.is_file():
        raise ComparisonError(
            f"{path}: {run_file.name}, which says how it ranks, is not beside it; {EXPECTED}"
        )
    run = json.loads(run_file.read_bytes())
    rows = rows_of_lines(path) if path.suffix == ".jsonl" else rows_of_parts(path)
    return Rankings.of_rows(
        rows,
        label=str(path),
        # The run has hashes alone.
        dataset=Identity(run["dataset"][:12], run["dataset"]),
        policy=Identity(run["policy"][:12], run["policy"]),
        protocol=Protocol(
            split=run["split"],
            limit=run["queries"],
            side=run["side"],
            corruptions=run["corruptions"],
            filtered=not run["unfiltered"],
            ties=run["ties"],
            seed=run["seed"],
            beam=run.get("beam", 1),
            beam_score=run.get("beam_score", "max"),
            scoring=run.get("scoring", "proof"),
            name=run.get("protocol"),
            candidates_from=run.get("candidates_from", "domains"),
            negatives=run.get("negatives"),
        ),
        # The other levels, which give the same rows, are not told apart.
        pruning=run.get("pruning", "exact"),
        scored_by=_scored_by_of_run(run),
    )


def _scored_by_of_run(run: Mapping[str, Any]) -> ScoredBy | None:
    """What the file of a run says of its scores: of the embedding the hash alone."""
    if "embedding" not in run:
        return None
    embedding = {"name": run["embedding"][:12], "sha256": run["embedding"]}
    return ScoredBy.of({"kind": run["scoring"], "embedding": embedding, "weights": run.get("hybrid")})


def rows_of_lines(path: Path) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        try:
            yield json.loads(line)
        except ValueError as error:
            text = shown(line.decode(errors="replace"))
            raise ComparisonError(
                f"{path}, line {number}: {text} is not a row of results; is the evaluation still running?"
            ) from error


def rows_of_parts(path: Path) -> list[dict[str, Any]]:
    if not path.is_dir():
        raise ComparisonError(f"{path}: a single file, which does not say how it ranks; {EXPECTED}")
    return [row for part in sorted(path.glob("queries-*.parquet")) for row in read_rows(part)]


def _of_json(path: Path, content: Any) -> Rankings:
    if not isinstance(content, dict) or not {"results", "job"} & content.keys():
        has_metrics = isinstance(content, dict) and "mrr" in content
        reason = "metrics without rankings, which have no intervals" if has_metrics else "no rankings"
        raise ComparisonError(f"{path}: holds {reason}; {EXPECTED}")
    if "job" in content:
        job = wire.read_answer(wire.Job, json.dumps(content["job"]))
        if job.state != "done":
            raise ComparisonError(f"{path}: job {job.id} is {job.state}; expected one that is done")
        return rankings_of_job(job, content["rankings"])
    return Rankings.of_rows(
        content["results"],
        label=str(path),
        dataset=Identity(**content["dataset"]),
        policy=Identity(**content["policy"]),
        protocol=Protocol(**content["protocol"]),
        pruning=content["pruning"]["level"],
        scored_by=ScoredBy.of(content.get("scoring")),
    )


@contextmanager
def telling_of(path: Path) -> Iterator[None]:
    """Turns what is wrong with a file into a ComparisonError."""
    try:
        yield
    except KeyError as error:
        raise ComparisonError(f"{path}: lacks {error}; {EXPECTED}") from error
    except OSError as error:
        raise ComparisonError(f"{path}: cannot be read: {error.strerror or error}") from error
    except ValidationError as error:
        wrong = wire.first_error_of_answer(error)
        raise ComparisonError(f"{path}: its job is not as expected: {wrong}") from error
    except (ValueError, TypeError) as error:
        raise ComparisonError(f"{path}: not as written: {error}; {EXPECTED}") from error
