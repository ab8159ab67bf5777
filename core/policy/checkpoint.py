"""Loads and saves policies: ``policy.safetensors``, ``policy.json`` and ``vocab.json`` in one folder.

The names of the Hugging Face convention, ``model.safetensors`` and ``config.json``, are read too
(:mod:`proofrank.core.policy.files`).

Nothing is unpickled. Loading checks the names, shapes, dtypes and values of the tensors, the config, and that the
vocabulary is the graph's; an error says exactly what does not fit. A network of somebody's own
(:mod:`proofrank.core.policy.exporting`) is in the same files, with its operations in ``policy.json``.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from proofrank.core.choices import untrained_name, untrained_seed
from proofrank.core.errors import EvaluationError, PolicyError, RankingError, shown
from proofrank.core.graph import PADDING, TERMINAL_PREDICATES, Dataset, Vocabulary
from proofrank.core.hybrid import MOST_HYBRID_BYTES, Hybrid, parse_hybrid
from proofrank.core.near_paths import entries, near_path
from proofrank.core.policy import deepprooflog
from proofrank.core.policy.config import PolicyConfig
from proofrank.core.policy.exported import ExportedConfig, ExportedNetwork
from proofrank.core.policy.exported import checkpoint as exported
from proofrank.core.policy.files import (
    CONFIG_FILE,
    HUB_CONFIG_FILE,
    HUB_WEIGHTS_FILE,
    VOCABULARY_FILE,
    WEIGHTS_FILE,
    PolicyPaths,
    policy_paths,
    read_whole,
    replace_folder,
)
from proofrank.core.policy.network import PolicyNetwork, empty_network
from proofrank.core.policy.untrained import random_network
from proofrank.core.prover import ProverSettings
from proofrank.core.prover.growth import most_variables

FORMAT = "proofrank-policy-1"
_OUR_NAMES = {HUB_WEIGHTS_FILE: WEIGHTS_FILE, HUB_CONFIG_FILE: CONFIG_FILE}


@dataclass(frozen=True)
class Policy:
    """A policy that is ready to use.

    Attributes:
        name: name of the checkpoint folder.
        model: the network, in evaluation mode and without gradients.
        vocabulary: names of the indices of its embeddings.
        settings: prover settings that it was trained with; defaults for those that the checkpoint does not give.
        content_hash: SHA-256 of weights, config and vocabulary, and of the weights of hybrid scores if there are any,
            in hexadecimal.
        hybrid: weights of hybrid scores that are stored with it; None without any.
    """

    name: str
    model: PolicyNetwork | ExportedNetwork
    vocabulary: Vocabulary
    settings: ProverSettings | None
    content_hash: str
    hybrid: Hybrid | None = None

    @property
    def shape(self) -> PolicyConfig | ExportedConfig:
        """Shape of a policy, which is all but its weights. It can be loaded into an evaluator of any policy of the
        other, which goes on with all that was compiled.
        """
        return self.model.config

    @property
    def network(self) -> PolicyNetwork:
        """The built-in network.

        Raises:
            PolicyError: the network is somebody's own.
        """
        if not isinstance(self.model, PolicyNetwork):
            raise PolicyError(f"policy {self.name!r} has a network of its own, and not the built-in one")
        return self.model

    def check_fits(self, dataset: Dataset) -> None:
        """Raises PolicyError, with the differences, if the vocabulary is not that of ``dataset``."""
        where = f"policy {self.name!r} does not fit dataset {dataset.name!r}"
        _check_names(where, "predicate", self.vocabulary.predicates, dataset.vocabulary.predicates)
        _check_names(where, "constant", self.vocabulary.constants, dataset.vocabulary.constants)


def load_policy(
    folder: Path | str, dataset: Dataset | None = None, *, with_unused_predicates: bool = False
) -> Policy:
    """Loads the checkpoint in ``folder``.

    Its tensors have our names, or those of the old generation of the public DeepProofLog code
    (:mod:`proofrank.core.policy.deepprooflog`). Files of that code itself are first imported
    (:mod:`proofrank.core.policy.importing`).

    Args:
        folder: folder of ``policy.safetensors``, ``policy.json`` and ``vocab.json``, the first two perhaps as
            ``model.safetensors`` and ``config.json``, and perhaps ``hybrid.json``; or ``untrained`` or
            ``untrained:SEED`` for :func:`untrained_policy`. A folder of that name is ``./untrained``.
        dataset: graph that the policy must fit, if known.
        with_unused_predicates: whether to keep the predicates that ``vocab.json`` lists as ``unused_predicates``, which
            no graph has; without them the vocabulary is that of the graph.

    Raises:
        PolicyError: a file is missing or bad, or the policy does not fit ``dataset``.
    """
    seed = untrained_seed(folder)
    if seed is not None:
        if dataset is None:
            raise PolicyError(f"policy {str(folder)!r} needs a dataset, whose names it embeds")
        return untrained_policy(dataset, seed)
    folder = Path(folder)
    if not folder.is_dir():
        raise _no_folder(folder)
    files = read_whole(folder, lambda: _read_files(policy_paths(folder)))
    paths, fields = files.paths, files.fields
    if exported.is_exported(fields):
        policy = _load_exported(folder, files)
        if dataset is not None:
            policy.check_fits(dataset)
        return policy
    vocabulary, num_variables, unused = _parse_vocabulary(files.vocabulary, paths.vocabulary)
    tensors = _parse_tensors(files.weights, paths.weights)
    if deepprooflog.is_deepprooflog(tensors):
        try:
            config = deepprooflog.read_config(fields, num_variables)
        except PolicyError as error:
            raise _file_error(paths.config, f"{error}") from error
        settings = None
        tensors = deepprooflog.rename(tensors)
    else:
        config, settings = _read_config(fields, paths.config)
    check_weights(config, vocabulary, tensors, paths.weights)
    if unused and not with_unused_predicates:
        vocabulary, tensors = _without(unused, vocabulary, tensors)
    network = network_with(config, vocabulary, tensors)
    hybrid = _parse_hybrid(files, vocabulary)
    policy = Policy(folder.resolve().name, network, vocabulary, settings, files.content_hash, hybrid)
    if dataset is not None:
        policy.check_fits(dataset)
    return policy


_MAKERS = (
    "proofrank import makes one of a checkpoint of the public DeepProofLog code, proofrank.export_policy one of a "
    "torch module of your own"
)


def _no_folder(path: Path) -> PolicyError:
    if path.is_file():
        return PolicyError(f"{path}: a file; expected a checkpoint folder with {WEIGHTS_FILE}: {_MAKERS}")
    return PolicyError(
        f"{path}: no such folder; expected a checkpoint folder with {WEIGHTS_FILE}, or 'untrained'{near_path(path)}"
    )


_MOST_NAMES = 5
"""Number of names that a message lists."""


class _Files(NamedTuple):
    """The files of a policy folder: their paths and contents, and the fields of the config."""

    paths: PolicyPaths
    fields: dict[str, Any]
    weights: bytes
    config: bytes
    vocabulary: bytes
    hybrid: bytes | None

    @property
    def content_hash(self) -> str:
        """The hash of all of them."""
        of_hybrid = () if self.hybrid is None else (self.hybrid,)
        return content_hash_of(self.weights, self.config, self.vocabulary, *of_hybrid)


def _read_files(paths: PolicyPaths) -> _Files:
    """Reads the files of a policy folder. Raises PolicyError if one cannot be read or is too large."""
    if not any(path.is_file() for path in (paths.weights, paths.config)):
        folder = paths.config.parent
        there = ", ".join(islice(entries(folder), _MOST_NAMES)) or "nothing"
        raise _file_error(
            paths.config,
            f"no such file, and no {WEIGHTS_FILE}; the folder has {there}; expected a policy's files: {_MAKERS}",
        )
    config = _read(paths.config)
    vocabulary = _read(paths.vocabulary)
    fields = _parse_json(config, paths.config)
    most_bytes = None
    if exported.is_exported(fields):
        if len(config) > exported.MOST_CONFIG_BYTES:
            raise _file_error(paths.config, f"larger than {exported.MOST_CONFIG_BYTES} bytes")
        most_bytes = exported.MOST_WEIGHT_BYTES
    weights = _read(paths.weights, most_bytes)
    hybrid = _read(paths.hybrid, MOST_HYBRID_BYTES) if paths.hybrid.is_file() else None
    return _Files(paths, fields, weights, config, vocabulary, hybrid)


def _load_exported(folder: Path, files: _Files) -> Policy:
    """Loads a policy whose network is somebody's own."""
    paths = files.paths
    try:
        exported.check_files(files.fields, files.weights, files.vocabulary)
        vocabulary, num_variables, unused = _parse_vocabulary(files.vocabulary, paths.vocabulary)
        network, settings = exported.read_network(
            files.fields, _parse_tensors(files.weights, paths.weights), vocabulary
        )
    except (PolicyError, EvaluationError) as error:
        if isinstance(error, PolicyError) and error.file is not None:
            raise
        raise _file_error(paths.config, f"{error}") from error
    if unused or num_variables != network.config.max_variables:
        raise _file_error(
            paths.vocabulary,
            f"has {num_variables} variables and {len(unused)} unused predicates; {paths.config.name} has "
            f"{network.config.max_variables} variables, and no predicate of such a network is unused",
        )
    hybrid = _parse_hybrid(files, vocabulary)
    return Policy(folder.resolve().name, network, vocabulary, settings, files.content_hash, hybrid)


def _parse_hybrid(files: _Files, vocabulary: Vocabulary) -> Hybrid | None:
    """The weights of hybrid scores in a policy's folder; None if there are none.

    Args:
        files: of the folder.
        vocabulary: has the relations that may have weights.

    Raises:
        PolicyError: they are not as expected, or were fitted to other contents.
    """
    if files.hybrid is None:
        return None
    path = files.paths.hybrid
    try:
        hybrid = parse_hybrid(files.hybrid, str(path), with_format=True)
    except RankingError as error:
        raise PolicyError(str(error), file=path.name) from error
    own = files._replace(hybrid=None).content_hash
    if hybrid.fitted_to not in (None, own):
        raise _file_error(
            path,
            f"has weights that were fitted to the policy {shown(hybrid.fitted_to)}, and this one is {own!r}; remove "
            "the file, and fit them again by proofrank fit-hybrid --with-policy",
        )
    for name in hybrid.by_relation:
        if not vocabulary.has_predicate(name):
            raise _file_error(path, f"has weights of relation {shown(name)}, which the policy does not know")
    return hybrid


def untrained_policy(dataset: Dataset, seed: int) -> Policy:
    """A policy that has learned nothing: the default network with random weights, under the default prover settings.

    It shows what a dataset's rules and facts can prove at all, and is the baseline of trained policies.

    Args:
        dataset: the graph whose names it embeds.
        seed: of the weights; the same one gives the same policy, and the same content hash.
    """
    settings = ProverSettings()
    network = _untrained_network(dataset, seed, settings)
    files = checkpoint_files(network, dataset.vocabulary, settings)
    content_hash = content_hash_of(files[WEIGHTS_FILE], files[CONFIG_FILE], files[VOCABULARY_FILE])
    return Policy(untrained_name(seed), network, dataset.vocabulary, settings, content_hash)


def save_untrained(folder: Path, dataset: Dataset, seed: int) -> None:
    """Writes the checkpoint of :func:`untrained_policy` into ``folder``."""
    settings = ProverSettings()
    save_policy(folder, _untrained_network(dataset, seed, settings), dataset.vocabulary, settings)


def _untrained_network(dataset: Dataset, seed: int, settings: ProverSettings) -> PolicyNetwork:
    needed = most_variables(dataset, settings, resolutions_per_step=1)
    config = PolicyConfig(max_variables=max(PolicyConfig.max_variables, needed))
    return random_network(config, dataset.vocabulary, seed)


def content_hash_of(*contents: bytes) -> str:
    """The SHA-256, in hexadecimal, of the contents of weights, config and vocabulary, and of the weights of hybrid
    scores where those are stored with them.
    """
    digest = hashlib.sha256()
    for content in contents:
        digest.update(hashlib.sha256(content).digest())
    return digest.hexdigest()


def store_hybrid(folder: Path | str, policy: Policy, fields: Mapping[str, Any]) -> str:
    """Writes weights of hybrid scores into the folder of a policy, of which they are a part from then on.

    Args:
        folder: of the policy.
        policy: loaded from ``folder`` before the weights were fitted to it.
        fields: content of the file, as :meth:`HybridFit.to_file` gives it.

    Returns:
        The policy's content hash with them.

    Raises:
        PolicyError: the folder has other content by now, or the file cannot be written.
    """
    paths = policy_paths(Path(folder))
    contents = [_read(path) for path in (paths.weights, paths.config, paths.vocabulary)]
    before = [_read(paths.hybrid)] if paths.hybrid.is_file() else []
    if content_hash_of(*contents, *before) != policy.content_hash:
        raise PolicyError(f"{folder}: has changed since the weights were fitted to it; fit them again")
    content = _json({**fields, "policy": content_hash_of(*contents)})
    scratch = paths.hybrid.with_name(f".{paths.hybrid.name}")
    try:
        scratch.write_bytes(content)
        scratch.replace(paths.hybrid)
    except OSError as error:
        raise _file_error(paths.hybrid, f"cannot be written: {error.strerror}") from error
    return content_hash_of(*contents, content)


def save_policy(
    folder: Path | str,
    network: PolicyNetwork,
    vocabulary: Vocabulary,
    settings: ProverSettings,
    training: Mapping[str, Any] | None = None,
    unused_predicates: Sequence[str] = (),
) -> None:
    """Writes a checkpoint that :func:`load_policy` reads, all of it at one moment
    (:func:`proofrank.core.policy.files.replace_folder`).

    Args:
        folder: folder to write to; made if it does not exist. One process at a time may write to it.
        network: network whose weights and config are written.
        vocabulary: names of the indices of its embeddings.
        settings: prover settings that it was trained with.
        training: notes on the training, as JSON; not read again.
        unused_predicates: predicates of ``vocabulary`` that have an embedding and are in no graph.
    """
    replace_folder(Path(folder), checkpoint_files(network, vocabulary, settings, training, unused_predicates))


def checkpoint_files(
    network: PolicyNetwork,
    vocabulary: Vocabulary,
    settings: ProverSettings,
    training: Mapping[str, Any] | None = None,
    unused_predicates: Sequence[str] = (),
) -> dict[str, bytes]:
    """Name -> content of the files of a checkpoint, as :func:`save_policy` writes them."""
    weights = {name: tensor.detach().contiguous() for name, tensor in network.state_dict().items()}
    fields = {
        "format": FORMAT,
        "network": dataclasses.asdict(network.config),
        "prover": dataclasses.asdict(settings),
        "training": dict(training or {}),
    }
    return {
        WEIGHTS_FILE: save_tensors(weights),
        CONFIG_FILE: _json(fields),
        VOCABULARY_FILE: vocabulary_file(vocabulary, network.config.max_variables, unused_predicates),
    }


def vocabulary_file(
    vocabulary: Vocabulary, max_variables: int, unused_predicates: Sequence[str] = ()
) -> bytes:
    """The content of ``vocab.json``.

    Args:
        vocabulary: names of the indices.
        max_variables: number of run-time variables that the network knows.
        unused_predicates: predicates of ``vocabulary`` that are in no graph.
    """
    return _json(
        {
            "predicates": [*vocabulary.predicates, *TERMINAL_PREDICATES],
            "constants": list(vocabulary.constants),
            "first_predicate_index": 1,
            "first_constant_index": 1,
            "first_variable_index": vocabulary.first_variable_index,
            "max_variables": max_variables,
            "padding_index": PADDING,
            **({"unused_predicates": list(unused_predicates)} if unused_predicates else {}),
        }
    )


def build_network(config: PolicyConfig, vocabulary: Vocabulary) -> PolicyNetwork:
    """Makes a network of this shape for this vocabulary, in evaluation mode and without gradients."""
    network = PolicyNetwork(config, vocabulary.num_predicates, vocabulary.num_constants)
    return network.eval().requires_grad_(False)


def network_with(
    config: PolicyConfig, vocabulary: Vocabulary, tensors: Mapping[str, Tensor]
) -> PolicyNetwork:
    """Makes a network with these weights, in evaluation mode and without gradients.

    None of torch's random numbers are drawn. ``tensors`` are copied, and have passed :func:`check_weights`.
    """
    network = empty_network(config, vocabulary.num_predicates, vocabulary.num_constants)
    network.load_state_dict(tensors)
    return network.eval().requires_grad_(False)


def _read(path: Path, most_bytes: int | None = None) -> bytes:
    try:
        if most_bytes is not None and path.stat().st_size > most_bytes:
            raise _file_error(path, f"larger than {most_bytes} bytes")
        return path.read_bytes()
    except OSError as error:
        raise _file_error(path, f"cannot be read: {error.strerror}") from error


def _parse_tensors(content: bytes, path: Path) -> dict[str, Tensor]:
    try:
        return load_tensors(content)
    except SafetensorError as error:
        raise _file_error(path, f"not a safetensors file: {error}") from error


def _json(value: Any) -> bytes:
    return (json.dumps(value, ensure_ascii=False, indent=1) + "\n").encode()


def _parse_json(content: bytes, path: Path) -> dict[str, Any]:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise _file_error(path, f"not JSON: {error}") from error
    if not isinstance(value, dict):
        raise _file_error(path, f"a JSON {type(value).__name__}; expected an object")
    return value


def _parse_vocabulary(content: bytes, path: Path) -> tuple[Vocabulary, int, tuple[str, ...]]:
    """Returns the vocabulary, the number of run-time variables that have an embedding, and the unused predicates."""
    fields = _parse_json(content, path)
    names: dict[str, list[str]] = {}
    for key in ("predicates", "constants"):
        value = fields.get(key)
        if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
            raise _file_error(path, f"{key!r} is no list of names")
        if len(set(value)) != len(value):
            raise _file_error(path, f"{key!r} holds a name twice")
        names[key] = value
    predicates, constants = names["predicates"], names["constants"]
    if tuple(predicates[-3:]) != TERMINAL_PREDICATES:
        raise _file_error(
            path, f"'predicates' ends in {predicates[-3:]}; expected {list(TERMINAL_PREDICATES)}"
        )
    expected = {
        "padding_index": PADDING,
        "first_predicate_index": 1,
        "first_constant_index": 1,
        "first_variable_index": len(constants) + 1,
    }
    for key, value in expected.items():
        if fields.get(key, value) != value:
            raise _file_error(path, f"{key!r} is {shown(fields[key])}; expected {value}")
    max_variables = fields.get("max_variables", PolicyConfig.max_variables)
    if type(max_variables) is not int:
        raise _file_error(path, f"'max_variables' is {shown(max_variables)}; expected a whole number")
    unused = fields.get("unused_predicates", [])
    if not isinstance(unused, list) or not all(name in predicates[:-3] for name in unused):
        raise _file_error(path, f"'unused_predicates' is {shown(unused)}; expected a list of 'predicates'")
    return Vocabulary(tuple(predicates[:-3]), tuple(constants)), max_variables, tuple(unused)


def _without(
    unused: tuple[str, ...], vocabulary: Vocabulary, tensors: dict[str, Tensor]
) -> tuple[Vocabulary, dict[str, Tensor]]:
    """Returns vocabulary and tensors without some predicates."""
    used = Vocabulary(
        tuple(name for name in vocabulary.predicates if name not in unused), vocabulary.constants
    )
    rows = [PADDING, *(vocabulary.predicate_index(name) for name in used.predicates)]
    rows += [vocabulary.true_index, vocabulary.false_index, vocabulary.endf_index]
    return used, {**tensors, "embedding.predicates": tensors["embedding.predicates"][rows]}


def _read_config(fields: dict[str, Any], path: Path) -> tuple[PolicyConfig, ProverSettings]:
    if fields.get("format") != FORMAT:
        raise _file_error(path, f"'format' is {shown(fields.get('format'))}; expected {FORMAT!r}")
    parts = {}
    for key in ("network", "prover"):
        parts[key] = fields.get(key)
        if not isinstance(parts[key], dict):
            raise _file_error(path, f"{key!r} is {shown(parts[key])}; expected an object")
    try:
        return PolicyConfig.from_dict(parts["network"]), ProverSettings.from_dict(parts["prover"])
    except (PolicyError, EvaluationError) as error:
        raise _file_error(path, f"{error}") from error


def check_weights(
    config: PolicyConfig, vocabulary: Vocabulary, tensors: Mapping[str, Tensor], path: Path
) -> None:
    """Checks names, shapes, dtypes and values of the tensors of a network.

    Raises:
        PolicyError: names ``path``, the tensor, and what was expected.
    """
    with torch.device("meta"):  # shapes without memory, so that a wrong config allocates nothing
        expected = build_network(config, vocabulary).state_dict()
    missing = sorted(expected.keys() - tensors.keys())
    extra = sorted(tensors.keys() - expected.keys())
    if missing or extra:
        problems = [f"lacks {', '.join(missing)}"] * bool(missing) + [f"has {', '.join(extra)}"] * bool(extra)
        raise _file_error(
            path, f"{' and '.join(problems)}; expected {len(expected)} tensors as in the config"
        )
    for name, tensor in tensors.items():
        wanted = expected[name]
        if tensor.dtype != wanted.dtype:
            raise _file_error(path, f"{name} is {tensor.dtype}; expected {wanted.dtype}")
        if tensor.shape != wanted.shape:
            raise _file_error(
                path,
                f"{name} has shape {list(tensor.shape)}; expected {list(wanted.shape)} by the config "
                "and the vocabulary",
            )
        if not bool(torch.isfinite(tensor).all()):
            raise _file_error(path, f"{name} holds values that are not finite")
    for name in ("embedding.predicates", "embedding.arguments"):
        if bool(tensors[name][PADDING].any()):
            raise _file_error(path, f"row {PADDING} of {name} is padding and must be zero")


def _file_error(path: Path, message: str) -> PolicyError:
    """Makes an error that names the wrong file of a checkpoint."""
    return PolicyError(f"{path}: {message}", file=_OUR_NAMES.get(path.name, path.name))


def _check_names(where: str, kind: str, of_policy: tuple[str, ...], of_graph: tuple[str, ...]) -> None:
    if of_policy == of_graph:
        return
    names_of_policy, names_of_graph = set(of_policy), set(of_graph)
    lacking = [name for name in of_graph if name not in names_of_policy]
    extra = [name for name in of_policy if name not in names_of_graph]
    problems = []
    if lacking:
        problems.append(f"the policy lacks {_some(kind, lacking)} of the graph")
    if extra:
        problems.append(f"the graph lacks {_some(kind, extra)} of the policy")
    if not problems:
        index = next(
            i for i, (ours, theirs) in enumerate(zip(of_policy, of_graph, strict=True)) if ours != theirs
        )
        problems.append(
            f"{kind} {index + 1} is {of_policy[index]!r} in the policy, {of_graph[index]!r} in the graph"
        )
    raise PolicyError(f"{where}: {'; '.join(problems)}")


def _some(kind: str, names: list[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:3])
    return f"{len(names)} {kind}{'s' * (len(names) > 1)} ({shown}{', …' * (len(names) > 3)})"
