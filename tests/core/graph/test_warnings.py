"""What is probably wrong in a dataset is counted, with its first places, and is an error when that is asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from proofrank.core.errors import DatasetError, nearest_names
from proofrank.core.formats.warnings import DatasetWarning
from proofrank.core.graph import Dataset, load_dataset
from tests.helpers.datasets import DatasetMaker, write_dataset

TRAIN = (
    "anna\tbornIn\tmunich",
    "munich\tlocatedIn\tgermany",
    "clara\tcitizenOf\tgermany",
    "clara\tspeaks\tgerman",
)
RULE = "citizenOf(X,Y) :- bornIn(X,Z), locatedIn(Z,Y)."


def only_warning(dataset: Dataset) -> DatasetWarning:
    (warning,) = dataset.warnings
    return warning


def lines_of(warning: DatasetWarning) -> list[int | None]:
    return [place.line for place in warning.places]


# Rules


def test_a_name_that_occurs_once_in_its_rule_is_told_with_the_nearest_constant(
    make_dataset: DatasetMaker,
) -> None:
    warning = only_warning(make_dataset(TRAIN, [RULE, "citizenOf(X,Germany) :- speaks(X,german)."]))

    assert (warning.kind, warning.count, lines_of(warning)) == ("singleton", 1, [2])
    assert warning.places[0].text == "rule2: 'Germany', nearest constant 'germany'"
    assert "rules.txt: 1 name occurs once in a rule" in str(warning)


def test_a_variable_that_occurs_once_is_told_with_the_nearest_variable(make_dataset: DatasetMaker) -> None:
    warning = only_warning(make_dataset(TRAIN, ["r:1:bornIn(X,Z), locatedIn(Zz,Y) -> citizenOf(X,Y)"]))

    assert (warning.kind, warning.count) == ("singleton", 2)
    assert warning.places[1].text == "r: 'Zz', nearest variable 'Z', no constant is near"


@pytest.mark.parametrize(
    "rule",
    [
        "citizenOf(X,Y) :- bornIn(X,Munich), locatedIn(Munich,Y).",
        "bornIn(X,Munich), locatedIn(Munich,Y) -> citizenOf(X,Y)",
    ],
)
def test_a_variable_that_is_a_constant_but_for_capitals_is_told(
    rule: str, make_dataset: DatasetMaker
) -> None:
    warning = only_warning(make_dataset(TRAIN, [rule]))

    assert (warning.kind, warning.count, lines_of(warning)) == ("variable-named-like-constant", 1, [1])
    assert warning.places[0].text == "rule1: 'Munich', and 'munich' is a constant"


def test_letters_and_other_words_are_variables_without_a_word(make_dataset: DatasetMaker) -> None:
    train = [*TRAIN, "x\tspeaks\tgerman"]
    rules = ["citizenOf(X,Land) :- bornIn(X,City), locatedIn(City,Land)."]
    assert not make_dataset(train, rules).warnings


def test_names_with_an_underscore_may_occur_once(make_dataset: DatasetMaker) -> None:
    rules = ["citizenOf(X,germany) :- bornIn(X,_).", "citizenOf(X,germany) :- speaks(X,_Language)."]
    assert not make_dataset(TRAIN, rules).warnings


@pytest.mark.parametrize(
    ("name", "is_told"),
    [("A", True), ("V1", True), ("Vitamin", True), ("_v", True), ("a", True), ("vitamin", False)],
)
def test_a_constant_that_is_named_like_the_variable_of_a_rule_is_told(
    name: str, is_told: bool, make_dataset: DatasetMaker
) -> None:
    train = [f"carrot\tcontains\t{name}", f"{name}\tpartOf\tretinoids", "egg\thasGroup\tretinoids"]
    dataset = make_dataset(train, [f"hasGroup(X,Y) :- contains(X,{name}), partOf({name},Y)."])

    assert [(w.kind, w.places[0].text) for w in dataset.warnings] == (
        [("constant-like-variable", f"rule1: {name!r}")] if is_told else []
    )


def test_a_name_that_prolog_would_take_for_a_constant_is_told(make_dataset: DatasetMaker) -> None:
    rules = ["citizenOf(X,where) :- bornIn(X,town), locatedIn(town,where)."]
    warning = only_warning(make_dataset(TRAIN, rules))

    assert (warning.kind, warning.count) == ("variable-like-constant", 2)


def test_duplicate_rules_are_dropped_and_counted_in_any_letters(make_dataset: DatasetMaker) -> None:
    letters = "citizenOf(A,B) :- bornIn(A,C), locatedIn(C,B)."
    dataset = make_dataset(
        TRAIN, [RULE, RULE, letters, RULE, "citizenOf(X,Y) :- locatedIn(Z,Y), bornIn(X,Z)."]
    )
    warning = only_warning(dataset)

    assert [rule.name for rule in dataset.rules] == ["rule1", "rule5"]
    assert (warning.kind, warning.count, lines_of(warning)) == ("duplicate-rule", 3, [2, 3, 4])
    assert "rule3, as rule1 in line 1 (line 3)" in warning.message


def test_rules_that_differ_in_weight_alone_are_kept_and_told(make_dataset: DatasetMaker) -> None:
    rules = ["a:0.5:bornIn(X,Y) -> citizenOf(X,Y)", "b:0.7:bornIn(A,B) -> citizenOf(A,B)"]
    dataset = make_dataset(TRAIN, rules)

    assert [rule.weight for rule in dataset.rules] == [0.5, 0.7]
    assert (only_warning(dataset).kind, only_warning(dataset).count) == ("repeated-rule", 1)


# Triples


def test_a_line_with_tabs_is_a_triple_also_behind_a_percent_sign(make_dataset: DatasetMaker) -> None:
    weird = "%22Weird_Al%22\tbornIn\tberlin"
    dataset = make_dataset(["% a comment", *TRAIN, weird], [RULE], test=["%C3%85land\tbornIn\tmunich"])

    assert dataset.names(dataset.splits["train"][-1]) == ("%22Weird_Al%22", "bornIn", "berlin")
    assert dataset.names(dataset.splits["test"][0]) == ("%C3%85land", "bornIn", "munich")
    assert len(dataset.splits["train"]) == 5


@pytest.mark.parametrize("name", ["# anna", "% anna", "// anna"])
def test_a_triple_that_looks_commented_out_is_told(name: str, make_dataset: DatasetMaker) -> None:
    dataset = make_dataset([*TRAIN, f"{name}\tbornIn\tmunich"], [RULE])

    assert dataset.vocabulary.has_constant(name)
    assert (only_warning(dataset).kind, lines_of(only_warning(dataset))) == ("like-a-comment", [5])


def test_the_full_stop_behind_an_address_of_n_triples_belongs_to_the_format(
    make_dataset: DatasetMaker,
) -> None:
    lines = ["<kg/anna>\t<kg/bornIn>\t<kg/munich>.", "<kg/bob>\t<kg/bornIn>\t<kg/lyon> ."]
    dataset = make_dataset(lines, ["<kg/bornIn>(X,Y) -> <kg/bornIn>(Y,X)"])

    assert dataset.vocabulary.constants == ("<kg/anna>", "<kg/bob>", "<kg/lyon>", "<kg/munich>")
    assert (only_warning(dataset).kind, only_warning(dataset).count) == ("full-stop", 2)


@pytest.mark.parametrize("end", [" .", "\t.", " . "])
def test_a_full_stop_behind_white_space_belongs_to_the_format(end: str, make_dataset: DatasetMaker) -> None:
    dataset = make_dataset([f"{line}{end}" for line in TRAIN], [RULE])

    assert dataset.vocabulary == make_dataset(TRAIN, [RULE]).vocabulary
    assert (only_warning(dataset).kind, only_warning(dataset).count) == ("full-stop", 4)


def test_a_full_stop_at_the_end_of_every_last_name_is_kept_and_told(make_dataset: DatasetMaker) -> None:
    dataset = make_dataset([f"{line}." for line in TRAIN], [RULE])

    assert dataset.vocabulary.has_constant("germany.")
    assert (dataset.warnings[0].kind, dataset.warnings[0].count) == ("attached-full-stop", 4)


def test_a_tab_at_the_end_of_a_line_is_left_out_and_told(make_dataset: DatasetMaker) -> None:
    warning = only_warning(make_dataset([f"{line}\t" for line in TRAIN], [RULE]))

    assert (warning.kind, warning.count, lines_of(warning)) == ("trailing-tab", 4, [1, 2, 3])
    assert warning.message.endswith("; and 1 more")


@pytest.mark.parametrize(
    "header",
    [
        "head\trelation\ttail",
        "subject\tpredicate\tobject",
        "# Head\tRelation\tTail",
        "h\tr\tt",
        "head_id\trelation id\ttail_id",
        "e1\trel\te2",
        "src\trel\tdst",
        "Entity 1\tRelation\tEntity 2",
        "arg1\trelation\targ2",
        "@head\t@relation\t@tail",
        '"head"\t"relation"\t"tail"',
        "HEAD_URI\tRELATION_URI\tTAIL_URI",
    ],
)
def test_a_header_line_is_left_out_and_told(header: str, make_dataset: DatasetMaker) -> None:
    dataset = make_dataset([header, *TRAIN], [RULE])

    assert dataset.splits == make_dataset(TRAIN, [RULE]).splits
    assert (only_warning(dataset).kind, lines_of(only_warning(dataset))) == ("header-line", [1])


def test_header_lines_between_files_that_were_joined_are_left_out_and_told(
    make_dataset: DatasetMaker,
) -> None:
    header = "head\trelation\ttail"
    dataset = make_dataset([header, *TRAIN[:2], header, *TRAIN[2:]], [RULE])

    assert dataset.splits == make_dataset(TRAIN, [RULE]).splits
    assert (only_warning(dataset).kind, lines_of(only_warning(dataset))) == ("header-line", [1, 4])


@pytest.mark.parametrize("header", ["head\ttail\trelation", "subject\tobject\tpredicate", "rel\tsrc\tdst"])
def test_columns_in_another_order_are_refused(header: str, make_dataset: DatasetMaker) -> None:
    with pytest.raises(DatasetError, match=r"train\.txt:1: a header with the columns in another order in"):
        make_dataset([header, *TRAIN], [RULE])


@pytest.mark.parametrize("line", ["head\tmentions\ttail", "t\tr\th", "left\tedge\thead"])
def test_a_triple_with_a_word_of_a_header_is_none(line: str, make_dataset: DatasetMaker) -> None:
    dataset = make_dataset([*TRAIN, line], [RULE])

    assert len(dataset.splits["train"]) == 5
    assert not dataset.warnings


def test_a_first_line_whose_names_come_again_is_no_header(make_dataset: DatasetMaker) -> None:
    dataset = make_dataset(
        ["head\trelation\ttail", "body\trelation\ttail"], ["relation(X,Y) :- relation(Y,X)."]
    )

    assert len(dataset.splits["train"]) == 2


def test_quoted_names_of_facts_lose_their_quotes(make_dataset: DatasetMaker) -> None:
    facts = [
        'bornIn("anna","O\'Hara").',
        "bornIn('O''Brien',\"munich\"). % a comment",
        "bornIn('O\\'Neil',\"Paris, Texas\").",
    ]
    dataset = make_dataset(facts, ["bornIn(X,Y) :- bornIn(Y,X)."])

    named = [dataset.names(triple) for triple in dataset.splits["train"]]
    assert [(head, tail) for head, _, tail in named] == [
        ("anna", "O'Hara"),
        ("O'Brien", "munich"),
        ("O'Neil", "Paris, Texas"),
    ]


def test_quotes_between_tabs_are_kept_and_told(make_dataset: DatasetMaker) -> None:
    dataset = make_dataset([*TRAIN, '"bob"\tbornIn\tmunich'], [RULE])

    assert dataset.vocabulary.has_constant('"bob"')
    assert only_warning(dataset).kind == "quoted-column"


@pytest.mark.parametrize("fact", ["0.5::bornIn(bob,munich).", "1e-3 :: bornIn(bob,munich)."])
def test_the_probability_of_a_fact_is_left_out_and_told(fact: str, make_dataset: DatasetMaker) -> None:
    dataset = make_dataset(["bornIn(anna,munich).", fact], ["bornIn(X,Y) -> bornIn(Y,X)"])

    assert dataset.vocabulary.predicates == ("bornIn",)
    assert (only_warning(dataset).kind, lines_of(only_warning(dataset))) == ("weighted-fact", [2])


@pytest.mark.parametrize("sign", ["\\+", "\\+ ", "-", "~", "¬", "!", "not "])
def test_a_negated_fact_is_refused(sign: str, make_dataset: DatasetMaker) -> None:
    with pytest.raises(DatasetError, match=r"train\.txt:2: a negated atom"):
        make_dataset(["bornIn(anna,munich).", f"{sign}bornIn(bob,munich)."], [RULE])


def test_a_relation_that_begins_with_such_a_sign_stands_between_quotes(make_dataset: DatasetMaker) -> None:
    dataset = make_dataset(["'~near'(anna,munich)."], ["'~near'(X,Y) -> '~near'(Y,X)"])
    assert dataset.vocabulary.predicates == ("~near",)

    dataset = make_dataset(["anna\t~near\tmunich"], ["~near(X,Y) -> ~near(Y,X)"])
    assert dataset.vocabulary.predicates == ("~near",)


def test_a_quote_that_is_not_closed_is_kept_and_told(make_dataset: DatasetMaker) -> None:
    dataset = make_dataset(["bornIn('anna,munich).", "bornIn(bob,d'Orsay)."], ["bornIn(X,Y) -> bornIn(Y,X)"])

    assert dataset.vocabulary.has_constant("'anna")
    assert (only_warning(dataset).kind, lines_of(only_warning(dataset))) == ("open-quote", [1])


@pytest.mark.parametrize(
    ("line", "others"),
    [
        ("Alien_(film) directedBy Scott_(Ridley,Sir)", TRAIN),
        ("Alien_(film) directedBy Scott_(Ridley,Sir)", ()),
        ("Alien directedBy Scott_(Ridley,Sir)", TRAIN),
        ("Alien directedBy Scott_(Ridley,Sir)", ()),
        ("p(a,b).", TRAIN),
    ],
)
def test_a_line_of_another_form_is_no_triple(
    line: str, others: tuple[str, ...], make_dataset: DatasetMaker
) -> None:
    with pytest.raises(
        DatasetError, match=rf"train\.txt:{len(others) + 1}: no triple.*expected .*head<TAB>relation<TAB>tail"
    ):
        make_dataset([*others, line], [RULE])


def test_parentheses_may_stand_in_names_between_tabs(make_dataset: DatasetMaker) -> None:
    dataset = make_dataset([*TRAIN, "Alien_(film)\tdirectedBy\tScott_(Ridley,Sir)"], [RULE])

    assert dataset.names(dataset.splits["train"][-1]) == ("Alien_(film)", "directedBy", "Scott_(Ridley,Sir)")


def test_triples_of_two_splits_are_counted(make_dataset: DatasetMaker) -> None:
    dataset = make_dataset(
        TRAIN, [RULE], valid=[TRAIN[0]], test=[TRAIN[2], "anna\tcitizenOf\tgermany", TRAIN[0]]
    )

    assert [(w.kind, w.count, lines_of(w)) for w in dataset.warnings] == [
        ("overlap", 1, [1]),
        ("overlap", 2, [1, 3]),
        ("overlap", 1, [3]),
    ]
    assert (
        "test.txt: 2 triples are in train.txt too: citizenOf(clara,germany), as in line 3 of train.txt"
        in str(dataset.warnings[1])
    )


def test_names_that_differ_in_case_or_unicode_form_are_told(make_dataset: DatasetMaker) -> None:
    names = ("São_Paulo", "Sa\u0303o_Paulo", "lyon", "Lyon", "germany", "germany.")
    train = [*TRAIN, *(f"ana\tbornIn\t{name}" for name in names), "ana\tBornIn\tlyon"]
    constants, relations = make_dataset(train, [RULE]).warnings

    assert (constants.kind, constants.count, relations.count) == ("similar-names", 3, 1)
    assert "'Lyon' (train.txt:8) and 'lyon' (train.txt:7)" in constants.message
    assert "'Sa\\u0303o_Paulo' (train.txt:6) and 'S\\xe3o_Paulo' (train.txt:5)" in constants.message
    assert "'BornIn' (train.txt:11) and 'bornIn' (train.txt:1)" in relations.message


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("New York", "New_York"),
        ("New York", "New\u00a0York"),
        ("New York", "New  York"),
        ("New York", "New\u200b York"),
        ("New York", "\u200eNew York"),
        ("New York", "Ｎew York"),
        ("New York", "New%20York"),
        ("São_Paulo", "S%C3%A3o_Paulo"),
        ("caf\u00ade", "cafe"),
    ],
)
def test_names_that_are_the_same_to_the_eye_or_written_otherwise_are_told(
    one: str, other: str, make_dataset: DatasetMaker
) -> None:
    dataset = make_dataset([*TRAIN, f"ana\tbornIn\t{one}", f"eva\tbornIn\t{other}"], [RULE])

    assert (only_warning(dataset).kind, only_warning(dataset).count) == ("similar-names", 1)
    if "\u200b" in other:
        assert "'New\\u200b York' (train.txt:6)" in only_warning(dataset).message


@pytest.mark.parametrize("name", ["S\ufffdo_Paulo", "a\x0bb", "a\x1fb"])
def test_a_name_with_a_lost_letter_or_a_control_character_is_told(
    name: str, make_dataset: DatasetMaker
) -> None:
    dataset = make_dataset([*TRAIN, f"ana\tbornIn\t{name}"], [RULE])

    assert (only_warning(dataset).kind, lines_of(only_warning(dataset))) == ("odd-character", [5])
    assert ascii(name) in only_warning(dataset).message


def test_the_nearest_name_comes_first(make_dataset: DatasetMaker) -> None:
    assert nearest_names("lyonn", ["Lyon", "lyon"])[0] == "lyon"
    assert nearest_names("LYON", ["lyon", "Lyon"])[0] == "Lyon"
    dataset = make_dataset([*TRAIN, "ana\tbornIn\tSa\u0303o_Paulo"], [RULE])
    with pytest.raises(Exception, match=r"another Unicode form, 'Sa\\u0303o_Paulo'"):
        dataset.triple("ana", "bornIn", "São_Paulo")


# Headers


@pytest.mark.parametrize("header", ["x\ty\tz", "item\tproperty\tvalue"])
def test_a_first_line_whose_names_no_other_triple_has_is_told(
    header: str, make_dataset: DatasetMaker
) -> None:
    dataset = make_dataset([header, *TRAIN], [RULE])

    assert (only_warning(dataset).kind, lines_of(only_warning(dataset))) == ("like-a-header", [1])
    assert repr(header.replace("\t", " ")) in only_warning(dataset).message
    assert dataset.vocabulary.has_predicate(header.split("\t")[1])  # it is read as a triple all the same


def test_a_header_in_several_files_is_told_of_each(make_dataset: DatasetMaker) -> None:
    test = ["x\ty\tz", "anna\tcitizenOf\tgermany"]
    found = [w for w in make_dataset(["x\ty\tz", *TRAIN], [RULE], test=test).warnings if w.kind != "overlap"]

    assert [(w.kind, Path(w.places[0].path).name) for w in found] == [
        ("like-a-header", "train.txt"),
        ("like-a-header", "test.txt"),
    ]


@pytest.mark.parametrize("first", ["eva\tspeaks\tdanish", "eva\tlikes\tmunich", "munich\tlies\teast"])
def test_a_first_line_that_shares_a_name_is_no_header(first: str, make_dataset: DatasetMaker) -> None:
    assert not make_dataset([first, *TRAIN], [RULE]).warnings


# Files


def test_dev_is_another_name_of_valid(tmp_path: Path) -> None:
    write_dataset(tmp_path, TRAIN, [RULE], valid=["anna\tcitizenOf\tgermany"])
    expected = load_dataset(tmp_path)
    (tmp_path / "valid.txt").rename(tmp_path / "dev.txt")
    assert load_dataset(tmp_path).content_hash == expected.content_hash

    (tmp_path / "valid.txt").write_text("", encoding="utf-8")
    with pytest.raises(DatasetError, match=r"valid\.txt and dev\.txt; expected only one"):
        load_dataset(tmp_path)


def test_facts_beside_train_are_facts_and_filter_and_are_not_ranked(tmp_path: Path) -> None:
    write_dataset(tmp_path, TRAIN[2:], [RULE], test=["anna\tcitizenOf\tgermany"])
    (tmp_path / "facts.txt").write_text("\n".join([*TRAIN[:3], "bob\tcitizenOf\tgermany"]), encoding="utf-8")
    dataset = load_dataset(tmp_path)

    assert len(dataset.splits["train"]) == 2
    assert len(dataset.facts) == len(dataset.fact_triples) == 5
    assert dataset.triple("anna", "bornIn", "munich") in dataset.facts
    query = dataset.triple("anna", "citizenOf", "germany")
    bob = dataset.vocabulary.constant_index("bob")
    assert bob in dataset.known_heads[query.predicate, query.tail]
    assert not dataset.warnings
    assert "3 are not in train.txt and are not ranked" in str(dataset.files[3])


def test_facts_equal_to_train_change_nothing(tmp_path: Path) -> None:
    write_dataset(tmp_path, TRAIN, [RULE], test=["anna\tcitizenOf\tgermany"])
    expected = load_dataset(tmp_path)
    (tmp_path / "facts.txt").write_bytes((tmp_path / "train.txt").read_bytes())
    dataset = load_dataset(tmp_path)

    assert dataset.content_hash == expected.content_hash
    assert not dataset.warnings


def test_strict_makes_warnings_an_error(tmp_path: Path) -> None:
    write_dataset(tmp_path, [*TRAIN, TRAIN[0]], [RULE])

    with pytest.raises(
        DatasetError, match=r"1 warning, and none is allowed:\n.*train\.txt: 1 duplicate triple dropped"
    ):
        load_dataset(tmp_path, strict=True)
    write_dataset(tmp_path, TRAIN, [RULE])
    assert load_dataset(tmp_path, strict=True).facts
