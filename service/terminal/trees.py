"""Trees of proofs on terminals that cannot show the lines between their branches."""

from __future__ import annotations

import re
from typing import TextIO

_BRANCHES = re.compile(r"^(?:│  |   )*(?:├─ |└─ )", re.MULTILINE)
_PLAIN = str.maketrans({"│": "|", "├": "|", "└": "`", "─": "-"})


def fit_tree(text: str, stream: TextIO) -> str:
    """The text of a proof, with branches of plain characters where the encoding of ``stream`` lacks lines."""
    try:
        "│├└─".encode(stream.encoding or "ascii")
    except UnicodeEncodeError:
        return _BRANCHES.sub(lambda branch: branch[0].translate(_PLAIN), text)
    return text
