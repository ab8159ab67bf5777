"""``proofrank import-embedding``: make an embedding's folder of one that the public DeepProofLog code wrote."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console

from proofrank.core.embedding import Embedding, load_embedding
from proofrank.core.embedding.folder import write_folder
from proofrank.core.errors import EmbeddingError, counted
from proofrank.service.cli.options import add_dataset, read_dataset
from proofrank.service.cli.tables import listed


def set_up(parser: argparse.ArgumentParser) -> None:
    """Gives the parser of the command its options."""
    parser.description = (
        "Reads weights.pth, config.json, entity2id.json and relation2id.json of the public DeepProofLog code and "
        "writes embedding.safetensors and config.json. Nothing is unpickled. A PyKEEN model is saved from Python, by "
        "proofrank.save_embedding(model, triples_factory, folder)."
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="the folder to read")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write")
    parser.add_argument("--overwrite", action="store_true", help="replace the embedding in --out")
    add_dataset(parser, is_required=True)


def run(parsed: argparse.Namespace) -> int:
    """Runs the command."""
    dataset = read_dataset(parsed)
    embedding = load_embedding(parsed.folder)
    if not isinstance(embedding, Embedding):
        raise EmbeddingError(f"{parsed.folder}: a file of scores, which is used as it is; expected a folder")
    scorer = embedding.scorer(dataset, "cpu")
    scorer.check([triple for triples in dataset.splits.values() for triple in triples])
    written = write_folder(
        parsed.out,
        interaction=embedding.interaction,
        options=embedding.options,
        tensors=embedding.tensors,
        entities=embedding.entities,
        relations=embedding.relations,
        notes={**embedding.notes, "sha256": embedding.content_hash},
        checks=embedding.checks,
        overwrite=parsed.overwrite,
    )
    console = Console(highlight=False, markup=False, soft_wrap=True)
    vocabulary = dataset.vocabulary
    num_others = len(embedding.entities) - vocabulary.num_constants
    options = listed(dict(embedding.options)) or "none"
    console.print(
        f"{parsed.folder.name}: {embedding.interaction}, {counted(len(embedding.entities), 'entity', 'entities')}, "
        f"{counted(len(embedding.relations), 'relation')}; options: {options}"
    )
    console.print(
        f"  every name of {dataset.name} is there; {counted(num_others, 'entity', 'entities')} beside its constants"
    )
    console.print(f"wrote {parsed.out} (SHA-256 {written.content_hash})")
    return 0
