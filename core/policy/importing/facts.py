"""Facts that a file of the public DeepProofLog code does not tell: formulas, sizes and prover settings.

A fact comes from the file, from the user, or, if asked for, from the public code's defaults. A fact of the
network that comes from nowhere is an error; one that is told and contradicts the file is one too.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from proofrank.core.errors import PolicyError, did_you_mean, nearest_names, shown
from proofrank.core.formats.finite_numbers import is_finite_number
from proofrank.core.policy.config import PolicyConfig
from proofrank.core.policy.importing.names import BUILDER, SB3, TRAIN, PublicNetwork
from proofrank.core.prover import ProverSettings

NETWORK_DEFAULTS: dict[str, Any] = {
    "atom_embedder": "transe",
    "state_embedder": "mean",
    "l2_norm": True,
    "sqrt_scale": False,
    "temperature": 0.1,
    "padding_atoms": 6,
}
"""Facts of the network that a logit depends on, with the defaults of the public code's configuration."""

PROVER_DEFAULTS: dict[str, Any] = {
    "max_depth": 20,
    "memory_pruning": True,
    "end_proof_action": True,
    "skip_unary_actions": False,
}
"""Prover settings that no file tells, with the defaults of the public code's configuration."""


WITHOUT_OPTIONS = {"l2_norm": False, "sqrt_scale": True, "temperature": None}
"""Formulas of a network whose factory passes none of the three on: ``builder.create_policy`` and the old generation."""

ATOM_CHOICES = ("transe", "sum", "distmult")
STATE_CHOICES = ("sum", "mean")
FACTORIES = (TRAIN, BUILDER, SB3)

_BOOLEANS = {"l2_norm", "sqrt_scale", "memory_pruning", "end_proof_action", "skip_unary_actions"}
_COUNTS = {"padding_atoms": 1, "padding_states": 2, "max_depth": 1, "number_of_variables": 0}
_OTHERS = {"atom_embedder", "state_embedder", "temperature", "factory", "attention_heads"}
_OTHERS |= {"activation", "layer_norm_eps"}
_KNOWN = _BOOLEANS | set(_COUNTS) | _OTHERS
_FIXED = {"activation": "relu", "layer_norm_eps": 1e-5}
_IN_FILE = ("embedding_dim", "hidden_dim", "num_layers")
MAX_FACTS_BYTES = 1 << 20
_LARGEST_COUNT = 1 << 20
"""Maximum of a fact that is a number of things, such as variables; buffers grow with some of them."""


class FactError(PolicyError):
    """A told fact cannot be used.

    Attributes:
        fact: its name.
        value: what was told.
    """

    def __init__(self, message: str, fact: str, value: Any) -> None:
        super().__init__(message)
        self.fact = fact
        self.value = value


class MissingFactsError(PolicyError):
    """A logit depends on facts that neither the file nor the user tells.

    Attributes:
        facts: name of each -> what it may be, and the default of the public code, in words.
    """

    def __init__(self, where: str, names: Sequence[str]) -> None:
        """Args:
        where: path of the file.
        names: missing facts, of ``NETWORK_DEFAULTS``.
        """
        self.facts = {
            name: f"{_expected(name)}; the public code's default is {_spoken(NETWORK_DEFAULTS[name])}"
            for name in names
        }
        super().__init__(
            f"{where}: the file does not tell {', '.join(names)}; tell them by "
            f"{', '.join(_as_option(name) for name in names)} or in --facts FILE. The public code's defaults are "
            f"{', '.join(f'{name} {_spoken(NETWORK_DEFAULTS[name])}' for name in names)}; "
            "--public-defaults takes them"
        )


@dataclass(frozen=True)
class Facts:
    """Told facts.

    Attributes:
        told: name -> value, checked by type.
        in_file: what a facts file says can be read off the checkpoint; must agree with it.
        unused: names of a facts file that mean nothing to an import.
        dataset: name of the dataset that a facts file gives.
    """

    told: dict[str, Any]
    in_file: dict[str, Any] = dataclasses.field(default_factory=dict)
    unused: tuple[str, ...] = ()
    dataset: str | None = None

    def updated(self, told: Mapping[str, Any]) -> Facts:
        """Returns these facts with others in their place.

        Raises:
            PolicyError: a name is unknown or a value is bad.
        """
        return dataclasses.replace(self, told={**self.told, **_checked(told, "option")})


@dataclass(frozen=True)
class Resolved:
    """The facts of one checkpoint, complete.

    Attributes:
        config: of the network.
        settings: of the prover.
        from_file: fact -> value, as the file tells it.
        told: fact -> value, as it was told.
        defaults: fact -> value, those of the public code that were taken.
        notes: sentences on what a reader should know.
    """

    config: PolicyConfig
    settings: ProverSettings
    from_file: dict[str, Any]
    told: dict[str, Any]
    defaults: dict[str, Any]
    notes: tuple[str, ...]


def read_facts(path: Path | str, shown_as: str | None = None) -> Facts:
    """Reads a JSON file of facts by name; errors call it ``shown_as``, or by its path.

    Settings of the prover may also stand in an object ``engine``. An object ``in_file`` is compared with the
    checkpoint. Other names are listed as unused.

    Raises:
        PolicyError: the file cannot be read, is no JSON object, or a value is bad.
    """
    where = shown_as if shown_as is not None else f"{path}"
    try:
        with Path(path).open("rb") as file:
            content = file.read(MAX_FACTS_BYTES + 1)
    except OSError as error:
        raise PolicyError(f"{where}: cannot be read: {error.strerror}") from error
    if len(content) > MAX_FACTS_BYTES:
        raise PolicyError(f"{where}: larger than {MAX_FACTS_BYTES >> 20} MiB; expected facts by name")
    try:
        values = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise PolicyError(f"{where}: not JSON: {error}") from error
    if not isinstance(values, dict):
        raise PolicyError(f"{where}: a JSON {type(values).__name__}; expected an object of facts by name")
    dataset = values.pop("dataset", None)
    engine, in_file = values.pop("engine", None) or {}, values.pop("in_file", None) or {}
    if not isinstance(engine, dict) or not isinstance(in_file, dict):
        raise PolicyError(f"{where}: 'engine' and 'in_file' must be objects of facts by name")
    told = {name: value for name, value in {**engine, **values}.items() if name in _KNOWN}
    unused = tuple(sorted((engine.keys() | values.keys()) - _KNOWN))
    name = dataset if isinstance(dataset, str) else None
    return Facts(_checked(told, f"{where}:"), in_file, unused, name)


def _checked(told: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Returns ``told`` with every value checked by type."""
    checked: dict[str, Any] = {}
    for name, value in told.items():
        if name not in _KNOWN:
            near = did_you_mean(nearest_names(name, sorted(_KNOWN)))
            raise FactError(f"unknown fact {name!r}{near}", name, value)
        if name in _BOOLEANS:
            is_good = type(value) is bool
        elif name in _COUNTS:
            is_good = type(value) is int and _COUNTS[name] <= value <= _LARGEST_COUNT
        elif name == "temperature":
            is_good = value is None or (is_finite_number(value) and value > 0)
        elif name == "attention_heads":
            is_good = value is None or (type(value) is int and value > 0)
        elif name in _FIXED:
            is_good = value == _FIXED[name]
        else:
            is_good = isinstance(value, str)
        if not is_good:
            raise FactError(
                f"{where} {name} is {shown(value)}; expected {_expected(name)}".lstrip(), name, value
            )
        if name != "attention_heads" or value is not None:
            checked[name] = value
    return checked


def _expected(name: str) -> str:
    """Returns in words what a fact may be."""
    if name in _BOOLEANS:
        return "true or false"
    if name in _COUNTS:
        return f"a whole number from {_COUNTS[name]} to {_LARGEST_COUNT}"
    if name == "temperature":
        return "a number above 0, or null for none"
    if name == "attention_heads":
        return "a whole number, or null"
    if name in _FIXED:
        return f"{_FIXED[name]}, which the public code always has"
    choices = {"atom_embedder": ATOM_CHOICES, "state_embedder": STATE_CHOICES, "factory": FACTORIES}
    return f"a name: {', '.join(choices[name])}"


def resolve(
    network: PublicNetwork, facts: Facts, num_variables: int, *, with_defaults: bool, where: str
) -> Resolved:
    """Puts together what the file tells and what was told.

    Args:
        network: what the file tells.
        facts: what was told.
        num_variables: variables with an embedding.
        with_defaults: whether facts of the network that were not given take the public code's defaults.
        where: path of the file, for errors.

    Raises:
        PolicyError: a fact is missing, contradicts the file or cannot be had; lists all that are missing.
    """
    notes: list[str] = []
    from_file = facts_in(network, facts, notes)
    _check_agreement(network, facts, from_file, where)
    told = {name: value for name, value in facts.told.items() if name not in ("factory", *_FIXED)}
    missing = [name for name in NETWORK_DEFAULTS if name not in from_file and name not in told]
    defaults: dict[str, Any] = {}
    if missing:
        if not with_defaults:
            raise MissingFactsError(where, missing)
        defaults = {name: NETWORK_DEFAULTS[name] for name in missing}
    defaults |= {name: value for name, value in PROVER_DEFAULTS.items() if name not in told}
    values = {**defaults, **told, **from_file}
    if "padding_states" in told:
        values["padding_states"] = told["padding_states"]
        if network.padding_states not in (None, told["padding_states"]):
            notes.append(
                f"padding_states {told['padding_states']} as told; the file was trained with {network.padding_states}"
            )
    elif network.padding_states is None:
        values["padding_states"] = defaults["padding_states"] = ProverSettings.padding_states
    _check_embedders(network, values, where)
    config = PolicyConfig(
        embedding_dim=network.embedding_dim,
        hidden_dim=network.hidden_dim,
        num_layers=network.num_layers,
        atom_embedder=values["atom_embedder"],
        state_pooling=values["state_embedder"],
        l2_norm=values["l2_norm"],
        sqrt_scale=values["sqrt_scale"],
        temperature=values["temperature"],
        max_variables=num_variables,
        padding_atoms=values["padding_atoms"],
        attention_heads=_heads(values, where),
    )
    names = [field.name for field in dataclasses.fields(ProverSettings)]
    settings = ProverSettings(**{name: values[name] for name in names})
    shown_told = {name: value for name, value in told.items() if name not in from_file}
    return Resolved(config, settings, from_file, shown_told, defaults, tuple(notes))


def facts_in(network: PublicNetwork, facts: Facts, notes: list[str] | None = None) -> dict[str, Any]:
    """Returns the facts that the file tells; adds sentences on what a reader should know to ``notes``."""
    notes = notes if notes is not None else []
    from_file: dict[str, Any] = {}
    if network.atom_embedder is not None:
        from_file["atom_embedder"] = network.atom_embedder
    if network.state_pooling is not None:
        from_file["state_embedder"] = network.state_pooling
    if network.padding_states is not None:
        from_file["padding_states"] = network.padding_states
    factory = _factory(facts.told.get("factory")) or network.factory
    if network.generation == "old":
        factory = SB3
    if factory in (BUILDER, SB3):
        from_file |= WITHOUT_OPTIONS
        notes.append(
            f"{factory} passes l2_norm, sqrt_scale and temperature to no network, whatever its configuration says: in "
            "force are false, true and none"
            if factory == BUILDER
            else "networks of the old generation have no l2_norm and no temperature, and always sqrt_scale"
        )
    elif network.factory == BUILDER:
        notes.append(f"its value body is its own, as {BUILDER} makes it; told was {factory}")
    return from_file


def _check_agreement(network: PublicNetwork, facts: Facts, from_file: Mapping[str, Any], where: str) -> None:
    told_generation = _factory(facts.told.get("factory"))
    if told_generation is not None and (told_generation == SB3) != (network.generation == "old"):
        raise FactError(
            f"{where}: told is factory {facts.told['factory']!r}; the names of its tensors are of the "
            f"{network.generation} generation",
            "factory",
            facts.told["factory"],
        )
    for name, value in from_file.items():
        if name == "padding_states" or name not in facts.told or facts.told[name] == value:
            continue
        hint = (
            f"; tell factory {TRAIN} if your copy of the code passes it on" if name in WITHOUT_OPTIONS else ""
        )
        raise FactError(
            f"{where}: told is {name} {_spoken(facts.told[name])}; the file says {_spoken(value)}{hint}",
            name,
            facts.told[name],
        )
    for name in _IN_FILE:
        if name in facts.in_file and facts.in_file[name] != getattr(network, name):
            raise FactError(
                f"{where}: told is {name} {shown(facts.in_file[name])}; the file says {getattr(network, name)}",
                f"in_file.{name}",
                facts.in_file[name],
            )


def _factory(told: str | None) -> str | None:
    """Returns the factory that is told by its module alone, by its whole name, or with a remark behind it."""
    if told is None:
        return None
    for factory in FACTORIES:
        if told.startswith(factory.split(".")[0]):
            return factory
    raise FactError(f"factory is {told!r}; expected one of {', '.join(FACTORIES)}", "factory", told)


def _check_embedders(network: PublicNetwork, values: Mapping[str, Any], where: str) -> None:
    for fact, in_file, choices in (
        ("atom_embedder", network.atom_embedder, ATOM_CHOICES),
        ("state_embedder", network.state_pooling, STATE_CHOICES),
    ):
        if in_file is None and values[fact] not in choices:
            raise FactError(
                f"{where}: {fact} is {values[fact]!r}, which cannot be imported; the file has no tensors of one, so "
                f"expected one of {', '.join(choices)}",
                fact,
                values[fact],
            )


def _heads(values: Mapping[str, Any], where: str) -> int:
    told = values.get("attention_heads")
    if values["atom_embedder"] == "attention":
        return told if told is not None else PolicyConfig.attention_heads
    if told not in (None, 1):
        raise FactError(
            f"{where}: attention_heads is {told}; expected 1, for only the atom embedder attention has more",
            "attention_heads",
            told,
        )
    return PolicyConfig.attention_heads


def _as_option(name: str) -> str:
    option = f"--{name.replace('_', '-')}"
    if name in _BOOLEANS:
        return f"{option} or --no-{option[2:]}"
    return f"{option} {'NUMBER|none' if name == 'temperature' else 'N' if name in _COUNTS else 'NAME'}"


def _spoken(value: Any) -> str:
    """Returns a value as JSON and the command line write it."""
    return "none" if value is None else json.dumps(value) if isinstance(value, bool) else str(value)
