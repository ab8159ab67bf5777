"""Rules as programs and people write them: each file's format is told by its form, and is read to the same meaning."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from proofrank.core.errors import DatasetError
from proofrank.core.graph import Dataset, Rule, load_dataset

TRAIN = """\
munich\tlocatedIn\tgermany
lyon\tlocatedIn\tfrance
anna\tbornIn\tmunich
bob\tbornIn\tlyon
anna\tknows\tbob
clara\tcitizenOf\tgermany
clara\tspeaks\tgerman
"""
TEST = "anna\tcitizenOf\tgermany\n"

CHAIN = "citizenOf(X,Y) :- bornIn(X,Z), locatedIn(Z,Y)"
AMIE_HEADER = (
    "Rule\tHead Coverage\tStd Confidence\tPCA Confidence\tPositive Examples\tBody size\tPCA Body size\t"
    "Functional variable\n"
)
AMIE_RULE = "?a  <bornIn>  ?h  ?h  <locatedIn>  ?b   => ?a  <citizenOf>  ?b\t0.5\t0.4\t0.6\t20\t50\t33\t?a\n"
RELATIONS = "0\tbornIn\n1\tcitizenOf\n2\tknows\n3\tlocatedIn\n4\tspeaks\n"


def load(
    folder: Path, rules: str, *, rules_format: str | None = None, train: str = TRAIN, **others: str
) -> Dataset:
    """Loads a dataset with these rules; ``others`` are contents of further files, by stem."""
    folder.mkdir(exist_ok=True)
    files = {"train.txt": train, "valid.txt": "", "test.txt": TEST, "rules.txt": rules}
    files |= {name.replace("_", "."): content for name, content in others.items()}
    for name, content in files.items():
        (folder / name).write_bytes(content.encode("utf-8"))
    return load_dataset(folder, rules_format=rules_format)


def written(rule: Rule, dataset: Dataset) -> str:
    """A rule as text: variables are letters from ``X`` on, in the order in which they occur."""
    vocabulary = dataset.vocabulary

    def argument(index: int) -> str:
        return "XYZUVW"[-1 - index] if index < 0 else vocabulary.argument_name(index)

    atoms = [
        f"{vocabulary.predicate_name(predicate)}({argument(first)},{argument(second)})"
        for predicate, first, second in (rule.head, *rule.body)
    ]
    return f"{atoms[0]} :- {', '.join(atoms[1:])}"


def rules_of(dataset: Dataset) -> list[tuple[str, float]]:
    return [(written(rule, dataset), rule.weight) for rule in dataset.rules]


@pytest.mark.parametrize(
    ("form", "rules", "weight"),
    [
        ("proofrank", "r1:0.357:bornIn(X,Z), locatedIn(Z,Y) -> citizenOf(X,Y)\n", 0.357),
        ("proofrank", "r1:-0.357:bornIn(X,Z), locatedIn(Z,Y) -> citizenOf(X,Y)\n", -0.357),
        ("proofrank", "r1:-1e-3:bornIn(X,Z), locatedIn(Z,Y) -> citizenOf(X,Y). % by birth\n", -1e-3),
        ("prolog", "% rules\ncitizenOf(X,Y) :- bornIn(X,Z), locatedIn(Z,Y). % by birth\n", 1.0),
        ("prolog", "citizenOf(X,Y) :-\n    bornIn(X,Z), % where\n    locatedIn(Z,Y).\n", 1.0),
        ("prolog", "citizenOf(X,Y)\n  :- bornIn(X,Z)\n  , locatedIn(Z,Y)\n", 1.0),
        ("prolog", "/* by birth,\nor so */ 'citizenOf'(X,Y):-bornIn(X,Z),\"locatedIn\"(Z,Y).\n", 1.0),
        ("problog", "0.7::citizenOf(X,Y) :- bornIn(X,Z), locatedIn(Z,Y).\n", 0.7),
        ("problog", "0.7 :: citizenOf(X,Y) :-\n  bornIn(X,Z),\n  locatedIn(Z,Y).\n", 0.7),
        ("anyburl", "20\t10\t0.5\tcitizenOf(X,Y) <= bornIn(X,A), locatedIn(A,Y)\n", 0.5),
        ("anyburl", "citizenOf(X,Y) <= bornIn(X,A), locatedIn(A,Y)\n", 1.0),
        ("amie", AMIE_HEADER + AMIE_RULE, 0.6),
        ("amie", "?a  bornIn  ?h  ?h  locatedIn  ?b   => ?a  citizenOf  ?b\t0,5\t0,4\t0,6\t20\t50\t33\t?a\n", 0.6),
        ("amie", "?a bornIn ?h ?h locatedIn ?b => ?a citizenOf ?b\n", 1.0),
        ("amie", AMIE_HEADER + "<bornIn>(?a,?h) <locatedIn>(?h,?b)  => <citizenOf>(?a,?b)\t0.5\t0.4\t0.6\n", 0.6),
        ("neural-lp", "0.874 (0.120)\tcitizenOf(C, A) <-- bornIn(C, B), locatedIn(B, A)\n", 0.874),
        ("ncrl", "0.874 (0.874)\tcitizenOf <-- bornIn, locatedIn\n", 0.874),
        ("ncrl", "8.74e-01\tcitizenOf <-- bornIn, locatedIn\n", 0.874),
    ],
)  # fmt: skip
def test_a_file_of_each_format_is_told_by_its_form_and_keeps_its_weights(
    form: str, rules: str, weight: float, tmp_path: Path
) -> None:
    dataset = load(tmp_path, rules)

    assert rules_of(dataset) == [(CHAIN, weight)]
    assert [file.format for file in dataset.files if file.holds == "rules"] == [form]
    assert not dataset.warnings


def test_rnnlogics_ids_are_read_with_its_file_of_relations(tmp_path: Path) -> None:
    # 7 is the inverse of relation 2.
    dataset = load(tmp_path, "1 0 3 0.83\n4 7 4\n", relations_dict=RELATIONS)

    assert rules_of(dataset) == [(CHAIN, 0.83), ("speaks(X,Y) :- knows(Z,X), speaks(Z,Y)", 1.0)]


@pytest.mark.parametrize("content", ["5\nbornIn\t0\ncitizenOf\t1\nknows\t2\nlocatedIn\t3\nspeaks\t4\n"])
def test_ids_may_stand_in_relation2id_too(content: str, tmp_path: Path) -> None:
    dataset = load(tmp_path, "1 0 3\n", relation2id_txt=content)

    assert rules_of(dataset) == [(CHAIN, 1.0)]


@pytest.mark.parametrize(
    ("others", "problem", "expected"),
    [
        ({}, "rules.txt:1: ids of relations", "relations.dict or relation2id.txt beside rules.txt"),
        ({"relations_dict": "0\tbornIn\n1\tknows\n"}, "no relation has the id '9'", "0 to 1, and 2 to 3 for inverses"),
        ({"relations_dict": "bornIn\n"}, "relations.dict:1: no id and relation", "'id<TAB>name'"),
    ],
)  # fmt: skip
def test_ids_without_a_relation_are_refused(
    others: dict[str, str], problem: str, expected: str, tmp_path: Path
) -> None:
    with pytest.raises(DatasetError) as caught:
        load(tmp_path, "1 0 9\n", **others)

    assert problem in str(caught.value)
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    "name", ["inv_knows", "INVknows", "INV_knows", "inverse_knows", "knows_inv", "knows^-1"]
)
def test_names_of_inverse_relations_change_the_arguments(name: str, tmp_path: Path) -> None:
    dataset = load(tmp_path, f"0.510 (0.510)\tspeaks <-- {name}, speaks\n")

    assert rules_of(dataset) == [("speaks(X,Y) :- knows(Z,X), speaks(Z,Y)", 0.51)]
    assert f"{name} is the inverse of knows" in str(dataset.files[3])


def test_an_inverse_head_changes_its_arguments(tmp_path: Path) -> None:
    dataset = load(tmp_path, "0.5 (1.0)\tinv_knows(B, A) <-- knows(B, A)\n")

    assert rules_of(dataset) == [("knows(X,Y) :- knows(Y,X)", 0.5)]


def test_a_relation_of_such_a_name_with_triples_or_rules_of_its_own_is_no_inverse(tmp_path: Path) -> None:
    rules = "inv_knows(X,Y) :- knows(Y,X).\nspeaks(X,Y) :- inv_knows(X,Z), speaks(Z,Y).\n"
    dataset = load(tmp_path / "rules", rules)
    assert [text for text, _ in rules_of(dataset)] == [line.rstrip(".") for line in rules.splitlines()]

    dataset = load(
        tmp_path / "triples",
        "0.5 (0.5)\tspeaks <-- inv_knows, speaks\n",
        train=f"{TRAIN}bob\tinv_knows\tanna\n",
    )
    assert rules_of(dataset)[0][0] == "speaks(X,Y) :- inv_knows(X,Z), speaks(Z,Y)"


def test_anyburls_capital_letters_are_variables_and_all_else_is_a_constant(tmp_path: Path) -> None:
    rules = (
        "25\t20\t0.8\tcitizenOf(X,germany) <= speaks(X,german)\n"
        "25\t20\t0.7\tcitizenOf(X,france) <= speaks(X,A)\n"
        "9\t9\t1.0\tknows(X,me_myself_i) <= speaks(X,german)\n"
        "9\t9\t0.6\tspeaks(X,Paris, Texas) <= bornIn(X,O'Hara)\n"
    )
    dataset = load(tmp_path, rules, train=f"{TRAIN}Paris, Texas\tlocatedIn\tO'Hara\n")

    assert rules_of(dataset) == [
        ("citizenOf(X,germany) :- speaks(X,german)", 0.8),
        ("citizenOf(X,france) :- speaks(X,Y)", 0.7),
        ("knows(X,X) :- speaks(X,german)", 1.0),
        ("speaks(X,Paris, Texas) :- bornIn(X,O'Hara)", 0.6),
    ]
    assert not dataset.warnings  # a free variable is AnyBURL's intention


def test_learned_rules_without_a_body_or_with_an_unknown_constant_are_dropped_and_counted(
    tmp_path: Path,
) -> None:
    rules = (
        "citizenOf(X,germany) <= speaks(X,german)\n"
        "citizenOf(X,germany) <= \n"
        "citizenOf(X,germani) <= speaks(X,german)\n"
    )
    dataset = load(tmp_path, rules)

    assert len(dataset.rules) == 1
    assert [(w.kind, w.count, w.places[0].line) for w in dataset.warnings] == [
        ("rule-without-body", 1, 2),
        ("unknown-constant", 1, 3),
    ]
    assert "did you mean 'german'" in dataset.warnings[1].message


def test_neural_lps_empty_body_is_dropped_and_counted(tmp_path: Path) -> None:
    rules = "0.9 (1.0)\tknows(B, A) <-- equal(B, A)\n0.5 (0.5)\tknows(B, A) <-- inv_knows(B, A)\n"
    dataset = load(tmp_path, rules)

    assert rules_of(dataset) == [("knows(X,Y) :- knows(Y,X)", 0.5)]
    assert [(w.kind, w.count) for w in dataset.warnings] == [("rule-without-body", 1)]


@pytest.mark.parametrize(
    "rules",
    [
        "3 <-- 1, 0\n",
        "3(B, A) <-- 1(B, C), 0(C, A)\n",
        "3(X,Y) <= 1(X,A), 0(A,Y)\n",
        "3(X,Y) :- 1(X,A), 0(A,Y).\n",
        "1(X,A), 0(A,Y) -> 3(X,Y)\n",
        "?a  1  ?h  ?h  0  ?b   => ?a  3  ?b\n",
    ],
)
def test_relations_may_be_numbers_in_every_format(rules: str, tmp_path: Path) -> None:
    train = "munich\t0\tgermany\nanna\t1\tmunich\nclara\t3\tgermany\n"
    dataset = load(tmp_path, rules, train=train, test_txt="")

    assert rules_of(dataset) == [("3(X,Y) :- 1(X,Z), 0(Z,Y)", 1.0)]


@pytest.mark.parametrize(
    "rules",
    [
        "% a comment\n%22bornIn%22(X,Y) <= knows(X,Y)\n",
        "% 9\t9\t1.0\tspeaks(X,Y) <= knows(X,Y)\n%22bornIn%22 <-- knows\n",
        "%22bornIn%22(B, A) <-- knows(B, A)\n",
    ],
)
def test_a_rule_whose_relation_begins_with_a_percent_sign_is_no_comment(rules: str, tmp_path: Path) -> None:
    dataset = load(tmp_path, rules, train=TRAIN.replace("bornIn", "%22bornIn%22"))

    assert rules_of(dataset) == [("%22bornIn%22(X,Y) :- knows(X,Y)", 1.0)]


def test_a_rule_in_arrows_may_begin_with_a_percent_sign_too(tmp_path: Path) -> None:
    rules = "%22bornIn%22(X,Z), locatedIn(Z,Y) -> citizenOf(X,Y)\n%r2:0.5:knows(X,Y) -> knows(Y,X)\n"
    dataset = load(tmp_path, rules, train=TRAIN.replace("bornIn", "%22bornIn%22"))

    assert [text for text, _ in rules_of(dataset)] == [CHAIN.replace("bornIn", "%22bornIn%22")]


@pytest.mark.parametrize(
    ("relation", "constant"),
    [
        ("film_(us)", "Scott_(Ridley,Sir)"),
        ("p", "Scott_Brown(footballer,born_May_1985)"),
        ("r(a)(b)", "a<=b"),
    ],
)
def test_relations_and_constants_of_anyburl_may_have_parentheses(
    relation: str, constant: str, tmp_path: Path
) -> None:
    rules = f"9\t9\t1.0\t{relation}(X,{constant}) <= bornIn(X,A)\n9\t9\t0.5\t{relation}({constant},Y) <= bornIn(Y,A)\n"
    dataset = load(tmp_path, rules, train=f"{TRAIN}bob\t{relation}\t{constant}\n")

    assert rules_of(dataset) == [
        (f"{relation}(X,{constant}) :- bornIn(X,Y)", 1.0),
        (f"{relation}({constant},X) :- bornIn(X,Y)", 0.5),
    ]


@pytest.mark.parametrize(
    "term", ["f(Y)", "42", "-4.5", "New York", "http://kg.org/y", "[H|T]", "a-b", "Y\u200b"]
)
@pytest.mark.parametrize("rule", ["citizenOf(X,{0}) :- bornIn(X,{0}).", "bornIn(X,{0}) -> citizenOf(X,{0})"])
def test_what_cannot_be_a_variable_is_none(rule: str, term: str, tmp_path: Path) -> None:
    other = "knows(X,Y) :- knows(Y,X)." if ":-" in rule else "knows(Y,X) -> knows(X,Y)"
    dataset = load(tmp_path, f"{rule.format(term)}\n{other}\n")

    assert [text for text, _ in rules_of(dataset)] == ["knows(X,Y) :- knows(Y,X)"]
    assert [(w.kind, w.count, w.places[0].line) for w in dataset.warnings] == [("unknown-constant", 1, 1)]


@pytest.mark.parametrize(
    "letters", ["XYZ", "xyz", "αβγ", ("?x", "?y", "?z"), ("$a", "$b", "$c"), ("X", "X'", "X1")]
)
def test_variables_may_be_written_as_other_programs_do(letters: tuple[str, str, str], tmp_path: Path) -> None:
    x, y, z = letters
    dataset = load(tmp_path, f"citizenOf({x},{y}) :- bornIn({x},{z}), locatedIn({z},{y}).\n")

    assert rules_of(dataset) == [(CHAIN, 1.0)]
    assert not dataset.warnings


def test_a_rule_of_ids_without_the_weight_that_others_have_is_told(tmp_path: Path) -> None:
    dataset = load(tmp_path, "% mined\n1 0 3 0.83\n4 7 4 1\n1 0 3 1e-05\n", relations_dict=RELATIONS)

    assert [weight for _, weight in rules_of(dataset)] == [0.83, 1.0, 1e-05]
    told = {w.kind: (w.count, w.places[0].line) for w in dataset.warnings}
    assert told == {"missing-weight": (1, 3), "repeated-rule": (1, 4)}


def test_amies_rules_without_a_column_of_confidences_are_noted(tmp_path: Path) -> None:
    rule = "?a  knows  ?b   => ?b  knows  ?a"
    dataset = load(tmp_path / "none", f"Rule\tSupport\tLift\n{rule}\t9\t0.1\n")
    assert [weight for _, weight in rules_of(dataset)] == [1.0]
    assert "no column PCA Confidence or Std Confidence, so every weight is 1" in str(dataset.files[3])

    dataset = load(tmp_path / "order", f"Rule\tPCA Confidence\tHead Coverage\n{rule}\t0.9\t0.1\n")
    assert [weight for _, weight in rules_of(dataset)] == [0.9]


def test_amies_messages_are_left_out_and_noted(tmp_path: Path) -> None:
    rule = "?a  knows  ?b   => ?b  knows  ?a\t0.1\t0.2\t0.3\n"
    rules = f"Loading files...\nMining done\n{AMIE_HEADER}{rule}\n1 rules mined.\n"
    dataset = load(tmp_path, rules)

    assert rules_of(dataset) == [("knows(X,Y) :- knows(Y,X)", 0.3)]
    assert "3 lines of AMIE's messages left out" in str(dataset.files[3])


@pytest.mark.parametrize("base", ["urn:kg:", "http://kg.org:8080/", "kg:1:"])
def test_relations_may_be_urns_and_addresses(base: str, tmp_path: Path) -> None:
    train = "".join(f"{h}\t{base}{r}\t{t}\n" for h, r, t in (line.split("\t") for line in TRAIN.splitlines()))
    rule = f"{base}bornIn(X,Z), {base}locatedIn(Z,Y) -> {base}citizenOf(X,Y)"
    dataset = load(tmp_path, f"{rule}\n", train=train, test_txt="")
    named = load(tmp_path, f"r1:0.5:{rule}\n", train=train, test_txt="")

    expected = f"{base}citizenOf(X,Y) :- {base}bornIn(X,Z), {base}locatedIn(Z,Y)"
    assert rules_of(dataset) == [(expected, 1.0)]
    assert rules_of(named) == [(expected, 0.5)]
    assert named.rules[0].name == "r1"


def test_quoted_names_of_rules_are_constants(tmp_path: Path) -> None:
    rules = "knows(X,'A') :- knows(X,\"O'Hara\"), knows(X,'O''Hara'), knows(X,'O\\'Hara').\n"
    dataset = load(tmp_path, rules, train=f"{TRAIN}A\tknows\tO'Hara\n")

    assert rules_of(dataset) == [("knows(X,A) :- knows(X,O'Hara), knows(X,O'Hara), knows(X,O'Hara)", 1.0)]
    assert not dataset.warnings


@pytest.mark.parametrize(
    ("rules", "problem", "expected"),
    [
        ("#1 citizenOf(X,Y) :- bornIn(X,Y).\n", "rules.txt:1: a rule template at '#1 citizenOf(X,Y)'", "not rules"),
        ("20 citizenOf(X,Y) :- bornIn(X,Y).\n", "rules.txt:1: a rule template at '20 citizenOf(X,Y)'", "not rules"),
        ("has born(X,Y) :- bornIn(X,Y).\n", "no atom at 'has born(X,Y)': a blank in 'has born'", "between quotes"),
        ("t(0.5)::citizenOf(X,Y) :- bornIn(X,Y).\n", "weight 't(0.5)' is no number", "'weight::head :- body.'"),
        ("0.7:citizenOf(X,Y) :- bornIn(X,Y).\n", "'0.7:' before a head", "'name:weight:body -> head'"),
        ("r1:0.7:citizenOf(X,Y) :- bornIn(X,Y).\n", "'r1:0.7:' before a head", "'name:weight:body -> head'"),
        ("r1:nan:bornIn(X,Y) -> citizenOf(X,Y)\n", "weight 'nan' is no number", "'name:weight:body -> head'"),
        ("r1:1e999:bornIn(X,Y) -> citizenOf(X,Y)\n", "weight '1e999' is no number", "'name:weight:body -> head'"),
        ("citizenOf(X,Y) :- bornIn(X,Y); knows(X,Y).\n", "no atom at 'bornIn(X,Y); knows", "predicate(first,second)"),
        ("citizenOf(X,Y) :- \\+ bornIn(X,Y).\n", "a negated atom, '\\\\+'", "between quotes"),
        ("citizenOf(X,Y) :- bornIn(X,Y), \\+knows(X,Y).\n", "a negated atom, '\\\\+'", "between quotes"),
        ("citizenOf(X,Y) :- bornIn(X,Y), not(knows(X,Y)).\n", "a negated atom, 'not'", "between quotes"),
        ("-citizenOf(X,Y) :- bornIn(X,Y).\n", "a negated atom, '-', at '-citizenOf(X,Y)'", "between quotes"),
        ("bornIn(X,Y), ~knows(X,Y) -> citizenOf(X,Y)\n", "a negated atom, '~'", "between quotes"),
        ("citizenOf(X,Y) :- bornIn(X,Y), X \\= Y.\n", "no atom at 'X \\\\= Y'", "predicate(first,second)"),
        ("citizenOf(X,Y) :- bornIn(X,Y), X != Y.\n", "no atom at 'X != Y'", "predicate(first,second)"),
        ("citizenOf(X,Y) :- bornIn(X,Y), !.\n", "no atom at '!'", "predicate(first,second)"),
        ("citizenOf(X,[a,b]) :- bornIn(X,Y).\n", "arity 3 of 'citizenOf'", "arity 2"),
        ("0.3::citizenOf(X,Y); 0.7::knows(X,Y) :- bornIn(X,Y).\n", "no atom at 'citizenOf(X,Y); 0.7", "nothing behind"),
        ("1/3::citizenOf(X,Y) :- bornIn(X,Y).\n", "weight '1/3' is no number", "'weight::head :- body.'"),
        ("r1:citizenOf(X,Y) :- bornIn(X,Y).\n", "'r1:' before a head", "'name:weight:body -> head'"),
        ("bornIn(X,Y) -> r1:0.5:citizenOf(X,Y)\n", "'r1:0.5:' before a head", "'name:weight:body -> head'"),
        ("0.5: bornIn(X,Y) & knows(X,Y) -> citizenOf(X,Y) ^2\n", "no atom at 'citizenOf(X,Y) ^2'", "predicate(first,"),
        ("bornIn(X,Y) => citizenOf(X,Y)\n", "rules.txt:1: no rule", "rules of AnyBURL, AMIE"),
        ("citizenOf(X,Y) :- bornIn(X,Y).\nbornIn(anna,lyon).\n", "rules.txt:2: no rule", "facts belong into the train"),
        ("x\t10\t0.5\tcitizenOf(X,Y) <= bornIn(X,Y)\n", "column 'x' is no number", "confidence"),
        ("citizenOf(X,Y) <= bornIn(X)\n", "no atom at 'bornIn(X)'", "relation(first,second)"),
        ("?a  bornIn  => ?a  citizenOf  ?b\n", "2 names at '?a  bornIn'", "three for each atom"),
        ("?a  bornIn  ?b  ?a!=?b  => ?a  citizenOf  ?b\n", "a constraint, '!='", "atoms alone"),
        ("?a  bornIn  ?b   => ?a  citizenOf  ?b,0.5,0.4,0.6\n", "no variable at '?b,0.5,0.4,0.6'", "with tabs before"),
        (f"{AMIE_RULE}knows(X,Y) :- knows(Y,X).\n", "rules.txt:2: no rule", "read as amie, the format of most"),
        ("20 10 0.5 citizenOf(X,Y) <= bornIn(X,Y)\n", "columns without tabs", "confidence<TAB>head <= body"),
        ("9\t9\t1.0\tcitizenOf(X,Y) <= bornIn(X,A), X != A\n", "no atom at 'X != A'", "relation(first,second)"),
        ("9\t9\tNaN\tcitizenOf(X,Y) <= bornIn(X,Y)\n", "column 'NaN' is no number", "confidence"),
        ("nan (nan)\tcitizenOf <-- bornIn\n", "'nan (nan)' is no weight", "confidence"),
        ("abc\tcitizenOf <-- bornIn\n", "'abc' is no weight", "confidence"),
    ],
)  # fmt: skip
def test_what_is_not_understood_is_refused_with_its_line(
    rules: str, problem: str, expected: str, tmp_path: Path
) -> None:
    with pytest.raises(DatasetError) as caught:
        load(tmp_path, rules)

    assert problem in str(caught.value)
    assert expected in str(caught.value)


def test_a_file_has_one_format_and_an_error_says_which_it_was_read_as(tmp_path: Path) -> None:
    rules = (
        "citizenOf(X,Y) :- bornIn(X,Z), locatedIn(Z,Y).\n"
        "knows(X,Y) :- knows(Y,X).\n"
        "bornIn(X,Y) -> citizenOf(X,Y)\n"
    )
    with pytest.raises(
        DatasetError, match=r"rules\.txt:3: no rule in .*\(read as prolog, the format of most lines"
    ):
        load(tmp_path, rules)


def test_a_format_may_be_forced(tmp_path: Path) -> None:
    dataset = load(tmp_path, "citizenOf <-- bornIn, locatedIn\n", rules_format="ncrl")
    assert rules_of(dataset) == [(CHAIN, 1.0)]

    with pytest.raises(DatasetError, match="read as prolog, the format that was asked for"):
        load(tmp_path, "citizenOf <-- bornIn, locatedIn\n", rules_format="prolog")
    with pytest.raises(DatasetError, match="rules format 'amye'; did you mean 'amie'"):
        load(tmp_path, "", rules_format="amye")


def test_directives_are_left_out_and_counted(tmp_path: Path) -> None:
    dataset = load(tmp_path, f":- dynamic knows/2.\n{CHAIN}.\n")

    assert rules_of(dataset) == [(CHAIN, 1.0)]
    assert [(w.kind, w.count) for w in dataset.warnings] == [("directive", 1)]


@pytest.mark.parametrize("name", ["train.txt", "valid.txt", "test.txt", "rules.txt"])
def test_any_file_may_be_compressed(name: str, tmp_path: Path) -> None:
    expected = load(tmp_path, f"{CHAIN}.\n")
    path = tmp_path / name
    (tmp_path / f"{name}.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()

    assert load_dataset(tmp_path).content_hash == expected.content_hash


def test_the_file_of_ids_may_be_compressed(tmp_path: Path) -> None:
    load(tmp_path, f"{CHAIN}.\n")
    (tmp_path / "rules.txt").write_text("1 0 3\n", encoding="utf-8")
    (tmp_path / "relations.dict.gz").write_bytes(gzip.compress(RELATIONS.encode()))

    assert rules_of(load_dataset(tmp_path)) == [(CHAIN, 1.0)]


def test_a_compressed_file_may_have_several_members(tmp_path: Path) -> None:
    expected = load(tmp_path, f"{CHAIN}.\n")
    content = (tmp_path / "train.txt").read_bytes()
    (tmp_path / "train.txt").unlink()
    (tmp_path / "train.txt.gz").write_bytes(gzip.compress(content[:50]) + gzip.compress(content[50:]))

    assert load_dataset(tmp_path).content_hash == expected.content_hash


def test_a_damaged_compressed_file_is_refused(tmp_path: Path) -> None:
    load(tmp_path, f"{CHAIN}.\n")
    content = gzip.compress((tmp_path / "rules.txt").read_bytes())
    (tmp_path / "rules.txt").unlink()
    for damaged in (
        content[:-9],
        b"citizenOf",
        content[:20] + b"\xff" * 9 + content[29:],
        content + b"more",
        b"",
    ):
        (tmp_path / "rules.txt.gz").write_bytes(damaged)
        with pytest.raises(
            DatasetError, match=r"rules\.txt\.gz: cannot be decompressed: .*expected a gzip file"
        ):
            load_dataset(tmp_path)
