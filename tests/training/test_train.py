"""The training program, from a toy graph to a checkpoint, and the policy that is committed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from proofrank.core.default import DATASET, POLICY
from proofrank.core.graph import load_dataset
from proofrank.core.policy import load_policy
from proofrank.core.policy.checkpoint import WEIGHTS_FILE
from proofrank.core.ranking import Metrics
from proofrank.training.imitation import _Learner, untrained_network
from proofrank.training.options import TrainingOptions
from proofrank.training.train import Measurement, main, measure
from tests.helpers.datasets import write_dataset

NETWORK = ["--embedding-dim", "16", "--hidden-dim", "32", "--num-layers", "1"]
TRAINING = ["--rounds", "3", "--epochs", "60", "--batch-rows", "200", "--sides", "tail"]


@pytest.fixture(scope="module")
def streets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four towns of streets: the first rule, by the mayor, always fails; the second, by the street, never does."""
    facts: list[str] = []
    queries: list[str] = []
    for town in range(4):
        for house in range(12):
            name = f"h{town}_{house:02}"
            facts += [f"on({name},s{town}_{house % 3})", f"mayor({name},m{house % 4})"]
            if house < 9:
                facts.append(f"in({name},t{town})")
            else:
                queries.append(f"in({name},t{town})")
        facts += [f"street(s{town}_{street},t{town})" for street in range(3)]
    facts += [f"governs(m{mayor},nowhere)" for mayor in range(4)]
    folder = tmp_path_factory.mktemp("streets")
    write_dataset(
        folder,
        [f"{fact}." for fact in facts],
        ["mayor(X,M), governs(M,T) -> in(X,T)", "on(X,S), street(S,T) -> in(X,T)"],
        test=[f"{query}." for query in queries],
        domains=[
            f"towns {' '.join(f't{town}' for town in range(4))}",
            f"houses {' '.join(f'h{town}_{house:02}' for town in range(4) for house in range(12))}",
        ],
    )
    return folder


def trained(dataset: Path, out: Path, seed: int = 0) -> Path:
    flags = ["--dataset", str(dataset), "--out", str(out), "--seed", str(seed), "--no-untrained"]
    assert main([*flags, *NETWORK, *TRAINING]) == 0
    return out


def measured(dataset_folder: Path, policy_folder: Path, measurement: Measurement) -> tuple[Metrics, Metrics]:
    """The metrics of a saved policy, and of an untrained one of the same shape and seed."""
    dataset = load_dataset(dataset_folder)
    policy = load_policy(policy_folder, dataset)
    assert policy.settings is not None
    record = json.loads((policy_folder / "policy.json").read_text())["training"]
    untrained = untrained_network(
        policy.network.config, dataset.vocabulary, record["seed"], record["embedding_scale"]
    )
    return (
        measure(dataset, policy.network, policy.settings, measurement),
        measure(dataset, untrained, policy.settings, measurement),
    )


def test_training_learns_the_rule_that_works(streets: Path, tmp_path: Path) -> None:
    policy = trained(streets, tmp_path / "policy")
    of_trained, of_untrained = measured(streets, policy, Measurement(engine="original"))
    assert of_trained.mrr > 0.95
    assert of_trained.mrr > of_untrained.mrr + 0.2


def test_the_same_command_gives_the_same_bytes(streets: Path, tmp_path: Path) -> None:
    first, second = trained(streets, tmp_path / "first"), trained(streets, tmp_path / "second")
    assert {path.name: path.read_bytes() for path in first.iterdir()} == {
        path.name: path.read_bytes() for path in second.iterdir()
    }
    other = trained(streets, tmp_path / "other", seed=1)
    assert (other / WEIGHTS_FILE).read_bytes() != (first / WEIGHTS_FILE).read_bytes()


def test_a_training_that_was_cut_off_goes_on_and_ends_with_the_same_bytes(
    streets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = trained(streets, tmp_path / "whole")
    state = tmp_path / "training.state"
    flags = ["--dataset", str(streets), "--no-untrained", *NETWORK, *TRAINING, "--state", str(state)]
    rounds = []

    def cut_off(learner: _Learner, examples: list, round_index: int, progress: object) -> None:
        rounds.append(round_index)
        if len(rounds) == 2:
            raise KeyboardInterrupt
        learn(learner, examples, round_index, progress)  # pyright: ignore[reportArgumentType]

    learn = _Learner.learn
    monkeypatch.setattr(_Learner, "learn", cut_off)
    with pytest.raises(KeyboardInterrupt):
        main([*flags, "--out", str(tmp_path / "policy")])
    assert main([*flags, "--out", str(tmp_path / "policy")]) == 0

    assert rounds == [0, 1, 1, 2]
    assert {path.name: path.read_bytes() for path in (tmp_path / "policy").iterdir()} == {
        path.name: path.read_bytes() for path in whole.iterdir()
    }
    assert main([*flags, "--out", str(tmp_path / "again")]) == 0
    assert rounds == [0, 1, 1, 2], "all rounds are done"
    assert (tmp_path / "again" / WEIGHTS_FILE).read_bytes() == (whole / WEIGHTS_FILE).read_bytes()
    capsys.readouterr()
    assert main([*flags, "--out", str(tmp_path / "other"), "--learning-rate", "0.1"]) == 2
    assert "learning_rate is 0.002 there and 0.1 here" in " ".join(capsys.readouterr().err.split())
    state.write_bytes(b"nothing")
    assert main([*flags, "--out", str(tmp_path / "other")]) == 2
    assert "cannot be read" in capsys.readouterr().err


def test_valid_and_test_triples_change_nothing(streets: Path, tmp_path: Path) -> None:
    train = (streets / "train.txt").read_text().splitlines()
    rules = (streets / "rules.txt").read_text().splitlines()
    domains = (streets / "domain2constants.txt").read_text().splitlines()
    with_others = tmp_path / "with_others"
    write_dataset(with_others, train, rules, test=["in(h0_09,t3)."], valid=["in(h1_10,t0)."], domains=domains)
    first, second = trained(streets, tmp_path / "first"), trained(with_others, tmp_path / "second")
    assert (first / WEIGHTS_FILE).read_bytes() == (second / WEIGHTS_FILE).read_bytes()


def test_a_graph_without_proofs_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = tmp_path / "dataset"
    write_dataset(dataset, ["p(a,b).", "q(b,c)."], ["q(X,Z), p(Z,Y) -> p(X,Y)"], test=["p(a,c)."])
    assert main(["--dataset", str(dataset), "--out", str(tmp_path / "policy")]) == 2
    assert "no train triple" in capsys.readouterr().err
    assert not (tmp_path / "policy").exists()


def test_without_test_triples_the_policy_is_written_and_nothing_ranked(
    streets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = tmp_path / "streets"
    shutil.copytree(streets, dataset)
    (dataset / "test.txt").write_text("", encoding="utf-8")
    flags = ["--dataset", str(dataset), "--rounds", "1", "--epochs", "1", *NETWORK]

    assert main([*flags, "--out", str(tmp_path / "policy")]) == 0
    assert "test has no triples to rank" in " ".join(capsys.readouterr().out.split())
    assert load_policy(tmp_path / "policy", load_dataset(dataset)).name == "policy"


def test_a_folder_that_cannot_be_written_is_told_before_the_training(
    streets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "[file]").write_text("", encoding="utf-8")

    assert main(["--dataset", str(streets), "--out", str(tmp_path / "[file]")]) == 2
    told = capsys.readouterr().err
    assert "[file]" in told  # and not as a colour
    assert "epochs" not in told


def test_the_committed_policy_is_good_and_an_untrained_one_is_not() -> None:
    of_trained, of_untrained = measured(DATASET, POLICY, Measurement(engine="original"))
    assert of_trained.mrr >= 0.90
    assert of_untrained.mrr < of_trained.mrr - 0.2
    assert (POLICY / WEIGHTS_FILE).stat().st_size < 500_000


def test_the_committed_policy_was_trained_on_the_committed_graph() -> None:
    record = json.loads((POLICY / "policy.json").read_text())["training"]
    assert record["dataset"] == load_dataset(DATASET).content_hash
    assert record["seed"] == TrainingOptions().seed
