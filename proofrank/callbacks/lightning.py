"""The callback for PyTorch Lightning; needs ``pip install 'proofrank[lightning]'``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer  # pyright: ignore[reportMissingImports]

from proofrank.callbacks.evaluations import StepResult
from proofrank.callbacks.validation import Validation


class LightningValidation(Callback):
    """Calls a :class:`Validation` after each training epoch, and stops the trainer when that says so.

    The step is the epoch. The metrics also go to the trainer's loggers, under the epoch that they are of. With several
    processes, the first one evaluates and decides for all.
    """

    def __init__(
        self,
        validation: Validation,
        network: Callable[[LightningModule], Any],
        *,
        every_n_epochs: int = 1,
        prefix: str = "proofrank/",
    ) -> None:
        """Does not own the validation: the caller closes it after the training.

        Args:
            validation: what to call.
            network: gives the policy's network in the module, such as ``lambda module: module.network``.
            every_n_epochs: number of epochs after which it is called.
            prefix: of the metrics' names in the trainer's loggers.
        """
        self._validation = validation
        self._network = network
        self._every_n_epochs = every_n_epochs
        self._prefix = prefix

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begins an evaluation, and logs those that have arrived."""
        if trainer.is_global_zero and (trainer.current_epoch + 1) % self._every_n_epochs == 0:
            self._log(trainer, self._validation(trainer.current_epoch, self._network(pl_module)))
        should_stop = trainer.is_global_zero and self._validation.should_stop
        if trainer.strategy.reduce_boolean_decision(should_stop, all=False):
            trainer.should_stop = True

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Waits for the last evaluations, and logs them."""
        if trainer.is_global_zero:
            self._log(trainer, self._validation.collect(wait=True))

    def _log(self, trainer: Trainer, results: tuple[StepResult, ...]) -> None:
        for result in results:
            named = {f"{self._prefix}{name}": value for name, value in result.metrics.items()}
            for logger in trainer.loggers:
                logger.log_metrics(named, step=result.step)
