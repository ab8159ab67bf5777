"""What can go wrong in the service, in the words of its domain: no class here knows of HTTP.

``service.web.problems`` has the one table from these classes to statuses.
"""

from __future__ import annotations

from collections.abc import Sequence

from proofrank.service.wire import MAX_ERRORS, FieldError


class ServiceError(Exception):
    """Base of the errors that a caller of the service is told.

    Attributes:
        detail: what went wrong, in a sentence for the caller.
    """

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class TryLater(ServiceError):
    """The same request may succeed later.

    Attributes:
        retry_seconds: whole seconds after which it is worth trying again.
    """

    def __init__(self, detail: str, retry_seconds: int = 1) -> None:
        super().__init__(detail)
        self.retry_seconds = retry_seconds


class NotReady(TryLater):
    """The service has not finished its start."""


class Draining(TryLater):
    """The service is stopping and takes no more work."""


class QueueFull(TryLater):
    """As much work waits or runs as the settings allow."""


class BodiesFull(TryLater):
    """The requests in work hold as many bytes as the settings allow."""


class InvalidInput(ServiceError):
    """A request is not what was expected.

    Attributes:
        errors: the first ``MAX_ERRORS`` of the wrong fields.
    """

    def __init__(self, errors: Sequence[FieldError], number: int | None = None, summary: str = "") -> None:
        """Args:
        errors: at least one.
        number: how many there are, where these are only the first.
        summary: says something about all of them.
        """
        self.errors = list(errors[:MAX_ERRORS])
        number = len(errors) if number is None else number
        more = f" (and {number - 1} more)" if number > 1 else ""
        super().__init__(f"{self.errors[0].field}: {self.errors[0].message}{more}{summary}")


class BadCheckpoint(InvalidInput):
    """A part of an uploaded policy cannot be used.

    Attributes:
        part: name of the part, as the upload calls it, or ``body``.
    """

    def __init__(self, part: str, message: str) -> None:
        self.part = part
        super().__init__([FieldError(field=part, value=None, message=message)])


class UploadTooLarge(ServiceError):
    """A part of an upload is larger than any right one."""


class UploadStalled(ServiceError):
    """An upload has stopped coming in."""


class UploadAborted(ServiceError):
    """The client went away in the middle of its upload."""


class NoSuchPolicy(ServiceError):
    """No policy has this name."""


class PolicyConflict(ServiceError):
    """The state of the stored policies does not allow the change."""


class PolicyInUse(PolicyConflict):
    """A policy that is live, or that unfinished work needs, cannot be removed."""


class TooManyPolicies(PolicyConflict):
    """As many policies are stored as the settings allow."""


class PolicyReplaced(PolicyConflict):
    """The name of a policy has been given to other content meanwhile."""


class UnusablePolicy(PolicyConflict):
    """A stored policy cannot rank in this server."""


class EmbeddingReplaced(ServiceError):
    """The embedding of stored scores is no longer the one that is served."""


class NoSuchJob(ServiceError):
    """No job has this identifier."""


class NoSuchRun(ServiceError):
    """No policy and no job is of this run."""


class JobNotDone(ServiceError):
    """A job has no whole results, because it has not ended, or failed, or was cancelled."""


class JobRemovedError(Exception):
    """A job was removed while something was being done with it: no fault."""

    def __init__(self, job_id: str) -> None:
        super().__init__(f"job {job_id} has been removed")


class DeadlinePassed(ServiceError):
    """The deadline of a request passed before it was answered."""


class EvaluationFailed(ServiceError):
    """The evaluator failed over a request's candidates."""


class MissingFeature(ServiceError):
    """A library that the request needs is not installed in this server."""
