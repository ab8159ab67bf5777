"""``/policies``: upload, list, activate and delete policies while requests are being answered."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from proofrank.service.policies.schemas import UPLOAD_BODY, to_run_step
from proofrank.service.services import Services
from proofrank.service.web.problems import problem_responses
from proofrank.service.wire import (
    MAX_LABELS,
    MAX_STEP,
    POLICY_NAME_PATTERN,
    PolicyList,
    StoredPolicy,
)

PolicyName = Annotated[
    str, Path(pattern=POLICY_NAME_PATTERN, description="Name of the policy.", examples=["run-7"])
]

_REFUSALS_OF_A_CHANGE = problem_responses(
    HTTPStatus.NOT_FOUND,
    HTTPStatus.CONFLICT,
    HTTPStatus.UNPROCESSABLE_ENTITY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.INSUFFICIENT_STORAGE,
)


def make_router(services: Services) -> APIRouter:
    """The routes on these services."""
    router = APIRouter(prefix="/policies", tags=["policies"])
    host, policies = services.host, services.policies

    @router.get("", responses=problem_responses(HTTPStatus.SERVICE_UNAVAILABLE))
    async def list_policies() -> PolicyList:
        """The stored policies, and which of them is live."""
        entries = await policies.entries(await policies.records())
        return PolicyList(active=host.active_policy.name, policies=entries)

    @router.put(
        "/{name}",
        status_code=HTTPStatus.CREATED,
        openapi_extra=UPLOAD_BODY,
        responses={
            int(HTTPStatus.OK): {
                "model": StoredPolicy,
                "description": "The name existed; its content was replaced.",
            },
            **problem_responses(
                HTTPStatus.REQUEST_TIMEOUT,
                HTTPStatus.CONFLICT,
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                HTTPStatus.UNPROCESSABLE_ENTITY,
                HTTPStatus.TOO_MANY_REQUESTS,
                HTTPStatus.SERVICE_UNAVAILABLE,
                HTTPStatus.INSUFFICIENT_STORAGE,
            ),
        },
    )
    async def upload_policy(
        name: PolicyName,
        request: Request,
        answer: Response,
        activate: Annotated[
            bool, Query(description="Whether the policy becomes the live one.", examples=[True])
        ] = False,
        run: Annotated[
            str | None,
            Query(
                pattern=POLICY_NAME_PATTERN,
                description="Training run that the policy belongs to; needs a `step`.",
                examples=["run-7"],
            ),
        ] = None,
        step: Annotated[
            int | None, Query(ge=0, le=MAX_STEP, description="Step of the `run`.", examples=[3])
        ] = None,
        label: Annotated[
            list[str] | None,
            Query(
                max_length=MAX_LABELS,
                description="Label to keep beside, as `NAME=TEXT`; may be repeated.",
                examples=[["lr=0.001"]],
            ),
        ] = None,
        public_defaults: Annotated[
            bool,
            Query(
                description="Whether facts that nothing tells take the defaults of the public code.",
                examples=[True],
            ),
        ] = False,
    ) -> StoredPolicy:
        """Uploads a policy under a name, new or not; it is checked before it is stored.

        The body has the three files of a policy folder, and perhaps weights of hybrid scores; or a checkpoint file of
        the public DeepProofLog code and what that file does not tell.
        """
        _ = host.loaded  # 503 before anything is received
        place = to_run_step(run, step, label or ())
        async with policies.incoming(name) as folder:
            content_type = request.headers.get("content-type", "")
            received = await policies.receive(
                request.stream(), content_type, folder, public_defaults=public_defaults
            )
            put = await policies.put(name, received, activate=activate, place=place)
        if not put.is_new:
            answer.status_code = HTTPStatus.OK
        (entry,) = await policies.entries([put.record])
        return entry

    @router.post(
        "/{name}/activate",
        responses=_REFUSALS_OF_A_CHANGE,
    )
    async def activate_policy(name: PolicyName) -> StoredPolicy:
        """Has a policy rank what comes in from now on; requests that have begun keep theirs."""
        (entry,) = await policies.entries([await policies.activate(name)])
        return entry

    @router.delete(
        "/{name}",
        status_code=HTTPStatus.NO_CONTENT,
        responses=_REFUSALS_OF_A_CHANGE,
    )
    async def delete_policy(name: PolicyName) -> None:
        """Deletes a policy that is neither live nor needed by a job."""
        _ = host.loaded
        await policies.delete(name)

    return router
