"""Reading rules: two forms, variables by what they are not, and the order of the file."""

from __future__ import annotations

import pytest

from proofrank.core.graph import Rule
from tests.helpers.datasets import DatasetMaker

FACTS = ("p(a,b).", "q(b,c).", "r(c,a).")
A, B, C = 1, 2, 3
P, Q, R = 1, 2, 3


def only_rule(make_dataset: DatasetMaker, line: str) -> Rule:
    (rule,) = make_dataset(FACTS, [line]).rules
    return rule


@pytest.mark.parametrize(
    "line",
    [
        "chain:0.5:p(X,Z), q(Z,Y) -> r(X,Y)",
        "chain:0.5:p(x,z),q(z,y)->r(x,y)",
        "chain : 0.5 : p(one,two) , q(two,three) -> r(one,three)",
        "p(X,Z), q(Z,Y) -> r(X,Y)",
        "r(X,Y) :- p(X,Z), q(Z,Y).",
        "r(x,y) :- p(x,z), q(z,y)",
        "r(X,Y):-p(X,Z),q(Z,Y) .",
    ],
)
def test_all_forms_of_a_rule_mean_the_same(line: str, make_dataset: DatasetMaker) -> None:
    rule = only_rule(make_dataset, line)

    assert rule.head == (R, -1, -2)
    assert rule.body == ((P, -1, -3), (Q, -3, -2))
    assert rule.num_fresh_variables == 1


def test_name_and_weight_are_read_where_they_are_given(make_dataset: DatasetMaker) -> None:
    rules = make_dataset(FACTS, ["chain:0.25:p(X,Y) -> r(X,Y)", "", "p(X,Y) -> r(X,Y)"]).rules

    assert [(rule.name, rule.weight) for rule in rules] == [("chain", 0.25), ("rule3", 1.0)]


def test_rules_keep_the_order_of_the_file(make_dataset: DatasetMaker) -> None:
    lines = ["z:1:p(X,Y) -> r(X,Y)", "a:9:q(X,Y) -> r(X,Y)", "m:5:r(X,Y) -> r(Y,X)", "b:1:p(X,Y) -> q(X,Y)"]

    dataset = make_dataset(FACTS, lines)

    assert [rule.name for rule in dataset.rules] == ["z", "a", "m", "b"]
    assert [rule.name for rule in dataset.rules_by_predicate[R]] == ["z", "a", "m"]


def test_an_argument_that_is_a_known_constant_is_one_in_either_case(make_dataset: DatasetMaker) -> None:
    dataset = make_dataset(["p(a,Berlin).", "q(a,a)."], ["q(x,a), q(Berlin,Y) -> p(x,Berlin)"])
    (rule,) = dataset.rules
    berlin, a = dataset.vocabulary.constant_index("Berlin"), dataset.vocabulary.constant_index("a")

    assert rule.head == (1, -1, berlin)
    assert rule.body == ((2, -1, a), (2, berlin, -2))


def test_a_constant_of_a_test_triple_alone_is_a_constant_in_a_rule(make_dataset: DatasetMaker) -> None:
    (rule,) = make_dataset(FACTS, ["p(X,z) -> r(X,z)"], test=["p(a,z)."]).rules

    assert rule.head == (R, -1, 4)


def test_a_variable_that_comes_again_is_the_same_one(make_dataset: DatasetMaker) -> None:
    rule = only_rule(make_dataset, "p(X,X), q(X,Y) -> r(X,X)")

    assert rule.head == (R, -1, -1)
    assert rule.body == ((P, -1, -1), (Q, -1, -2))
    assert rule.num_fresh_variables == 1


def test_x_in_another_case_is_another_variable(make_dataset: DatasetMaker) -> None:
    rule = only_rule(make_dataset, "p(X,x) -> r(X,x)")

    assert rule.head == (R, -1, -2)


def test_each_underscore_is_a_variable_of_its_own(make_dataset: DatasetMaker) -> None:
    rule = only_rule(make_dataset, "p(X,_), q(_,Y) -> r(X,Y)")

    assert rule.body == ((P, -1, -3), (Q, -4, -2))
    assert rule.num_fresh_variables == 2


def test_fresh_variables_are_those_of_the_body_alone(make_dataset: DatasetMaker) -> None:
    rule = only_rule(make_dataset, "p(U,V), q(V,W) -> r(X,Y)")

    assert rule.head == (R, -1, -2)
    assert rule.num_fresh_variables == 3


def test_predicates_of_a_rule_may_hold_colons_and_slashes(make_dataset: DatasetMaker) -> None:
    dataset = make_dataset(["/film/x:y(a,b).", "q(b,c)."], ["r1:1:/film/x:y(X,Y) -> q(X,Y)"])

    assert dataset.rules[0].name == "r1"
    assert dataset.rules[0].body == ((dataset.vocabulary.predicate_index("/film/x:y"), -1, -2),)


def test_a_rule_without_name_may_begin_with_a_predicate_that_holds_a_colon(
    make_dataset: DatasetMaker,
) -> None:
    dataset = make_dataset(["ns:p(a,b).", "q(b,c)."], ["ns:p(X,Y) -> q(X,Y)"])

    assert dataset.rules[0].body == ((dataset.vocabulary.predicate_index("ns:p"), -1, -2),)
