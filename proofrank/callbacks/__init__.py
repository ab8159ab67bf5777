"""Callbacks of training loops: a split is ranked after an epoch, the metrics are logged, training stops early.

    from proofrank.callbacks import CsvLogger, InProcess, Validation

    with Validation(InProcess(dataset), like=policy, loggers=[CsvLogger("valid.csv")], patience=3) as validation:
        for epoch in range(100):
            train_epoch(network)
            validation(epoch, network)
            if validation.should_stop:
                break
    print(validation.best)

With ``OnServer(client, "run-7")`` in place of ``InProcess(dataset)``, a server ranks while training goes on.

The modules ``lightning``, ``pykeen`` and ``stable_baselines3`` of this package adapt :class:`Validation` to these
libraries; nothing else imports them. ``docs/callbacks.md`` describes all of it.
"""

from proofrank.callbacks.evaluations import Evaluations, InProcess, OnServer, StepResult
from proofrank.callbacks.library_loggers import MlflowLogger, TensorBoardLogger, WandbLogger
from proofrank.callbacks.loggers import CsvLogger, Logger
from proofrank.callbacks.validation import Validation

__all__ = [
    "CsvLogger",
    "Evaluations",
    "InProcess",
    "Logger",
    "MlflowLogger",
    "OnServer",
    "StepResult",
    "TensorBoardLogger",
    "Validation",
    "WandbLogger",
]
