"""The files of the page, as they lie in the package."""

from __future__ import annotations

import html
from importlib.resources import files
from pathlib import Path

from proofrank.service.web.page_paths import PAGE_FILES

_FOLDER = Path(str(files("proofrank.service.page"))) / "assets"

_START_OF_HEAD = "<head>\n"
_SCRIPTS = "    <!-- data -->\n"


def asset(name: str) -> Path:
    """Returns the path of a file of the page, which is one of ``PAGE_FILES``."""
    return _FOLDER / name


def page_html(*, base: str | None = None, data: str | None = None) -> str:
    """Returns the HTML of the page.

    Args:
        base: path that the page's addresses begin with, such as ``/ranks/``; where the page lies by default.
        data: address of a script with the answers of a server, for a page without one.
    """
    text = asset("index.html").read_text(encoding="utf-8")
    if base is not None:
        text = text.replace(_START_OF_HEAD, f'{_START_OF_HEAD}    <base href="{html.escape(base)}">\n', 1)
    script = "" if data is None else f'    <script defer src="{html.escape(data)}"></script>\n'
    return text.replace(_SCRIPTS, script, 1)


def all_assets() -> dict[str, Path]:
    """Returns the path of each file that the page loads, by its name there."""
    return {name: asset(name) for name in PAGE_FILES}
