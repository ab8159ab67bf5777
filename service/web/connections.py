"""Connections of uvicorn that have one request at a time, and tell the application where there are too many of them.

uvicorn queues what a client sends before it has its answer (pipelining), stops reading, and when the client goes
tells the last request that it sent. The one that runs would never learn that its client has gone.

Where there are more connections than may be, uvicorn answers itself, in plain text. Here the application does, which
counts and logs what it refuses, and knows what it answers all the same. For uvicorn ``limit_concurrency`` connections
are too many; here so many are served, and one more is too many.
"""

from __future__ import annotations

from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from proofrank.service.web.upgrades import PlainParser

HAS_TOO_MANY_BESIDE = "has_too_many_connections_beside"
"""Name in a request's state of whether there were too many connections, or requests, when its head had come."""


class EarlyRequestError(Exception):
    """A request came before the answer to the one before it."""


class Connection(HttpToolsProtocol):
    """Ends with the answer to the request that runs, where the client sends more before it has that.

    The rest is read, so that the end of the connection is seen, and thrown away. HTTP has clients that send several
    requests at once send those that were not answered again (RFC 9112, 9.3.2).
    """

    _is_ending = False
    num_body_bytes = 0
    """Bytes that have come of the body of the last request, or of those before it."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        """A connection as uvicorn makes it."""
        super().__init__(*arguments, **options)
        self._most, self.limit_concurrency = self.limit_concurrency, None
        self.parser = PlainParser(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Is told that the connection has ended."""
        self.parser.close()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Takes what the client has sent."""
        if self._has_whole_request():
            self._end_with_answer()
        if not self._is_ending:
            super().data_received(data)

    def on_message_begin(self) -> None:
        """Is told by the parser of a request that begins, perhaps in the same packet as one before it."""
        if self._has_whole_request():
            self._end_with_answer()
            raise EarlyRequestError
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Is told by the parser of a head that has come; before it has, its client may have been slow for long."""
        # The connection is among those counted, the request is not yet.
        is_full = self._most is not None and max(len(self.connections), len(self.tasks) + 1) > self._most
        self.scope["state"][HAS_TOO_MANY_BESIDE] = is_full  # pyright: ignore[reportTypedDictNotRequiredAccess]
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Is told by the parser of a part of a body."""
        self.num_body_bytes += len(body)
        super().on_body(body)

    def send_400_response(self, msg: str) -> None:
        """Refuses what cannot be parsed, unless that is what is thrown away."""
        if not self._is_ending:
            super().send_400_response(msg)

    def _has_whole_request(self) -> bool:
        """Whether a request has come, and its answer is not done."""
        return self.cycle is not None and not self.cycle.more_body and not self.cycle.response_complete

    def _end_with_answer(self) -> None:
        self._is_ending = True
        self.cycle.keep_alive = False
