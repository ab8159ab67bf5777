"""The log: one line for each record on standard error, as JSON or text.

Records of the service, of uvicorn and of libraries, and Python's warnings, pass through one renderer. Text from a
client cannot begin a new line or move the cursor of a terminal.
"""

from __future__ import annotations

import logging
import re
import sys
from datetime import UTC, datetime
from typing import Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from proofrank.core.formats.times import write_time

REQUEST_FIELDS = (
    "request_id",
    "method",
    "endpoint",
    "status",
    "seconds",
    "bytes_in",
    "key",
    "client",
)
"""Fields of a request's line, apart from time and level."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_TRACE_MARGIN = "    | "


def set_up_logs(log_format: Literal["json", "text"] | None, log_level: str) -> None:
    """Sends every record of this process to standard error. Only the owner of the process should call it.

    Args:
        log_format: ``json`` or ``text``; by default ``text`` on a terminal, otherwise ``json``.
        log_level: lowest level that is logged.
    """
    root = logging.getLogger()
    for before in list(root.handlers):
        root.removeHandler(before)
    root.addHandler(make_handler(sys.stderr, log_format))
    root.setLevel(log_level.upper())
    logging.captureWarnings(True)


def make_handler(stream: TextIO, log_format: Literal["json", "text"] | None = None) -> logging.Handler:
    """Makes a handler that writes records to ``stream``; by default as text on a terminal, otherwise as JSON."""
    is_text = log_format == "text" or (log_format is None and stream.isatty())
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[
                structlog.contextvars.merge_contextvars,
                structlog.stdlib.ExtraAdder(REQUEST_FIELDS),
                structlog.stdlib.add_log_level,
                structlog.stdlib.add_logger_name,
                _add_timestamp,
            ],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                *(_text_renderers(is_colored=stream.isatty()) if is_text else [_render_json]),
            ],
        )
    )
    return handler


def _add_timestamp(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    event["timestamp"] = write_time(datetime.now(UTC))
    return event


_render_json = structlog.processors.JSONRenderer()


def _text_renderers(*, is_colored: bool) -> list[Processor]:
    return [_escape, structlog.dev.ConsoleRenderer(colors=is_colored, pad_event_to=0, sort_keys=False)]


def _escape(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Escapes control characters; a traceback keeps its lines, each behind a margin."""
    return {
        name: "\n".join(_TRACE_MARGIN + _written_out(line) for line in value.split("\n"))
        if name == "exception"
        else _written_out(value)
        if isinstance(value, str)
        else value
        for name, value in event.items()
    }


def _written_out(text: str) -> str:
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)
