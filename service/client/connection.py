"""Which server to speak to, and how: checked once, when a client is made."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field

import httpx

from proofrank.service.client.errors import ClientError
from proofrank.service.client.retries import Retries

DEFAULT_URL = "http://127.0.0.1:8000"
API_KEY_VARIABLE = "PROOFRANK_API_KEY"

_CONNECT_SECONDS = 10.0
_LOGIN = re.compile(r"//[^/?#]*@")
_API_KEY = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True)
class Connection:
    """A server's address and the manner of speaking to it.

    Attributes:
        url: of the server, without a slash at the end, and without a name and password that were given in it.
        api_key: sent with every request; None for none.
        timeout: seconds to wait for an answer to begin.
        retries: of requests that fail for a passing reason.
    """

    url: str
    api_key: str | None = field(repr=False)
    timeout: float
    retries: Retries
    login: tuple[str, str] | None = field(default=None, repr=False)
    """Name and password of the URL, for a proxy before the server; None without."""

    @property
    def headers(self) -> dict[str, str]:
        """What every request carries."""
        return {} if self.api_key is None else {"Authorization": f"Bearer {self.api_key}"}

    @property
    def timeouts(self) -> httpx.Timeout:
        """``timeout`` in httpx' form; a connection is there at once or not at all."""
        return httpx.Timeout(self.timeout, connect=min(_CONNECT_SECONDS, self.timeout))


def make_connection(url: str, api_key: str | None, timeout: float, retries: Retries) -> Connection:
    """Checks what a client was given.

    Args:
        url: of the server.
        api_key: the key; that in ``PROOFRANK_API_KEY``, if any, where None.
        timeout: seconds to wait for an answer to begin.
        retries: of requests that fail for a passing reason.

    Raises:
        ClientError: the address or the key cannot be one.
    """
    # Without a login, which errors and logs are not to show.
    shown = _LOGIN.sub("//", url)
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise ClientError(f"{shown!r} is no URL: {error}") from None
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ClientError(f"{shown!r} is no URL of a server; expected one such as {DEFAULT_URL}")
    key = os.environ.get(API_KEY_VARIABLE) if api_key is None else api_key
    key = None if key is None else key.strip()
    if key and not _API_KEY.fullmatch(key):
        # Without the key: this message may end in a log.
        raise ClientError(
            "the API key holds characters that no key has: spaces, line breaks or letters beyond ASCII"
        )
    login = (parsed.username, parsed.password) if parsed.userinfo else None
    if login and key:
        raise ClientError(
            "the URL has a name and a password, and there is an API key too; expected one of them, since a request "
            "carries one"
        )
    return Connection(shown.rstrip("/"), key or None, timeout, retries, login)
