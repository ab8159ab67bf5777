"""The callback for Stable-Baselines3; needs ``pip install 'proofrank[sb3]'``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm  # pyright: ignore[reportMissingImports]
from stable_baselines3.common.callbacks import BaseCallback  # pyright: ignore[reportMissingImports]

from proofrank.callbacks.evaluations import StepResult
from proofrank.callbacks.validation import Validation


class StableBaselinesValidation(BaseCallback):
    """Calls a :class:`Validation` after so many time steps of the environment, and stops when that says so.

    The step is the number of time steps. The metrics also go to the algorithm's logger, under the
    step that they are of.
    """

    def __init__(
        self,
        validation: Validation,
        network: Callable[[BaseAlgorithm], Any],
        *,
        every_n_steps: int,
        prefix: str = "proofrank/",
    ) -> None:
        """Does not own the validation: the caller closes it after the training.

        Args:
            validation: what to call.
            network: gives the policy's network in the algorithm, such as ``lambda model: model.policy.network``.
            every_n_steps: number of time steps, over all environments, after which it is called.
            prefix: of the metrics' names in the algorithm's logger.
        """
        super().__init__()
        self._validation = validation
        self._network = network
        self._every_n_steps = every_n_steps
        self._prefix = prefix
        self._next = every_n_steps

    def _on_step(self) -> bool:
        """Begins an evaluation when it is time; False ends the training."""
        if self.num_timesteps >= self._next:
            self._next = self.num_timesteps - self.num_timesteps % self._every_n_steps + self._every_n_steps
            self._record(self._validation(self.num_timesteps, self._network(self.model)))
        return not self._validation.should_stop

    def _on_training_end(self) -> None:
        """Waits for the last evaluations."""
        self._record(self._validation.collect(wait=True))

    def _record(self, results: tuple[StepResult, ...]) -> None:
        for result in results:
            named = {f"{self._prefix}{name}": value for name, value in result.metrics.items()}
            named[f"{self._prefix}step"] = result.step  # a CSV of Stable-Baselines3 has no column of steps
            # Not by record(), which would write them under the step of the algorithm's next dump.
            for output in self.logger.output_formats:
                output.write(named, dict.fromkeys(named, ()), result.step)
