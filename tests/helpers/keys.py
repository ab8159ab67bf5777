"""API keys of tests."""

from __future__ import annotations

import contextlib
import io
import json
import tomllib
from dataclasses import dataclass

from proofrank.service.cli.main import main


@dataclass(frozen=True)
class MadeKey:
    """A key as ``proofrank key`` prints it."""

    key: str
    settings_lines: str

    @property
    def headers(self) -> dict[str, str]:
        """Those of a client that has the key."""
        return {"Authorization": f"Bearer {self.key}"}


def made_key(name: str, *rights: str) -> MadeKey:
    """Runs ``proofrank key``."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        assert main(["key", "--name", name, *(part for right in rights for part in ("--right", right))]) == 0
    return MadeKey(err.getvalue().removeprefix("The key, shown this once: ").strip(), out.getvalue())


RANKER = made_key("trainer")


KEEPER = made_key("keeper", "policies")


STRANGER = made_key("stranger")


def keys(*made: MadeKey) -> str:
    """The setting for these keys, as the environment has it."""
    return json.dumps([entry for key in made for entry in tomllib.loads(key.settings_lines)["api_keys"]])
