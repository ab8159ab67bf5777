"""``proofrank serve`` with uvicorn's other parser of HTTP, which is in pure Python."""

from __future__ import annotations

import sys

from uvicorn.protocols.http.h11_impl import H11Protocol

from proofrank.service.cli.main import main
from proofrank.service.web import server

if __name__ == "__main__":
    server.Connection = H11Protocol  # pyright: ignore[reportAttributeAccessIssue]
    sys.exit(main())
