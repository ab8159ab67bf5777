"""Damaged uploads and settings files: refused by an answer of ours, with nothing left behind, or taken."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proofrank.core.graph import Dataset
from proofrank.service.errors import ServiceError
from proofrank.service.policies.multipart_upload import receive, size_limits
from proofrank.service.policies.policy_files import PARTS
from proofrank.service.settings.settings import Settings, SettingsError, load_settings
from proofrank.service.web.problems import Problem, problem_of, response
from tests.helpers.damaged_files import damaged

BOUNDARY = "boundary"
CONTENT_TYPE = f"multipart/form-data; boundary={BOUNDARY}"
QUICK = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)  # fmt: skip


def body_of(policy_folder: Path) -> bytes:
    """An upload of the policy."""
    parts = b"".join(
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{part.field}"; filename="{part.file}"\r\n'
        f"Content-Type: application/octet-stream\r\n\r\n".encode()
        + (policy_folder / part.file).read_bytes()[:3000]
        + b"\r\n"
        for part in PARTS
    )
    return parts + f"--{BOUNDARY}--\r\n".encode()


def send(body: bytes, folder: Path, dataset: Dataset, cuts: list[int], content_type: str) -> Problem | None:
    """Has an upload received that comes in pieces; the refusal, if it is refused."""

    async def pieces() -> AsyncIterator[bytes]:
        edges = [0, *sorted(cut % (len(body) + 1) for cut in cuts), len(body)]
        for start, end in itertools.pairwise(edges):
            yield body[start:end]

    try:
        asyncio.run(receive(pieces(), content_type, folder, size_limits(dataset)))
    except ServiceError as error:
        return problem_of(error)
    return None


@QUICK
@given(data=st.data(), cuts=st.lists(st.integers(0, 2**16), max_size=5))
def test_a_damaged_upload_is_refused_or_its_parts_are_written_and_nothing_else(
    data: st.DataObject,
    cuts: list[int],
    policy_folder: Path,
    family: Dataset,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("upload")
    body = data.draw(damaged(body_of(policy_folder)))
    content_type = data.draw(st.just(CONTENT_TYPE) | damaged(CONTENT_TYPE.encode()).map(bytes_as_header))

    problem = send(body, folder, family, cuts, content_type)

    assert {path.name for path in folder.iterdir()} <= {part.file for part in PARTS}
    if problem is None:
        assert all((folder / part.file).is_file() for part in PARTS)
    else:
        assert problem.status in (413, 422)
        assert len(response(problem, None).body) < 20_000


def bytes_as_header(value: bytes) -> str:
    """As a header's value reaches the application."""
    return value.decode("latin-1")


@pytest.mark.parametrize(
    "start",
    [
        f"--{BOUNDARY}\r\nContent-Disposition: ".encode() + b"x" * 2_000_000,
        f"--{BOUNDARY}\r\n".encode() + b"x" * 2_000_000,
        f"--{BOUNDARY}\r\n".encode() + b"X-Header: x\r\n" * 100_000,
    ],
    ids=["a long value", "a long name", "many headers"],
)
def test_an_upload_whose_parts_have_endless_headers_is_refused_before_they_end(
    start: bytes, family: Dataset, tmp_path: Path
) -> None:
    problem = send(start, tmp_path, family, [], CONTENT_TYPE)

    assert problem is not None
    assert problem.status == 422
    assert problem.detail.startswith("body: not multipart/form-data: ")


@pytest.mark.parametrize(
    ("headers", "is_taken"),
    [
        ([b"X-Header: x\r\n"] * 7, True),
        ([b"X-Header: x\r\n"] * 8, False),
        ([b"X-Header: " + b"x" * 4000 + b"\r\n"], True),
        ([b"X-Header: " + b"x" * 5000 + b"\r\n"], False),
    ],
    ids=["eight headers", "nine headers", "a long header", "too long a header"],
)
def test_a_part_has_a_few_headers_of_a_few_kilobytes(
    headers: list[bytes], is_taken: bool, policy_folder: Path, family: Dataset, tmp_path: Path
) -> None:
    body = body_of(policy_folder).replace(b"Content-Type: application/octet-stream\r\n", b"")
    first = b"--" + BOUNDARY.encode() + b"\r\n"
    problem = send(body.replace(first, first + b"".join(headers), 1), tmp_path, family, [], CONTENT_TYPE)

    if is_taken:
        assert problem is None
    else:
        assert problem is not None
        assert problem.status == 422
        assert problem.detail.startswith("body: not multipart/form-data: ")


VALID_SETTINGS = (
    b'port = 8080\nhost = "127.0.0.1"\nmax_depth = 10\nmemory_pruning = true\nbuckets = [64, 512]\n'
)


@QUICK
@given(content=damaged(VALID_SETTINGS))
def test_a_damaged_settings_file_is_refused_by_its_name_or_read(
    content: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("settings") / "proofrank.toml"
    path.write_bytes(content)

    try:
        read = load_settings(environment={}, config=path)
    except SettingsError as error:
        assert str(path) in str(error)
        assert len(str(error)) < 2000
    else:
        assert isinstance(read, Settings)


@pytest.mark.parametrize(
    "content",
    [
        b"port = " + b"[" * 100_000,
        b"port = " + b"9" * 10_000,
        b"a" + b".a" * 2**20 + b" = 1",
        b'dataset = "' + b"x" * 5_000_000 + b'\x00"',
        b'dataset = "\\u0000"',
        b"port = 1979-05-27T07:32:00Z",
        b"\x00" * 1_000_000,
        b"[port]\n" * 100_000,
        b"max_depth = inf",
        json.dumps({"port": 1}).encode(),
    ],
    ids=lambda content: content[:12].decode("ascii", "replace"),
)
def test_a_settings_file_that_was_made_to_be_expensive_or_odd_is_refused(
    content: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "proofrank.toml"
    path.write_bytes(content)

    with pytest.raises(SettingsError):
        load_settings(environment={}, config=path)
