"""The interactions of PyKEEN that its own modules compute, and the keyword arguments that these take.

PyKEEN's resolver makes 34 interactions. Eight have a formula here
(:mod:`proofrank.core.embedding.interactions`); the others are listed below, and no other name is ever looked up. Each
keyword argument is JSON and checked. This module needs no PyKEEN;
:mod:`proofrank.core.embedding.pykeen_modules` makes the modules.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from proofrank.core.errors import EmbeddingError
from proofrank.core.formats.finite_numbers import is_finite_number

MOST_OF_A_SIZE = 1 << 16
"""Maximum of a keyword argument that is a size, such as that of a hidden layer."""

MOST_PARTS = 64
"""Maximum number of layers, of heads of attention, and of vectors of an entity or a relation."""

MOST_COEFFICIENTS = 1024
"""Maximum number of terms of AutoSF."""

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    of.__name__: of
    for of in (
        nn.CELU,
        nn.ELU,
        nn.GELU,
        nn.Hardtanh,
        nn.Identity,
        nn.LeakyReLU,
        nn.LogSigmoid,
        nn.Mish,
        nn.ReLU,
        nn.ReLU6,
        nn.SELU,
        nn.SiLU,
        nn.Sigmoid,
        nn.Softplus,
        nn.Softsign,
        nn.Tanh,
        nn.Tanhshrink,
    )
}
"""Name of an activation -> torch's module, which is made with its defaults."""

Option = tuple[Callable[[Any], bool], str]
"""Whether a value is allowed, and what is."""


@dataclass(frozen=True)
class PykeenInteraction:
    """What is known of one interaction of PyKEEN.

    Attributes:
        options: name of an option -> what it may be; all of them must be given but those with a default.
        read: the options of a module of PyKEEN's, as JSON.
        arguments: the keyword arguments of PyKEEN's class, given the options.
        defaults: values of options that may be missing.
    """

    options: Mapping[str, Option] = field(default_factory=dict)
    read: Callable[[Any], dict[str, Any]] = lambda module: {}
    arguments: Callable[[Mapping[str, Any]], dict[str, Any]] = dict
    defaults: Mapping[str, Any] = field(default_factory=dict)


def _whole(least: int, most: int) -> Option:
    return (
        lambda value: type(value) is int and least <= value <= most,
        f"a whole number from {least} to {most}",
    )


_SIZE = _whole(1, MOST_OF_A_SIZE)
_PARTS = _whole(1, MOST_PARTS)
_YES_OR_NO: Option = (lambda value: isinstance(value, bool), "true or false")
_NUMBER: Option = (is_finite_number, "a finite number")
_NUMBER_OR_NULL: Option = (lambda value: value is None or is_finite_number(value), "a finite number or null")
_ACTIVATION: Option = (
    lambda value: isinstance(value, str) and value in ACTIVATIONS,
    f"one of {', '.join(ACTIVATIONS)}",
)


def _attributes(*names: str) -> Callable[[Any], dict[str, Any]]:
    """Reads attributes of a module that have the names of its keyword arguments."""
    return lambda module: {name: getattr(module, name) for name in names}


def _norm(**others: Option) -> PykeenInteraction:
    """An interaction by a norm, with other attributes beside it."""
    positive: Option = (
        lambda value: is_finite_number(value) and 0 < value <= 100,
        "a number above 0, at most 100",
    )
    options = {"p": positive, "power_norm": _YES_OR_NO, **others}
    return PykeenInteraction(options, _attributes(*options))


def _name_of(activation: Any) -> str:
    """The name of an activation with its defaults. Raises EmbeddingError for any other."""
    name = type(activation).__name__
    if name not in ACTIVATIONS or repr(activation) != repr(ACTIVATIONS[name]()):
        raise EmbeddingError(
            f"the activation is {activation!r}; expected one of {', '.join(ACTIVATIONS)}, with its defaults"
        )
    return name


def _with_activations(options: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return dict(options) | {name: ACTIVATIONS[options[name]]() for name in names}


def _er_mlp(module: Any) -> dict[str, Any]:
    return {
        "embedding_dim": module.hidden.in_features // 3,
        "hidden_dim": module.hidden.out_features,
        "activation": _name_of(module.activation),
    }


def _er_mlp_e(module: Any) -> dict[str, Any]:
    first = next(layer for layer in module.mlp if isinstance(layer, nn.Linear))
    return {"embedding_dim": first.in_features // 2, "hidden_dim": first.out_features}


def _proj_e(module: Any) -> dict[str, Any]:
    return {
        "embedding_dim": len(module.d_e),
        "inner_activation": _name_of(module.inner_activation),
        "outer_activation": _name_of(module.outer_activation),
    }


def _cross_e(module: Any) -> dict[str, Any]:
    return {"embedding_dim": len(module.bias), "combination_activation": _name_of(module.activation)}


def _conv_e(module: Any) -> dict[str, Any]:
    shape = module.shape_info
    return {
        "embedding_dim": shape.embedding_dim,
        "output_channels": shape.output_channels,
        "embedding_height": shape.image_height,
        "embedding_width": shape.image_width,
        "kernel_height": shape.kernel_height,
        "kernel_width": shape.kernel_width,
        "apply_batch_normalization": any(isinstance(layer, nn.BatchNorm2d) for layer in module.hr2d),
    }


def _tucker(module: Any) -> dict[str, Any]:
    return dict(zip(("head_dim", "relation_dim", "tail_dim"), module.core_tensor.shape, strict=True))


def _transformer(module: Any) -> dict[str, Any]:
    layers = module.transformer.layers
    return {
        "input_dim": module.final.in_features,
        "num_layers": len(layers),
        "num_heads": layers[0].self_attn.num_heads,
        "dim_feedforward": layers[0].linear1.out_features,
    }


def _kg2e(module: Any) -> dict[str, Any]:
    return {"similarity": type(module.similarity).__name__, "exact": module.similarity.exact}


def _kg2e_arguments(options: Mapping[str, Any]) -> dict[str, Any]:
    if options["similarity"] == "ExpectedLikelihood" and options["exact"]:
        raise EmbeddingError(
            "KG2E with ExpectedLikelihood and exact=True: PyKEEN adds a number that grows with the number of triples "
            "scored at once; expected exact=False, which gives the same order"
        )
    return {"similarity": options["similarity"], "similarity_kwargs": {"exact": options["exact"]}}


def _auto_sf(module: Any) -> dict[str, Any]:
    return {
        "coefficients": [list(term) for term in module.coefficients],
        "num_entity_representations": len(module.entity_shape),
        "num_relation_representations": len(module.relation_shape),
    }


def _auto_sf_arguments(options: Mapping[str, Any]) -> dict[str, Any]:
    return dict(options) | {"coefficients": [tuple(term) for term in options["coefficients"]]}


def _are_coefficients(value: Any) -> bool:
    return (
        isinstance(value, list)
        and 1 <= len(value) <= MOST_COEFFICIENTS
        and all(
            isinstance(term, list)
            and len(term) == 4
            and all(type(place) is int and 0 <= place < MOST_PARTS for place in term[:3])
            and type(term[3]) is int
            and term[3] in (-1, 1)
            for term in value
        )
    )


CLAMP = "clamp_score"
"""Option that clamps scores: null, or the lowest and the highest score, each null for no bound."""


def _is_clamp(value: Any) -> bool:
    if value is None:
        return True
    if not isinstance(value, list) or len(value) != 2:
        return False
    bounds = [bound for bound in value if bound is not None]
    return bool(bounds) and all(map(is_finite_number, bounds)) and bounds[0] <= bounds[-1]


_SIMILARITIES = ("NegativeKullbackLeiblerDivergence", "ExpectedLikelihood")

PYKEEN_INTERACTIONS: dict[str, PykeenInteraction] = {
    "AutoSF": PykeenInteraction(
        {
            "coefficients": (
                _are_coefficients,
                f"1 to {MOST_COEFFICIENTS} lists of the places of head, relation and tail, and a sign of 1 or -1",
            ),
            "num_entity_representations": _PARTS,
            "num_relation_representations": _PARTS,
        },
        _auto_sf,
        _auto_sf_arguments,
    ),
    "BoxE": _norm(tanh_map=_YES_OR_NO),
    "ConvE": PykeenInteraction(
        {
            "embedding_dim": _SIZE,
            "output_channels": _SIZE,
            "embedding_height": _SIZE,
            "embedding_width": _SIZE,
            "kernel_height": _SIZE,
            "kernel_width": _SIZE,
            "apply_batch_normalization": _YES_OR_NO,
        },
        _conv_e,
    ),
    "ConvKB": PykeenInteraction(
        {"embedding_dim": _SIZE, "num_filters": _SIZE}, _attributes("embedding_dim", "num_filters")
    ),
    "CrossE": PykeenInteraction(
        {"embedding_dim": _SIZE, "combination_activation": _ACTIVATION},
        _cross_e,
        lambda options: _with_activations(options, "combination_activation"),
    ),
    "DistMA": PykeenInteraction(),
    "ERMLP": PykeenInteraction(
        {"embedding_dim": _SIZE, "hidden_dim": _SIZE, "activation": _ACTIVATION},
        _er_mlp,
        lambda options: _with_activations(options, "activation"),
    ),
    "ERMLPE": PykeenInteraction({"embedding_dim": _SIZE, "hidden_dim": _SIZE}, _er_mlp_e),
    "HolE": PykeenInteraction(),
    "KG2E": PykeenInteraction(
        {
            "similarity": (lambda value: value in _SIMILARITIES, f"one of {', '.join(_SIMILARITIES)}"),
            "exact": _YES_OR_NO,
        },
        _kg2e,
        _kg2e_arguments,
    ),
    "LineaRE": _norm(),
    "MuRE": _norm(),
    "MultiLinearTucker": PykeenInteraction(
        {"head_dim": _SIZE, "relation_dim": _SIZE, "tail_dim": _SIZE}, _tucker
    ),
    "NTN": PykeenInteraction(
        {"activation": _ACTIVATION},
        lambda module: {"activation": _name_of(module.activation)},
        lambda options: _with_activations(options, "activation"),
    ),
    "ProjE": PykeenInteraction(
        {"embedding_dim": _SIZE, "inner_activation": _ACTIVATION, "outer_activation": _ACTIVATION},
        _proj_e,
        lambda options: _with_activations(options, "inner_activation", "outer_activation"),
    ),
    "QuatE": PykeenInteraction(),
    "SE": _norm(),
    # Its authors clamp scores to [-20, 20], and its model in PyKEEN has an option for it.
    "SimplE": PykeenInteraction(
        {CLAMP: (_is_clamp, "null, or a list of the lowest and the highest score, one of which may be null")},
        arguments=lambda options: {},
        defaults={CLAMP: None},
    ),
    "TorusE": _norm(),
    "TransD": _norm(),
    "TransF": PykeenInteraction(),
    "TransH": _norm(),
    "TransR": _norm(max_projection_norm=_NUMBER),
    "Transformer": PykeenInteraction(
        {"input_dim": _SIZE, "num_layers": _PARTS, "num_heads": _PARTS, "dim_feedforward": _SIZE},
        _transformer,
    ),
    "TripleRE": _norm(u=_NUMBER_OR_NULL),
    "UM": _norm(),
}
"""Name of an interaction, as PyKEEN writes it -> what is known of it."""
