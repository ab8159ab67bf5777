"""Facts of ``facts.txt`` are facts for every engine, and filter corruptions, as if they stood in train."""

from __future__ import annotations

from pathlib import Path

import pytest

import proofrank
from tests.helpers.datasets import write_dataset

TRAIN = ("anna\tcitizenOf\tgermany", "ben\tknows\tanna")
FACTS = (
    *(f"{person}\tbornIn\ttown{number}" for number, person in enumerate(("anna", "ben", "cara", "dora"))),
    *(f"town{number}\tlocatedIn\t{country}" for number, country in enumerate(("germany", "france") * 2)),
    "ben\tcitizenOf\tfrance",
)
TEST = ("cara\tcitizenOf\tgermany", "dora\tcitizenOf\tfrance")
RULE = "citizenOf(X,Y) :- bornIn(X,Z), locatedIn(Z,Y)."


@pytest.mark.parametrize("engine", ["original", "eager"])
def test_facts_beside_train_give_the_ranks_of_facts_in_train(engine: str, tmp_path: Path) -> None:
    write_dataset(tmp_path / "apart", TRAIN, [RULE], test=TEST)
    (tmp_path / "apart" / "facts.txt").write_text("\n".join(FACTS), encoding="utf-8")
    write_dataset(tmp_path / "together", [*TRAIN, *FACTS], [RULE], test=TEST)

    def rankings(name: str) -> tuple[proofrank.TripleRanking, ...]:
        dataset = proofrank.load_dataset(tmp_path / name)
        policy = proofrank.load_policy("untrained", dataset)
        prover = {"end_proof_action": False}
        return proofrank.evaluate(dataset, policy, corruptions="all", engine=engine, prover=prover).rankings

    apart = rankings("apart")
    assert apart == rankings("together")
    assert all(ranking.proved for ranking in apart)
    # The known citizen among the corruptions of a head is left out, wherever it is known from.
    num_constants = proofrank.load_dataset(tmp_path / "apart").vocabulary.num_constants
    assert [ranking.num_candidates for ranking in apart if ranking.side == "head"] == [num_constants - 1] * 2
