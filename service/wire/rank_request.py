"""What ``POST /rank`` takes."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator
from pydantic_core import PydanticCustomError

MAX_NAME_LENGTH = 1024

Name = Annotated[str, StringConstraints(min_length=1, max_length=MAX_NAME_LENGTH)]
SideOption = Literal["head", "tail", "both"]
Ties = Literal["realistic", "optimistic", "pessimistic", "random"]


class RequestPart(BaseModel):
    """A part of a request: text is no number, nor the other way round, and no unknown field is taken."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class NamedTriple(RequestPart):
    """A triple to rank against corrupted copies of itself."""

    head: Name = Field(description="name of the first constant")
    relation: Name = Field(description="name of the predicate")
    tail: Name = Field(description="name of the second constant")
    side: SideOption | None = Field(
        None, description="which constant is replaced; that of the request if unset"
    )


class RankQuery(NamedTriple):
    """A triple to rank against corrupted copies of itself, perhaps against candidates of the caller's own."""

    candidates: list[Name] | None = Field(
        None,
        min_length=1,
        fail_fast=True,
        description="Constants to put in the place of the side's constant, instead of drawn corruptions. The query's "
        "own constant may be among them and is not counted twice. With `filtered`, those that make another known "
        "triple are left out, and `num_filtered` of the ranking counts them. Needs side head or tail.",
    )


class RankOptions(RequestPart):
    """How to rank queries."""

    side: SideOption = Field("both", description="which constant is replaced, for queries that do not say")
    corruptions: Annotated[int, Field(ge=0)] | Literal["all"] = Field(
        50, description="how many corruptions per query and side; all that there are for 'all'"
    )
    filtered: bool = Field(True, description="leave out corruptions that are known triples")
    seed: int = Field(0, ge=0, lt=2**63, description="of the draw of corruptions and of random ties")
    ties: Ties = Field("realistic", description="which rank counts where scores are equal")

    @field_validator("corruptions", mode="before")
    @classmethod
    def _number_or_all(cls, value: Any) -> Any:
        """One message for both forms, in place of one for each."""
        if value == "all" or (type(value) is int and value >= 0):
            return value
        raise PydanticCustomError("corruptions", "expected a whole number, 0 or more, or 'all'")


class RankRequest(RankOptions):
    """Queries and how to rank them."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "queries": [
                        {"head": "france", "relation": "locatedInCR", "tail": "europe", "side": "tail"}
                    ],
                    "corruptions": "all",
                    "return_proof": True,
                }
            ]
        },
    )

    # A body may hold millions of bad queries; finding, and wording, what is wrong with each takes a minute.
    queries: list[RankQuery] = Field(min_length=1, fail_fast=True, description="the triples to rank")
    deadline_ms: int | None = Field(
        None,
        ge=1,
        description="after so many milliseconds the answer is 504; the server's maximum if that is less",
    )
    return_candidates: bool = Field(False, description="answer with every candidate's score")
    return_proof: bool = Field(False, description="answer with the positive's proof")
