"""Loads what scores triples: an embedding's folder, a folder of the public DeepProofLog code, or a file of scores."""

from __future__ import annotations

from pathlib import Path

from proofrank.core.embedding.deepprooflog import is_deepprooflog, read_deepprooflog
from proofrank.core.embedding.embedding import Embedding
from proofrank.core.embedding.folder import CONFIG_FILE, WEIGHTS_FILE, read_folder
from proofrank.core.embedding.score_file import ScoreFile, read_score_file
from proofrank.core.errors import EmbeddingError
from proofrank.core.near_paths import near_path

_PYKEEN_FILE = "trained_model.pkl"


def load_embedding(path: Path | str) -> Embedding | ScoreFile:
    """Loads an embedding or a file of scores; nothing is unpickled.

    Args:
        path: a folder of ``embedding.safetensors`` and ``config.json``; a folder of the public DeepProofLog code
            (``weights.pth``, ``config.json``, ``entity2id.json``, ``relation2id.json``); or a file with
            ``predicate(head,tail)<TAB>score`` a line.

    Raises:
        EmbeddingError: there is no such file or folder, or one of its files is bad; names it.
    """
    path = Path(path)
    if path.is_file():
        if path.name == _PYKEEN_FILE:
            raise _pickled(path)
        return read_score_file(path)
    if not path.is_dir():
        raise EmbeddingError(
            f"{path}: no such file or folder; expected an embedding's folder or a file of scores{near_path(path)}"
        )
    if (path / WEIGHTS_FILE).is_file():
        return read_folder(path)
    if is_deepprooflog(path):
        return read_deepprooflog(path)
    if (path / _PYKEEN_FILE).is_file():
        raise _pickled(path / _PYKEEN_FILE)
    raise EmbeddingError(f"{path}: has no {WEIGHTS_FILE}; expected it, and {CONFIG_FILE}")


def _pickled(path: Path) -> EmbeddingError:
    return EmbeddingError(
        f"{path}: a pickle of PyKEEN, which may run any code and is never loaded here; in a Python session of yours, "
        "call proofrank.save_embedding(model, triples_factory, folder) with the model that you trained"
    )
