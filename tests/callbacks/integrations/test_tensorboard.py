"""Metrics as TensorBoard reads them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import proofrank
from proofrank.callbacks import InProcess, TensorBoardLogger, Validation
from proofrank.core.policy import Policy


@pytest.mark.integration
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_scalars_are_read_back_by_tensorboard(
    family: proofrank.Dataset, policy: Policy, tmp_path: Path
) -> None:
    pytest.importorskip("tensorboard", reason="needs proofrank[tensorboard]")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # pyright: ignore[reportMissingImports]

    with (
        TensorBoardLogger(tmp_path, prefix="v/") as logger,
        Validation(InProcess(family, split="test", engine="original"), loggers=[logger]) as validation,
    ):
        for step in (2, 4):
            validation(step, policy)
    assert validation.failures == 0
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    assert set(events.Tags()["scalars"]) == {f"v/{name}" for name in validation.results[0].metrics}
    for result, scalar in zip(validation.results, events.Scalars("v/mrr"), strict=True):
        assert (scalar.step, scalar.value) == (result.step, pytest.approx(result.metrics["mrr"], abs=1e-6))


def test_a_missing_library_is_named_with_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(proofrank.ProofrankError, match=r"pip install 'proofrank\[tensorboard\]'"):
        TensorBoardLogger(tmp_path)
