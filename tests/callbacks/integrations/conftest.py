"""Libraries that report their use over the network are told not to."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def no_reports() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DO_NOT_TRACK", "true")
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        patch.setenv("WANDB_ERROR_REPORTING", "false")
        patch.setenv("WANDB_MODE", "offline")
        # MLflow 3 refuses its stores of files unless told so.
        patch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
        yield
