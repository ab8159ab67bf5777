"""Encodings: answers are sent in gzip to clients that take it, requests are taken as they are."""

from __future__ import annotations

from http import HTTPStatus

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.gzip import DEFAULT_EXCLUDED_CONTENT_TYPES, GZipMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from proofrank.service.web.problems import Problem

LEAST_BYTES = 1024
"""Size of an answer below which gzip saves less than a packet."""

_LEVEL = 5
"""Level of gzip: 9 takes several times as long over answers in JSON, and saves a few hundredths more."""

_LEAST_BYTES_IN_THREAD = 16 * 1024
"""Size of a piece that is compressed off the event loop: about a millisecond's work."""

_COMPRESSED_ALREADY = ("application/vnd.apache.parquet",)


class CompressionMiddleware:
    """Sends answers of some size in gzip where the client takes it; streams of events go as they are, at once."""

    def __init__(self, app: ASGIApp) -> None:
        self._gzip = GZipMiddleware(
            app,
            minimum_size=LEAST_BYTES,
            compresslevel=_LEVEL,
            thread_minimum_size=_LEAST_BYTES_IN_THREAD,
            exclude_content_types=(
                *DEFAULT_EXCLUDED_CONTENT_TYPES,
                "text/event-stream",
                *_COMPRESSED_ALREADY,
            ),
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one ASGI connection."""
        if scope["type"] == "http":
            # Starlette looks for the word alone, and `gzip;q=0` refuses it.
            accepted = ",".join(Headers(scope=scope).getlist("accept-encoding"))
            offered = "gzip" if takes_gzip(accepted) else "identity"
            scope = {**scope, "headers": list(scope["headers"])}
            MutableHeaders(scope=scope)["accept-encoding"] = offered
        await self._gzip(scope, receive, send)


def takes_gzip(accept_encoding: str) -> bool:
    """Whether a client with this ``Accept-Encoding`` takes gzip (RFC 9110, 12.5.3)."""
    weights: dict[str, float] = {}
    for part in accept_encoding.lower().split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        weight = next((value for value in parameters if value.startswith("q=")), "q=1")
        try:
            weights[name] = float(weight.removeprefix("q="))
        except ValueError:
            weights[name] = 0.0
    return weights.get("gzip", weights.get("x-gzip", weights.get("*", 0.0))) > 0


def check_content_encoding(headers: Headers) -> None:
    """Refuses a body that is encoded: none is decoded here, so that a small one cannot become a huge one.

    Raises:
        Problem: 415, which says what is taken.
    """
    encodings = [part.strip() for value in headers.getlist("content-encoding") for part in value.split(",")]
    encoded = [encoding for encoding in encodings if encoding.lower() not in ("", "identity")]
    if encoded:
        raise Problem(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"the body has Content-Encoding: {', '.join(encoded)[:64]}, which is not taken; "
            "accepted is identity alone: send the body as it is, without Content-Encoding",
            headers={"Accept-Encoding": "identity"},
        )
