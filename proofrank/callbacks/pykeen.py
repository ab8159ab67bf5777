"""The callback for the training loops of PyKEEN; needs ``pip install 'proofrank[pykeen]'``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pykeen.models import Model
from pykeen.training.callbacks import TrainingCallback

from proofrank.callbacks.evaluations import StepResult
from proofrank.callbacks.validation import Validation


class PykeenValidation(TrainingCallback):
    """Calls a :class:`Validation` after epochs of a PyKEEN model, and stops the loop when that says so.

    A PyKEEN model is no policy; what is evaluated is a policy's network that it trains or gives its embeddings to. The
    step is the epoch, from 1. The metrics also go to the loop's result tracker, under the epoch that they are of.
    """

    def __init__(
        self,
        validation: Validation,
        network: Callable[[Model], Any],
        *,
        every_n_epochs: int = 1,
        prefix: str = "proofrank",
    ) -> None:
        """Does not own the validation: the caller closes it after the training.

        Args:
            validation: what to call.
            network: gives the policy's network for the model as it is now.
            every_n_epochs: number of epochs after which it is called.
            prefix: of the metrics' names in the result tracker.
        """
        super().__init__()
        self._validation = validation
        self._network = network
        self._every_n_epochs = every_n_epochs
        self._prefix = prefix

    def post_epoch(self, epoch: int, epoch_loss: float, **kwargs: Any) -> None:
        """Begins an evaluation, and tracks those that have arrived."""
        if epoch % self._every_n_epochs:
            return
        self._track(self._validation(epoch, self._network(self.model)))
        if self._validation.should_stop:
            # PyKEEN's own StopperTrainingCallback ends the loop in this way; there is no public one.
            self.training_loop._should_stop = True

    def post_train(self, losses: list[float], **kwargs: Any) -> None:
        """Waits for the last evaluations, and tracks them; PyKEEN leaves this out after an early stop."""
        self._track(self._validation.collect(wait=True))

    def _track(self, results: tuple[StepResult, ...]) -> None:
        for result in results:
            # hits_at_10, as PyKEEN itself has it: the tracker of MLflow refuses an @.
            named = {name.replace("@", "_at_"): value for name, value in result.metrics.items()}
            self.result_tracker.log_metrics(named, step=result.step, prefix=self._prefix)
