"""Damaged and hostile folders of exported networks: each is refused with a reason, at once, and by no other error."""

from __future__ import annotations

import copy
import hashlib
import json
import pickle
import random
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor

from proofrank.core.errors import PolicyError
from proofrank.core.policy import load_policy
from proofrank.core.policy.exported.checkpoint import hash_of_fields
from tests.helpers.own_networks import default_dataset, exported

CONFIG, WEIGHTS, VOCABULARY = FILES = ("policy.json", "policy.safetensors", "vocab.json")
MOST_SECONDS = 5.0
HUGE = 2**53
Json = dict[str, Any]


@cache
def sound() -> dict[str, bytes]:
    """The files of a network that loads."""
    return {name: (exported("two towers") / name).read_bytes() for name in FILES}


def sealed(
    change: Callable[[Json], object] = lambda fields: None,
    change_weights: Callable[[dict[str, Tensor]], object] = lambda tensors: None,
) -> dict[str, bytes]:
    """The files with changes, and with the checksums that they then have: as whoever means harm would write them."""
    tensors = load(sound()[WEIGHTS])
    change_weights(tensors)
    weights = save(tensors)
    fields = json.loads(sound()[CONFIG])
    fields.pop("checksums")
    change(fields)
    checksums = {
        "config": hash_of_fields(fields),
        "weights": hashlib.sha256(weights).hexdigest(),
        "vocabulary": hashlib.sha256(sound()[VOCABULARY]).hexdigest(),
    }
    config = json.dumps({**fields, "checksums": checksums}).encode()
    return {CONFIG: config, WEIGHTS: weights, VOCABULARY: sound()[VOCABULARY]}


def refusal(files: dict[str, bytes], folder: Path) -> str:
    """Loads the files, which must be refused soon; returns the reason."""
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    began = time.process_time()
    with pytest.raises(PolicyError) as refused:
        load_policy(folder, default_dataset())
    assert time.process_time() - began < MOST_SECONDS
    return str(refused.value)


# What a test changes: nodes of the two towers


def nodes(fields: Json) -> list[Json]:
    return fields["network"]["program"]["nodes"]


def node(fields: Json, op: str) -> Json:
    """The first node of an operation."""
    return next(node for node in nodes(fields) if node["op"] == op)


def with_node(operation: str, /, **entries: Any) -> Callable[[Json], None]:
    """Changes entries of the first node of an operation; None takes one out."""

    def change(fields: Json) -> None:
        found = node(fields, operation)
        for key, value in entries.items():
            if value is None:
                found.pop(key, None)
            else:
                found[key] = value

    return change


def with_argument(op: str, place: int, value: Any) -> Callable[[Json], None]:
    """Changes an argument of the first node of an operation."""

    def change(fields: Json) -> None:
        node(fields, op)["args"][place] = value

    return change


def before_the_end(*added: Json) -> Callable[[Json], None]:
    """Adds nodes, and has the last of them read by nobody."""

    def change(fields: Json) -> None:
        nodes(fields).extend(copy.deepcopy(added))

    return change


def with_output(*added: Json) -> Callable[[Json], None]:
    """Adds nodes, of which the last is the output; ``OUT`` in them is the output before."""

    def change(fields: Json) -> None:
        program = fields["network"]["program"]
        text = json.dumps(added).replace("OUT", program["output"])
        program["nodes"].extend(json.loads(text))
        program["output"] = added[-1]["name"]

    return change


def op(
    name: str, operation: str, *args: Any, shape: list[Any], dtype: str = "float32", **kwargs: Any
) -> Json:
    """A node."""
    return {
        "name": name, "op": f"aten.{operation}", "args": list(args), "kwargs": kwargs, "shape": shape, "dtype": dtype,
    }  # fmt: skip


ROWS = {"rows": 1}
OUT = {"node": "OUT"}
VECTORS = [ROWS, 16]

EMBEDDING, ADDMM, SELECT = ("aten.embedding.default", "aten.addmm.default", "aten.select.int")
BATCH_NORM = "aten._native_batch_norm_legit_no_training.default"


def cycle(fields: Json) -> None:
    first, second = [node for node in nodes(fields) if node["op"] == ADDMM][:2]
    first["args"][1] = {"node": second["name"]}


def beyond_the_table(fields: Json) -> None:
    """Looks arguments up in the table of predicates."""
    second = [node for node in nodes(fields) if node["op"] == EMBEDDING][1]
    second["args"][0] = {"node": "p_predicates_weight"}


def twice(fields: Json) -> None:
    nodes(fields).append(copy.deepcopy(node(fields, ADDMM)))


def long_chain(number: int) -> Callable[[Json], None]:
    """A network of many operations, each on the one before."""

    def change(fields: Json) -> None:
        before = fields["network"]["program"]["output"]
        for place in range(number):
            name = f"neg_{place}"
            nodes(fields).append(op(name, "neg.default", {"node": before}, shape=VECTORS))
            before = name
        fields["network"]["program"]["output"] = before

    return change


def deep(depth: int) -> Any:
    value: Any = 0
    for _ in range(depth):
        value = [value]
    return value


def setting(*path: str, value: Any) -> Callable[[Json], None]:
    """Sets an entry of ``policy.json``, or takes it out with None."""

    def change(fields: Json) -> None:
        for key in path[:-1]:
            fields = fields[key]
        if value is None:
            del fields[path[-1]]
        else:
            fields[path[-1]] = value

    return change


PROGRAM = ("network", "program")

HOSTILE: dict[str, tuple[Callable[[Json], object], str]] = {
    # Operations
    "an operation that runs code": (with_node(ADDMM, op="os.system"), "operation 'os.system' is not allowed"),
    "an operation of Python": (with_node(ADDMM, op="builtins.eval"), "not allowed"),
    "an operation that loads a library": (with_node(ADDMM, op="aten.from_file.default"), "not allowed"),
    "an operation that writes to its input": (with_node(ADDMM, op="aten.addmm_.default"), "not allowed"),
    "an operation that views memory": (with_node(ADDMM, op="aten.as_strided.default"), "not allowed"),
    "an operation of random numbers": (with_node(ADDMM, op="aten.rand.default"), "not allowed"),
    "a shape that depends on values": (with_node(ADDMM, op="aten.nonzero.default"), "not allowed"),
    "another namespace": (with_node(ADDMM, op="prims.add.default"), "not allowed"),
    "an unknown overload": (with_node(ADDMM, op="aten.addmm.out"), "not allowed"),
    "an attribute as operation": (with_node(ADDMM, op="aten.__class__.__mro__"), "not allowed"),
    "an empty operation": (with_node(ADDMM, op=""), "operation '' is not allowed"),
    "a number as operation": (with_node(ADDMM, op=7), "its operation is 7; expected a name"),
    "no operation": (with_node(ADDMM, op=None), "its operation is None"),
    "a long operation": (with_node(ADDMM, op="a" * 100_000), "not allowed"),
    # Names
    "a name with code": (with_node(ADDMM, name="x): __import__('os').system('id') #"), "has the name"),
    "a name with a line break": (with_node(ADDMM, name="x\nimport os"), "has the name"),
    "a name of a dunder of another letter": (with_node(ADDMM, name="ｘ"), "has the name"),
    "an empty name": (with_node(ADDMM, name=""), "has the name ''"),
    "a name that is long": (with_node(ADDMM, name="a" * 129), "has the name"),
    "a number as name": (with_node(ADDMM, name=3), "has the name 3"),
    "a node twice": (twice, "there are two of this name"),
    "a node of another kind": (setting(*PROGRAM, "nodes", value=[[]]), r"is \[\]; expected an object"),
    "an unknown entry": (with_node(ADDMM, code="eval"), "has an entry 'code'"),
    # References
    "a cycle": (cycle, "which is no node before it"),
    "a node that reads itself": (with_argument(EMBEDDING, 1, {"node": "embedding"}), "no node before it"),
    "a node that is not there": (with_argument(ADDMM, 1, {"node": "nobody"}), "reads 'nobody', which is no node"),
    "an output that is not there": (setting(*PROGRAM, "output", value="nobody"), "output is 'nobody'"),
    "no output": (setting(*PROGRAM, "output", value=None), "'output' is None"),
    "a list as output": (setting(*PROGRAM, "output", value=["mul"]), "'output' is"),
    # Arguments
    "too few arguments": (with_node(ADDMM, args=[]), r"aten.addmm.default does not take its arguments"),
    "too many arguments": (with_node("aten.gelu.default", args=[{"node": "addmm"}] * 9), "does not take"),
    "a tensor for a number": (with_argument(SELECT, 1, {"node": "p_first_0_weight"}), "does not take"),
    "a text for a tensor": (with_argument(ADDMM, 1, {"text": "addmm"}), "does not take"),
    "a plain text": (with_argument(ADDMM, 1, "addmm"), "an argument is 'addmm'"),
    "an object of two entries": (with_argument(ADDMM, 1, {"node": "x", "rows": 1}), "which has no meaning"),
    "an object of code": (with_argument(ADDMM, 1, {"eval": "1"}), "which has no meaning"),
    "an unknown dtype": (with_argument(SELECT, 1, {"dtype": "complex64"}), "which has no meaning"),
    "a device": (with_node("aten.gelu.default", kwargs={"device": {"text": "cuda"}}), "device is not allowed"),
    "an output argument": (with_node(ADDMM, kwargs={"out": {"node": "states"}}), "out is not allowed"),
    "an unknown argument": (with_node(ADDMM, kwargs={"gamma": 1}), "does not take its arguments"),
    "lists in lists": (with_argument(ADDMM, 1, [[[{"node": "sum_1"}]]]), "no lists in lists"),
    "lists in lists without end": (with_argument(ADDMM, 1, deep(500)), "no lists in lists"),
    "a long list": (with_argument(ADDMM, 1, [{"node": "sum_1"}] * 5000), "at most 1024 parts"),
    "a whole number too large": (with_argument(SELECT, 2, 10**30), "which has no meaning"),
    "a place that is not there": (with_argument(SELECT, 2, 3), "does not take its arguments"),
    "a dimension that is not there": (with_argument(SELECT, 1, 9), "does not take its arguments"),
    "infinity without its form": (with_argument(SELECT, 2, float("inf")), "which has no meaning"),
    "not a number": (with_argument(SELECT, 2, float("nan")), "which has no meaning"),
    "no number": (with_argument(SELECT, 2, {"float": "nan"}), "which has no meaning"),
    "a matrix of another width": (with_argument(ADDMM, 1, {"node": "sum_2"}), "does not take its arguments"),
    "arguments that are no list": (with_node(ADDMM, args={"0": 1}), "'args' is no list"),
    "channels of another number": (
        with_argument(BATCH_NORM, 1, {"node": "p_first_0_weight"}), "does not take its arguments",
    ),
    "a part that is not there": (with_argument("getitem", 1, 5), "the place of one"),
    "a part of one tensor": (with_argument("getitem", 0, {"node": "addmm"}), "the place of one"),
    "a part by a name": (with_argument("getitem", 1, {"text": "__class__"}), "the place of one"),
    # Shapes and dtypes
    "another shape": (with_node(ADDMM, shape=[ROWS, 33]), r"states \[64, 33\] float32 for 64 rows"),
    "another number of sizes": (with_node(ADDMM, shape=[ROWS]), r"states \[64\] float32"),
    "another dtype": (with_node(ADDMM, dtype="int64"), r"gives \[64, 32\] float32"),
    "no shape": (with_node(ADDMM, shape=None), "'shape' is None"),
    "no dtype": (with_node(ADDMM, dtype=None), "'dtype' is None"),
    "a dtype that is not there": (with_node(ADDMM, dtype="float8"), "'dtype' is 'float8'"),
    "a negative size": (with_node(ADDMM, shape=[ROWS, -1]), "a size is -1"),
    "a size that is no number": (with_node(ADDMM, shape=[ROWS, "16"]), "a size is '16'"),
    "a fixed number of rows": (with_node(SELECT, shape=[64, 6]), r"states \[64, 6\] int64 for 128 rows"),
    "a size of rows that is no number": (with_node(ADDMM, shape=[{"rows": "1"}, 32]), "a size is"),
    "many sizes": (with_node("parameter", shape=[1] * 1000), "does not take its arguments"),
    "many results": (with_node(ADDMM, results=[{"shape": [1], "dtype": "bool"}] * 5000), "'results' is"),
    "results that are not there": (with_node(ADDMM, results=[{"shape": [1], "dtype": "bool"}] * 2), "gives 1"),
    "no results": (with_node(ADDMM, results=[]), "'results' is"),
    # Sizes
    "a gigantic weight": (with_node("parameter", shape=[HUGE, 2]), "expected at most 268435456|weights"),
    "a weight of nothing": (with_node("parameter", shape=[0, HUGE, HUGE]), "no tensor has its shape|is .*; node"),
    "a gigantic constant": (
        before_the_end(op("big", "full.default", [HUGE], 0.5, shape=[HUGE])), "elements; expected at most",
    ),
    "a gigantic range": (
        before_the_end(op("big", "arange.start_step", 0, HUGE, shape=[HUGE], dtype="int64")), "elements",
    ),
    "a gigantic view": (
        before_the_end(op("big", "expand.default", {"node": "p_second_0_bias"}, [2**40, 32], shape=[2**40, 32])),
        "elements; expected at most",
    ),
    "a gigantic repetition": (
        before_the_end(op("big", "repeat.default", {"node": "p_second_0_bias"}, [2**40], shape=[2**45])),
        "elements; expected at most",
    ),
    "gigantic padding": (
        before_the_end(
            op("big", "constant_pad_nd.default", {"node": "p_second_0_bias"}, [2**40, 0], shape=[2**40 + 32])
        ),
        "elements; expected at most",
    ),
    "a gigantic product": (
        before_the_end(
            op("left", "full.default", [2**12, 2**12], 0.5, shape=[2**12, 2**12]),
            op("right", "mm.default", {"node": "left"}, {"node": "left"}, shape=[2**12, 2**12]),
        ),
        "multiplications and additions",
    ),
    "a size beyond int64": (
        before_the_end(op("big", "full.default", [HUGE, HUGE, HUGE], 0, shape=[HUGE, HUGE, HUGE])), "does not take",
    ),
    "a range without end": (
        before_the_end(op("big", "arange.start_step", 0, 1, 0, shape=[1], dtype="int64")), "does not take",
    ),
    "many operations": (long_chain(8200), "larger than 1048576 bytes|expected a list of at most 8192"),
    "many weights of one name": (
        lambda fields: nodes(fields).append({**node(fields, "parameter"), "name": "again"}), "is read twice",
    ),
    "a constant that no CPU computes": (
        with_output(
            op("odd", "full.default", [ROWS, 16], 0.5, shape=VECTORS),
            op("not", "bitwise_not.default", {"node": "odd"}, shape=VECTORS),
            op("sum", "add.Tensor", OUT, {"node": "not"}, shape=VECTORS),
        ),
        "a constant of the network cannot be computed",
    ),
    # What it maps
    "an output of whole numbers": (
        with_output(op("odd", "_to_copy.default", OUT, shape=VECTORS, dtype="int64", dtype_=1)),
        "does not take",
    ),
    "an output of a number a state": (
        with_output(op("odd", "sum.dim_IntList", OUT, [1], shape=[ROWS])), "the network's output is",
    ),
    "an output of vectors of nothing": (
        with_output(op("odd", "slice.Tensor", OUT, 1, 0, 0, shape=[ROWS, 0])), "the network's output is",
    ),
    "pairs of one input": (setting(*PROGRAM, "maps", value="pairs"), "expected 2 for pairs"),
    "an unknown kind": (setting(*PROGRAM, "maps", value="code"), "'maps' is 'code'"),
    "no input": (
        lambda fields: nodes(fields).remove(node(fields, "input")), "which is no node before it",
    ),
    "an input of another shape": (with_node("input", shape=[ROWS, 7, 3]), "expected .N, 6, 3. int64"),
    "an input of another dtype": (with_node("input", dtype="float32"), "expected .N, 6, 3. int64"),
    "an input of another place": (with_node("input", tensor="1"), "the network reads inputs 1"),
    "no atoms": (setting(*PROGRAM, "atoms", value=0), "the network takes 0 atoms"),
    "many atoms": (setting(*PROGRAM, "atoms", value=2**40), "atoms; expected a number from 1"),
    "atoms that are no number": (setting(*PROGRAM, "atoms", value="6"), "'atoms' is '6'"),
    # Dependence between rows, and indices
    "a mean over the rows": (
        with_output(
            op("mean", "mean.dim", OUT, [0], True, shape=[1, 16]),
            op("odd", "sub.Tensor", OUT, {"node": "mean"}, shape=VECTORS),
        ),
        "rows depend on each other",
    ),
    "a sum along the rows": (
        with_output(op("odd", "cumsum.default", OUT, 0, shape=VECTORS)), "rows depend on each other",
    ),
    "the rows turned around": (
        with_output(op("odd", "flip.default", OUT, [0], shape=VECTORS)), "rows depend on each other",
    ),
    "the number of a row": (
        with_output(
            op("place", "arange.start_step", 0, ROWS, shape=[ROWS], dtype="int64"),
            op("column", "unsqueeze.default", {"node": "place"}, 1, shape=[ROWS, 1], dtype="int64"),
            op("odd", "add.Tensor", OUT, {"node": "column"}, shape=VECTORS),
        ),
        "rows depend on each other",
    ),
    "an index beyond the table": (
        beyond_the_table, "cannot be computed for states of predicates up to 7 and arguments up to 311",
    ),
    # The rest of the file
    "no program": (setting(*PROGRAM, value=None), "'program' is None"),
    "no network": (setting("network", value=None), "'network' is None"),
    "no nodes": (setting(*PROGRAM, "nodes", value=None), "'nodes' is None"),
    "nodes in an object": (setting(*PROGRAM, "nodes", value={}), "'nodes' is"),
    "no nodes in the list": (setting(*PROGRAM, "nodes", value=[]), "reads inputs none"),
    "no settings": (setting("prover", value=None), "'prover' is None"),
    "an unknown setting": (setting("prover", "depth", value=3), "unknown prover setting 'depth'"),
    "no scale": (setting("network", "logit_scale", value=None), "'logit_scale' is None"),
    "a negative scale": (setting("network", "logit_scale", value=-1.0), "'logit_scale' is -1.0"),
    "an infinite scale": (setting("network", "logit_scale", value=float("inf")), "'logit_scale' is inf"),
    "variables of another number": (setting("network", "max_variables", value=41), "variables"),
    "variables below zero": (setting("network", "max_variables", value=-1), "'max_variables' is -1"),
    "very many variables": (setting("network", "max_variables", value=2**40), "'max_variables' is"),
    "another format": (setting("format", value="proofrank-exported-2"), "'format' is 'proofrank-exported-2'"),
}  # fmt: skip


def changed(name: str, change: Callable[[Tensor], Tensor]) -> Callable[[dict[str, Tensor]], None]:
    def apply(tensors: dict[str, Tensor]) -> None:
        tensors[name] = change(tensors[name]).contiguous()

    return apply


def with_value(value: float) -> Callable[[Tensor], Tensor]:
    def change(tensor: Tensor) -> Tensor:
        tensor = tensor.clone()
        tensor.view(-1)[0] = value
        return tensor

    return change


BIAS = "first.0.bias"

BAD_WEIGHTS: dict[str, tuple[Callable[[dict[str, Tensor]], object], str]] = {
    "not a number": (changed(BIAS, with_value(float("nan"))), "values that are not finite"),
    "infinite": (changed(BIAS, with_value(float("inf"))), "values that are not finite"),
    "not a number in a running mean": (
        changed("first.2.running_mean", with_value(float("nan"))), "not finite",
    ),
    "one too few": (lambda tensors: tensors.pop(BIAS), "the weights lack"),
    "one too many": (lambda tensors: tensors.update(more=torch.zeros(1)), "and have .'more'."),
    "of another dtype": (changed(BIAS, Tensor.double), "is .32. float64"),
    "of half precision": (changed(BIAS, Tensor.half), "is .32. float16"),
    "of another shape": (changed(BIAS, lambda tensor: tensor[:-1]), "is .31. float32"),
    "a table of one constant less": (changed("arguments.weight", lambda tensor: tensor[:-1]), "is .311, 16."),
}  # fmt: skip


def test_the_files_load_before_they_are_changed(tmp_path: Path) -> None:
    for name, content in sealed().items():
        (tmp_path / name).write_bytes(content)

    assert load_policy(tmp_path, default_dataset()).shape.embedding_dim == 16


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_program_is_refused_with_its_reason(name: str, tmp_path: Path) -> None:
    change, reason = HOSTILE[name]

    assert_matches(refusal(sealed(change), tmp_path), reason)


@pytest.mark.parametrize("name", BAD_WEIGHTS)
def test_weights_that_are_not_those_of_the_program_are_refused(name: str, tmp_path: Path) -> None:
    change, reason = BAD_WEIGHTS[name]

    assert_matches(refusal(sealed(change_weights=change), tmp_path), reason)


def assert_matches(text: str, reason: str) -> None:
    with pytest.raises(PolicyError, match=reason):
        raise PolicyError(text)


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("seed", range(25))
def test_a_flipped_bit_is_found(file: str, seed: int, tmp_path: Path) -> None:
    generator = random.Random(f"{file} {seed}")
    content = bytearray(sound()[file])
    content[generator.randrange(len(content))] ^= 1 << generator.randrange(8)
    if file == CONFIG and same_json(bytes(content), sound()[file]):
        pytest.skip("it means the same, such as 1E-05 for 1e-05")

    refusal({**sound(), file: bytes(content)}, tmp_path)


def same_json(first: bytes, second: bytes) -> bool:
    try:
        return json.loads(first) == json.loads(second)
    except ValueError:
        return False


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("share", [0.0, 0.001, 0.1, 0.5, 0.9, 0.999])
def test_a_file_that_ends_early_is_refused(file: str, share: float, tmp_path: Path) -> None:
    content = sound()[file]

    refusal({**sound(), file: content[: int(share * (len(content) - 2))]}, tmp_path)


@pytest.mark.parametrize("file", FILES)
def test_a_missing_file_is_named(file: str, tmp_path: Path) -> None:
    files = {name: content for name, content in sound().items() if name != file}

    assert file in refusal(files, tmp_path)


@pytest.mark.parametrize("file", FILES)
def test_the_file_of_another_network_is_found_by_its_checksum(file: str, tmp_path: Path) -> None:
    other = (exported("two towers", seed=1) / file).read_bytes()
    if other == sound()[file]:
        pytest.skip("both have the same names")

    assert "SHA-256" in refusal({**sound(), file: other}, tmp_path)


class Hostile:
    """Calls a function when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (pytest.fail, ("something was unpickled",))


@pytest.mark.parametrize("file", FILES)
def test_no_file_is_unpickled(file: str, tmp_path: Path) -> None:
    refusal({**sound(), file: pickle.dumps(Hostile())}, tmp_path)


@pytest.mark.parametrize(
    "text", [b"[" * 100_000, b'{"a":' * 100_000, b"1" * 10_000, b"\xff\xfe", b"null", b""]
)
def test_json_that_is_none_is_refused(text: bytes, tmp_path: Path) -> None:
    refusal({**sound(), CONFIG: text}, tmp_path)
