"""A report: the page with the answers of a server about some jobs, as a folder that opens from disk.

``data.js`` holds what the page would ask: answers as the API sends them, and, because they are most of it, rankings as
columns and comparisons without the list of changed rankings, of which only the depths are kept: the page makes the rest
of it from the columns, in the same order.
"""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from proofrank.core.errors import ProofrankError
from proofrank.core.formats.times import write_time
from proofrank.service import wire
from proofrank.service.client import (
    Client,
    ConflictError,
    InvalidRequestError,
    Job,
    JobResult,
    NotFoundError,
)
from proofrank.service.page.assets import all_assets, page_html

_DATA = "data.js"
_VARIABLE = "window.PROOFRANK_REPORT"
_JOBS_LISTED = ("jobs?limit=100", "jobs?limit=100&state=done")
_RUNS_LISTED = "runs?limit=1000"
_GRAPH = f"graph?limit={wire.MAX_RULES_LISTED}"
_CANDIDATES_EXPLAINED = 3
"""Number of candidates that scored higher, for each query with proofs."""

MOST_JOBS = 20
"""Largest number of jobs in a report: each is compared with each later one."""


@dataclass(frozen=True)
class WrittenReport:
    """What a report holds.

    Attributes:
        path: the page to open.
        rankings: number of rankings of all jobs.
        comparisons: number of comparisons.
        explained: number of rankings with proofs.
        unexplained: number of rankings without, because the server no longer has the policy, or now has lower limits.
        warnings: what the server warns of, each with the id of its job.
        bytes: size of all files.
    """

    path: Path
    rankings: int
    comparisons: int
    explained: int
    unexplained: int
    warnings: tuple[str, ...]
    bytes: int


class _Names:
    """Numbers for names, in the order in which they come."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def number(self, name: str) -> int:
        return self._numbers.setdefault(name, len(self._numbers))

    @property
    def names(self) -> list[str]:
        return list(self._numbers)


def write_report(
    client: Client,
    job_ids: Sequence[str],
    folder: Path,
    *,
    num_explained: int,
    on_progress: Callable[[str], None] = lambda _: None,
) -> WrittenReport:
    """Writes a report of jobs that are done.

    Args:
        client: of the server that has them.
        job_ids: of the jobs, 1 to ``MOST_JOBS``.
        folder: to write to; made if it is not there. An older report in it is replaced.
        num_explained: number of changed rankings of each comparison with the job before, the worst first, whose proofs
            are kept; and of the worst rankings of the last job.
        on_progress: called with what is being done.

    Raises:
        ProofrankError: a job is not done, the folder holds something else, or it cannot be written.
        ClientError: no answer, or an error; see :mod:`proofrank.service.client.errors`.
    """
    if len(set(job_ids)) > MOST_JOBS:
        raise ProofrankError(f"{len(set(job_ids))} jobs; a report holds up to {MOST_JOBS}")
    _check_folder(folder)
    jobs = sorted((_done(client, job_id) for job_id in dict.fromkeys(job_ids)), key=lambda job: job.created)
    data = _Collected(client, on_progress)
    data.add_answers(jobs)
    results = data.add_rankings(jobs)
    data.add_comparisons(jobs)
    data.add_reasons(jobs, results, num_explained)
    size = _write(folder, data.to_dict())
    return WrittenReport(
        path=folder / "index.html",
        rankings=sum(len(result.rankings) for result in results.values()),
        comparisons=len(data.comparisons),
        explained=len(data.reasons),
        unexplained=data.num_unexplained,
        warnings=tuple(
            f"job {job.id}: {job.scoring.warning}"
            for job in jobs
            if job.scoring is not None and job.scoring.warning is not None
        ),
        bytes=size,
    )


class _Collected:
    """What is collected for a report."""

    def __init__(self, client: Client, on_progress: Callable[[str], None]) -> None:
        self._client = client
        self._on_progress = on_progress
        self._answers: dict[str, Any] = {}
        self._rankings: dict[str, Any] = {}
        self._constants, self._relations = _Names(), _Names()
        self._changed: dict[tuple[str, str], Sequence[wire.ChangedRanking]] = {}
        self.comparisons: dict[str, Any] = {}
        self.reasons: dict[str, Any] = {}
        self.num_unexplained = 0

    def add_answers(self, jobs: Sequence[Job]) -> None:
        """Adds what is served, the jobs, their policies that are still stored, their groups and their runs."""
        client, answers = self._client, self._answers
        answers["info"] = _json(client.info())
        contents = {(job.policy.name, job.policy.sha256) for job in jobs}
        answers["policies"] = {
            "policies": [
                _json(policy) for policy in client.policies() if (policy.name, policy.sha256) in contents
            ]
        }
        answers[_GRAPH] = _json(client.graph(limit=wire.MAX_RULES_LISTED))
        listed = {"jobs": [_json(job) for job in reversed(jobs)]}
        answers.update(dict.fromkeys(_JOBS_LISTED, listed))
        for job in jobs:
            self._on_progress(f"groups of job {job.id}")
            answers[f"jobs/{job.id}"] = _json(job)
            answers[f"jobs/{job.id}/groups"] = _json(client.groups(job.id))
        names = dict.fromkeys(job.run for job in jobs if job.run is not None)
        answers[_RUNS_LISTED] = {"runs": [_json(run) for run in client.runs(1000) if run.name in names]}
        ids = {job.id for job in jobs}
        for name in names:
            self._on_progress(f"run {name}")
            run = _json(client.run(name, intervals=True))
            for step in run["steps"]:
                step["jobs"] = [job for job in step["jobs"] if job["id"] in ids]
            run["steps"] = [step for step in run["steps"] if step["jobs"]]
            path = f"runs/{quote(name, safe='')}"
            answers.update(dict.fromkeys((path, f"{path}?intervals=true"), run))

    def add_rankings(self, jobs: Sequence[Job]) -> dict[str, JobResult]:
        """Adds all rankings, and returns the results by the job's id."""
        results = {}
        for job in jobs:
            self._on_progress(f"rankings of job {job.id}")
            results[job.id] = result = self._client.wait(job.id, progress=False)
            self._rankings[job.id] = self._columns(result)
        return results

    def add_comparisons(self, jobs: Sequence[Job]) -> None:
        """Adds the comparison of each job with each later one that ranks the same queries in the same way."""
        for a, b in itertools.combinations(jobs, 2):
            if not _is_comparable(a, b):
                continue
            self._on_progress(f"comparison of job {b.id} with {a.id}")
            try:
                comparison = self._client.compare(a.id, b.id)
            except InvalidRequestError:
                # They rank queries of their own, and not the same ones.
                continue
            self._changed[a.id, b.id] = comparison.changed
            depths = [change.depth for change in comparison.changed]
            self.comparisons[f"{a.id} {b.id}"] = {
                **_json(comparison),
                "changed": None,
                "depths": depths if any(depth is not None for depth in depths) else None,
            }

    def add_reasons(self, jobs: Sequence[Job], results: dict[str, JobResult], number: int) -> None:
        """Adds the proofs of the rankings that changed most from one job to the next, and of the last job's worst."""
        for b in jobs:
            before = [a for a in jobs if (a.id, b.id) in self._changed]
            if before:
                a = before[-1]
                for changed in self._changed[a.id, b.id][:number]:
                    self._explain(a, changed)
                    self._explain(b, changed)
        last = jobs[-1]
        worst = sorted(results[last.id].rankings, key=lambda ranking: -ranking.rank)
        for ranking in worst[:number]:
            self._explain(last, ranking)

    def _explain(self, job: Job, of: wire.ChangedRanking | wire.JobRanking) -> None:
        key = json.dumps(
            [job.id, of.head, of.relation, of.tail, of.side], ensure_ascii=False, separators=(",", ":")
        )
        if key in self.reasons:
            return
        self._on_progress(f"proofs of {of.relation}({of.head}, {of.tail})")
        options = job.request
        if options.ranking_rules.is_deepprooflog:
            self.num_unexplained += 1
            return
        is_by_proofs = options.scoring_kind == "proof"
        try:
            why = self._client.why(
                (of.head, of.relation, of.tail),
                side=of.side,
                corruptions=options.corruptions,
                filtered=options.filtered,
                seed=options.seed,
                ties=options.ties,
                first=_CANDIDATES_EXPLAINED,
                policy=job.policy if is_by_proofs else None,
                job=None if is_by_proofs else job,  # whose scores then explain the rank
                beam=options.beam,
                beam_score=options.beam_score,
                protocol=options.protocol,
                candidates_from=options.candidates_from,
            )
        except (NotFoundError, ConflictError, InvalidRequestError):  # the last one by limits of now
            self.num_unexplained += 1
            return
        reasons = _json(why)
        for candidate in (reasons["positive"], *reasons["ahead"]):
            # The same as the steps, as text.
            del candidate["choices"]
        self.reasons[key] = reasons

    def _columns(self, result: JobResult) -> dict[str, Any]:
        rankings = result.rankings
        constants, relations = self._constants.number, self._relations.number
        return {
            "ties": result.job.request.ties,
            "query_index": [one.query_index for one in rankings],
            "head": [constants(one.head) for one in rankings],
            "relation": [relations(one.relation) for one in rankings],
            "tail": [constants(one.tail) for one in rankings],
            "is_head": [int(one.side == "head") for one in rankings],
            "optimistic": _whole(one.ranks.optimistic for one in rankings),
            "pessimistic": _whole(one.ranks.pessimistic for one in rankings),
            "random": _whole(one.ranks.random for one in rankings),
            # Null where it is the log-probability, as of every proof.
            "score": [None if one.score == one.log_probability else one.score for one in rankings],
            "log_probability": [one.log_probability for one in rankings],
            "proved": [int(one.proved) for one in rankings],
            "steps": [one.steps for one in rankings],
            "num_candidates": [one.num_candidates for one in rankings],
            "corruptions_proved": [one.corruptions_proved for one in rankings],
            "embedding_score": [one.embedding_score for one in rankings],
        }

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON."""
        return {
            "created": write_time(datetime.now(UTC)),
            "answers": self._answers,
            "constants": self._constants.names,
            "relations": self._relations.names,
            "rankings": self._rankings,
            "comparisons": self.comparisons,
            "reasons": self.reasons,
        }


def _done(client: Client, job_id: str) -> Job:
    job = client.job(job_id)
    if job.state != "done":
        raise ProofrankError(f"job {job_id} is {job.state}; a report is made of jobs that are done")
    if job.request.mrr_tolerance is not None:
        raise ProofrankError(
            f"job {job_id} has mrr_tolerance, so its ranks lie in intervals; a report is made of exact ranks"
        )
    return job


def _is_comparable(a: Job, b: Job) -> bool:
    """Whether both rank in the same way, and the same split if they rank one."""
    fields = (
        "split",
        "limit",
        "side",
        "corruptions",
        "filtered",
        "ties",
        "seed",
        "scoring_kind",
        "beam_width",
        "score_of_beam",
    )
    is_same = all(getattr(a.request, field) == getattr(b.request, field) for field in fields)
    return is_same and a.dataset.sha256 == b.dataset.sha256


def _whole(ranks: Iterable[float]) -> list[int | float]:
    """Ranks without a point where they are whole: both are the same number to a browser."""
    return [int(rank) if rank == int(rank) else rank for rank in ranks]


def _json(answer: Any) -> Any:
    return json.loads(wire.answer_to_json(answer))


def _check_folder(folder: Path) -> None:
    if folder.is_dir() and any(folder.iterdir()) and not (folder / _DATA).is_file():
        raise ProofrankError(
            f"--out {folder}: holds something else; expected a new folder or that of a report"
        )


def _write(folder: Path, data: dict[str, Any]) -> int:
    """Writes all files; returns their size in bytes."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(folder / "page", ignore_errors=True)
        for name, path in all_assets().items():
            target = folder / "page" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        (folder / _DATA).write_text(f"{_VARIABLE} = {text};\n", encoding="utf-8")
        (folder / "index.html").write_text(page_html(data=_DATA), encoding="utf-8")
        return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    except OSError as error:
        raise ProofrankError(f"--out {folder}: cannot be written: {error.strerror}") from error
