"""The tensors of the public DeepProofLog code under our names, and what names, shapes and storages tell of the network.

Two generations write files: the current one, with fused layers or, with ``parity``, plain ones; and the old one on
Stable-Baselines3. Their networks have the same formulas.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from proofrank.core.errors import PolicyError, first_few, shown
from proofrank.core.policy.importing.archive import StateDict

COMPILED_PREFIX = "_orig_mod."
"""Part that ``torch.compile`` adds to the names of a module's tensors."""

TRAIN, BUILDER, SB3 = "train.create_components", "builder.create_policy", "sb3"
"""Functions of the public code that make a policy; of the old generation there is one."""

_EMBEDDER = r"features_extractor\.embedder\."
_BODY = r"mlp_extractor\.(?:shared_network\.)?shared_body\."
_HEAD = r"mlp_extractor\."
_PARTS = {"q": "query", "k": "key", "v": "value", "out": "output"}
_RENAMED = tuple(
    (re.compile(pattern), ours)
    for pattern, ours in (
        (_EMBEDDER + r"predicate_embedder\.embedder\.weight", r"embedding.predicates"),
        (_EMBEDDER + r"constant_embedder\.embedder\.weight", r"embedding.arguments"),
        (_EMBEDDER + r"(atom|state)_embedder\.gru\.(weight|bias)_ih_l0", r"embedding.\1_gru.input.\2"),
        (_EMBEDDER + r"(atom|state)_embedder\.gru\.(weight|bias)_hh_l0", r"embedding.\1_gru.hidden.\2"),
        (_EMBEDDER + r"state_embedder\.query", r"embedding.state_query"),
        (
            _EMBEDDER + r"(atom|state)_embedder\.attention\.in_proj_(weight|bias)",
            r"embedding.\1_attention.in.\2",
        ),
        (
            _EMBEDDER + r"(atom|state)_embedder\.attention\.out_proj\.(weight|bias)",
            r"embedding.\1_attention.output.\2",
        ),
        *(
            (
                _EMBEDDER + rf"atom_embedder\.{part}_proj\.(weight|bias)",
                rf"embedding.atom_attention.{ours}.\1",
            )
            for part, ours in _PARTS.items()
        ),
        (_BODY + r"input_transform\.(?:0\.)?(weight|bias)", r"body_input.\1"),
        (_BODY + r"input_transform\.(?:2\.|ln_)(weight|bias)", r"body_norm.\1"),
        (_BODY + r"res_blocks\.(\d+)\.(?:0\.)?(weight|bias)", r"body_blocks.\1.linear.\2"),
        (_BODY + r"res_blocks\.(\d+)\.(?:2\.|ln_)(weight|bias)", r"body_blocks.\1.norm.\2"),
        (_HEAD + r"policy_head_fused\.(?:0\.)?(weight|bias)", r"head_hidden.\1"),
        (_HEAD + r"policy_head_final\.(weight|bias)", r"head_output.\1"),
        (_HEAD + r"shared_network\.policy_head\.out_transform\.0\.(weight|bias)", r"head_hidden.\1"),
        (_HEAD + r"shared_network\.policy_head\.out_transform\.2\.(weight|bias)", r"head_output.\1"),
    )
)
_ROOT = re.compile(r"(?:(?:pi|vf)_)?features_extractor\.|mlp_extractor\.|(?:action|value)_net\.")
"""How the names of a policy's tensors begin."""

_HALF = (torch.float16, torch.bfloat16)

_OF_NO_LOGIT = re.compile(
    r"(?:pi|vf)_features_extractor\..*|mlp_extractor\.(?:shared_network\.)?value_(?:body|head)\w*\..*"
    r"|(?:action|value)_net\.(?:weight|bias)"
)


@dataclass(frozen=True)
class PublicNetwork:
    """A network of the public code, under our names.

    Attributes:
        tensors: name of ours -> tensor; tables have the rows of the file.
        generation: ``current`` or ``old`` (Stable-Baselines3).
        is_compiled: whether the names were those of a compiled module.
        prefix: what stood before each name, such as ``module.`` of a module on several GPUs; often nothing.
        within: key under which the state dict stood in the file; None if it was all of it.
        half: precision of half the bits that tensors were stored in, such as ``float16``; None without one. They are
            float32 here, with the same values.
        has_parity_names: whether its layers were plain ones.
        factory: function that made it, where the file tells: a value body of its own is made by ``BUILDER`` alone.
        embedding_dim: E.
        hidden_dim: width of the body.
        num_layers: residual blocks.
        atom_embedder: kind, where it has tensors of its own.
        state_pooling: likewise.
        padding_states: number of actions that it was trained with, where the file tells.
        num_tensors: tensors of the file.
        num_storages: storages of the file.
        num_left_out: tensors of the file that no logit depends on.
    """

    tensors: dict[str, Tensor]
    generation: str
    is_compiled: bool
    prefix: str
    within: str | None
    half: str | None
    has_parity_names: bool
    factory: str | None
    embedding_dim: int
    hidden_dim: int
    num_layers: int
    atom_embedder: str | None
    state_pooling: str | None
    padding_states: int | None
    num_tensors: int
    num_storages: int
    num_left_out: int

    @property
    def num_predicate_rows(self) -> int:
        """Rows of the table of predicates, that of padding included."""
        return self.tensors["embedding.predicates"].shape[0]

    @property
    def num_argument_rows(self) -> int:
        """Rows of the table of constants and variables, that of padding included."""
        return self.tensors["embedding.arguments"].shape[0]


def read_network(state: StateDict, where: str) -> PublicNetwork:
    """Renames the tensors of ``state`` and reads the shape of the network off them.

    Args:
        state: tensors of the file.
        where: path of the file, for errors.

    Raises:
        PolicyError: a name or a shape is none of the public code's.
    """
    prefix = _prefix(state.tensors)
    names = {_plain(name).removeprefix(prefix): name for name in state.tensors}
    if len(names) != len(state.tensors):
        raise PolicyError(f"{where}: a tensor stands there both compiled and not; expected each once")
    is_compiled = any(COMPILED_PREFIX in name for name in names.values())
    tensors: dict[str, Tensor] = {}
    unknown: list[str] = []
    num_left_out = 0
    for plain, name in names.items():
        ours = _renamed(plain)
        if ours is not None:
            if ours in tensors:
                raise PolicyError(f"{where}: {shown(name)} stands there under two names; expected one")
            tensors[ours] = _in_float32(state.tensors[name])
        elif _OF_NO_LOGIT.fullmatch(plain):
            num_left_out += 1
        else:
            unknown.append(name)
    if unknown:
        raise PolicyError(
            f"{where}: unknown tensors {first_few(unknown, 3, shown)}; expected those of an "
            "ActorCriticPolicy of the public DeepProofLog code (features_extractor…, mlp_extractor…)"
        )
    for needed in ("embedding.predicates", "embedding.arguments", "body_input.weight", "head_output.weight"):
        if needed not in tensors or tensors[needed].dim() != 2:
            raise PolicyError(
                f"{where}: no table or matrix for {needed}; expected the state dict of a whole policy"
            )
    _check_one_extractor(state, names, where)
    tensors = dict(_split(tensors, where))
    embedding_dim = tensors["embedding.predicates"].shape[1]
    if embedding_dim != tensors["embedding.arguments"].shape[1]:
        raise PolicyError(
            f"{where}: predicates have {embedding_dim} numbers, constants "
            f"{tensors['embedding.arguments'].shape[1]}; expected the same (of other sizes only the embedders "
            "complex, rotate and concat can be made, which are not supported)"
        )
    if tensors["body_input.weight"].shape[1] != embedding_dim:
        raise PolicyError(
            f"{where}: the body reads {tensors['body_input.weight'].shape[1]} numbers, a state has {embedding_dim}; "
            "expected the same (the state embedder concat is not supported)"
        )
    blocks = {int(name.split(".")[1]) for name in tensors if name.startswith("body_blocks.")}
    action_net = names.get("action_net.weight")
    return PublicNetwork(
        tensors=tensors,
        generation="old" if any("shared_network." in plain for plain in names) else "current",
        is_compiled=is_compiled,
        prefix=prefix,
        within=state.within,
        half=next(
            (str(t.dtype).removeprefix("torch.") for t in state.tensors.values() if t.dtype in _HALF), None
        ),
        has_parity_names="mlp_extractor.policy_head_fused.0.weight" in names,
        factory=_factory(state, names, where),
        embedding_dim=embedding_dim,
        hidden_dim=tensors["body_input.weight"].shape[0],
        num_layers=len(blocks),
        atom_embedder=_kind(names, "atom_embedder"),
        state_pooling=_kind(names, "state_embedder"),
        padding_states=state.tensors[action_net].shape[0] if action_net is not None else None,
        num_tensors=len(state.tensors),
        num_storages=state.num_storages,
        num_left_out=num_left_out,
    )


def _plain(name: str) -> str:
    return name.replace(COMPILED_PREFIX, "")


def _prefix(names: Iterable[str]) -> str:
    """What stands before the name of every tensor, such as ``module.`` or ``policy.``; nothing if not the same."""
    prefixes: set[str] = set()
    for name in map(_plain, names):
        begins = (
            match for match in _ROOT.finditer(name) if match.start() == 0 or name[match.start() - 1] == "."
        )
        root = next(begins, None)
        prefixes.add("" if root is None else name[: root.start()])
    return prefixes.pop() if len(prefixes) == 1 else ""


def _in_float32(tensor: Tensor) -> Tensor:
    """A tensor of half the bits in float32, which holds its values exactly; others as they are."""
    return tensor.float() if tensor.dtype in _HALF else tensor


def _renamed(plain: str) -> str | None:
    for pattern, ours in _RENAMED:
        match = pattern.fullmatch(plain)
        if match is not None:
            return match.expand(ours)
    return None


def _split(tensors: dict[str, Tensor], where: str) -> Iterator[tuple[str, Tensor]]:
    """Yields the tensors with the joined projections of an attention taken apart, and the query as one row."""
    for name, tensor in tensors.items():
        if name == "embedding.state_query":
            yield name, tensor.reshape(1, -1)
            continue
        owner, is_joined, kind = name.rpartition(".in.")
        if not is_joined:
            yield name, tensor
            continue
        if tensor.shape[0] % 3:
            raise PolicyError(
                f"{where}: the joined projections of an attention have {tensor.shape[0]} rows; expected a multiple of 3"
            )
        for part, rows in zip(("query", "key", "value"), tensor.chunk(3), strict=True):
            yield f"{owner}.{part}.{kind}", rows


def _check_one_extractor(state: StateDict, names: dict[str, str], where: str) -> None:
    """Refuses a policy whose actor has an extractor of its own, for then the shared one gives no logits."""
    for plain, name in names.items():
        if not plain.startswith("pi_features_extractor."):
            continue
        shared = names.get(plain.removeprefix("pi_"))
        if shared is None or (
            state.storages[name] != state.storages[shared]
            and not torch.equal(state.tensors[name], state.tensors[shared])
        ):
            raise PolicyError(
                f"{where}: {shown(name)} differs from the tensor of features_extractor; expected one extractor for "
                "actor and critic, as the public code has it"
            )


def _factory(state: StateDict, names: dict[str, str], where: str) -> str | None:
    """Returns the factory that the storages tell; None if the value body is the policy's, or a copy of it."""
    if any("shared_network." in plain for plain in names):
        return SB3
    pairs: list[tuple[str, str]] = []
    for plain, name in names.items():
        if plain.startswith("mlp_extractor.value_body."):
            shared = names.get(plain.replace("value_body", "shared_body"))
            if shared is None:
                missing = plain.replace("value_body", "shared_body")
                raise PolicyError(
                    f"{where}: lacks {missing} beside {shown(name)}; expected the state dict of a whole policy"
                )
            pairs.append((name, shared))
    is_own = [state.storages[name] != state.storages[shared] for name, shared in pairs]
    if not any(is_own) or all(
        torch.equal(state.tensors[name], state.tensors[shared]) for name, shared in pairs
    ):
        return None
    if not all(is_own):
        raise PolicyError(
            f"{where}: its value body shares {len(is_own) - sum(is_own)} of {len(is_own)} tensors with the policy's; "
            "expected all or none"
        )
    return BUILDER


def _kind(names: dict[str, str], embedder: str) -> str | None:
    """Returns the kind of an embedder by the tensors that it has; None if it has none."""
    start = f"features_extractor.embedder.{embedder}."
    parts = {plain.removeprefix(start).split(".")[0] for plain in names if plain.startswith(start)}
    if "gru" in parts:
        return "rnn"
    if "q_proj" in parts:
        return "attention"
    return "transformer" if "attention" in parts else None
