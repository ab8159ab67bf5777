"""``/docs``: the OpenAPI document as a page that needs nothing from elsewhere."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import FileResponse, HTMLResponse

from proofrank.service.services import Services
from proofrank.service.web.page_paths import DOCUMENT_FILES, DOCUMENT_PATH


def make_router(services: Services) -> APIRouter:
    """The routes; none is an operation of the document."""
    del services
    router = APIRouter(include_in_schema=False)
    folder = Path(str(files("fastapi_offline"))) / "static"

    @router.get(DOCUMENT_PATH)
    async def page(request: Request) -> HTMLResponse:
        """The page."""
        root = request.scope.get("root_path", "")
        script, style, icon = (f"{root}{DOCUMENT_PATH}/{name}" for name in DOCUMENT_FILES)
        return get_swagger_ui_html(
            openapi_url=f"{root}/openapi.json",
            title="proofrank: HTTP API",
            swagger_js_url=script,
            swagger_css_url=style,
            swagger_favicon_url=icon,
        )

    def add(name: str) -> None:
        @router.get(f"{DOCUMENT_PATH}/{name}")
        async def page_file() -> FileResponse:
            """A file of the page."""
            return FileResponse(folder / name, headers={"Cache-Control": "max-age=3600"})

    for name in DOCUMENT_FILES:
        add(name)
    return router
