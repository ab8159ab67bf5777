"""A parser for which a request that offers another protocol is one that does not.

Clients such as Java's and ``curl --http2`` offer HTTP/2 with their first request (``Upgrade: h2c``). A server may go on
as if they had not (RFC 9110, 7.8), but httptools ends such a request with its head, and takes its body for the other
protocol.
"""

from __future__ import annotations

from typing import Protocol

import httptools

_FRAMING = frozenset({b"connection", b"content-length", b"transfer-encoding"})
"""Headers that say where a request ends, and whether another follows."""


class Receiver(Protocol):
    """What the parser tells, as httptools does."""

    headers: list[tuple[bytes, bytes]]

    def on_message_begin(self) -> None:
        """A request begins."""

    def on_url(self, url: bytes) -> None:
        """A part of its address."""

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header of it, which ``headers`` has from here on, its name in small letters."""

    def on_headers_complete(self) -> None:
        """Its head has come."""

    def on_body(self, body: bytes) -> None:
        """A part of its body."""

    def on_message_complete(self) -> None:
        """All of it has come."""


class PlainParser:
    """httptools' parser of requests, without upgrades; it is used in the same way.

    Where httptools ends a request for its offer, a new parser is shown the framing of the same head, without the offer,
    and gets what comes behind it.
    """

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._is_ignoring_offer = False
        self._is_shown_head_again = False
        self._parser = self._new_parser()

    def close(self) -> None:
        """Forgets the parser, which would keep the connection, and all of its last request, until a collection."""
        del self._parser

    def feed_data(self, data: bytes) -> None:
        """Parses what has come; raises as httptools does."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as end_of_head:
            if not self._is_ignoring_offer:  # CONNECT, which is no offer
                raise
            self._show_head_without_offer()
            (offset,) = end_of_head.args
            if rest := data[offset:]:
                self.feed_data(rest)

    def _show_head_without_offer(self) -> None:
        method, version = self._parser.get_method(), self._parser.get_http_version()
        framing = [
            b"%b: %b\r\n" % (name, value) for name, value in self._receiver.headers if name in _FRAMING
        ]
        head = b"".join([b"%b / HTTP/%b\r\n" % (method, version.encode()), *framing, b"\r\n"])
        self._parser = self._new_parser()
        self._is_ignoring_offer, self._is_shown_head_again = False, True
        self._parser.feed_data(head)

    def _new_parser(self) -> httptools.HttpRequestParser:
        parser = httptools.HttpRequestParser(self)
        # As uvicorn does: a client may send on behind a request that it says is its last.
        parser.set_dangerous_leniencies(lenient_data_after_close=True)
        return parser

    def set_dangerous_leniencies(self, **_: bool) -> None:
        """Does nothing: each parser has them from the start."""

    def get_http_version(self) -> str:
        """Of the request, as in ``1.1``."""
        return self._parser.get_http_version()

    def get_method(self) -> bytes:
        """Of the request."""
        return self._parser.get_method()

    def should_keep_alive(self) -> bool:
        """Whether another request may follow on the connection."""
        return self._parser.should_keep_alive()

    def should_upgrade(self) -> bool:
        """Whether another protocol follows: never."""
        return False

    def on_message_begin(self) -> None:
        """Is told by httptools, as what follows is."""
        if not self._is_shown_head_again:
            self._receiver.on_message_begin()

    def on_url(self, url: bytes) -> None:
        """See above."""
        if not self._is_shown_head_again:
            self._receiver.on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """See above."""
        if not self._is_shown_head_again:
            self._receiver.on_header(name, value)

    def on_headers_complete(self) -> None:
        """See above; of a head with an offer, once it has been shown again."""
        self._is_shown_head_again = False
        offers = any(name == b"upgrade" for name, _ in self._receiver.headers)
        self._is_ignoring_offer = offers and self._parser.should_upgrade()
        if not self._is_ignoring_offer:
            self._receiver.on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """See above."""
        self._receiver.on_body(body)

    def on_message_complete(self) -> None:
        """See above."""
        if not self._is_ignoring_offer:
            self._receiver.on_message_complete()
