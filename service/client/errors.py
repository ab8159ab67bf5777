"""What can go wrong for a client, each with a message for its user.

::

    ClientError
    ├─ UnreachableError        no answer came
    ├─ UnexpectedAnswerError   an answer came that no proofrank server gives
    ├─ AnswerError             the server answered with an error
    │  ├─ InvalidRequestError  400, 413, 422 and the like: sending it again would not help
    │  ├─ AccessError          401, 403: no key, an unknown one, or one without the right
    │  ├─ NotFoundError        404
    │  ├─ ConflictError        409
    │  ├─ UnavailableError     408, 429, 502, 503, 504, after all attempts
    │  ├─ DeadlineError        504 of the service: the request's deadline passed
    │  └─ ServerError          500 and the like: a fault of the server
    ├─ NotReadyError           the server did not get ready in time
    ├─ JobError                a job failed or was cancelled
    └─ MissingLibraryError     an optional library is not installed
"""

from __future__ import annotations

from collections.abc import Sequence

from proofrank.core.errors import ProofrankError
from proofrank.service.wire import FieldError, Job


class ClientError(ProofrankError):
    """Base of every error of the client; its text is fit to be shown to the user."""


class UnreachableError(ClientError):
    """No answer came: no connection, or it broke, or it took too long."""


class UnexpectedAnswerError(ClientError):
    """An answer came that no proofrank server gives."""


class NotReadyError(ClientError):
    """The server did not get ready in the time that was given."""


class MissingLibraryError(ClientError):
    """An optional library is not installed; says which."""


class AnswerError(ClientError):
    """The server answered with an error, or would: what is wrong with a request by its form alone is not sent.

    Attributes:
        status: the HTTP status.
        detail: what went wrong.
        errors: the first things wrong with the request.
        request_id: identifies the request in the server's log.
    """

    def __init__(
        self, status: int, detail: str, errors: Sequence[FieldError] = (), request_id: str | None = None
    ) -> None:
        self.status = status
        self.detail = detail
        self.errors = tuple(errors)
        self.request_id = request_id
        # The detail of a wrong request says less than its errors.
        super().__init__("\n".join(map(str, self.errors)) or detail)


class InvalidRequestError(AnswerError):
    """The request is wrong; sending it again would not help."""


class AccessError(AnswerError):
    """The API key is missing, unknown, or lacks the right."""


class NotFoundError(AnswerError):
    """There is no such policy or job."""


class ConflictError(AnswerError):
    """The server's state forbids it, as for deleting the active policy."""


class UnavailableError(AnswerError):
    """The server takes no requests at the moment: too many wait, too many came, or it starts or ends."""


class DeadlineError(AnswerError):
    """The deadline of the request passed before it was ranked."""


class ServerError(AnswerError):
    """A fault of the server."""


class JobError(ClientError):
    """A job ended without being done.

    Attributes:
        job: as it ended.
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        super().__init__(f"job {job.id} {job.state}{f': {job.error}' if job.error else ''}")
