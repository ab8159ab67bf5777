"""Files of depths have the form that the public code reads and writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from proofrank.core.errors import DatasetError
from proofrank.core.formats.atoms import NamedAtom
from proofrank.core.formats.depths import NOT_FOUND, read_depths, write_depths


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "test_depths.txt"
    depths = {NamedAtom("aunt", "5", "76"): 2, NamedAtom("p", "a-b", "c.d"): NOT_FOUND}

    assert write_depths(path, depths.items()) == []

    assert path.read_text() == "aunt(5,76) 2\np(a-b,c.d) -1\n"
    assert read_depths(path) == depths


def test_names_that_its_readers_would_cut_are_left_out_and_told(tmp_path: Path) -> None:
    odd = [NamedAtom("p", "New York", "b"), NamedAtom("p", "a,b", "c"), NamedAtom("p q", "a", "b")]

    left_out = write_depths(tmp_path / "file", [(atom, 1) for atom in [*odd, NamedAtom("p", "a", "b")]])

    assert left_out == odd
    assert (tmp_path / "file").read_text() == "p(a,b) 1\n"


@pytest.mark.parametrize(
    "line", ["p(a,b)", "p(a,b) 0", "p(a,b) -2", "p(a,b) x", "p(a,b) 1.5", "p(a b 1", f"p(a,b) {'9' * 30}"]
)
def test_another_form_is_an_error_that_names_the_line(line: str, tmp_path: Path) -> None:
    path = tmp_path / "test_depths.txt"
    path.write_text(f"p(a,c) 1\n{line}\n")

    with pytest.raises(DatasetError, match=r"test_depths\.txt:2: "):
        read_depths(path)


def test_a_triple_with_two_depths_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "test_depths.txt"
    path.write_text("p(a,c) 1\np(a,c) 1\np(a,c) 2\n")

    with pytest.raises(DatasetError, match=r":3: depth 2 of a triple with depth 1 before"):
        read_depths(path)
