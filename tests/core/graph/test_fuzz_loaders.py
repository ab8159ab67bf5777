"""Damaged files of any kind: what reads them refuses them by its own error, soon and in little memory, or reads them.

Hypothesis damages valid files; the bombs are files that were made to be expensive. ``pytest -m slow`` has many more.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import shutil
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proofrank.core.errors import DatasetError, PolicyError
from proofrank.core.graph import load_dataset
from proofrank.core.policy import load_policy
from proofrank.core.policy.checkpoint import CONFIG_FILE, VOCABULARY_FILE, WEIGHTS_FILE
from tests.helpers.damaged_files import damaged, damaged_json, json_bytes
from tests.helpers.family import write_family, write_untrained_policy

MOST_SECONDS = 30.0
"""Maximum processor time to read or refuse one bomb."""

MOST_BYTES = 1 << 30
"""Of memory while one bomb is read, over what the process had."""

LONGEST_MESSAGE = 2000

QUICK = settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
LONG = settings(
    max_examples=5_000,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

DATASET_FILES = ("train.txt", "valid.txt", "test.txt", "rules.txt", "domain2constants.txt")
POLICY_FILES = (WEIGHTS_FILE, CONFIG_FILE, VOCABULARY_FILE)


class Folders:
    """A valid dataset and a valid policy, and copies of them in which one file is another."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._numbers = itertools.count()
        self.dataset = write_family(root / "family")
        (self.dataset / "domain2constants.txt").write_text("person anna ben cara eva\n", encoding="utf-8")
        self.policy = write_untrained_policy(root / "policy", self.dataset)

    @contextlib.contextmanager
    def with_file(self, folder: Path, name: str, content: bytes) -> Iterator[Path]:
        """A copy of ``folder`` in which ``name`` holds ``content``."""
        copy = self._root / f"copy{next(self._numbers)}"
        shutil.copytree(folder, copy)
        (copy / name).write_bytes(content)
        yield copy
        shutil.rmtree(copy)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    return Folders(tmp_path_factory.mktemp("fuzz"))


def read_dataset(folders: Folders, name: str, content: bytes) -> None:
    """Loads the dataset with that file; any error but the documented one is the caller's."""
    with folders.with_file(folders.dataset, name, content) as folder:
        try:
            load_dataset(folder)
        except DatasetError as error:
            assert len(str(error)) < LONGEST_MESSAGE


def read_policy(folders: Folders, name: str, content: bytes) -> None:
    """Loads the policy with that file; any error but the documented one is the caller's."""
    with folders.with_file(folders.policy, name, content) as folder:
        try:
            load_policy(folder, load_dataset(folders.dataset))
        except PolicyError as error:
            assert len(str(error)) < LONGEST_MESSAGE


def safetensors(header: Any, body: bytes) -> bytes:
    """A file with this header."""
    text = json_bytes(header)
    return struct.pack("<Q", len(text)) + text + body


def split_safetensors(content: bytes) -> tuple[dict[str, Any], bytes]:
    """The header and the body of a file."""
    (length,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def fuzz_dataset(folders: Folders, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(DATASET_FILES))
    read_dataset(folders, name, data.draw(damaged((folders.dataset / name).read_bytes())))


def fuzz_policy_bytes(folders: Folders, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(POLICY_FILES))
    read_policy(folders, name, data.draw(damaged((folders.policy / name).read_bytes())))


def fuzz_policy_json(folders: Folders, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from([CONFIG_FILE, VOCABULARY_FILE]))
    value = json.loads((folders.policy / name).read_bytes())
    read_policy(folders, name, json_bytes(data.draw(damaged_json(value))))


def fuzz_weights_header(folders: Folders, data: st.DataObject) -> None:
    header, body = split_safetensors((folders.policy / WEIGHTS_FILE).read_bytes())
    if data.draw(st.booleans()):
        tensor = data.draw(st.sampled_from(sorted(header)))
        header[tensor] = {
            "dtype": data.draw(st.sampled_from(_DTYPES)),
            "shape": data.draw(st.lists(st.sampled_from([0, 1, 8, 32, 2**31, 2**63]), max_size=4)),
            "data_offsets": data.draw(
                st.lists(st.sampled_from([0, 1, 4, 128, len(body), 2**63]), min_size=2, max_size=2)
            ),
        }
    else:
        header = data.draw(damaged_json(header))
    read_policy(folders, WEIGHTS_FILE, safetensors(header, body))


_DTYPES = (
    "F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8", "U8", "U16", "U32", "U64", "BOOL", "C64", "F4", "F6_E2M3",
    "F6_E3M2", "F8_E8M0", "F8_E4M3", "F8_E5M2", "F8_E4M3FNUZ", "F8_E5M2FNUZ", "F31", "",
)  # fmt: skip

FUZZERS = (fuzz_dataset, fuzz_policy_bytes, fuzz_policy_json, fuzz_weights_header)
Fuzzer = Callable[[Folders, st.DataObject], None]


@pytest.mark.parametrize("fuzzer", FUZZERS)
@QUICK
@given(data=st.data())
def test_a_damaged_file_is_refused_by_an_error_of_ours_or_read(
    fuzzer: Fuzzer, folders: Folders, data: st.DataObject
) -> None:
    fuzzer(folders, data)


@pytest.mark.slow
@pytest.mark.parametrize("fuzzer", FUZZERS)
@LONG
@given(data=st.data())
def test_a_damaged_file_is_refused_by_an_error_of_ours_or_read_in_many_more_cases(
    fuzzer: Fuzzer, folders: Folders, data: st.DataObject
) -> None:
    fuzzer(folders, data)


def nested(depth: int) -> bytes:
    return b'{"format": ' + b"[" * depth + b"]" * depth + b"}"


ENORMOUS_NETWORK = {
    "embedding_dim": 1 << 16,
    "hidden_dim": 1 << 16,
    "num_layers": 1024,
    "max_variables": 1 << 20,
}

POLICY_BOMBS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "a million brackets": (CONFIG_FILE, lambda: b"[" * 1_000_000),
    "a million digits": (CONFIG_FILE, lambda: b'{"format": ' + b"9" * 1_000_000 + b"}"),
    "a format of ten million letters": (CONFIG_FILE, lambda: json_bytes({"format": "x" * 10_000_000})),
    "a hundred thousand settings": (
        CONFIG_FILE,
        lambda: json_bytes({"format": "proofrank-policy-1", "network": {str(n): n for n in range(100_000)}}),
    ),
    "a network that fits into no memory": (
        CONFIG_FILE,
        lambda: json_bytes({"format": "proofrank-policy-1", "network": ENORMOUS_NETWORK, "prover": {}}),
    ),
    "a setting with a name of a million letters": (
        CONFIG_FILE,
        lambda: json_bytes({"format": "proofrank-policy-1", "network": {"é" * 1_000_000: 1}, "prover": {}}),
    ),
    "two hundred thousand names": (
        VOCABULARY_FILE,
        lambda: json_bytes({"predicates": ["True", "False", "Endf"], "constants": list(map(str, range(200_000)))}),
    ),
    "names of a million letters": (
        VOCABULARY_FILE,
        lambda: json_bytes({"predicates": ["x" * 10**6, "True", "False", "Endf"], "constants": ["y" * 10**6]}),
    ),
    "a header of 2^63 bytes": (WEIGHTS_FILE, lambda: struct.pack("<Q", 2**63) + b"{}"),
    "a header of a terabyte": (WEIGHTS_FILE, lambda: struct.pack("<Q", 2**40) + b"{}" * 1000),
    "a tensor of 2^62 bytes": (
        WEIGHTS_FILE,
        lambda: safetensors({"x": {"dtype": "F32", "shape": [2**60], "data_offsets": [0, 2**62]}}, b""),
    ),
    "a shape that overflows": (
        WEIGHTS_FILE,
        lambda: safetensors({"x": {"dtype": "F32", "shape": [2**62, 2**62], "data_offsets": [0, 4]}}, b"1234"),
    ),
    "twenty thousand empty tensors": (
        WEIGHTS_FILE,
        lambda: safetensors(
            {f"t{n}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for n in range(20_000)}, b""
        ),
    ),
    "a header nested a million times": (
        WEIGHTS_FILE,
        lambda: struct.pack("<Q", 1_000_005) + b'{"x":' + b"[" * 1_000_000,
    ),
}  # fmt: skip

DATASET_BOMBS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "a line of twenty million letters": ("train.txt", lambda: b"x" * 20_000_000),
    "an atom of twenty million letters": ("train.txt", lambda: b"p(" + b"x" * 20_000_000 + b",y)."),
    "three million opening parentheses": ("train.txt", lambda: b"p(" * 1_500_000 + b")"),
    "three million quotes": ("rules.txt", lambda: b"'" * 3_000_001 + b"(X,Y) :- parent(X,Y)."),
    "quotes and blanks by turns": ("rules.txt", lambda: b"'' " * 500_000 + b"(X,Y) :- parent(X,Y)."),
    "half a million commas": ("rules.txt", lambda: b"p(X,Y) :- q(" + b"," * 500_000 + b")."),
    "an unknown predicate of a long name": (
        "rules.txt",
        lambda: f"ancestor(X,Y) :- {'é∂ß' * 300_000}(X,Y).".encode(),
    ),
    "a weight of a million digits": ("rules.txt", lambda: b"r:" + b"9" * 10**6 + b"x:parent(X,Y) -> ancestor(X,Y)"),
    "a million columns": ("test.txt", lambda: b"\t".join([b"a"] * 10**6)),
    "a million empty lines": ("valid.txt", lambda: b"\n" * 10**6),
    "a million bytes of nothing": ("train.txt", lambda: b"\x00" * 10**6),
    "twenty thousand rules": ("rules.txt", lambda: b"ancestor(X,Y) :- parent(X,Y).\n" * 20_000),
    "a domain of two hundred thousand constants": (
        "domain2constants.txt",
        lambda: b"person " + b" ".join(f"c{n}".encode() for n in range(200_000)),
    ),
}  # fmt: skip


@contextlib.contextmanager
def within_bounds() -> Iterator[None]:
    """Whatever is done inside takes little time and memory."""
    # Makes the peak that the kernel knows the memory of now.
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before, began = resident_bytes("VmRSS"), time.process_time()
    yield
    assert time.process_time() - began < MOST_SECONDS
    assert resident_bytes("VmHWM") - before < MOST_BYTES


def resident_bytes(field: str) -> int:
    """Memory of this process: ``VmRSS`` now, ``VmHWM`` at its peak."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    (line,) = [line for line in lines if line.startswith(f"{field}:")]
    return int(line.split()[1]) * 1024


@pytest.mark.parametrize("bomb", POLICY_BOMBS)
def test_a_policy_that_was_made_to_be_expensive_is_refused_cheaply(folders: Folders, bomb: str) -> None:
    name, make = POLICY_BOMBS[bomb]
    content = make()

    with within_bounds():
        read_policy(folders, name, content)


@pytest.mark.parametrize("bomb", DATASET_BOMBS)
def test_a_dataset_that_was_made_to_be_expensive_is_refused_or_read_cheaply(
    folders: Folders, bomb: str
) -> None:
    name, make = DATASET_BOMBS[bomb]
    content = make()

    with within_bounds():
        read_dataset(folders, name, content)


def test_json_that_can_just_be_parsed_can_be_refused_as_well(folders: Folders) -> None:
    for depth in [*range(100, 900, 100), *range(900, 1100, 3)]:
        read_policy(folders, CONFIG_FILE, nested(depth))
