"""uvicorn's connections, each with one request at a time.

uvicorn queues what a client sends before it has its answer (pipelining), stops reading, and when the client goes
tells the last request that it sent. The one that runs would never learn that nobody waits for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # both of uvicorn's have what is used here
    from uvicorn.protocols.http.h11_impl import H11Protocol as HttpProtocol
else:
    from uvicorn.protocols.http.auto import AutoHTTPProtocol as HttpProtocol


class EarlyRequestError(Exception):
    """A request came before the answer to the one before it."""


class Connection(HttpProtocol):
    """Ends with the answer to the request that runs, where the client sends more before it has that.

    The rest is read, so that the end of the connection is seen, and thrown away. HTTP has clients that send several
    requests at once send those that were not answered again (RFC 9112, 9.3.2).
    """

    _is_ending = False

    def data_received(self, data: bytes) -> None:
        """Takes what the client has sent."""
        if self._has_whole_request():
            self._end_with_answer()
        if not self._is_ending:
            super().data_received(data)

    def on_message_begin(self) -> None:
        """Is told by httptools of a request that begins, perhaps in the same packet as one before it."""
        if self._has_whole_request():
            self._end_with_answer()
            raise EarlyRequestError
        super().on_message_begin()  # pyright: ignore[reportAttributeAccessIssue]

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
