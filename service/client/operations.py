"""What a client can do, each operation once: generators of requests and pauses (see ``send_with_retries``)."""

from __future__ import annotations

import dataclasses
import json
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any, Literal

import httpx

from proofrank.core.hybrid import HYBRID_FILE
from proofrank.service.client.connection import Connection
from proofrank.service.client.errors import ClientError, JobError, NotReadyError
from proofrank.service.client.progress import job_bar
from proofrank.service.client.requests import (
    Call,
    CandidatesFrom,
    QueryLike,
    json_call,
    make_request,
    named_triple,
    path_of,
    weights_fields,
)
from proofrank.service.client.results import (
    IntervalJobResult,
    IntervalRankResult,
    JobResult,
    RankResult,
)
from proofrank.service.client.send_with_retries import Pause, Steps, exchange, failure_of, parsed
from proofrank.service.wire import (
    BeamScore,
    Comparison,
    GraphSummary,
    Identity,
    Info,
    Job,
    JobList,
    JobRequest,
    JobResults,
    JobState,
    PolicyList,
    PruningLevel,
    RankExplanation,
    RankingGroups,
    RankRequest,
    Readiness,
    Run,
    RunList,
    RunSummary,
    SampleRequest,
    SampleResponse,
    ScoringKind,
    SideOption,
    StoredPolicy,
    Ties,
    WhyRequest,
)

POLICY_FILES = {
    "weights": ("policy.safetensors", "model.safetensors"),
    "config": ("policy.json", "config.json"),
    "vocabulary": ("vocab.json",),
}
"""Field of an upload -> names of its file, of which the first comes first."""

HYBRID_PART = "hybrid"
"""Field of the weights of hybrid scores, which a policy's folder may have."""

RESULT_FILES = {".json": "results", ".csv": "results.csv", ".parquet": "results.parquet"}
"""The routes of a job's results, by the suffix of a file."""

PolicyLike = str | StoredPolicy | Identity
"""A policy by its name, or by name and content."""

JobLike = str | Job | JobResults
"""A job by its id, as it was, or with its results."""

_FIRST_POLL, _LONGEST_POLL = 0.1, 2.0
"""Seconds between questions to the server while one waits for it."""


def rank(
    connection: Connection,
    queries: Sequence[QueryLike],
    *,
    side: SideOption = "both",
    corruptions: int | Literal["all"] = 50,
    filtered: bool = True,
    seed: int = 0,
    ties: Ties = "realistic",
    pruning: PruningLevel | None = None,
    beam: int | None = None,
    beam_score: BeamScore | None = None,
    mrr_tolerance: float | None = None,
    return_candidates: bool = False,
    return_proof: bool = False,
    deadline_ms: int | None = None,
    hits_at: Sequence[int] | None = None,
    scoring: ScoringKind | None = None,
    hybrid: Mapping[str, Any] | None = None,
    protocol: str | None = None,
    candidates_from: CandidatesFrom | None = None,
) -> Steps[RankResult | IntervalRankResult]:
    """Ranks triples against corrupted copies of themselves.

    Args:
        queries: the triples: (head, relation, tail), or a :class:`Query` for one with a side or candidates of its own.
        side: which constant is replaced, for queries that do not say.
        corruptions: how many per query and side, or ``"all"``.
        filtered: leave out corruptions that are known triples.
        seed: of the draw of corruptions and of random ties.
        ties: which rank counts where scores are equal.
        pruning: what may be left out, all ranks being the same: ``none``; ``exact``, which keeps every metric; or
            ``ranks``, which leaves open how many corruptions were proved. By default ``exact``, and ``none`` with
            ``return_candidates``.
        beam: maximum number of trajectories of a candidate; 1, the greedy one, by default.
        beam_score: how several proofs make a score: ``max``, the default, ``logsumexp`` or ``noisy-or``.
        mrr_tolerance: rank only until the MRR is certain to this, up and down; the answer then has intervals of metrics
            and ranks. ``pruning`` is ``ranks`` by default then, and there are neither scores nor proofs.
        return_candidates: with every candidate's score.
        return_proof: with the positives' proofs; with a beam, with all of them.
        deadline_ms: milliseconds after which the server gives up; with each attempt anew.
        hits_at: the k of Hits@k, 1 to 20 of them; 1, 3 and 10 by default.
        scoring: what a candidate's score is: ``proof``, which is the default; ``embedding``, the score by the server's
            embedding; or ``hybrid``, of both.
        hybrid: weights of hybrid scores by name (``weight``, ``bonus``, ``penalty``), and perhaps ``by_relation``, such
            weights by the names of relations; those stored with the policy, or else the server's, by default.
        protocol: name of a protocol, which settles corruptions, filtered, ties and candidates (``docs/protocols.md``).
        candidates_from: where candidates come from: ``domains`` by default, ``entities`` or ``relations``.

    Raises:
        ClientError: no answer, or an error; see :mod:`proofrank.service.client.errors`.
    """
    request = make_request(
        RankRequest,
        queries,
        side=side,
        corruptions=corruptions,
        filtered=filtered,
        seed=seed,
        ties=ties,
        pruning=pruning,
        beam=beam,
        beam_score=beam_score,
        mrr_tolerance=mrr_tolerance,
        return_candidates=return_candidates,
        return_proof=return_proof,
        deadline_ms=deadline_ms,
        scoring=scoring,
        hybrid=weights_fields(hybrid),
        hits_at=None if hits_at is None else list(hits_at),
        protocol=protocol,
        candidates_from=candidates_from,
    )
    answer = yield from exchange(connection, json_call("/rank", request))
    return parsed(answer, RankResult if mrr_tolerance is None else IntervalRankResult)


def why(
    connection: Connection,
    triple: tuple[str, str, str],
    *,
    side: Literal["head", "tail"] = "tail",
    corruptions: int | Literal["all"] = 50,
    filtered: bool = True,
    seed: int = 0,
    ties: Ties = "realistic",
    pruning: PruningLevel | None = None,
    first: int = 5,
    alternatives: int = 5,
    also: Sequence[str] = (),
    candidates: Sequence[str] | None = None,
    policy: PolicyLike | None = None,
    job: JobLike | None = None,
    deadline_ms: int | None = None,
    beam: int | None = None,
    beam_score: BeamScore | None = None,
    protocol: str | None = None,
    candidates_from: CandidatesFrom | None = None,
    scoring: ScoringKind | None = None,
    hybrid: Mapping[str, Any] | None = None,
) -> Steps[RankExplanation]:
    """Says why a triple has its rank: its proof, and those of the corruptions that score higher or as much.

    Args:
        triple: its names (head, relation, tail).
        side: which constant is replaced.
        corruptions: how many, or ``"all"``.
        filtered: leave out corruptions that are known triples.
        seed: of the draw of corruptions and of random ties.
        ties: which rank counts where scores are equal.
        pruning: what may be left out, as for ``rank``; the answer is the same with each.
        first: how many of those that score higher or as much are explained, at most 50.
        alternatives: how many actions of each step are shown at most, up to 50.
        also: constants whose corruptions are explained besides, wherever they rank, at most 50.
        candidates: constants to put in the place of the side's constant, instead of drawn corruptions.
        policy: which policy of the server ranks, as for ``submit``; the active one if None.
        job: in place of ``policy``: a job whose policy ranks, as long as the server holds its content under any name,
            and by whose scores, unless ``scoring`` says otherwise.
        deadline_ms: milliseconds after which the server gives up; with each attempt anew.
        beam: maximum number of trajectories of a candidate, whose proofs are all shown; 1 by default.
        beam_score: how several proofs make a score, as for ``rank``.
        protocol: name of a protocol, as for ``rank``; but not ``deepprooflog``.
        candidates_from: where candidates come from, as for ``rank``.
        scoring: what a candidate's score is, as for ``rank``; by default that of the job, or ``proof`` without one.
        hybrid: weights of ``hybrid`` scores, as for ``rank``; by default those of the job, if it has any.

    Raises:
        ConflictError: the content of the policy is no longer stored, or the name has other content; or the server has
            another embedding than the job was ranked with.
        ClientError: no answer, or an error; see :mod:`proofrank.service.client.errors`.
    """
    head, relation, tail = triple
    request = make_request(
        WhyRequest,
        None,
        head=head,
        relation=relation,
        tail=tail,
        side=side,
        corruptions=corruptions,
        filtered=filtered,
        seed=seed,
        ties=ties,
        pruning=pruning,
        first=first,
        alternatives=alternatives,
        also=list(also),
        candidates=None if candidates is None else list(candidates),
        policy=_name_of(policy),
        policy_sha256=_sha256_of(policy),
        job=None if job is None else _id_of(job),
        deadline_ms=deadline_ms,
        beam=beam,
        beam_score=beam_score,
        protocol=protocol,
        candidates_from=candidates_from,
        scoring=scoring,
        hybrid=weights_fields(hybrid),
    )
    return parsed((yield from exchange(connection, json_call("/why", request))), RankExplanation)


def sample(
    connection: Connection,
    triples: Sequence[tuple[str, str, str]],
    *,
    samples: int = 100,
    seed: int = 0,
    confidence: float = 0.95,
    deadline_ms: int | None = None,
) -> Steps[SampleResponse]:
    """Draws trajectories of triples, and says how many of them are proofs; the numbers of ``proofrank.sample``.

    Args:
        triples: names (head, relation, tail).
        samples: number of trajectories of each.
        seed: of all draws.
        confidence: share of such intervals that hold the probability of a proof.
        deadline_ms: milliseconds after which the server gives up; with each attempt anew.

    Raises:
        ClientError: no answer, or an error; see :mod:`proofrank.service.client.errors`.
    """
    request = make_request(
        SampleRequest,
        None,
        triples=[named_triple(triple, index) for index, triple in enumerate(triples)],
        samples=samples,
        seed=seed,
        confidence=confidence,
        deadline_ms=deadline_ms,
    )
    return parsed((yield from exchange(connection, json_call("/sample", request))), SampleResponse)


def submit(
    connection: Connection,
    triples: str | Sequence[QueryLike],
    *,
    side: SideOption = "both",
    corruptions: int | Literal["all"] = 50,
    filtered: bool = True,
    seed: int = 0,
    ties: Ties = "realistic",
    pruning: PruningLevel | None = None,
    beam: int | None = None,
    beam_score: BeamScore | None = None,
    mrr_tolerance: float | None = None,
    policy: PolicyLike | None = None,
    limit: int | None = None,
    idempotency_key: str | None = None,
    hits_at: Sequence[int] | None = None,
    protocol: str | None = None,
    candidates_from: CandidatesFrom | None = None,
    scoring: ScoringKind | None = None,
    hybrid: Mapping[str, Any] | None = None,
) -> Steps[Job]:
    """Starts a job that ranks many triples, and returns at once.

    Args:
        triples: the split whose triples to rank: ``"test"``, ``"valid"`` or ``"train"``; or triples, as for ``rank``.
        side: which constant is replaced, for queries that do not say.
        corruptions: how many per query and side, or ``"all"``.
        filtered: leave out corruptions that are known triples.
        seed: of every draw.
        ties: which rank counts where scores are equal.
        pruning: what may be left out, as for ``rank``; ``exact`` by default, and ``ranks`` with ``mrr_tolerance``.
        beam: as for ``rank``.
        beam_score: as for ``rank``.
        mrr_tolerance: rank only until the MRR is certain to this, up and down; the job then has intervals.
        policy: which policy of the server ranks: what ``upload_policy`` returned, for exactly this content; or a name,
            for the content that it has when the job is submitted; the active one if None, also if another client
            activated it.
        limit: rank only so many of the split's triples, drawn with ``seed``.
        idempotency_key: the same key gives the same job; one of its own if None. A program that may be started again
            and should then find its job gives one.
        hits_at: the k of Hits@k, 1 to 20 of them; 1, 3 and 10 by default.
        protocol: name of a protocol, which settles corruptions, filtered, ties and candidates (``docs/protocols.md``).
        candidates_from: where candidates come from: ``domains`` by default, ``entities`` or ``relations``.
        scoring: as for ``rank``.
        hybrid: as for ``rank``.

    Raises:
        ConflictError: the name of the policy has been given other content since.
        ClientError: no answer, or an error; see :mod:`proofrank.service.client.errors`.
    """
    split, queries = (triples, None) if isinstance(triples, str) else (None, triples)
    request = make_request(
        JobRequest,
        queries,
        split=split,
        side=side,
        corruptions=corruptions,
        filtered=filtered,
        seed=seed,
        ties=ties,
        pruning=pruning,
        beam=beam,
        beam_score=beam_score,
        mrr_tolerance=mrr_tolerance,
        policy=_name_of(policy),
        policy_sha256=_sha256_of(policy),
        limit=limit,
        hits_at=None if hits_at is None else list(hits_at),
        protocol=protocol,
        candidates_from=candidates_from,
        scoring=scoring,
        hybrid=weights_fields(hybrid),
    )
    # With a key, a request whose answer was lost can be sent again without making a second job.
    headers = {"Idempotency-Key": idempotency_key or uuid.uuid4().hex}
    return parsed((yield from exchange(connection, json_call("/jobs", request, headers))), Job)


def _name_of(policy: PolicyLike | None) -> str | None:
    return policy if policy is None or isinstance(policy, str) else policy.name


def _sha256_of(policy: PolicyLike | None) -> str | None:
    return policy.sha256 if isinstance(policy, (StoredPolicy, Identity)) else None


def wait(
    connection: Connection,
    job_id: str,
    *,
    progress: bool = True,
    on_progress: Callable[[Job], None] | None = None,
) -> Steps[JobResult]:
    """Waits until a job is done, and fetches its ranks: an :class:`IntervalJobResult` of one with ``mrr_tolerance``.

    Args:
        job_id: of the job.
        progress: show a bar on standard error, if that is a terminal and rich is installed.
        on_progress: called with the job, each time that it is looked at.

    Raises:
        JobError: the job failed or was cancelled.
        NotFoundError: there is no such job, or it was removed meanwhile, with its results.
        ClientError: no answer, or an error; see :mod:`proofrank.service.client.errors`.
    """
    now = yield from job(connection, job_id)
    with job_bar(now, is_shown=progress) as show:
        seconds = _FIRST_POLL
        while True:
            show(now)
            if on_progress is not None:
                on_progress(now)
            if now.has_ended:
                break
            yield Pause(seconds)
            seconds = min(1.5 * seconds, _LONGEST_POLL)
            now = yield from job(connection, job_id)
    if now.state != "done":
        raise JobError(now)
    answer = yield from exchange(connection, Call("GET", path_of("jobs", job_id, "results")))
    return parsed(answer, JobResult if now.request.mrr_tolerance is None else IntervalJobResult)


def evaluate(
    connection: Connection,
    triples: str | Sequence[QueryLike] = "test",
    *,
    side: SideOption = "both",
    corruptions: int | Literal["all"] = 50,
    filtered: bool = True,
    seed: int = 0,
    ties: Ties = "realistic",
    pruning: PruningLevel | None = None,
    beam: int | None = None,
    beam_score: BeamScore | None = None,
    mrr_tolerance: float | None = None,
    policy: PolicyLike | None = None,
    limit: int | None = None,
    idempotency_key: str | None = None,
    progress: bool = True,
    on_progress: Callable[[Job], None] | None = None,
    hits_at: Sequence[int] | None = None,
    protocol: str | None = None,
    candidates_from: CandidatesFrom | None = None,
    scoring: ScoringKind | None = None,
    hybrid: Mapping[str, Any] | None = None,
    proofs_of: Sequence[tuple[str, str, str]] = (),
) -> Steps[JobResult]:
    """Ranks a split, or many triples, as a job: ``submit``, then ``wait``, whose arguments it takes.

    ``proofs_of`` are triples (head, relation, tail) whose proofs, or failures, the result's ``proofs`` then hold, by
    the policy that ranked; with a beam, all proofs of the beam. The server must still have the policy's content.

    With ``mrr_tolerance`` the result is an :class:`IntervalJobResult`.

    The job goes on where this is interrupted; ``on_progress`` is told its id, for ``wait`` or ``cancel_job``.

    A training job that has just uploaded its policy gives it as ``policy``: so the job is ranked by it, even if another
    client activates another one meanwhile.

    Raises:
        ConflictError: the name of the policy has been given other content since; or proofs are asked for, and the
            server no longer has the policy's content.
        JobError: the job failed or was cancelled.
        NotFoundError: the job was removed meanwhile, with its results.
        ClientError: no answer, or an error; see :mod:`proofrank.service.client.errors`.
    """
    submitted = yield from submit(
        connection,
        triples,
        side=side,
        corruptions=corruptions,
        filtered=filtered,
        seed=seed,
        ties=ties,
        pruning=pruning,
        beam=beam,
        beam_score=beam_score,
        mrr_tolerance=mrr_tolerance,
        policy=policy,
        limit=limit,
        idempotency_key=idempotency_key,
        hits_at=hits_at,
        protocol=protocol,
        candidates_from=candidates_from,
        scoring=scoring,
        hybrid=hybrid,
    )
    result = yield from wait(connection, submitted.id, progress=progress, on_progress=on_progress)
    proofs = {}
    for triple in proofs_of:
        explained = yield from why(
            connection,
            triple,
            corruptions=0,
            first=0,
            alternatives=1,
            job=result.job.id,
            beam=beam,
            beam_score=beam_score,
            # Of a job by an embedding alone too, whose own scores have no proofs.
            scoring="proof" if scoring == "embedding" else None,
        )
        proofs[triple] = explained.positive
    return dataclasses.replace(result, proofs=proofs) if proofs else result


def job(connection: Connection, job_id: str) -> Steps[Job]:
    """A job as it stands."""
    return parsed((yield from exchange(connection, Call("GET", path_of("jobs", job_id)))), Job)


def jobs(
    connection: Connection, *, limit: int = 20, state: JobState | None = None, run: str | None = None
) -> Steps[tuple[Job, ...]]:
    """The jobs of the server, the newest first.

    Args:
        limit: how many at most, up to 100.
        state: only those in this state.
        run: only those of this training run.
    """
    parameters = {"limit": str(limit), "state": state, "run": run}
    given = {parameter: value for parameter, value in parameters.items() if value is not None}
    return parsed((yield from exchange(connection, Call("GET", "/jobs", parameters=given))), JobList).jobs


def groups(connection: Connection, job_id: str) -> Steps[RankingGroups]:
    """The metrics of a job by depth, where the dataset has files of depths, and by steps of the proof."""
    return parsed(
        (yield from exchange(connection, Call("GET", path_of("jobs", job_id, "groups")))), RankingGroups
    )


def export(connection: Connection, job_id: str, path: str | Path) -> Steps[Path]:
    """Writes the results of a job to a file, and returns its path.

    Args:
        job_id: of the job.
        path: file whose name ends in ``.json``, ``.csv`` or ``.parquet``.

    Raises:
        ClientError: the name ends otherwise, the file cannot be written, no answer, or an error; see
            :mod:`proofrank.service.client.errors`.
    """
    path = Path(path)
    route = RESULT_FILES.get(path.suffix)
    if route is None:
        raise ClientError(f"{path}: expected a name that ends in {', '.join(RESULT_FILES)}")
    response = yield from exchange(connection, Call("GET", path_of("jobs", job_id, route)))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(response.content)
    except OSError as error:
        raise ClientError(f"{path}: cannot be written: {error.strerror}") from error
    return path


def cancel_job(connection: Connection, job_id: str) -> Steps[Job]:
    """Cancels a job that has not ended, leaves one that has with its results, and returns it as it then is."""
    return parsed((yield from exchange(connection, Call("POST", path_of("jobs", job_id, "cancel")))), Job)


def delete_job(connection: Connection, job_id: str) -> Steps[None]:
    """Removes a job with its results; one that has not ended is cancelled by that."""
    # A second DELETE would not find what the first one removed.
    yield from exchange(connection, Call("DELETE", path_of("jobs", job_id), is_repeatable=False))


def compare(
    connection: Connection,
    a: JobLike,
    b: JobLike,
    *,
    confidence: float = 0.95,
    resamples: int | None = None,
    seed: int = 0,
) -> Steps[Comparison]:
    """Compares two finished jobs that rank the same queries: differences of B with intervals, and what changed.

    Args:
        a: the job to compare with: its id, or the job, or its result.
        b: the job that is judged.
        confidence: share of the intervals that should hold the true difference, from 0.5 to 0.999.
        resamples: number of resamples of the bootstrap; by default as suits the number of triples.
        seed: seed of the bootstrap; the same one gives the same intervals.

    Raises:
        ConflictError: a job is not done.
        InvalidRequestError: they rank different queries, or otherwise.
        ClientError: no answer, or another error; see :mod:`proofrank.service.client.errors`.
    """
    parameters = {"a": _id_of(a), "b": _id_of(b), "confidence": repr(confidence), "seed": str(seed)}
    if resamples is not None:
        parameters["resamples"] = str(resamples)
    call = Call("GET", "/compare", parameters=parameters)
    return parsed((yield from exchange(connection, call)), Comparison)


def _id_of(job: JobLike) -> str:
    if isinstance(job, str):
        return job
    return job.id if isinstance(job, Job) else job.job.id


def policies(connection: Connection) -> Steps[tuple[StoredPolicy, ...]]:
    """The policies that the server holds."""
    return parsed((yield from exchange(connection, Call("GET", "/policies"))), PolicyList).policies


def policy_files(folder: Path) -> dict[str, Path]:
    """Returns field of an upload -> path of its file in ``folder``. Raises ClientError if a file is missing."""
    if folder.is_file():
        raise ClientError(
            f"{folder}: a file; expected the folder of a policy (upload_checkpoint sends a checkpoint of the public "
            "DeepProofLog code, and proofrank import makes a folder of it)"
        )
    files: dict[str, Path] = {}
    for part, names in POLICY_FILES.items():
        found = [folder / name for name in names if (folder / name).is_file()]
        if not found:
            ours = ", ".join(first for first, *_ in POLICY_FILES.values())
            raise ClientError(f"{folder / names[0]}: no such file; a policy is {ours}")
        if part == "weights" and len(found) > 1:
            raise ClientError(f"{folder}: has {' and '.join(names)}; expected one of them")
        files[part] = found[0]
    hybrid = folder / HYBRID_FILE
    if hybrid.is_file():
        files[HYBRID_PART] = hybrid
    return files


def upload_policy(
    connection: Connection,
    name: str,
    folder: str | Path,
    activate: bool = False,
    *,
    run: str | None = None,
    step: int | None = None,
    labels: Mapping[str, str] | None = None,
) -> Steps[StoredPolicy]:
    """Uploads a checkpoint folder under a name, in place of what had that name.

    Args:
        name: of letters, digits, ``.``, ``_`` and ``-``, 64 at most.
        folder: with ``policy.safetensors``, ``policy.json`` and ``vocab.json``, the first two perhaps under the names
            of the Hugging Face convention: ``model.safetensors`` and ``config.json``. Weights of hybrid scores go with
            them, if ``hybrid.json`` is there.
        activate: rank with it from now on.
        run: training run that it belongs to; needs ``step``.
        step: its step.
        labels: what to keep beside, name to text.

    Raises:
        ClientError: a file is missing, no answer, or an error; see :mod:`proofrank.service.client.errors`.
    """
    files = policy_files(Path(folder))
    return (yield from _upload(connection, name, files, activate, run, step, labels))


def push(
    connection: Connection,
    run: str,
    module: Any,
    *,
    step: int,
    like: Any = None,
    export: Callable[[Any, Path], Any] | None = None,
    name: str | None = None,
    activate: bool = False,
    labels: Mapping[str, str] | None = None,
) -> Steps[StoredPolicy]:
    """Uploads a policy from memory as a step of a training run.

    No files are written, but for the temporary ones of ``export``. Weights of hybrid scores that a policy has are not
    sent, for they were fitted to what it was.

    Args:
        run: name of the run, of letters, digits, ``.``, ``_`` and ``-``, 64 at most.
        module: the policy: a :class:`proofrank.Policy` with the network as it is now, or a ``PolicyNetwork``, also one
            that ``torch.compile`` has wrapped; or, with ``export``, a network of one's own.
        step: step of the run, 0 or more.
        like: for a network: a :class:`proofrank.Policy` whose vocabulary and prover settings it has.
        export: for a network of one's own: is called with the module and an empty folder, and writes a policy folder,
            such as ``lambda module, folder: proofrank.export_policy(module, dataset, folder)``. Tracing takes seconds,
            in which nothing else runs in this thread. A proofrank.Policy that was exported needs none.
        name: name of the policy, in place of what had that name; that of the run by default. A name of its own for each
            step keeps the policies of all steps.
        activate: rank with it from now on.
        labels: what to keep beside, name to text.

    Raises:
        PolicyError: ``proofrank.export_policy`` cannot export the module.
        ClientError: ``module`` is no policy, no answer, or an error; see :mod:`proofrank.service.client.errors`.
    """
    # Imported here: it needs torch, which a caller with a module has loaded.
    from proofrank.service.client.modules import policy_parts

    parts = policy_parts(module, like, export)
    return (yield from _upload(connection, name or run, parts, activate, run, step, labels))


def _upload(
    connection: Connection,
    name: str,
    files: Mapping[str, Path | bytes],
    activate: bool,
    run: str | None,
    step: int | None,
    labels: Mapping[str, str] | None,
    public_defaults: bool = False,
) -> Steps[StoredPolicy]:
    wanted = {"activate": activate, "public_defaults": public_defaults}
    parameters = {key: "true" for key, value in wanted.items() if value} | _place(run, step, labels)
    call = Call("PUT", path_of("policies", name), files=files, parameters=parameters)
    return parsed((yield from exchange(connection, call)), StoredPolicy)


def _place(run: str | None, step: int | None, labels: Mapping[str, str] | None) -> dict[str, str | list[str]]:
    """The parameters that say where an upload belongs."""
    parameters: dict[str, str | list[str]] = {}
    if run is not None:
        parameters["run"] = run
    if step is not None:
        parameters["step"] = str(step)
    if labels:
        parameters["label"] = [f"{label}={text}" for label, text in labels.items()]
    return parameters


def runs(connection: Connection, limit: int = 100) -> Steps[tuple[RunSummary, ...]]:
    """The training runs that a stored policy or a job is of, the one with the last upload or job first."""
    call = Call("GET", "/runs", parameters={"limit": str(limit)})
    return parsed((yield from exchange(connection, call)), RunList).runs


def run(connection: Connection, name: str, limit: int = 1000, *, intervals: bool = False) -> Steps[Run]:
    """A training run: for each step its policy, and the metrics of the jobs that it has ranked.

    Args:
        name: of the run.
        limit: entries at most, those of the largest steps.
        intervals: have the server compute the interval of each MRR, which reads every ranking once.

    Raises:
        NotFoundError: no policy and no job is of it.
    """
    parameters = {"limit": str(limit)}
    if intervals:
        parameters["intervals"] = "true"
    call = Call("GET", path_of("runs", name), parameters=parameters)
    return parsed((yield from exchange(connection, call)), Run)


def upload_checkpoint(
    connection: Connection,
    name: str,
    file: str | Path,
    facts: Mapping[str, Any] | str | Path | None = None,
    activate: bool = False,
    public_defaults: bool = False,
    *,
    run: str | None = None,
    step: int | None = None,
    labels: Mapping[str, str] | None = None,
) -> Steps[StoredPolicy]:
    """Uploads a checkpoint file of the public DeepProofLog code, which the server imports.

    Args:
        name: of letters, digits, ``.``, ``_`` and ``-``, 64 at most.
        file: a ``.pt`` state dict or a ``.zip`` of Stable-Baselines3.
        facts: what the file does not tell, by name, such as ``{"l2_norm": True, "temperature": 0.1}``; or a JSON file.
        activate: rank with it from now on.
        public_defaults: take the public code's defaults for facts that are not given.
        run: training run that it belongs to; needs ``step``.
        step: its step.
        labels: what to keep beside, name to text.

    Raises:
        InvalidRequestError: a fact is missing or wrong; ``errors`` has one entry for each.
        ClientError: a file is missing, no answer, or an error; see :mod:`proofrank.service.client.errors`.
    """
    files: dict[str, Path | bytes] = {"checkpoint": Path(file)}
    if isinstance(facts, str | Path):
        files["facts"] = Path(facts)
    elif facts is not None:
        files["facts"] = json.dumps(dict(facts)).encode()
    for path in files.values():
        if isinstance(path, Path) and not path.is_file():
            raise ClientError(f"{path}: no such file")
    return (yield from _upload(connection, name, files, activate, run, step, labels, public_defaults))


def activate(connection: Connection, name: str) -> Steps[StoredPolicy]:
    """Makes a policy that the server holds the one that ranks from now on."""
    call = Call("POST", path_of("policies", name, "activate"))
    return parsed((yield from exchange(connection, call)), StoredPolicy)


def delete_policy(connection: Connection, name: str) -> Steps[None]:
    """Deletes a policy; the active one, and one that an unfinished job uses, are refused."""
    # A second DELETE would not find what the first one deleted.
    yield from exchange(connection, Call("DELETE", path_of("policies", name), is_repeatable=False))


def sleep(connection: Connection) -> Steps[Readiness]:
    """Has the server free its evaluators' memory, after the requests that rank now.

    Until :func:`wake` it takes no others, and jobs pause.
    """
    return parsed((yield from exchange(connection, Call("POST", "/sleep"))), Readiness)


def wake(connection: Connection) -> Steps[Readiness]:
    """Has a server that sleeps make its evaluator again; returns once it takes requests.

    Raises:
        UnavailableError: it still sleeps, because the memory does not suffice; says how much is needed.
    """
    return parsed((yield from exchange(connection, Call("POST", "/wake"))), Readiness)


def info(connection: Connection) -> Steps[Info]:
    """What is being served."""
    return parsed((yield from exchange(connection, Call("GET", "/info"))), Info)


def graph(connection: Connection, *, offset: int = 0, limit: int = 100) -> Steps[GraphSummary]:
    """The served graph: counts, relations, and ``limit`` of its rules, up to 1,000, from ``offset``."""
    parameters = {"offset": str(offset), "limit": str(limit)}
    return parsed(
        (yield from exchange(connection, Call("GET", "/graph", parameters=parameters))), GraphSummary
    )


def is_ready(connection: Connection) -> Steps[bool]:
    """Whether the server takes requests now; false too where it cannot be reached."""
    return (yield from _obstacle(connection)) is None


def wait_until_ready(connection: Connection, timeout: float = 600.0) -> Steps[None]:
    """Returns once the server takes requests.

    Args:
        timeout: seconds after which to give up.

    Raises:
        NotReadyError: it does not in that time; says what it was doing.
        ClientError: the answer was another error.
    """
    deadline = time.monotonic() + timeout
    seconds = _FIRST_POLL
    while (obstacle := (yield from _obstacle(connection))) is not None:
        if time.monotonic() + seconds > deadline:
            raise NotReadyError(f"not ready after {timeout:g} s: {obstacle}")
        yield Pause(seconds)
        seconds = min(1.5 * seconds, _LONGEST_POLL)


def _obstacle(connection: Connection) -> Steps[str | None]:
    """Why the server takes no requests now; None where it does."""
    call = Call("GET", "/readyz")
    reply = yield call
    failure = failure_of(connection, call, reply)
    if failure is None:
        return None
    if not failure.can_pass:
        raise failure.error
    if isinstance(reply, httpx.Response) and reply.status_code == HTTPStatus.SERVICE_UNAVAILABLE:
        readiness = parsed(reply, Readiness)
        return f"{readiness.stage}, for {readiness.seconds:.0f} s"
    return str(failure.error)
