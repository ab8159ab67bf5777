"""Loggers that write with the libraries of others: TensorBoard, Weights & Biases, MLflow.

A library is imported when its logger is made. Each logger is a context manager that closes what it has begun.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from proofrank.core.errors import ProofrankError

if TYPE_CHECKING:
    import wandb  # pyright: ignore[reportMissingImports]


class _ClosedAtEnd:
    """Is closed at the end of its ``with`` block."""

    def close(self, *, failed: bool = False) -> None:
        """Ends what the logger has begun.

        Args:
            failed: whether an error has ended the training, for libraries that note it.
        """
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(failed=error is not None)


class TensorBoardLogger(_ClosedAtEnd):
    """Writes scalars for TensorBoard."""

    def __init__(self, folder: Path | str, prefix: str = "valid/") -> None:
        """Begins a file of events.

        Args:
            folder: where TensorBoard looks for it.
            prefix: of the scalars' names: ``valid/`` gives ``valid/mrr``.

        Raises:
            ProofrankError: tensorboard is not installed.
        """
        library = _library("torch.utils.tensorboard", "TensorBoardLogger", "tensorboard")
        self._prefix = prefix
        self._writer = library.SummaryWriter(str(folder))

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Writes the scalars of a step, to be seen at once."""
        for name, value in metrics.items():
            self._writer.add_scalar(f"{self._prefix}{name}", value, step)
        self._writer.flush()

    def close(self, *, failed: bool = False) -> None:
        """Closes the file."""
        self._writer.close()


class WandbLogger(_ClosedAtEnd):
    """Logs to a run of Weights & Biases.

    The metrics have an axis of their own, ``valid/step``. So they may arrive after the training has logged later steps,
    which W&B would drop under its own step.

    Attributes:
        run: the run.
    """

    run: wandb.Run

    def __init__(self, run: wandb.Run | None = None, prefix: str = "valid/", **options: Any) -> None:
        """Takes a run, or begins one.

        Args:
            run: run to log to, which stays the caller's to finish; None begins one, which :meth:`close` finishes.
            prefix: of the metrics' names: ``valid/`` gives ``valid/mrr``.
            options: of ``wandb.init`` for a run that is begun, such as ``project="towns"`` or ``mode="offline"``.

        Raises:
            ProofrankError: wandb is not installed, or there is a run and options too.
        """
        library = _library("wandb", "WandbLogger", "wandb")
        if run is not None and options:
            raise ProofrankError(
                f"{next(iter(options))} is an option of wandb.init, and run= has begun already; give one of them"
            )
        self._is_own = run is None
        self.run = library.init(**options) if run is None else run
        self._prefix = prefix
        self._step_name = f"{prefix}step"
        self.run.define_metric(self._step_name, hidden=True)
        self.run.define_metric(f"{prefix}*", step_metric=self._step_name)

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Logs the metrics of a step."""
        named = {f"{self._prefix}{name}": value for name, value in metrics.items()}
        self.run.log({self._step_name: step, **named})

    def close(self, *, failed: bool = False) -> None:
        """Finishes the run, if the logger has begun it."""
        if self._is_own:
            self.run.finish(exit_code=1 if failed else 0)


class MlflowLogger(_ClosedAtEnd):
    """Logs to a run of MLflow.

    MLflow allows no ``@`` in a name: ``hits@1`` is ``hits_at_1`` there.

    Attributes:
        run_id: id of the run.
    """

    def __init__(
        self,
        run_id: str | None = None,
        prefix: str = "valid/",
        *,
        tracking_uri: str | None = None,
        experiment: str | None = None,
    ) -> None:
        """Takes a run, or begins one.

        Args:
            run_id: run to log to, such as ``mlflow.active_run().info.run_id``, which stays the caller's to end; None
                begins one, which :meth:`close` ends.
            prefix: of the metrics' names: ``valid/`` gives ``valid/mrr``.
            tracking_uri: where MLflow keeps its runs, such as ``sqlite:///mlflow.db``; None for what MLflow is set to.
            experiment: name of the experiment of a run that is begun, made if there is none; None for MLflow's
                ``Default``.

        Raises:
            ProofrankError: mlflow is not installed, or there is a run and an experiment too.
            mlflow.MlflowException: there is no such run, or the runs cannot be kept there.
        """
        library = _library("mlflow", "MlflowLogger", "mlflow")
        if run_id is not None and experiment is not None:
            raise ProofrankError(
                f"experiment is {experiment!r}, and run {run_id!r} has one already; give one of them"
            )
        self._client = library.MlflowClient(tracking_uri)
        self._metric = library.entities.Metric
        self._prefix = prefix
        self._is_own = run_id is None
        if run_id is None:
            run_id = self._client.create_run(self._experiment_id(experiment)).info.run_id
        else:
            self._client.get_run(run_id)
        self.run_id = run_id

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Logs the metrics of a step."""
        now = int(time.time() * 1000)
        named = {f"{self._prefix}{name}".replace("@", "_at_"): value for name, value in metrics.items()}
        self._client.log_batch(
            self.run_id, metrics=[self._metric(name, value, now, step) for name, value in named.items()]
        )

    def close(self, *, failed: bool = False) -> None:
        """Ends the run, if the logger has begun it."""
        if self._is_own:
            self._client.set_terminated(self.run_id, "FAILED" if failed else "FINISHED")

    def _experiment_id(self, name: str | None) -> str:
        if name is None:
            return "0"
        found = self._client.get_experiment_by_name(name)
        return self._client.create_experiment(name) if found is None else found.experiment_id


def _library(module: str, logger: str, extra: str) -> Any:
    """Imports a library.

    Raises:
        ProofrankError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ProofrankError(f"{logger} needs {extra}: pip install 'proofrank[{extra}]'") from error
