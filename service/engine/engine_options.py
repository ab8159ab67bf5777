"""The evaluator that a command asks for, in a form that can be sent to other processes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from proofrank.core.evaluator import Evaluator, create_evaluator
from proofrank.core.evaluator.engines import check_engine, usable_device
from proofrank.core.evaluator.parallel import usable_processors
from proofrank.core.graph import Dataset
from proofrank.core.policy import Policy
from proofrank.core.policy.precision import check_precision
from proofrank.core.prover import ProverSettings
from proofrank.core.prover.beams import Beam
from proofrank.service.threads import use_threads


@dataclass(frozen=True)
class EngineOptions:
    """The options of an evaluator, as on the command line.

    Attributes:
        engine: name of the engine.
        device: torch device; None for the default.
        fullgraph: whether each part of the tick must compile as one graph.
        precision: precision of matrix products.
        calibrate: whether capacities are calibrated at the first start.
        cache_folder: folder of compiled artifacts; None for the default.
        threads: number of threads of torch in each process; None for the usual number.
        processes: how many processes may take part in a long evaluation on a CPU; None for one on each processor.
        beam: how many trajectories a candidate has; None for one.
    """

    engine: str
    device: str | None
    fullgraph: bool
    precision: str
    calibrate: bool
    cache_folder: Path | None
    threads: int | None = None
    processes: int | None = None
    beam: Beam | None = None

    def check(self) -> None:
        """Refuses at once what cannot be made here, before anything is loaded for it.

        Raises:
            EvaluationError: there is no such engine, device or precision here.
        """
        check_engine(self.engine, self.beam)
        if self.engine != "original":
            check_precision(self.precision, usable_device(self.device))

    def make_evaluator(
        self,
        dataset: Dataset,
        policy: Policy,
        settings: ProverSettings,
        buckets: Sequence[int] | None = None,
    ) -> Evaluator:
        """Makes the evaluator, and sets its number of threads for the calling thread.

        Raises:
            EvaluationError: there is no such engine here, or it cannot evaluate this graph exactly.
            ProofrankError: ``threads`` is below 1.
        """
        use_threads(self.threads)
        return create_evaluator(
            self.engine,
            dataset,
            policy,
            settings,
            device=self.device,
            fullgraph=self.fullgraph,
            buckets=buckets,
            precision=self.precision,
            cache_folder=self.cache_folder,
            calibrate=self.calibrate,
            processes=self.processes if self.processes is not None else usable_processors(),
            beam=self.beam,
        )
