"""Paths of the page that shows the OpenAPI document, and of the files that it loads. All are open without a key."""

from __future__ import annotations

PAGE_PATH = "/docs"
PAGE_FILES = ("swagger-ui-bundle.js", "swagger-ui.css", "favicon.png")
PAGE_PATHS = frozenset({PAGE_PATH, *(f"{PAGE_PATH}/{name}" for name in PAGE_FILES)})
