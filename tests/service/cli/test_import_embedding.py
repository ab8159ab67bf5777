"""``proofrank import-embedding``: from a folder of the public code to one of ours with the same scores."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from proofrank.core.embedding import load_embedding
from proofrank.core.graph import load_dataset
from proofrank.service.cli.main import main


def write_public(folder: Path, entities: list[str], relations: list[str]) -> None:
    generator = torch.Generator().manual_seed(0)
    tables = {
        "entity_embeddings.weight": torch.randn(len(entities), 5, generator=generator),
        "relation_embeddings.weight": torch.randn(len(relations), 5, generator=generator),
    }
    folder.mkdir()
    torch.save(tables, folder / "weights.pth")
    (folder / "config.json").write_text('{"model": "TransE", "p": 1}')
    (folder / "entity2id.json").write_text(json.dumps({name: row for row, name in enumerate(entities)}))
    (folder / "relation2id.json").write_text(json.dumps({name: row for row, name in enumerate(relations)}))


def test_the_folder_written_has_the_scores_of_the_folder_read(
    family_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = load_dataset(family_folder)
    entities = [*reversed(dataset.vocabulary.constants), "somebody else"]
    write_public(tmp_path / "public", entities, list(dataset.vocabulary.predicates))
    arguments = ["import-embedding", str(tmp_path / "public"), "--dataset", str(family_folder)]
    assert main([*arguments, "--out", str(tmp_path / "ours")]) == 0
    out = capsys.readouterr().out
    assert f"public: TransE, {len(entities)} entities" in out
    assert "1 entity beside its constants" in out
    triples = np.array([triple for split in dataset.splits.values() for triple in split])
    scores = [
        load_embedding(tmp_path / folder).scorer(dataset, "cpu").scores(triples).tolist()
        for folder in ("public", "ours")
    ]
    assert scores[0] == scores[1]
    assert main([*arguments, "--out", str(tmp_path / "ours")]) == 2
    assert "holds an embedding" in capsys.readouterr().err


def test_a_folder_without_a_constant_of_the_dataset_is_refused(
    family_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = load_dataset(family_folder)
    write_public(
        tmp_path / "public", list(dataset.vocabulary.constants[1:]), list(dataset.vocabulary.predicates)
    )
    arguments = ["import-embedding", str(tmp_path / "public"), "--dataset", str(family_folder)]
    assert main([*arguments, "--out", str(tmp_path / "ours")]) == 2
    assert f"has no constant {dataset.vocabulary.constants[0]!r}" in capsys.readouterr().err
    assert not (tmp_path / "ours").exists()
