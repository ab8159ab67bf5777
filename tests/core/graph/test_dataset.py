"""Loading a dataset folder: the formats that people have, and what is said about unusable files."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proofrank.core.errors import DatasetError
from proofrank.core.graph import load_dataset
from tests.helpers.datasets import DatasetMaker, write_dataset
from tests.helpers.strategies import names, write_atom

RULE = "p(X,Y) -> q(X,Y)"
FACTS = ("p(a,b).", "q(b,c).")

ODD_NAMES = (
    "/m/08966",
    "00260881",
    "v1.2.3",
    "north-east",
    "Łódź",
    "北京",
    "o'neil",
    "St. John",
    "$x%y",
    "a:b->c",
    "line\u2028separator",
)


def count_lines(path: Path) -> int:
    return sum(bool(line.strip()) for line in path.read_text(encoding="utf-8").splitlines())


# Whole data sets


@pytest.mark.parametrize("name", ["countries_s3", "family", "nations", "umls", "wn18rr"])
def test_every_line_of_a_shared_data_set_is_loaded(name: str, shared_data: Path) -> None:
    folder = shared_data / name

    dataset = load_dataset(folder)

    for split, triples in dataset.splits.items():
        assert len(triples) + dataset.num_duplicates[split] == count_lines(folder / f"{split}.txt")
    assert len(dataset.rules) == count_lines(folder / "rules.txt")
    assert len(dataset.domains) == count_lines(folder / "domain2constants.txt")
    assert len(dataset.facts) == len(dataset.splits["train"])


# Formats


def test_prolog_facts_and_tab_separated_triples_give_the_same_dataset(make_dataset: DatasetMaker) -> None:
    from_facts = make_dataset(["p(a,b).", "q(b,c).", "p( c , a )"], [RULE])
    from_columns = make_dataset(["a\tp\tb", "b\tq\tc", " c \tp\t a "], [RULE])

    assert from_columns.splits == from_facts.splits
    assert from_columns.vocabulary == from_facts.vocabulary
    assert from_columns.content_hash == from_facts.content_hash


def test_each_file_has_a_form_of_its_own(make_dataset: DatasetMaker) -> None:
    dataset = make_dataset(FACTS, [RULE], valid=["b\tq\ta"], test=["c\tq\ta", "c\tq\tb"])

    assert [file.format for file in dataset.files[:3]] == ["Prolog facts", "tab-separated", "tab-separated"]
    assert dataset.names(dataset.splits["valid"][0]) == ("b", "q", "a")


@pytest.mark.parametrize("suffix", [".txt", ".tsv", ".pl"])
def test_triple_files_may_have_any_of_the_usual_suffixes(suffix: str, tmp_path: Path) -> None:
    write_dataset(tmp_path, FACTS, [RULE])
    (tmp_path / "train.txt").rename(tmp_path / f"train{suffix}")

    assert len(load_dataset(tmp_path).facts) == 2


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names_are_read_in_both_forms(name: str, make_dataset: DatasetMaker) -> None:
    as_fact = make_dataset([f"p({name},other).", "q(a,b)."], [RULE])
    as_columns = make_dataset([f"{name}\tp\tother", "a\tq\tb"], [RULE])

    assert as_fact.names(as_fact.splits["train"][0]) == (name, "p", "other")
    assert as_columns.names(as_columns.splits["train"][0]) == (name, "p", "other")


@given(triples=st.lists(st.tuples(names, names), min_size=1, max_size=4))
@settings(max_examples=100, deadline=None)
def test_any_name_survives_writing_and_loading_as_a_fact(
    triples: list[tuple[str, str]], make_dataset: DatasetMaker
) -> None:
    dataset = make_dataset([write_atom("p", *pair) + "." for pair in triples], ["p(X,Y) -> p(Y,X)"])

    loaded = [dataset.names(triple) for triple in dataset.splits["train"]]
    assert loaded == [(first, "p", second) for first, second in dict.fromkeys(triples)]


@given(triples=st.lists(st.tuples(names, names), min_size=1, max_size=4))
@settings(max_examples=100, deadline=None)
def test_any_name_survives_writing_and_loading_between_tabs(
    triples: list[tuple[str, str]], make_dataset: DatasetMaker
) -> None:
    # A full stop behind a blank belongs to the format; one line of three such letters might be a header.
    triples = [*(pair for pair in triples if not pair[1].endswith(" .")), ("a", "b")]

    dataset = make_dataset([f"{first}\tp\t{second}" for first, second in triples], ["p(X,Y) -> p(Y,X)"])

    loaded = [dataset.names(triple) for triple in dataset.splits["train"]]
    assert loaded == [(first, "p", second) for first, second in dict.fromkeys(triples)]


def test_a_name_with_a_comma_is_written_between_quotes(make_dataset: DatasetMaker) -> None:
    dataset = make_dataset(["p('Paris, Texas','it''s').", "q(a,b)."], [RULE])

    assert dataset.names(dataset.splits["train"][0]) == ("Paris, Texas", "p", "it's")


@pytest.mark.parametrize("name", ["sibling (half)", "it's (so)", "a,b", "((", "'quoted'"])
def test_a_predicate_between_quotes_may_hold_parentheses_commas_and_quotes(
    name: str, make_dataset: DatasetMaker
) -> None:
    quoted = "'" + name.replace("'", "''") + "'"
    dataset = make_dataset(
        [f"{quoted}(a,b).", "q(b,c)."],
        [f"q(X,Y), {quoted}(Y,X) -> {quoted}(X,Y)"],
    )
    clauses = make_dataset([f"{quoted}(a,b).", "q(b,c)."], [f"{quoted}(X,Y) :- q(X,Y), {quoted}(Y,X)."])
    predicate = dataset.vocabulary.predicate_index(name)

    assert dataset.names(dataset.splits["train"][0]) == ("a", name, "b")
    for rule in (*dataset.rules, *clauses.rules):
        assert rule.head == (predicate, -1, -2)
        assert rule.body[1] == (predicate, -2, -1)


def test_comments_blank_lines_line_ends_and_byte_order_marks_do_not_matter(tmp_path: Path) -> None:
    write_dataset(tmp_path, FACTS, [RULE])
    expected = load_dataset(tmp_path)
    text = "\ufeff% facts\r\n\r\np(a,b).\r\n   \r\nq(b,c).\r\n"
    (tmp_path / "train.txt").write_bytes(text.encode("utf-8"))

    assert load_dataset(tmp_path).content_hash == expected.content_hash


def test_the_byte_order_mark_of_a_file_that_was_appended_does_not_matter(
    make_dataset: DatasetMaker,
) -> None:
    lines = ["a\tp\tb", "\ufeffb\tp\tc"]

    assert make_dataset(lines, [RULE]).vocabulary.constants == ("a", "b", "c")


def test_lines_may_end_with_a_carriage_return_alone(make_dataset: DatasetMaker, tmp_path: Path) -> None:
    expected = make_dataset(["a\tp\tb", "b\tq\tc"], ["p(X,Y) -> q(X,Y)", "q(X,Y) -> p(X,Y)"])
    write_dataset(tmp_path, ["a\tp\tb\rb\tq\tc"], ["p(X,Y) -> q(X,Y)\rq(X,Y) -> p(X,Y)"])
    for name in ("train.txt", "rules.txt"):
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes().replace(b"\n", b"\r"))

    assert load_dataset(tmp_path).content_hash == expected.content_hash


def test_a_tab_after_a_fact_does_not_matter(make_dataset: DatasetMaker) -> None:
    dataset = make_dataset(["p(a,b).\t", "q(b,c)\t."], [RULE])

    assert [dataset.names(triple) for triple in dataset.splits["train"]] == [("a", "p", "b"), ("b", "q", "c")]


# What is made of the files


def test_indices_are_the_sorted_order_of_the_names(make_dataset: DatasetMaker) -> None:
    dataset = make_dataset(["q(b,a).", "p(d,b)."], [RULE], valid=["p(c,a)."])
    vocabulary = dataset.vocabulary

    assert vocabulary.constants == ("a", "b", "c", "d")
    assert vocabulary.predicates == ("p", "q")
    assert [vocabulary.constant_index(name) for name in "abcd"] == [1, 2, 3, 4]
    assert [vocabulary.predicate_index(name) for name in "pq"] == [1, 2]
    assert (vocabulary.true_index, vocabulary.false_index, vocabulary.endf_index) == (3, 4, 5)
    assert vocabulary.first_variable_index == 5
    assert dataset.splits["train"] == ((2, 2, 1), (1, 4, 2))


def test_only_train_triples_are_facts(make_dataset: DatasetMaker) -> None:
    dataset = make_dataset(FACTS, [RULE], valid=["p(a,c)."], test=["p(c,a)."])

    assert dataset.triple("a", "p", "b") in dataset.facts
    assert dataset.triple("a", "p", "c") not in dataset.facts
    assert dataset.triple("c", "p", "a") not in dataset.facts


def test_duplicate_triples_are_counted_dropped_and_told(make_dataset: DatasetMaker) -> None:
    dataset = make_dataset(
        ["p(a,b).", "q(b,c).", "p(a, b)", "'p'('a',b)."], [RULE], test=["p(b,a).", "p(b,a)."]
    )

    assert len(dataset.splits["train"]) == 2
    assert dataset.num_duplicates == {"train": 2, "valid": 0, "test": 1}
    train, test = (warning for warning in dataset.warnings if warning.kind == "duplicate-triple")
    assert (train.count, [place.line for place in train.places]) == (2, [3, 4])
    assert "train.txt: 2 duplicate triples dropped" in train.message
    assert "test.txt: 1 duplicate triple dropped: p(b,a), as in line 1 (line 2)" in test.message


def test_the_content_hash_changes_with_every_part_of_the_content(make_dataset: DatasetMaker) -> None:
    domains = ["things a b c"]
    same = [make_dataset(FACTS, [RULE], domains=domains).content_hash for _ in range(2)]
    others = [
        make_dataset([*FACTS, "p(a,c)."], [RULE], domains=domains),
        make_dataset(FACTS, [RULE], domains=domains, valid=["p(a,c)."]),
        make_dataset(FACTS, [RULE], domains=domains, test=["p(a,c)."]),
        make_dataset(FACTS, ["p(Y,X) -> q(X,Y)"], domains=domains),
        make_dataset(FACTS, [RULE], domains=["things a b"]),
        make_dataset(FACTS, [RULE]),
    ]

    assert same[0] == same[1]
    assert len({same[0], *(other.content_hash for other in others)}) == 7


# Domains


def test_domains_hold_the_indices_of_their_constants(make_dataset: DatasetMaker) -> None:
    dataset = make_dataset(FACTS, [RULE], domains=["letters b a", "last c"])

    assert dataset.domains == {"letters": (1, 2), "last": (3,)}


def test_a_domain_line_with_tabs_may_hold_names_with_blanks(make_dataset: DatasetMaker) -> None:
    dataset = make_dataset(["p(new york,b).", "q(b,b)."], [RULE], domains=["towns\tnew york\tb"])

    assert dataset.domains == {"towns": (1, 2)}


def test_a_domain_may_begin_with_a_percent_sign_where_tabs_separate(make_dataset: DatasetMaker) -> None:
    dataset = make_dataset(["a\tp\tb"], [RULE], domains=["% a comment", "%22all%22\ta\tb"])

    assert dataset.domains == {"%22all%22": (1, 2)}


def test_constants_of_a_domain_that_no_triple_has_are_left_out_and_told(make_dataset: DatasetMaker) -> None:
    dataset = make_dataset(FACTS, [RULE], domains=["letters a zz"])

    assert dataset.domains == {"letters": (1,)}
    assert any("'letters'" in str(warning) and "'zz'" in str(warning) for warning in dataset.warnings)


def test_constants_without_a_domain_are_told_for_all_constants_replace_them(
    make_dataset: DatasetMaker,
) -> None:
    dataset = make_dataset(FACTS, [RULE], domains=["letters a"])
    found = [w for w in dataset.warnings if w.kind == "without-domain"]

    without = set(dataset.vocabulary.constants) - {"a"}
    assert [w.count for w in found] == [len(without)]
    assert {place.text for place in found[0].places} <= {repr(name) for name in without}
    assert not make_dataset(FACTS, [RULE]).warnings


# Refusals

BAD_LINES = [
    ("train", "p(a,b,c).", "arity 3 of 'p'", "arity 2"),
    ("train", "p(a).", "arity 1 of 'p'", "arity 2"),
    ("train", "a\tp", "2 tab-separated columns, arity 1", "head<TAB>relation<TAB>tail"),
    ("train", "a\tp\tb\tc", "4 tab-separated columns, arity 3", "head<TAB>relation<TAB>tail"),
    ("train", "a p b", "no triple (blanks separate the names", "predicate(first,second)."),
    ("train", "a,p,b", "no triple (commas separate the names; expected tabs)", "head<TAB>relation<TAB>tail"),
    ("train", "a;p;b", "no triple (semicolons separate the names", "head<TAB>relation<TAB>tail"),
    (
        "train",
        "<a> <p> <b> .",
        "no triple (blanks separate the names, as in N-Triples",
        "head<TAB>relation<TAB>tail",
    ),
    ("train", "# towns", "no triple (a comment begins with '%')", "head<TAB>relation<TAB>tail"),
    (
        "train",
        "272115",
        "no triple (a number alone, as at the top of OpenKE's files",
        "head<TAB>relation<TAB>tail",
    ),
    ("train", '["a", "p", "b"]', "no triple (it looks like JSON)", "head<TAB>relation<TAB>tail"),
    ("train", "p(a,b", "no atom", "predicate(first,second)"),
    ("train", "p(,b).", "an empty name", "predicate(first,second)"),
    ("train", "(a,b).", "an empty name", "predicate(first,second)"),
    ("train", "a\t\tb", "an empty name", "head<TAB>relation<TAB>tail"),
    ("train", "a\tp\t", "an empty name", "head<TAB>relation<TAB>tail"),
    ("train", "q(X,Y) :- p(X,Y).", "a rule", "rules belong into the rules file"),
    ("valid", "nonsense", "no triple", "predicate(first,second)."),
    ("test", "p(a,b,c).", "arity 3 of 'p'", "arity 2"),
    ("rules", "p(X,Y), q(X,Y)", "no rule", "name:weight:body -> head"),
    ("rules", "p(X,Y,Z) -> q(X,Y)", "arity 3 of 'p'", "arity 2"),
    ("rules", "q(X) :- p(X,Y).", "arity 1 of 'q'", "arity 2"),
    ("rules", "r1:much:p(X,Y) -> q(X,Y)", "weight 'much' is no number", "name:weight:body -> head"),
    ("rules", "q(a,b) :- .", "a rule without a body", "facts belong into the train file"),
    ("rules", "-> q(a,b)", "a rule without a body", "facts belong into the train file"),
    ("rules", "p(X,Y), -> q(X,Y)", "no atom", "predicate(first,second)"),
    ("rules", "# rules", "no rule (a comment begins with '%')", "name:weight:body -> head"),
    ("rules", "pp(X,Y) -> q(X,Y)", "unknown predicate 'pp'", "a predicate of a triple"),
    ("domain2constants", "letters", "domain 'letters' without a constant", "'domain constant"),
]


@pytest.mark.parametrize(("stem", "line", "problem", "expected"), BAD_LINES)
def test_a_bad_line_is_refused_with_its_place_itself_and_what_was_expected(
    stem: str, line: str, problem: str, expected: str, tmp_path: Path
) -> None:
    write_dataset(tmp_path, FACTS, [RULE])
    path = tmp_path / f"{stem}.txt"
    path.write_text(f"% first a comment\n\n{line}\n", encoding="utf-8")

    with pytest.raises(DatasetError) as caught:
        load_dataset(tmp_path)

    message = str(caught.value)
    assert message.startswith(f"{path}:3: {problem}")
    assert repr(line.strip(" \r")) in message
    assert f"expected {expected}" in message or expected in message.partition("; expected ")[2]


@pytest.mark.parametrize("rule", ["p(X,Y) -> q(X,Y)", "q(X,Y) :- p(X,Y)."])
def test_comments_of_other_languages_among_rules_are_refused_with_the_right_sign(
    rule: str, make_dataset: DatasetMaker
) -> None:
    with pytest.raises(DatasetError, match=r"rules\.txt:1: no rule \(a comment begins with '%'\)"):
        make_dataset(FACTS, ["# rules", rule])


def test_a_relation_may_begin_with_the_sign_of_another_comment(make_dataset: DatasetMaker) -> None:
    dataset = make_dataset(["#p(a,b).", "#p('a b',c)."], ["#p(X,Y) :- #p(Y,X)."])

    assert [dataset.names(fact)[1] for fact in dataset.fact_triples] == ["#p", "#p"]
    assert len(dataset.rules) == 1


def test_columns_in_another_order_are_told_by_a_rule_whose_relation_is_a_constant(
    make_dataset: DatasetMaker,
) -> None:
    train = ["a\tb\tp", "b\tc\tp"]
    with pytest.raises(
        DatasetError, match=r"'p' \(a constant of the triples: perhaps their columns are not in"
    ):
        make_dataset(train, ["p(X,Y) -> q(X,Y)"])
    (warning,) = make_dataset(train, ["p(X,Y), p(Y,Z) -> p(X,Z)"]).warnings
    assert warning.kind == "predicate-without-triples"
    assert (
        "'p' (a constant of the triples: perhaps their columns are not in the order head, relation, tail)"
        in str(warning)
    )


def test_an_unknown_predicate_that_is_near_none_is_told_with_some_of_the_triples(
    make_dataset: DatasetMaker,
) -> None:
    with pytest.raises(
        DatasetError, match=r"unknown predicate 'bornIn' in .*a predicate of a triple \('p', 'q'\), or"
    ):
        make_dataset(["p(a,b).", "q(b,c)."], ["bornIn(X,Y) -> q(X,Y)"])


def test_an_unknown_predicate_of_a_rule_is_refused_with_the_nearest_known_one(
    make_dataset: DatasetMaker,
) -> None:
    with pytest.raises(DatasetError, match=r"unknown predicate 'neighbour'; did you mean 'neighbor'\?"):
        make_dataset(["neighbor(a,b).", "q(b,c)."], ["neighbour(X,Y) -> q(X,Y)"])


def test_a_predicate_that_has_only_rules_is_told_and_accepted(make_dataset: DatasetMaker) -> None:
    dataset = make_dataset(FACTS, ["p(X,Y) -> linked(X,Y)", "linked(X,Y) -> q(X,Y)"])

    assert dataset.vocabulary.predicates == ("linked", "p", "q")
    assert [(w.kind, w.count) for w in dataset.warnings] == [("predicate-without-triples", 1)]
    assert "'linked'" in dataset.warnings[0].message


def test_a_misspelt_head_is_told_with_the_nearest_relation(make_dataset: DatasetMaker) -> None:
    dataset = make_dataset(["neighbor(a,b).", "q(b,c)."], ["q(X,Y) -> neighbour(X,Y)"])

    assert "'neighbour'; did you mean 'neighbor'? (line 1)" in dataset.warnings[0].message


@pytest.mark.parametrize("content", ["", "% nothing but a comment\n\n"])
def test_an_empty_rule_set_is_refused_with_a_message_of_its_own(content: str, tmp_path: Path) -> None:
    write_dataset(tmp_path, FACTS, [RULE])
    (tmp_path / "rules.txt").write_text(content, encoding="utf-8")

    with pytest.raises(DatasetError, match=r"rules\.txt: no rule in this file; expected at least one"):
        load_dataset(tmp_path)


def test_a_train_file_without_a_fact_is_refused(make_dataset: DatasetMaker) -> None:
    with pytest.raises(DatasetError, match=r"train\.txt: no triple in this file"):
        make_dataset([], [RULE], test=FACTS)


def test_an_empty_domain_file_is_refused(make_dataset: DatasetMaker) -> None:
    with pytest.raises(DatasetError, match=r"domain2constants\.txt: no domain in this file"):
        make_dataset(FACTS, [RULE], domains=[])


def test_a_domain_that_comes_twice_is_refused(make_dataset: DatasetMaker) -> None:
    with pytest.raises(DatasetError, match=r"domain2constants\.txt:2: domain 'x' for the second time"):
        make_dataset(FACTS, [RULE], domains=["x a", "x b"])


@pytest.mark.parametrize("terminal", ["True", "False", "Endf"])
def test_a_predicate_with_the_name_of_a_terminal_state_is_refused(
    terminal: str, make_dataset: DatasetMaker
) -> None:
    with pytest.raises(DatasetError, match=f"'{terminal}' is reserved"):
        make_dataset([f"{terminal}(a,b)."], [f"{terminal}(X,Y) -> {terminal}(Y,X)"])


def test_a_line_that_is_not_utf_8_is_refused_by_its_number(tmp_path: Path) -> None:
    write_dataset(tmp_path, FACTS, [RULE])
    (tmp_path / "train.txt").write_bytes(b"p(a,b).\nq(\xe9,c).\n")

    with pytest.raises(DatasetError, match=r"train\.txt:2: byte 0xe9 is not UTF-8"):
        load_dataset(tmp_path)


@pytest.mark.parametrize(
    ("encode", "problem"),
    [
        (lambda text: text.encode("utf-16"), r"train\.txt: UTF-16; expected a UTF-8 text file"),
        (lambda text: text.encode("utf-16-le"), r"train\.txt:1: a zero byte, as UTF-16 has them"),
        (lambda text: text.encode("utf-16-be"), r"train\.txt:1: a zero byte, as UTF-16 has them"),
        (lambda text: text.encode("utf-32-be"), r"train\.txt:1: a zero byte, as UTF-16 has them"),
        (lambda text: f"{text}é\tp\tb\n".encode("cp1252"), r"train\.txt:2: byte 0xe9 is not UTF-8"),
        (lambda text: gzip.compress(text.encode()), r"train\.txt: compressed by gzip; .* or \.gz behind the name"),
    ],
)  # fmt: skip
def test_a_file_in_another_encoding_is_refused_with_what_it_is(
    encode: Callable[[str], bytes], problem: str, tmp_path: Path
) -> None:
    write_dataset(tmp_path, ["a\tp\tb"], [RULE])
    (tmp_path / "train.txt").write_bytes(encode("a\tp\tb\n"))

    with pytest.raises(DatasetError, match=problem):
        load_dataset(tmp_path)


def test_a_long_bad_line_is_shown_by_its_beginning(tmp_path: Path) -> None:
    write_dataset(tmp_path, ["x" * 5000], [RULE])

    with pytest.raises(DatasetError) as caught:
        load_dataset(tmp_path)

    assert "…" in str(caught.value)
    assert len(str(caught.value)) < 400 + len(str(tmp_path))


@pytest.mark.parametrize("stem", ["train", "valid", "test", "rules"])
def test_a_missing_file_is_named_with_the_names_that_would_do(stem: str, tmp_path: Path) -> None:
    write_dataset(tmp_path, FACTS, [RULE])
    (tmp_path / f"{stem}.txt").unlink()

    with pytest.raises(
        DatasetError, match=f"no {stem} file; expected one of {stem}.txt, {stem}.tsv, {stem}.pl"
    ):
        load_dataset(tmp_path)


@pytest.mark.parametrize(
    ("stem", "name"),
    [("train", "train.csv"), ("train", "train2id.txt"), ("valid", "validation.txt"), ("rules", "Rule.txt")],
)
def test_a_missing_file_is_told_with_files_of_names_that_are_near(
    stem: str, name: str, tmp_path: Path
) -> None:
    write_dataset(tmp_path, FACTS, [RULE])
    (tmp_path / f"{stem}.txt").rename(tmp_path / name)

    with pytest.raises(DatasetError, match=rf"no {stem} file; .*; the folder has {name}$"):
        load_dataset(tmp_path)


def test_a_missing_split_that_may_be_empty_is_told_so(tmp_path: Path) -> None:
    write_dataset(tmp_path, FACTS, [RULE])
    (tmp_path / "valid.txt").unlink()

    with pytest.raises(DatasetError, match=r"no valid file; .*; it may be empty$"):
        load_dataset(tmp_path)


def test_a_folder_around_the_dataset_and_a_misspelt_one_are_told_with_the_right_one(tmp_path: Path) -> None:
    write_dataset(tmp_path / "data" / "towns", FACTS, [RULE])

    for wrong in (tmp_path / "data", tmp_path / "data" / "twons"):
        with pytest.raises(DatasetError, match=rf"did you mean '{tmp_path / 'data' / 'towns'}'\?$"):
            load_dataset(wrong)
    with pytest.raises(DatasetError, match=r"train\.txt: a file; expected a dataset folder"):
        load_dataset(tmp_path / "data" / "towns" / "train.txt")


def test_two_files_for_one_split_are_refused(tmp_path: Path) -> None:
    write_dataset(tmp_path, FACTS, [RULE])
    (tmp_path / "train.tsv").write_text("a\tp\tb\n", encoding="utf-8")

    with pytest.raises(DatasetError, match=r"train\.txt and train\.tsv; expected only one"):
        load_dataset(tmp_path)


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no such folder"):
        load_dataset(tmp_path / "nowhere")
