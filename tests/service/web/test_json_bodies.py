"""A big body is validated step by step, which changes nothing in what is taken and what is said."""

from __future__ import annotations

import copy
import json
import threading
import time
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from proofrank.service.web.json_bodies import validate_items
from proofrank.service.wire import JobRequest, NamedTriple, RankQuery, RankRequest, shortened

QUERY = {"head": "anna", "relation": "ancestor", "tail": "Zoë"}
MANY = 2500


def errors_of(model: type[RankRequest] | type[JobRequest], value: Any) -> Any:
    """What pydantic says of a value; None where it is right."""
    try:
        model.model_validate(value)
    except ValidationError as error:
        return error.errors(include_input=False)
    return None


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"seed": -1},
        {"queries": []},
        {"queries": None},
        {"queries": "anna"},
        {"queries": [QUERY] * 1500 + [5] * 2},
        {"queries": [QUERY] * 1500 + [{**QUERY, "head": ""}] + [QUERY] * 1500},
        {"queries": [{**QUERY, "hed": "anna"}] * 2000},
        {"unknown": 1},
    ],
    ids=lambda change: "-".join(change) or "right",
)
@pytest.mark.parametrize("model", [RankRequest, JobRequest])
def test_a_body_is_judged_as_one_that_was_not_validated_in_steps(
    model: type[RankRequest] | type[JobRequest], change: dict[str, Any]
) -> None:
    value = {"queries": [QUERY] * MANY, **change}
    stepwise = copy.deepcopy(value)
    validate_items(stepwise, model)
    assert errors_of(model, stepwise) == errors_of(model, value)
    if errors_of(model, value) is None:
        assert model.model_validate(stepwise) == model.model_validate(value)


@pytest.mark.parametrize(("model", "kind"), [(RankRequest, RankQuery), (JobRequest, NamedTriple)])
def test_all_queries_of_a_right_body_are_models_when_it_is_handed_on(
    model: type[RankRequest] | type[JobRequest], kind: type[NamedTriple]
) -> None:
    value = {"queries": [QUERY] * MANY}
    validate_items(value, model)
    assert {type(query) for query in value["queries"]} == {kind}


@pytest.mark.parametrize("value", [None, 7, [], "queries", {}, {"queries": {}}])
def test_what_is_no_request_is_left_as_it_is(value: Any) -> None:
    before = copy.deepcopy(value)
    validate_items(value, RankRequest)
    assert value == before


def test_a_wrong_query_far_behind_in_a_big_body_is_told_with_its_place(client: httpx.Client) -> None:
    queries = [QUERY] * 1200 + [{**QUERY, "side": "left"}]
    answer = client.post("/jobs", json={"queries": queries})
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert (error["field"], error["value"]) == ("queries[1200].side", "left")


def test_a_big_body_that_is_wrong_as_a_whole_is_shown_as_it_was_sent(client: httpx.Client) -> None:
    body = {"queries": [QUERY] * 1200, "split": "test"}
    answer = client.post("/jobs", json=body)
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["message"] == "expected either 'split' or 'queries'"
    assert error["value"] == json.dumps(body, ensure_ascii=False)[:200] + "…"


def test_no_more_of_a_value_is_written_than_is_shown() -> None:
    class Endless(dict[str, Any]):
        """An object of which nobody should see the end."""

        def items(self) -> Any:
            yield from ((str(index), index) for index in range(100))
            raise AssertionError("read on")

    text = shortened(Endless(a=1))
    assert len(text) == 201
    assert text.startswith('{"0": 0, "1": 1')


def test_other_threads_run_while_a_big_body_is_validated() -> None:
    value = {"queries": [dict(QUERY) for _ in range(200_000)]}
    turns, is_over = [], threading.Event()

    def count() -> None:
        while not is_over.is_set():
            turns.append(time.monotonic())
            time.sleep(0)

    counting = threading.Thread(target=count)
    counting.start()
    began = time.monotonic()
    validate_items(value, JobRequest)
    ended = time.monotonic()
    is_over.set()
    counting.join()
    # Validated in one step, there is none.
    assert sum(began < turn < ended for turn in turns) > 5
