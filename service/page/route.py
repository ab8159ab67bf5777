"""``GET /``: the page, which loads nothing from elsewhere and runs no script but its own files."""

from __future__ import annotations

import hashlib
from http import HTTPStatus
from pathlib import Path

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse

from proofrank.service.page.assets import all_assets, page_html
from proofrank.service.services import Services
from proofrank.service.web.page_paths import PAGE_PATH

CONTENT_SECURITY_POLICY = (
    "default-src 'self'; object-src 'none'; base-uri 'self'; form-action 'none'; frame-ancestors 'none'"
)

_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    # A new version of the package has other files under the same names: a browser asks whether its own are still right.
    "Cache-Control": "no-cache",
}

_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


def make_router(services: Services) -> APIRouter:
    """The routes; none is an operation of the OpenAPI document."""
    del services
    router = APIRouter(include_in_schema=False)

    @router.get("/")
    async def page(request: Request) -> HTMLResponse:
        """The page."""
        root = request.scope.get("root_path", "")
        return HTMLResponse(page_html(base=f"{root}/"), headers=_HEADERS)

    def add(name: str, path: Path) -> None:
        content = path.read_bytes()
        headers = {**_HEADERS, "ETag": f'"{hashlib.sha256(content).hexdigest()[:32]}"'}

        @router.get(f"{PAGE_PATH}/{name}")
        async def page_file(request: Request) -> Response:
            """A file of the page."""
            # Compression and proxies may have made the tag a weak one.
            if headers["ETag"] in request.headers.get("if-none-match", ""):
                return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
            return Response(content, media_type=_TYPES[path.suffix], headers=headers)

    for name, path in all_assets().items():
        add(name, path)
    return router
