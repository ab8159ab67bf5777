"""The service uses names of uvicorn that no document of it promises, so its version is bounded above."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

ROOT = Path(__file__).resolve().parents[2]

LOOKED_AT = "uvicorn>=0.30,<0.55"

PRIVATE = """
service/web/connections.py: HttpToolsProtocol with __init__, limit_concurrency, connections, tasks, cycle, scope,
    parser, connection_lost, data_received, on_message_begin, on_headers_complete and send_400_response;
    RequestResponseCycle with more_body, response_complete and keep_alive.
service/web/upgrades.py: HttpToolsProtocol with headers, and what it asks its parser.
service/web/slow_clients.py: HttpToolsProtocol with cycle, transport, scope and timeout_keep_alive_task;
    RequestResponseCycle with response_complete and more_body.
service/web/server.py: Server with startup, on_tick, handle_exit, capture_signals and server_state.connections.
"""


def test_the_upper_bound_moves_only_when_what_is_private_was_looked_at_again() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = [line for line in project["optional-dependencies"]["server"] if re.match(r"uvicorn\b", line)]

    assert needed == [LOOKED_AT], f"look at these again in the new uvicorn, then change LOOKED_AT:{PRIVATE}"


def test_the_private_methods_are_there() -> None:
    used = {
        HttpToolsProtocol: ("data_received", "on_message_begin", "on_headers_complete", "send_400_response"),
        uvicorn.Server: ("on_tick", "handle_exit", "capture_signals"),
    }
    lacking = [
        f"{owner.__name__}.{name}"
        for owner, names in used.items()
        for name in names
        if not hasattr(owner, name)
    ]

    assert not lacking, f"uvicorn {uvicorn.__version__} lacks {lacking}; used are:{PRIVATE}"
    assert {"more_body", "response_complete", "keep_alive"} <= set(
        RequestResponseCycle.__init__.__code__.co_names
    ), PRIVATE
