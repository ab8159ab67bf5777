"""Archives: tensors are read from good ones; damaged and hostile ones are refused before anything of them runs."""

from __future__ import annotations

import io
import os
import pickle
import random
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from proofrank.core.errors import PolicyError
from proofrank.core.policy.importing import archive
from proofrank.core.policy.importing.archive import read_state_dict

Change = Callable[[dict[str, bytes]], object]
"""Changes the members of an archive, name -> content."""


def saved(value: Any) -> bytes:
    """What ``torch.save`` writes."""
    stream = io.BytesIO()
    torch.save(value, stream)
    return stream.getvalue()


def good() -> bytes:
    """A state dict of three tensors in two storages."""
    weight = torch.arange(6.0).reshape(2, 3)
    return saved(OrderedDict(a=weight, again=weight, bias=torch.ones(2)))


def members_of(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def zipped(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as opened:
        for name, content in members.items():
            opened.writestr(name, content)
    return stream.getvalue()


def changed(change: Change) -> bytes:
    """The good archive with changed members."""
    members = members_of(good())
    change(members)
    return zipped(members)


def sb3(**members: bytes) -> bytes:
    """A Stable-Baselines3 archive; ``data`` would run code if it was unpickled."""
    return zipped(
        {
            "data": pickle.dumps(Harmful()),
            "pytorch_variables.pth": b"",
            "policy.pth": good(),
            "policy.optimizer.pth": b"no archive",
            "_stable_baselines3_version": b"2.7.0",
            "system_info.txt": b"",
            **{name.replace("__", "."): content for name, content in members.items()},
        }
    )


class Harmful:
    """Makes a folder where it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, ("harmed",))


def write(content: bytes, path: Path) -> Path:
    path.write_bytes(content)
    return path


def refusal(content: bytes, folder: Path) -> str:
    path = folder / "checkpoint.pt"
    path.write_bytes(content)
    with pytest.raises(PolicyError) as caught:
        read_state_dict(path)
    assert str(caught.value).startswith(f"{path}: ")
    return str(caught.value)


@pytest.fixture(autouse=True)
def nothing_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sees to it that no test has run the harmful pickle."""
    monkeypatch.chdir(tmp_path)
    yield
    assert not (tmp_path / "harmed").exists()


# Good archives


def test_tensors_are_read_with_their_shared_storages(tmp_path: Path) -> None:
    (tmp_path / "checkpoint.pt").write_bytes(good())

    state = read_state_dict(tmp_path / "checkpoint.pt")

    assert list(state.tensors) == ["a", "again", "bias"]
    assert torch.equal(state.tensors["again"], torch.arange(6.0).reshape(2, 3))
    assert state.storages["a"] == state.storages["again"] != state.storages["bias"]
    assert (state.num_storages, state.is_sb3) == (2, False)


@pytest.mark.parametrize("key", ["state_dict", "model_state_dict"])
def test_a_state_dict_beside_other_things_is_read_and_its_key_told(key: str, tmp_path: Path) -> None:
    network = nn.Linear(2, 3)
    optimizer = torch.optim.Adam(network.parameters())
    network(torch.ones(2)).sum().backward()
    optimizer.step()
    states = [optimizer.state_dict()]  # as Lightning has it, with tensors within
    torch.save(
        {
            "epoch": 3,
            "optimizer_states": states,
            key: network.state_dict(),
            "best": 0.5,
            "loss": torch.tensor(0.5),
        },
        tmp_path / "last.ckpt",
    )

    state = read_state_dict(tmp_path / "last.ckpt")

    assert (state.within, list(state.tensors)) == (key, ["weight", "bias"])
    assert torch.equal(state.tensors["weight"], network.weight)
    assert read_state_dict(write(good(), tmp_path / "plain.pt")).within is None


def test_what_stands_beside_a_state_dict_cannot_claim_more_memory_than_there_is(tmp_path: Path) -> None:
    content = saved({"state_dict": {"a": torch.ones(2)}, "other": [torch.ones(4)]})
    members = members_of(content)
    members["archive/data/1"] = members["archive/data/1"][:8]

    assert "expected" in refusal(zipped(members), tmp_path)


def test_tensors_of_a_gpu_are_read_on_the_cpu(tmp_path: Path) -> None:
    content = changed(in_pickle(b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:0"))

    state = read_state_dict(write(content, tmp_path / "gpu.pt"))

    assert {tensor.device.type for tensor in state.tensors.values()} == {"cpu"}
    assert torch.equal(state.tensors["a"], torch.arange(6.0).reshape(2, 3))


def test_of_a_stable_baselines3_archive_only_the_network_is_read(tmp_path: Path) -> None:
    (tmp_path / "model.zip").write_bytes(sb3())

    state = read_state_dict(tmp_path / "model.zip")

    assert state.is_sb3
    assert list(state.tensors) == ["a", "again", "bias"]


# Hostile and damaged ones


def in_pickle(old: bytes, new: bytes) -> Change:
    def change(members: dict[str, bytes]) -> None:
        content = members["archive/data.pkl"]
        assert old in content
        members["archive/data.pkl"] = content.replace(old, new)

    return change


def set_member(name: str, content: bytes) -> Change:
    return lambda members: members.update({name: content})


MEMBERS: dict[str, tuple[Change, str]] = {
    "a pickle that names a function": (
        in_pickle(b"ccollections\nOrderedDict\n", b"cos\nsystem\n"),
        "names 'os.system'; expected a state dict of tensors alone",
    ),
    "a harmful pickle in place of the dict": (
        set_member("archive/data.pkl", pickle.dumps(Harmful(), protocol=2)),
        "mkdir'; expected a state dict of tensors alone",
    ),
    "a harmful pickle of protocol 4": (
        set_member("archive/data.pkl", pickle.dumps(Harmful(), protocol=4)),
        "uses STACK_GLOBAL; expected a state dict of tensors alone",
    ),
    "a class that torch itself would allow": (
        in_pickle(b"ctorch\nFloatStorage\n", b"ctorch\nSize\n"),
        "names 'torch.Size'",
    ),
    "a pickle that ends early": (
        lambda members: members.update({"archive/data.pkl": members["archive/data.pkl"][:-20]}),
        "damaged",
    ),
    "a pickle of noise": (set_member("archive/data.pkl", random.Random(0).randbytes(400)), "damaged"),
    "an empty pickle": (set_member("archive/data.pkl", b""), "damaged"),
    "a pickle that is too long": (
        set_member("archive/data.pkl", b"N" * (archive.MAX_PICKLE_BYTES + 1)),
        "archive/data.pkl has 4194305 bytes; expected at most 4194304",
    ),
    "no pickle": (lambda members: members.pop("archive/data.pkl"), "no data.pkl"),
    "another folder": (set_member("other/data/0", b""), "no data.pkl in one folder"),
    "code": (set_member("archive/code/__torch__.py", b""), "unexpected member 'archive/code/__torch__.py'"),
    "a path upwards": (set_member("../data/7", b""), "no data.pkl in one folder"),
    "an absolute path": (set_member("/etc/passwd", b""), "unexpected member '/etc/passwd'"),
    "a long text": (set_member("archive/version", b"3" * 100), "has 100 bytes; expected a few"),
    "big-endian numbers": (set_member("archive/byteorder", b"big"), "expected little-endian"),
    "a storage that is too short": (set_member("archive/data/0", b"1234"), "expected"),
    "a storage that is too long": (set_member("archive/data/0", bytes(4096)), "expected"),
    "a storage that is missing": (lambda members: members.pop("archive/data/0"), "expected"),
    "a storage that nothing uses": (set_member("archive/data/7", b"1234"), "expected the same"),
}


@pytest.mark.parametrize("problem", MEMBERS)
def test_an_archive_with_other_members_is_refused(problem: str, tmp_path: Path) -> None:
    change, expected = MEMBERS[problem]

    assert expected in refusal(changed(change), tmp_path)


def with_claimed_size(content: bytes, name: bytes, size: int) -> bytes:
    """An archive whose directory claims another size of one member."""
    place = content.rindex(name) - 46
    assert content[place : place + 4] == b"PK\x01\x02"
    return content[: place + 20] + struct.pack("<II", size, size) + content[place + 28 :]


ARCHIVES: dict[str, tuple[Callable[[], bytes], str]] = {
    "nothing": (lambda: b"", "no zip archive; expected a state dict that torch.save"),
    "a bare pickle": (lambda: pickle.dumps(Harmful()), "no zip archive"),
    "the form before torch 1.6": (
        lambda: old_form(),
        "no zip archive; expected a state dict that torch.save of torch 1.6 or newer wrote",
    ),
    "half of an archive": (lambda: good()[: len(good()) // 2], "damaged zip archive"),
    "a bomb": (
        lambda: zipped({**members_of(good()), "archive/data/0": bytes(50 << 20)}, zipfile.ZIP_DEFLATED),
        "is compressed",
    ),
    "a claim of more bytes than there are": (
        lambda: with_claimed_size(good(), b"archive/data/0", 1 << 31),
        "its members claim",
    ),
    "an empty archive": (lambda: b"PK\x03\x04" + zipped({}), "no data.pkl"),
    "a list": (lambda: saved([torch.ones(2)]), "holds a list; expected a state dict of tensors by name"),
    "a dict without tensors": (lambda: saved({"state": {"a": 1}, "epoch": 2}), "'state' is a dict"),
    "two state dicts": (
        lambda: saved({"model": {"a": torch.ones(2)}, "ema": {"a": torch.ones(2)}, "epoch": 2}),
        "holds 2 state dicts, 'model', 'ema'; expected one: save that of the policy alone",
    ),
    "numbers as names": (lambda: saved({1: torch.ones(2)}), "1 is a Tensor"),
    "no tensor": (lambda: saved({}), "holds no tensor"),
    "an expanded tensor": (
        lambda: saved({"a": torch.ones(1).expand(1 << 40)}),
        "'a' is not contiguous",
    ),
    "a sparse tensor": (
        lambda: saved({"a": torch.eye(3).to_sparse()}),
        "expected a state dict of tensors alone",
    ),
    "a whole module": (lambda: saved(nn.Linear(2, 2)), "expected a state dict of tensors alone"),
}


def old_form() -> bytes:
    stream = io.BytesIO()
    torch.save({"a": torch.ones(2)}, stream, _use_new_zipfile_serialization=False)
    return stream.getvalue()


@pytest.mark.parametrize("problem", ARCHIVES)
def test_another_archive_is_refused(problem: str, tmp_path: Path) -> None:
    make, expected = ARCHIVES[problem]

    assert expected in refusal(make(), tmp_path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_members_of_one_name_are_refused(tmp_path: Path) -> None:
    stream = io.BytesIO(good())
    with zipfile.ZipFile(stream, "a") as opened:
        opened.writestr("archive/data.pkl", pickle.dumps(Harmful(), protocol=2))

    assert "two members are named 'archive/data.pkl'" in refusal(stream.getvalue(), tmp_path)


def test_too_many_members_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_MEMBERS", 4)

    assert "members; expected at most 4" in refusal(good(), tmp_path)


def test_a_file_that_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_ARCHIVE_BYTES", len(good()) - 1)

    assert "larger than" in refusal(good(), tmp_path)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (sb3(evil__py=b""), "unexpected member 'evil.py'; expected a Stable-Baselines3 archive"),
        (sb3(policy__pth=pickle.dumps(Harmful())), "policy.pth: no zip archive"),
        (
            sb3(policy__pth=changed(set_member("archive/data.pkl", pickle.dumps(Harmful(), protocol=2)))),
            "policy.pth: its pickle names",
        ),
        (sb3(policy__pth=zipped(members_of(good()), zipfile.ZIP_DEFLATED)), "is compressed"),
    ],
    ids=["an extra member", "a bare pickle", "a harmful pickle", "a bomb"],
)
def test_another_stable_baselines3_archive_is_refused(content: bytes, expected: str, tmp_path: Path) -> None:
    assert expected in refusal(content, tmp_path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match=r"nowhere\.pt: cannot be read: No such file"):
        read_state_dict(tmp_path / "nowhere.pt")


def test_every_damaged_byte_is_read_as_tensors_or_refused(tmp_path: Path) -> None:
    content, rng = good(), random.Random(0)
    path = tmp_path / "checkpoint.pt"
    num_refused = 0
    for _ in range(300):
        damaged = bytearray(content)
        for _ in range(rng.choice((1, 1, 4, 30))):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        path.write_bytes(damaged)
        try:
            state = read_state_dict(path)
        except PolicyError:
            num_refused += 1
        else:
            assert all(tensor.numel() <= 1000 for tensor in state.tensors.values())

    assert num_refused > 30
