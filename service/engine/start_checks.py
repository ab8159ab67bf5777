"""What can be known to fail before anything is loaded: missing folders, engines and devices that there are not."""

from __future__ import annotations

from pathlib import Path

from proofrank.core.choices import untrained_seed
from proofrank.core.errors import EvaluationError
from proofrank.core.evaluator.engines import check_engine, usable_device
from proofrank.core.policy.files import WEIGHTS_FILE
from proofrank.core.policy.precision import check_precision
from proofrank.service.settings.settings import Settings


def check_start(settings: Settings) -> None:
    """Refuses settings that cannot work here; looks at no more than names.

    Raises:
        SettingsError: names the setting, its value and where that came from, and says what would be right.
    """
    _check_folder(settings, "dataset", "a dataset folder with train, valid, test and rules")
    if untrained_seed(settings.policy) is None:
        _check_folder(settings, "policy", f"a checkpoint folder with {WEIGHTS_FILE}, or untrained[:SEED]")
    for name in ("cache_folder", "data_folder"):
        path: Path | None = getattr(settings, name)
        if path is not None and path.exists() and not path.is_dir():
            raise settings.refusal(name, "a file of this name is in the way; expected a folder")
    checked = "engine"
    try:
        check_engine(settings.engine)
        if settings.engine == "original":  # it computes on the CPU, whatever else is asked for
            return
        checked = "device"
        device = usable_device(settings.device)
        checked = "precision"
        check_precision(settings.precision, device)
    except EvaluationError as error:
        raise settings.refusal(checked, str(error)) from error


def _check_folder(settings: Settings, name: str, expected: str) -> None:
    path: Path = getattr(settings, name)
    if not path.is_dir():
        lacking = "no folder, but a file" if path.exists() else "no such folder"
        raise settings.refusal(name, f"{lacking}; expected {expected}")
