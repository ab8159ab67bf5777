"""Paths of the pages and of the files that they load. All are open without a key: they hold nothing of the server's."""

from __future__ import annotations

DOCUMENT_PATH = "/docs"
"""Path of the page that shows the OpenAPI document."""

DOCUMENT_FILES = ("swagger-ui-bundle.js", "swagger-ui.css", "favicon.png")

PAGE_PATH = "/page"
"""Path of the files of the page at ``/``."""

PAGE_FILES = (
    "style.css",
    "icon.svg",
    "vendor/preact.js",
    "vendor/preact-hooks.js",
    "vendor/htm.js",
    "vendor/uplot.js",
    "vendor/uplot.css",
    "base.js",
    "server.js",
    "report.js",
    "tables.js",
    "scores.js",
    "proofs.js",
    "plots.js",
    "views/overview.js",
    "views/runs.js",
    "views/step.js",
    "views/compare.js",
    "views/query.js",
    "views/ask.js",
    "views/graph.js",
    "app.js",
)

OPEN_PAGES = frozenset(
    {
        "/",
        DOCUMENT_PATH,
        *(f"{DOCUMENT_PATH}/{name}" for name in DOCUMENT_FILES),
        *(f"{PAGE_PATH}/{name}" for name in PAGE_FILES),
    }
)
