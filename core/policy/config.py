"""The shape of a policy network; every field is checked when the config is made."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from proofrank.core.errors import PolicyError, did_you_mean, nearest_names, shown
from proofrank.core.formats.finite_numbers import is_finite_number

ATOM_EMBEDDERS = ("transe", "distmult", "sum", "rnn", "transformer", "attention")
STATE_POOLINGS = ("sum", "mean", "rnn", "transformer")
ACTIVATIONS = ("relu",)

_MAX_SIZE = 1 << 16
MAX_VARIABLES = 1 << 20


@dataclass(frozen=True)
class PolicyConfig:
    """Shape and formulas of a policy.

    Attributes:
        embedding_dim: E, size of the embeddings of predicates, constants and variables.
        hidden_dim: width of the body.
        num_layers: residual blocks of the body.
        atom_embedder: ``transe`` (``predicate + first - second``; Bordes et al. 2013), ``distmult``
            (``predicate * first * second``; Yang et al. 2015), ``sum`` (``predicate - first - second``), ``rnn`` (a GRU
            that starts from the predicate and reads both arguments), ``attention`` (the predicate attends to both
            arguments with ``attention_heads`` heads) or ``transformer`` (the same with one head).
        state_pooling: ``sum`` over a state's places, ``mean`` (the sum divided by ``padding_atoms``), ``rnn`` (the last
            state of a GRU over the places) or ``transformer`` (a learned query attends to the places with one head).
            A state has ``padding_atoms`` places, or more if it has more atoms; an empty place holds the atom of
            zeros.
        activation: activation of the body and the head.
        layer_norm_eps: epsilon of the layer norms.
        l2_norm: whether the two vectors of a logit are scaled to length 1.
        sqrt_scale: whether logits are divided by the square root of E.
        temperature: divisor of the logits; None for 1.
        max_variables: number of run-time variables with an embedding.
        padding_atoms: least number of places of a state, and the number that ``mean`` divides by.
        attention_heads: heads of ``attention``; they divide E.
    """

    embedding_dim: int = 64
    hidden_dim: int = 256
    num_layers: int = 8
    atom_embedder: str = "transe"
    state_pooling: str = "sum"
    activation: str = "relu"
    layer_norm_eps: float = 1e-5
    l2_norm: bool = False
    sqrt_scale: bool = True
    temperature: float | None = None
    max_variables: int = 1000
    padding_atoms: int = 6
    attention_heads: int = 4

    def __post_init__(self) -> None:
        """Raises PolicyError for a value of the wrong type or out of its range."""
        self._check_count("embedding_dim", 1, _MAX_SIZE)
        self._check_count("hidden_dim", 1, _MAX_SIZE)
        self._check_count("num_layers", 0, 1024)
        self._check_count("max_variables", 0, MAX_VARIABLES)
        self._check_count("padding_atoms", 1, _MAX_SIZE)
        self._check_count("attention_heads", 1, _MAX_SIZE)
        self._check_choice("atom_embedder", ATOM_EMBEDDERS)
        self._check_choice("state_pooling", STATE_POOLINGS)
        self._check_choice("activation", ACTIVATIONS)
        if self.atom_embedder == "attention" and self.embedding_dim % self.attention_heads:
            raise PolicyError(
                f"policy config attention_heads is {self.attention_heads}; expected a divisor of embedding_dim "
                f"{self.embedding_dim}"
            )
        self._check_positive("layer_norm_eps")
        if self.temperature is not None:
            self._check_positive("temperature")
        for name in ("l2_norm", "sqrt_scale"):
            if type(getattr(self, name)) is not bool:
                raise PolicyError(
                    f"policy config {name} is {shown(getattr(self, name))}; expected true or false"
                )

    def _check_count(self, name: str, least: int, most: int) -> None:
        value = getattr(self, name)
        if type(value) is not int or not least <= value <= most:
            raise PolicyError(
                f"policy config {name} is {shown(value)}; expected a whole number from {least} to {most}"
            )

    def _check_choice(self, name: str, choices: tuple[str, ...]) -> None:
        value = getattr(self, name)
        if value not in choices:
            raise PolicyError(f"policy config {name} is {shown(value)}; expected one of {', '.join(choices)}")

    def _check_positive(self, name: str) -> None:
        value = getattr(self, name)
        if not is_finite_number(value) or value <= 0:
            raise PolicyError(f"policy config {name} is {shown(value)}; expected a number above 0")

    @property
    def summary(self) -> str:
        """A few words on it: embedders and sizes."""
        sizes = f"{self.embedding_dim}x{self.hidden_dim}x{self.num_layers}"
        return f"{self.atom_embedder}-{self.state_pooling}-{sizes}"

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> PolicyConfig:
        """Makes the config of ``values``; missing ones keep their defaults.

        Raises:
            PolicyError: a name is unknown or a value is bad.
        """
        known = [field.name for field in dataclasses.fields(cls)]
        for name in values:
            if name not in known:
                raise PolicyError(f"unknown policy config {name!r}{did_you_mean(nearest_names(name, known))}")
        return cls(**values)
