"""What ``GET /healthz``, ``GET /readyz`` and ``GET /info`` answer."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic.dataclasses import dataclass

from proofrank.service.wire.described import described


@dataclass(frozen=True)
class Health:
    """Whether the process is alive."""

    status: Annotated[
        Literal["ok"], described("Always `ok`: a process that is not alive does not answer.", "ok")
    ]


@dataclass(frozen=True)
class Readiness:
    """Whether requests are taken, and the stage of the server."""

    ready: Annotated[bool, described("Whether the server takes requests.", True)]
    stage: Annotated[str, described("Stage of the server; `ready` when it takes requests.", "ready")]
    seconds: Annotated[float, described("Seconds since the stage began.", 12.5)]


@dataclass(frozen=True)
class NotRestored:
    """A policy that was live before the server started, and why it is not live now."""

    name: Annotated[str, described("Name of the policy.", "run-7")]
    sha256: Annotated[str, described("SHA-256 of its content.", "9f2c4e…")]
    reason: Annotated[
        str,
        described(
            "Why it could not be brought back.",
            "buckets of 512 lanes needs about 9.0 GiB on cuda, of which 4.0 GiB are free; use fewer lanes",
        ),
    ]


@dataclass(frozen=True)
class Info:
    """What is being served."""

    version: Annotated[str, described("Version of proofrank.", "0.2.0")]
    dataset: Annotated[
        dict[str, Any],
        described(
            "Dataset: name, SHA-256, number of constants and rules, relations, sizes of domains and splits.",
            {"name": "countries", "constants": 271, "relations": ["locatedInCR", "neighborOf"], "test": 24},
        ),
    ]
    policy: Annotated[
        dict[str, Any],
        described(
            "Live policy: name, SHA-256, number of parameters, shape of the network, and `hybrid`, the weights of "
            "hybrid scores that are stored with it, or null.",
            {"name": "run-7", "parameters": 58120, "embedding_dim": 64, "hybrid": None},
        ),
    ]
    prover: Annotated[
        dict[str, Any],
        described("Settings of the prover.", {"max_depth": 20, "padding_states": 64, "memory_pruning": True}),
    ]
    engine: Annotated[str, described("Engine that computes the ranks.", "eager")]
    device: Annotated[str, described("Device of the engine, as torch names it.", "cpu")]
    torch: Annotated[str, described("Version of torch.", "2.13.0+cpu")]
    limits: Annotated[
        dict[str, int],
        described("Limits of a request, by the names of the settings.", {"max_queries": 1000}),
    ]
    startup_seconds: Annotated[
        dict[str, float],
        described("Seconds of each stage of the start.", {"loading": 0.4, "warming up": 1.1}),
    ]
    embedding: Annotated[
        dict[str, Any] | None,
        described(
            "Embedding that scores triples: name, SHA-256, kind, and `hybrid`, the server's weights of hybrid scores, "
            "or null. Null if the server has no embedding.",
            {"name": "rotate", "kind": "RotatE", "hybrid": {"weight": 0.5, "bonus": None, "penalty": 10.0}},
        ),
    ] = None
    not_restored: Annotated[
        NotRestored | None,
        described(
            "Policy that was activated last before the start and could not be brought back, while the policy of the "
            "server's settings is live in its place. Null if there is none, or once a client has activated a policy.",
            None,
        ),
    ] = None
