"""A command or an option that there is not is refused with the nearest one."""

from __future__ import annotations

import pytest

from proofrank.service.cli.main import main


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["evalute"], "invalid choice: 'evalute'"),
        (["evalute"], "; did you mean 'evaluate'?"),
        (["evaluate", "--polcy", "x"], "unrecognized arguments: --polcy x; did you mean '--policy'?"),
        (
            ["evaluate", "--data-set=x"],
            "unrecognized arguments: --data-set=x; did you mean '--dataset'?",
        ),
        (["rank", "--spilt", "test"], "; did you mean '--split'?"),
        (["check", "towns"], "unrecognized arguments: towns\n"),
        (["check", "x" * 300], f"unrecognized arguments: {'x' * 300}\n"),
        (["check", "."], "unrecognized arguments: .; did you mean '--dataset .'?"),
    ],
)
def test_a_wrong_word_is_refused_with_the_nearest_one(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)

    assert ended.value.code == 2
    assert message in capsys.readouterr().err
