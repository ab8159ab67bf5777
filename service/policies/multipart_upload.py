"""Receives an upload: the parts of a multipart body, as they come, into the files of a folder.

python-multipart parses the body; here are its callbacks, which write each part to its file, and the limits.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import BinaryIO

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect

from proofrank.core.graph import Dataset
from proofrank.core.hybrid import MOST_HYBRID_BYTES
from proofrank.core.policy.importing.facts import MAX_FACTS_BYTES
from proofrank.service.errors import InvalidInput, UploadAborted, UploadStalled, UploadTooLarge
from proofrank.service.policies.policy_files import (
    ALL_PARTS,
    CHECKPOINT,
    CONFIG,
    FACTS,
    HYBRID,
    PARTS,
    VOCABULARY,
    Part,
)
from proofrank.service.storage.data_folder import disk_full_as_error
from proofrank.service.wire import FieldError, shortened

_EXPECTED = (
    f"expected multipart/form-data with the files {', '.join(part.field for part in PARTS)} and perhaps "
    f"{HYBRID.field}, or with the file {CHECKPOINT.field} and perhaps {FACTS.field}"
)
_PARTS = (*ALL_PARTS, CHECKPOINT, FACTS)
_MOST_CONFIG_BYTES = 2**20
_MAX_FILE_NAME = 200
"""Number of letters that are kept of the name of a checkpoint's file."""

_PATIENCE_SECONDS = 60.0
"""How long a client may send nothing in the middle of an upload."""

_WRITE_BYTES = 2**20

_MAX_HEADERS = 8
"""Number of headers that a part may have; the clients we know send two."""

_MAX_HEADER_BYTES = 4224
"""Size of one header of a part."""


def size_limits(dataset: Dataset) -> Mapping[Part, int]:
    """Returns the parts that are smaller than the whole may be, with the maximum bytes of each.

    A vocabulary must be that of ``dataset``, so there is a size that no right one has; parsing JSON takes many times
    its size in memory.
    """
    vocabulary = dataset.vocabulary
    # Twelve bytes for each letter, as an escaped pair of surrogates; some for indentation and quotes.
    names = sum(
        12 * len(name) + 64 for group in (vocabulary.predicates, vocabulary.constants) for name in group
    )
    return {
        CONFIG: _MOST_CONFIG_BYTES,
        VOCABULARY: names + 2**20,
        HYBRID: MOST_HYBRID_BYTES,
        FACTS: MAX_FACTS_BYTES,
    }


async def receive(
    stream: AsyncIterator[bytes], content_type: str, folder: Path, limits: Mapping[Part, int]
) -> str | None:
    """Writes the parts of an upload into ``folder``.

    Args:
        stream: the body; its size as a whole is limited elsewhere.
        content_type: the header, with the boundary.
        folder: empty.
        limits: of single parts.

    Returns:
        The name of the checkpoint's file, as the client calls it; None for the three files of a policy folder.

    Raises:
        InvalidInput: the body is not what was expected.
        UploadTooLarge: a part is too large.
        UploadStalled: the body does not come.
        DataFolderFullError: there is no room for it.
    """
    kind, options = parse_options_header(content_type)
    if kind != b"multipart/form-data" or not options.get(b"boundary"):
        raise InvalidInput([FieldError(field="body", value=shortened(content_type), message=_EXPECTED)])
    try:
        writer = _PartWriter(folder, options[b"boundary"], limits)
    except FormParserError as error:
        raise _not_multipart(error) from error
    try:
        async for piece in _pieces(stream):
            await asyncio.to_thread(writer.write, piece)
        writer.check_whole()
        return writer.checkpoint_name
    finally:
        writer.close()


async def _pieces(stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The stream in larger pieces, each worth a change of threads."""
    pending = bytearray()
    while True:
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                pending += await anext(stream)
        except StopAsyncIteration:
            break
        except TimeoutError as error:
            raise UploadStalled(
                f"nothing of the body has come for {_PATIENCE_SECONDS:.0f} seconds"
            ) from error
        except ClientDisconnect as error:  # the client does not read this; but it is no fault of the server
            raise UploadAborted("the client has gone away") from error
        if len(pending) >= _WRITE_BYTES:
            yield bytes(pending)
            pending.clear()
    yield bytes(pending)


class _PartWriter:
    """Parses what it is given and writes the parts to their files."""

    def __init__(self, folder: Path, boundary: bytes, limits: Mapping[Part, int]) -> None:
        self._folder = folder
        self._limits = limits
        self._sizes: dict[Part, int] = {}
        self._part = PARTS[0]
        self._file: BinaryIO | None = None
        self._header_name = b""
        self._header_value = b""
        self._disposition = b""
        self._has_ended = False
        self.checkpoint_name: str | None = None
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin_part,
                "on_header_field": self._extend_header_name,
                "on_header_value": self._extend_header_value,
                "on_header_end": self._end_header,
                "on_headers_finished": self._open_part,
                "on_part_data": self._write_part,
                "on_part_end": self.close,
                "on_end": self._end,
            },
            max_header_count=_MAX_HEADERS,
            max_header_size=_MAX_HEADER_BYTES,
        )

    def write(self, piece: bytes) -> None:
        """Takes the next bytes of the body."""
        try:
            with disk_full_as_error():
                self._parser.write(piece)
        except FormParserError as error:
            raise _not_multipart(error) from error

    def check_whole(self) -> None:
        """Raises InvalidInput unless the parts of one form have come, and the end of the body."""
        is_import = CHECKPOINT in self._sizes or FACTS in self._sizes
        surplus = [part for part in ALL_PARTS if part in self._sizes] if is_import else []
        if surplus:
            raise InvalidInput(
                [
                    FieldError(
                        field=part.field, value=None, message=f"stands beside another form; {_EXPECTED}"
                    )
                    for part in surplus
                ]
            )
        missing = [part for part in ((CHECKPOINT,) if is_import else PARTS) if part not in self._sizes]
        if missing:
            raise InvalidInput(
                [
                    FieldError(field=part.field, value=None, message=f"missing; {_EXPECTED}")
                    for part in missing
                ]
            )
        if not self._has_ended:
            raise InvalidInput(
                [FieldError(field="body", value=None, message="ends before its closing boundary")]
            )

    def close(self) -> None:
        """Closes the file that is open, if one is."""
        if self._file is not None:
            with disk_full_as_error():
                self._file.close()
            self._file = None

    def _begin_part(self) -> None:
        self._disposition = b""

    def _extend_header_name(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _extend_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _end_header(self) -> None:
        if self._header_name.lower() == b"content-disposition":
            self._disposition = self._header_value
        self._header_name = self._header_value = b""

    def _open_part(self) -> None:
        _, options = parse_options_header(self._disposition.decode("latin-1"))
        field = options.get(b"name", b"").decode("utf-8", "replace")
        part = next((part for part in _PARTS if part.field == field), None)
        if part is None:
            raise InvalidInput(
                [FieldError(field="body", value=shortened(field), message=f"no such part; {_EXPECTED}")]
            )
        if part in self._sizes:
            raise InvalidInput([FieldError(field=part.field, value=None, message="comes twice")])
        if part is CHECKPOINT:
            self.checkpoint_name = _file_name(options.get(b"filename", b""))
        self._part = part
        self._sizes[part] = 0
        self._file = (self._folder / part.file).open("wb", buffering=0)

    def _write_part(self, data: bytes, start: int, end: int) -> None:
        self._sizes[self._part] += end - start
        most = self._limits.get(self._part)
        if most is not None and self._sizes[self._part] > most:
            raise UploadTooLarge(f"{self._part.field} is larger than {most} bytes, which no right one is")
        assert self._file is not None
        rest = memoryview(data)[start:end]
        while rest:  # an unbuffered write may take a part of it
            rest = rest[self._file.write(rest) :]

    def _end(self) -> None:
        self._has_ended = True


def _file_name(sent: bytes) -> str:
    """Returns the last part of a file's name without what no message can show; ``checkpoint`` if nothing is left."""
    last = re.split(r"[/\\]", sent.decode("utf-8", "replace"))[-1]
    shown = "".join(letter for letter in last if letter.isprintable())
    return shown[:_MAX_FILE_NAME] or CHECKPOINT.field


def _not_multipart(error: FormParserError) -> InvalidInput:
    return InvalidInput(
        [FieldError(field="body", value=None, message=f"not multipart/form-data: {error}; {_EXPECTED}")]
    )
