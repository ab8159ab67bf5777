"""Damages valid files, for tests of their readers: random bytes, and targeted changes of JSON."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

TOKENS = (
    b"\x00", b"\xff", b"\xfe\xff", b"\xef\xbb\xbf", b"\r", b"\n", b"\t", b"'", b'"', b"(", b")", b",", b".", b"%", b":",
    b":-", b"->", b"[", b"{", b"}", b"\\", b"\\ud800", "é".encode("latin-1"), "\u2028".encode(), b"True", b"NaN",
    b"1e999", b"9" * 5000, b"[" * 5000, b"(" * 500, b"'" * 501, b"x" * 50_000, b"\r\n--boundary\r\n", b"--",
)  # fmt: skip
"""Text with a meaning to some reader, text at its limits, and bytes that are not UTF-8."""

ENCODINGS = ("utf-16", "utf-32-le", "latin-1", "cp500")

_ODD_NUMBERS = (0, -1, 1, 2**31, 2**63, 2**64, 10**400, -(10**4000), 0.5, 1e308)
_LEAVES = (
    st.none()
    | st.booleans()
    | st.sampled_from(_ODD_NUMBERS)
    | st.sampled_from([float("nan"), float("inf")])
    | st.text(max_size=8)
    | st.sampled_from(["", "\x00", "\ud800", "x" * 100_000])
)
JSON_VALUES = st.recursive(
    _LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)


@st.composite
def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """Draws ``content`` with up to four of its bytes or stretches changed, removed, doubled or inserted."""
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(content)))
        end = min(len(content), start + draw(st.integers(0, 40)))
        kind = draw(st.sampled_from(["insert", "insert", "cut", "double", "flip", "truncate", "recode"]))
        if kind == "insert":
            content = content[:start] + draw(st.sampled_from(TOKENS)) + content[start:]
        elif kind == "cut":
            content = content[:start] + content[end:]
        elif kind == "double":
            content = content[:end] + content[start:]
        elif kind == "flip" and start < len(content):
            content = content[:start] + bytes([draw(st.integers(0, 255))]) + content[start + 1 :]
        elif kind == "truncate":
            content = content[:start]
        elif kind == "recode":
            text = content.decode("utf-8", "replace")
            content = text.encode(draw(st.sampled_from(ENCODINGS)), "replace")
    return content


@st.composite
def damaged_json(draw: st.DrawFn, value: Any) -> Any:
    """Draws ``value`` with something at a random depth replaced by any JSON, removed, or renamed."""
    if not isinstance(value, dict | list) or not value or draw(st.integers(0, 4)) == 0:
        return draw(JSON_VALUES)
    if isinstance(value, list):
        index = draw(st.integers(0, len(value) - 1))
        return [*value[:index], draw(damaged_json(value[index])), *value[index + 1 :]]
    key = draw(st.sampled_from(sorted(value)))
    rest = {name: inner for name, inner in value.items() if name != key}
    change = draw(st.sampled_from(["inside", "inside", "inside", "lost", "renamed"]))
    if change == "lost":
        return rest
    if change == "renamed":
        return {**rest, draw(st.text(max_size=12)): value[key]}
    return {**rest, key: draw(damaged_json(value[key]))}


def json_bytes(value: Any) -> bytes:
    """Writes ``value`` as a file; half a surrogate pair stays an escape."""
    return json.dumps(value).encode()
