"""Files of depths have the form that the public code reads and writes."""

from __future__ import annotations

from pathlib import Path

from proofrank.core.formats.atoms import NamedAtom
from proofrank.core.formats.depths import NOT_FOUND, read_depths, write_depths


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "test_depths.txt"
    depths = {NamedAtom("aunt", "5", "76"): 2, NamedAtom("p", "a-b", "c.d"): NOT_FOUND}

    assert write_depths(path, depths.items()) == []

    assert path.read_text() == "aunt(5,76) 2\np(a-b,c.d) -1\n"
    assert read_depths(path) == {("5", "aunt", "76"): "2", ("a-b", "p", "c.d"): "-1"}


def test_names_that_its_readers_would_cut_are_left_out_and_told(tmp_path: Path) -> None:
    odd = [NamedAtom("p", "New York", "b"), NamedAtom("p", "a,b", "c"), NamedAtom("p q", "a", "b")]

    left_out = write_depths(tmp_path / "file", [(atom, 1) for atom in [*odd, NamedAtom("p", "a", "b")]])

    assert left_out == odd
    assert (tmp_path / "file").read_text() == "p(a,b) 1\n"
