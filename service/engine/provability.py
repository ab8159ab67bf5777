"""The least model of the served graph, built beside the start."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, field

import torch

from proofrank.core.choices import PruningLevel
from proofrank.core.evaluator import OriginalStream, default_device
from proofrank.core.evaluator.artifacts import default_cache_folder
from proofrank.core.evaluator.model_bits import prepare_bits
from proofrank.core.graph import Dataset
from proofrank.core.ranking import AllAtoms, AllCompletions, ProvableAtoms, ProvableCompletions, Pruning
from proofrank.service.settings.settings import Settings
from proofrank.service.telemetry.metrics import ServiceMetrics
from proofrank.service.threads import start_daemon

logger = logging.getLogger("proofrank")


@dataclass
class Provability:
    """What is known of the atoms that can be proved.

    Until the least model is there, and without one, every atom may have a proof. Then fewer trajectories can be left
    out, and no rank is another one.
    """

    settings: Settings
    metrics: ServiceMetrics
    _model: ProvableAtoms = field(default_factory=AllAtoms)
    _completions: ProvableCompletions | None = None
    _has_ended: threading.Event = field(default_factory=threading.Event)

    @property
    def model(self) -> ProvableAtoms:
        """What may have a proof, as far as it is known by now."""
        return self._model

    def begin(self, dataset: Dataset) -> None:
        """Begins to build the least model of ``dataset``, or to read it from the cache folder, in a thread."""
        if self.settings.least_model_seconds:
            start_daemon(lambda: self._build(dataset), "least model")
        else:
            self._has_ended.set()

    def wait(self, seconds: float) -> None:
        """Waits for the model, at most ``seconds``."""
        self._has_ended.wait(seconds)

    def pruning(self, level: PruningLevel) -> Pruning | None:
        """The pruning of ``level`` by what is known now; None for ``none``."""
        return None if level == "none" else Pruning(level, self._model)

    def completions(self, dataset: Dataset) -> ProvableCompletions:
        """What is known now of the constants with which an atom of ``dataset``, the served one, may have a proof."""
        return self._completions or AllCompletions(dataset.vocabulary.num_constants)

    def _build(self, dataset: Dataset) -> None:
        # Imported here: scipy takes a while, and the start does not wait for it.
        from proofrank.core.provability import stored_least_model

        began = time.monotonic()
        try:
            model = stored_least_model(
                dataset,
                self.settings.cache_folder or default_cache_folder(),
                seconds=self.settings.least_model_seconds,
            )
            # Before evaluators are told of the model: theirs are the threads that must not wait for its bits.
            num_bytes = self._prepare_bits(model, dataset)
        except Exception:
            logger.exception("there is no least model; no candidate is known to have no proof")
        else:
            self._model = self._completions = model
            self.metrics.show_least_model(model.num_atoms, model.seconds, is_exact=model.is_exact)
            logger.info(
                "least model after %.2f s: %s%d atoms, computed in %.2f s%s",
                time.monotonic() - began,
                "" if model.is_exact else "a superset for some relations, and for the others ",
                model.num_atoms,
                model.seconds,
                f"; {num_bytes / 2**20:.1f} MiB of bits for the device" if num_bytes else "",
            )
        finally:
            self._has_ended.set()

    def _prepare_bits(self, model: object, dataset: Dataset) -> int:
        """Makes the bits that evaluators copy to their device; returns how many bytes they are, 0 for none."""
        if self.settings.engine == OriginalStream.engine:
            return 0
        return prepare_bits(model, dataset, torch.device(self.settings.device or default_device()))
