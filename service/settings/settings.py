"""Settings of the service, from flags, the environment (``PROOFRANK_…``) and a TOML file, in that order.

All are read and checked once, at start; nothing reads the environment afterwards.
"""

from __future__ import annotations

import ipaddress
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from proofrank.core.default import DATASET, POLICY
from proofrank.core.errors import ProofrankError, did_you_mean, nearest_names
from proofrank.core.formats.rules import RULE_FORMATS
from proofrank.service.settings.api_keys import ApiKey, check_distinct, read_keys

PREFIX = "PROOFRANK_"
CONFIG_VARIABLE = f"{PREFIX}CONFIG"

_NO_SETTINGS = {CONFIG_VARIABLE, f"{PREFIX}API_KEY"}
"""Variables that are no settings; the second belongs to a client, which may run on the same machine."""

_LOAD_PREFIX = f"{PREFIX}LOAD_"
"""Prefix of the variables of ``load/``, which may run on the same machine."""

_MOST_FILE_BYTES = 2**18
"""Maximum size of a settings file; the parser's time grows with the square of the size for some files."""


_MOST_THREADS = 1024
"""Maximum number of threads; torch fails where there are far more."""

_MOST_LANES = 2**20
"""Maximum number of lanes of a bucket."""

UNIX_SOCKET_PEER = "unix"
"""Address of a peer of the unix socket, among those of proxies and of clients."""

_ROOT_PATH = re.compile(r"(/(?!\.{1,2}(?:/|$))[A-Za-z0-9._~-]+)+")

_LIMIT_OF_ONE = {"max_queued_candidates": "max_candidates", "max_total_body_bytes": "max_body_bytes"}
"""Limits over all requests -> the limit of one request."""


class SettingsError(ProofrankError):
    """A setting is unknown or has a bad value."""


class Settings(BaseModel):
    """All settings of the service. A field's environment variable is ``PROOFRANK_`` and its name in capitals."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    dataset: Path = Field(DATASET, description="dataset folder")
    rules_format: str | None = Field(
        None,
        description=f"format of the dataset's rules: {', '.join(RULE_FORMATS)}; told by the file if unset",
    )
    strict: bool = Field(False, description="refuse a dataset in which something is probably wrong")
    policy: Path = Field(
        POLICY,
        description="checkpoint folder, or untrained or untrained:SEED for a network with random weights",
    )
    embedding: Path | None = Field(
        None,
        description="folder of an embedding, or file of scores, for requests whose `scoring` is not `proof`",
    )
    hybrid: Path | None = Field(
        None, description="file of weights of hybrid scores, where neither request nor policy has any"
    )
    engine: str = Field("auto", description="evaluator engine")
    device: str | None = Field(None, description="torch device; unset takes CUDA if there is one")
    device_memory: float | None = Field(
        None,
        gt=0,
        le=1,
        description="share of the device's memory that the server may have, as in 0.5; all that is free if unset",
    )
    fullgraph: bool = Field(True, description="require each part of the tick to compile as one graph")
    precision: str = Field(
        "float32", description="precision of matrix products: float32, bfloat16, or on CUDA tf32"
    )
    calibrate: bool = Field(
        True, description="fit capacities to the graph and the device by a short run at the first start"
    )
    cache_folder: Path | None = Field(
        None, description="folder of compiled artifacts; the user's cache if unset"
    )
    data_folder: Path | None = Field(
        None,
        description="folder of stored policies and jobs, used by one server; the user's data folder if unset",
    )
    least_model_seconds: float = Field(
        20,
        ge=0,
        le=86_400,
        description="maximum time to find out which triples can be proved at all, beside the start, seconds; 0 leaves "
        "it out",
    )
    threads: int | None = Field(
        None, ge=1, le=_MOST_THREADS, description="threads of torch on a CPU; 1 if unset"
    )
    buckets: tuple[int, ...] | None = Field(
        None, description="lanes of each bucket, as in 64,512; by device if unset"
    )
    gather_ms: float = Field(
        0, ge=0, le=1000, description="time that an idle evaluator waits for more requests, milliseconds"
    )
    host: tuple[str, ...] = Field(
        ("127.0.0.1",), description="addresses to listen on, as in 127.0.0.1,::1; 0.0.0.0,:: for all"
    )
    port: int = Field(8000, ge=0, le=65535, description="port to listen on; 0 for a free one")
    unix_socket: Path | None = Field(
        None, description="path of a unix socket to listen on, in place of host and port"
    )
    keep_alive_seconds: float = Field(
        75,
        gt=0,
        le=86_400,
        description="how long a connection may be idle between two requests; longer than a proxy in front keeps it",
    )
    root_path: str | None = Field(
        None,
        description="path under which a proxy serves the service, as in /proofrank, removed by it or not",
    )
    metrics_port: int | None = Field(
        None, ge=0, le=65535, description="separate port for metrics and health; 0 for a free one"
    )

    api_keys: tuple[ApiKey, ...] = Field(
        (), description="keys, of which clients must have one; open to all if none"
    )
    metrics_needs_key: bool = Field(False, description="only clients with a key may read the metrics")
    rate_limit: str | None = Field(
        None, description="maximum rate of requests of a key or an address, such as 600/minute; none if unset"
    )
    trusted_proxies: tuple[str, ...] = Field(
        (),
        description="addresses of proxies whose X-Forwarded-For, -Proto and -Prefix are believed; unix for all that "
        "connect to the unix socket",
    )
    cors_origins: tuple[str, ...] = Field(
        (), description="origins whose pages may use the service, or * for all"
    )
    log_format: Literal["json", "text"] | None = Field(
        None, description="json or text; text on a terminal and json elsewhere if unset"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="lowest level to log")

    max_connections: int = Field(
        4096,
        ge=1,
        description="maximum number of connections, and of requests in work; above it, all but health and metrics is "
        "answered by 503",
    )
    patience_seconds: float = Field(
        30,
        ge=1,
        description="maximum time for a client to send the head of a request, or to be behind 16 KiB a second with a "
        "body or with reading an answer",
    )
    max_body_bytes: int = Field(16 * 2**20, ge=1024, description="maximum size of a request body, bytes")
    max_total_body_bytes: int = Field(
        128 * 2**20,
        ge=1024,
        description="maximum bytes of the bodies of all requests in work, except uploads of policies",
    )
    max_queries: int = Field(10_000, ge=1, description="maximum queries in one request")
    max_candidates: int = Field(
        1_000_000, ge=1, description="maximum candidates in one request, including positives"
    )
    max_queued_candidates: int = Field(
        4_000_000, ge=1, description="maximum candidates waiting, running or being answered at once"
    )
    max_deadline_ms: int = Field(3_600_000, ge=1, description="maximum time of a request, milliseconds")
    grace_seconds: float = Field(
        30, ge=0, description="time that running requests get after SIGTERM, seconds"
    )
    drain_seconds: float = Field(
        1, ge=0, description="time after SIGTERM for which the port stays open to refuse new work, seconds"
    )
    max_proofs: int = Field(
        1_000, ge=0, description="maximum proofs in an answer, of queries or of candidates"
    )
    max_beam: int = Field(8, ge=1, le=64, description="maximum trajectories of a candidate")
    max_policy_bytes: int = Field(
        512 * 2**20, ge=1024, description="maximum size of an upload of a policy, bytes"
    )
    max_policies: int = Field(100, ge=1, description="maximum names of stored policies")
    max_jobs: int = Field(100, ge=1, description="maximum jobs waiting or running at once")
    max_job_queries: int = Field(1_000_000, ge=1, description="maximum queries in one job")
    max_ended_jobs: int = Field(
        1_000, ge=1, description="maximum ended jobs kept; the oldest are removed first"
    )
    job_retention_days: float = Field(30, gt=0, le=36_500, description="days for which ended jobs are kept")

    padding_atoms: int | None = Field(None, ge=1, description="maximum atoms of a state; as trained if unset")
    padding_states: int | None = Field(
        None, ge=2, le=2**20, description="maximum actions of a state; as trained if unset"
    )
    max_depth: int | None = Field(None, ge=1, description="maximum steps of a proof; as trained if unset")
    memory_pruning: bool | None = Field(None, description="visited states are no action; as trained if unset")
    end_proof_action: bool | None = Field(None, description="the policy may give up; as trained if unset")
    skip_unary_actions: bool | None = Field(None, description="follow single actions; as trained if unset")

    _sources: dict[str, str] = PrivateAttr(default_factory=dict)
    """Where each setting that is not its default came from, in words."""

    @field_validator("dataset", "policy", "embedding", "hybrid", "cache_folder", "data_folder", "unix_socket")
    @classmethod
    def _can_be_a_path(cls, value: Path | None) -> Path | None:
        if value is not None and "\0" in str(value):
            raise ValueError("expected a path, which holds no NUL")
        return value

    @field_validator("rules_format")
    @classmethod
    def _is_a_rules_format(cls, value: str | None) -> str | None:
        if value is not None and value not in RULE_FORMATS:
            near = did_you_mean(nearest_names(value, RULE_FORMATS))
            raise ValueError(f"expected one of {', '.join(RULE_FORMATS)}{near}")
        return value

    @field_validator("buckets", mode="before")
    @classmethod
    def _numbers(cls, value: Any) -> Any:
        """Reads numbers between commas, as in flags and variables."""
        return value.split(",") if isinstance(value, str) else value

    @field_validator("buckets")
    @classmethod
    def _in_order(cls, value: tuple[int, ...] | None) -> tuple[int, ...] | None:
        if value is not None and (not value or min(value) < 1 or max(value) > _MOST_LANES):
            raise ValueError(f"expected one number of lanes or more, each from 1 to {_MOST_LANES}")
        return None if value is None else tuple(sorted(set(value)))

    @field_validator("api_keys", mode="before")
    @classmethod
    def _read_keys(cls, value: Any) -> Any:
        return read_keys(value)

    @field_validator("api_keys")
    @classmethod
    def _differ(cls, value: tuple[ApiKey, ...]) -> tuple[ApiKey, ...]:
        check_distinct(value)
        return value

    @field_validator("host", "trusted_proxies", "cors_origins", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        """Splits text at commas, the form of a list in flags and the environment."""
        return (
            [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value
        )

    @field_validator("host")
    @classmethod
    def _is_a_host(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value or not all(value):
            raise ValueError(
                "expected an address such as 127.0.0.1, or several; 0.0.0.0,:: for all there are"
            )
        return value

    @field_validator("root_path")
    @classmethod
    def _is_a_prefix(cls, value: str | None) -> str | None:
        value = value.rstrip("/") if value is not None else None
        if value and not is_root_path(value):
            raise ValueError("expected a path such as /proofrank, of letters, digits and any of . _ ~ -")
        return value or None

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for address in value:
            if address == UNIX_SOCKET_PEER:
                continue
            try:
                ipaddress.ip_network(address)
            except ValueError:
                raise ValueError(f"expected addresses, networks or unix; {address!r} is none") from None
        return value

    @field_validator("cors_origins")
    @classmethod
    def _are_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            parts = urlsplit(origin)
            if origin != "*" and origin != f"{parts.scheme}://{parts.netloc}":
                raise ValueError(f"expected origins such as https://example.org, or *; {origin!r} is neither")
        return value

    @field_validator("rate_limit")
    @classmethod
    def _is_a_rate(cls, value: str | None) -> str | None:
        if value is None:
            return None
        import limits  # slow to import, and only servers with a limit need it

        try:
            (limit,) = limits.parse_many(value)
        except ValueError:
            limit = None
        if limit is None or limit.amount < 1:
            raise ValueError("expected one rate, such as 600/minute or 5/second")
        return value

    @field_validator(*_LIMIT_OF_ONE)
    @classmethod
    def _holds_one_request(cls, value: int, info: ValidationInfo) -> int:
        """Refuses a limit under which a valid request could never be accepted."""
        limit_of_one = _LIMIT_OF_ONE[str(info.field_name)]
        most = info.data.get(limit_of_one, 0)
        if value < most:
            raise ValueError(f"expected at least {limit_of_one}, which is {most}")
        return value

    def refusal(self, name: str, message: str) -> SettingsError:
        """The error of a setting that cannot be met here: where it came from, its value, and ``message``."""
        value = show_value(getattr(self, name))
        source = self._sources.get(name)
        return SettingsError(
            f"{source} is {value!r}: {message}"
            if source is not None
            else f"{name} is {value!r} by default: {message}"
        )

    @property
    def prover_overrides(self) -> dict[str, int | bool]:
        """Returns the prover settings that are set, which replace those that the policy was trained with."""
        return {name: value for name in PROVER_FIELDS if (value := getattr(self, name)) is not None}


def show_value(value: Any) -> str:
    """A setting's value as flags and variables have it."""
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def is_root_path(text: str) -> bool:
    """Whether a proxy may serve the service under this path."""
    return _ROOT_PATH.fullmatch(text) is not None


PROVER_FIELDS = (
    "padding_atoms",
    "padding_states",
    "max_depth",
    "memory_pruning",
    "end_proof_action",
    "skip_unary_actions",
)


def load_settings(
    flags: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
    config: Path | None = None,
) -> Settings:
    """Reads and checks the settings.

    Args:
        flags: values that take precedence over all others; None counts as not given.
        environment: variables; those of the process by default.
        config: a TOML file with settings by name; by default the one that ``PROOFRANK_CONFIG`` names.

    Raises:
        SettingsError: a name is unknown or a value is bad; the message names the source and what would be right.
    """
    environment = os.environ if environment is None else environment
    if config is None and environment.get(CONFIG_VARIABLE):
        config = Path(environment[CONFIG_VARIABLE])
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    from_environment = {
        name.removeprefix(PREFIX).lower(): value
        for name, value in environment.items()
        if name.startswith(PREFIX) and not name.startswith(_LOAD_PREFIX) and name not in _NO_SETTINGS
    }
    layers = (
        (_read_file(config) if config is not None else {}, lambda name: f"{name} in {config}"),
        (from_environment, lambda name: f"{PREFIX}{name.upper()} in the environment"),
        (
            {k: v for k, v in (flags or {}).items() if v is not None},
            lambda name: f"--{name.replace('_', '-')}",
        ),
    )
    for layer, source in layers:
        for name, value in layer.items():
            if name not in Settings.model_fields:
                near = did_you_mean(nearest_names(name, Settings.model_fields))
                raise SettingsError(f"unknown setting: {source(name)}{near}")
            values[name] = value
            sources[name] = source(name)
    try:
        settings = Settings(**values)
        settings._sources.update(sources)
        return settings
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name, *inside = first["loc"]
        source, message = sources.get(str(name), name), first["msg"].removeprefix("Value error, ")
        if name == "api_keys":  # the value may be a key
            place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in inside)
            raise SettingsError(f"{source}: {f'{name}{place}: ' if place else ''}{message}") from None
        raise SettingsError(f"{source} is {first['input']!r}: {message}") from error


def _read_file(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _MOST_FILE_BYTES:
            raise SettingsError(f"settings file {path} is larger than {_MOST_FILE_BYTES} bytes, the maximum")
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"settings file {path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # ValueError also for a number with too many digits
        raise SettingsError(f"settings file {path} is not TOML: {error}") from error
