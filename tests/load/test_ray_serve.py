"""The load on Ray Serve with a ranker killed: it runs, and its exit status reports the results of the requests."""

from __future__ import annotations

import re

import pytest

pytest.importorskip("ray.serve", reason="needs Ray Serve: pip install 'proofrank[ray]'")

from load import ray_serve


@pytest.mark.slow
def test_a_run_in_which_a_ranker_is_killed_loses_no_request_and_says_what_became_of_each(
    capfd: pytest.CaptureFixture[str],
) -> None:
    options = {"--seconds": 20, "--rate": 2, "--kill-after": 3, "--lease-seconds": 4}

    status = ray_serve.main([str(part) for option in options.items() for part in option])

    printed = capfd.readouterr().out
    assert re.search(r"another replaced it after \d+\.\d s", printed)
    by_status = re.search(r"all answers by status: (.*)", printed)
    assert by_status is not None
    assert set(re.findall(r"([^ ,]+): \d+", by_status[1])) <= {"200", "201", "204", "429", "503"}
    assert status == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rankers", "1"], "--rankers is 1; expected 2 or more"),
        (["--seconds", "10", "--kill-after", "10"], "--kill-after is 10; expected less than --seconds"),
    ],
)
def test_a_run_in_which_nobody_could_take_over_is_refused(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        ray_serve.main(arguments)

    assert message in capsys.readouterr().err
