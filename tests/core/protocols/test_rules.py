"""The name of a protocol settles the options, and refuses others."""

from __future__ import annotations

import pytest

from proofrank.core.errors import RankingError
from proofrank.core.protocol_rules import RankingRules, rules_of, settled


@pytest.mark.parametrize(
    ("name", "rules"),
    [
        ("filtered-all", ("all", True, "realistic", "entities")),
        ("sampled-50", (50, True, "realistic", "entities")),
        ("sampled-100", (100, True, "realistic", "entities")),
        ("ogb", ("all", False, "realistic", "domains")),
        ("fixed-negatives", ("all", False, "realistic", "domains")),
        ("deepprooflog", (100, True, "random", "domains")),
        ("deepprooflog-7", (7, True, "random", "domains")),
    ],
)
def test_a_protocol_settles_all_of_them(name: str, rules: tuple) -> None:
    assert settled(name) == rules_of(name) == RankingRules(name, *rules)
    # What it would settle anyway may be said too.
    corruptions, filtered, ties, source = rules
    assert settled(name, corruptions=corruptions, filtered=filtered, ties=ties, candidates_from=source)


def test_without_a_protocol_the_options_stay() -> None:
    assert settled(None, corruptions=3, ties="random") == RankingRules(None, 3, True, "random")


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        ("filtered-all", "corruptions", 7),
        ("filtered-all", "filtered", False),
        ("sampled-100", "corruptions", "all"),
        ("ogb", "ties", "optimistic"),
        ("deepprooflog", "candidates_from", "entities"),
    ],
)
def test_an_option_that_says_something_else_is_refused(name: str, option: str, value: object) -> None:
    with pytest.raises(RankingError, match=f"{option} is .*protocol '{name}' ranks with"):
        settled(name, **{option: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "name", ["", "filtered_all", "sampled-0", "sampled-", "sampled-9999999", "sampled-1.5", "OGB"]
)
def test_an_unknown_protocol_is_refused_with_those_that_there_are(name: str) -> None:
    with pytest.raises(RankingError, match="expected one of filtered-all, sampled-N, ogb"):
        settled(name)
