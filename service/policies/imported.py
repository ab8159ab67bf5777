"""Makes a policy folder of an uploaded checkpoint of the public DeepProofLog code."""

from __future__ import annotations

from pathlib import Path

from proofrank.core.errors import PolicyError
from proofrank.core.graph import Dataset
from proofrank.core.policy.importing import (
    FactError,
    Facts,
    MissingFactsError,
    import_checkpoint,
    read_facts,
)
from proofrank.service.errors import BadCheckpoint, InvalidInput
from proofrank.service.policies.policy_files import CHECKPOINT, FACTS
from proofrank.service.wire import FieldError, shortened


def import_upload(folder: Path, file_name: str, dataset: Dataset, *, with_defaults: bool) -> Path:
    """Imports the checkpoint in ``folder`` with the facts beside it, if there are any.

    Args:
        folder: folder that :func:`~proofrank.service.policies.multipart_upload.receive` has filled.
        file_name: the client's name of the checkpoint's file.
        dataset: the graph, from whose names the vocabulary is rebuilt.
        with_defaults: whether facts that a logit depends on take the public code's defaults if they are not told.

    Returns:
        The policy folder, which is in ``folder``.

    Raises:
        InvalidInput: facts are missing or wrong; one error for each.
        BadCheckpoint: the file cannot be imported, or does not fit the graph.
    """
    policy_folder = folder / "policy"
    try:
        facts = _facts(folder / FACTS.file)
        imported = import_checkpoint(
            folder / CHECKPOINT.file, dataset, facts, with_defaults=with_defaults, shown_as=file_name
        )
    except MissingFactsError as error:
        raise InvalidInput(
            [
                FieldError(
                    field=f"{FACTS.field}.{name}",
                    value=None,
                    message=f"the file does not tell it; expected {expected}",
                )
                for name, expected in error.facts.items()
            ],
            summary=f". Tell them in the part {FACTS.field!r}, or take the defaults by ?public_defaults=true",
        ) from error
    except FactError as error:
        raise InvalidInput(
            [
                FieldError(
                    field=f"{FACTS.field}.{error.fact}", value=shortened(error.value), message=str(error)
                )
            ]
        ) from error
    except PolicyError as error:
        raise BadCheckpoint(CHECKPOINT.field, str(error)) from error
    imported.write(policy_folder)
    return policy_folder


def _facts(path: Path) -> Facts:
    if not path.exists():
        return Facts({})
    try:
        return read_facts(path, FACTS.field)
    except FactError:
        raise
    except PolicyError as error:
        raise BadCheckpoint(FACTS.field, str(error)) from error
