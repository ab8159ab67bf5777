"""Libraries of the web, which core must do without."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


WEB = (
    "fastapi",
    "pydantic",
    "pydantic_settings",
    "starlette",
    "uvicorn",
    "prometheus_client",
    "rich",
    "httpx",
)
