"""An activation ends when no replica may rank by the previous policy, whichever of them can be reached."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from proofrank.core.errors import DatasetError, EvaluationError
from proofrank.core.graph import Dataset
from proofrank.core.policy import Policy, load_policy
from proofrank.service.errors import NotReady
from proofrank.service.on_ray.follower import PolicyFollower
from proofrank.service.on_ray.leases import Lease, LeaseBook
from proofrank.service.policies.records import LivePolicy
from proofrank.service.web.problems import problem_of
from tests.helpers.family import write_untrained_policy
from tests.helpers.uploads import files_of

OLD, NEW = LivePolicy("old", "0" * 64), LivePolicy("new", "1" * 64)
PAGE = b"proofrank_ready 1.0\n"
GRAPH, OTHER_GRAPH = "2" * 64, "3" * 64


async def ignore(policy: Policy) -> None:
    """Activates nothing."""


def appending_to(activated: list[Policy]) -> Callable[[Policy], Awaitable[None]]:
    """Makes an activation that notes the policy."""

    async def activate(policy: Policy) -> None:
        activated.append(policy)

    return activate


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def book(clock: Clock) -> LeaseBook:
    """A book of leases of ten seconds, after the end of all leases of an earlier book."""
    made = LeaseBook(10.0, clock)
    made.open()
    clock.now += 10.0
    return made


def test_a_replica_that_has_not_said_that_it_follows_may_rank_by_the_old_policy_until_its_lease_ends(
    book: LeaseBook, clock: Clock
) -> None:
    book.renew("a", OLD, PAGE)
    clock.now += 9.9
    assert book.may_rank_by_another(NEW)
    clock.now += 0.1
    assert not book.may_rank_by_another(NEW)


def test_a_replica_that_says_that_it_follows_is_not_waited_for(book: LeaseBook) -> None:
    book.renew("a", OLD, PAGE)
    book.renew("b", OLD, PAGE)
    book.renew("a", NEW, PAGE)
    assert book.may_rank_by_another(NEW)
    book.renew("b", NEW, PAGE)
    assert not book.may_rank_by_another(NEW)


def test_a_replica_that_has_ended_is_not_waited_for(book: LeaseBook) -> None:
    book.renew("a", OLD, PAGE)
    book.release("a")
    assert not book.may_rank_by_another(NEW)


def test_leases_that_were_given_until_this_book_took_over_are_waited_for(clock: Clock) -> None:
    book = LeaseBook(10.0, clock)
    clock.now += 60.0  # the earlier book is still in use
    assert book.may_rank_by_another(NEW)
    book.open()
    clock.now += 9.9
    assert book.may_rank_by_another(NEW)
    clock.now += 0.1
    assert not book.may_rank_by_another(NEW)


def test_the_metrics_of_a_replica_are_its_last_and_there_for_as_long_as_its_lease(
    book: LeaseBook, clock: Clock
) -> None:
    book.renew("a", OLD, b"first")
    book.renew("b", OLD, PAGE)
    clock.now += 5.0
    book.renew("a", OLD, b"second")
    assert book.metrics() == {"a": b"second", "b": PAGE}
    clock.now += 5.0
    assert book.metrics() == {"a": b"second"}
    book.release("a")
    assert book.metrics() == {}


def test_waiting_ends_when_the_last_replica_follows(book: LeaseBook) -> None:
    async def wait() -> None:
        book.renew("a", OLD, PAGE)
        waiting = asyncio.create_task(book.until_all_follow(NEW))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        book.renew("a", NEW, PAGE)
        await asyncio.wait_for(waiting, 1.0)

    asyncio.run(wait())


def test_a_replica_that_cannot_follow_and_asks_on_and_on_is_waited_for_no_longer_than_a_lease() -> None:
    book = LeaseBook(0.3)
    book.open()

    async def ask_on() -> None:
        while True:
            book.renew("a", OLD, PAGE)
            await asyncio.sleep(0.05)

    async def wait() -> None:
        asking = asyncio.create_task(ask_on())
        await asyncio.wait_for(book.until_all_follow(NEW), 2.0)
        asking.cancel()

    asyncio.run(wait())


class Coordinator:
    """Gives a follower leases for the policy that a test makes live."""

    def __init__(self, folders: dict[str, Path]) -> None:
        self._folders = folders
        self.live_name = "first"
        self.dataset_sha256 = GRAPH
        self.can_be_reached = True
        self.hangs = False
        self.asked: list[str | None] = []

    async def ask(self, ranks_by: LivePolicy | None) -> Lease:
        if not self.can_be_reached:
            raise ConnectionError("nobody there")
        if self.hangs:
            await asyncio.Event().wait()
        self.asked.append(None if ranks_by is None else ranks_by.name)
        folder = self._folders[self.live_name]
        live = LivePolicy(self.live_name, load_policy(folder).content_hash)
        names = {"weights": "policy.safetensors", "config": "policy.json", "vocabulary": "vocab.json"}
        files = {names[part]: content for part, content in files_of(folder).items()}
        return Lease(live, self.dataset_sha256, None if live == ranks_by else files, seconds=0.2)


@pytest.fixture
def other_folder(family_folder: Path, tmp_path: Path) -> Path:
    """A policy with other weights."""
    return write_untrained_policy(tmp_path / "other", family_folder, seed=1)


@pytest.fixture
def coordinator(policy_folder: Path, other_folder: Path) -> Coordinator:
    return Coordinator({"first": policy_folder, "second": other_folder})


def test_a_follower_ranks_by_the_live_policy_and_then_says_so(coordinator: Coordinator) -> None:
    activated: list[Policy] = []
    follower = PolicyFollower(coordinator.ask, appending_to(activated))

    async def follow() -> None:
        first = await follower.first_policy()
        assert first.name == "first" and not follower.may_rank
        await follower.renew()
        assert follower.may_rank
        coordinator.live_name = "second"
        await follower.renew()

    asyncio.run(follow())

    assert [policy.name for policy in activated] == ["second"]
    assert coordinator.asked == [None, "first", "first", "second"]


def test_a_follower_that_cannot_reach_the_coordinator_ranks_until_its_lease_ends_and_then_refuses(
    coordinator: Coordinator,
) -> None:
    follower = PolicyFollower(coordinator.ask, ignore)

    async def lose_the_coordinator() -> NotReady:
        await follower.first_policy()
        await follower.renew()
        coordinator.can_be_reached = False
        await follower.until_current()
        await asyncio.sleep(0.25)
        with pytest.raises(NotReady) as refused:
            await follower.until_current()
        coordinator.can_be_reached = True
        await follower.until_current()
        return refused.value

    problem = problem_of(asyncio.run(lose_the_coordinator()))

    assert problem.status == 503
    assert "Retry-After" in problem.headers


def test_a_policy_that_comes_damaged_is_refused(coordinator: Coordinator, other_folder: Path) -> None:
    activated: list[Policy] = []

    async def ask(ranks_by: LivePolicy | None) -> Lease:
        lease = await coordinator.ask(ranks_by)
        if coordinator.live_name == "first" or lease.files is None:
            return lease
        return lease._replace(files={**lease.files, "policy.safetensors": b"damaged"})

    follower = PolicyFollower(ask, appending_to(activated))

    async def follow() -> None:
        await follower.first_policy()
        await follower.renew()
        coordinator.live_name = "second"
        with pytest.raises(Exception, match=r"policy\.safetensors"):
            await follower.renew()

    asyncio.run(follow())

    assert activated == []
    assert follower.refusal is not None


def test_a_follower_on_another_graph_refuses_and_says_which(
    coordinator: Coordinator, family: Dataset
) -> None:
    follower = PolicyFollower(coordinator.ask, ignore)

    async def follow() -> None:
        await follower.first_policy()
        with pytest.raises(DatasetError, match=f"SHA-256 {family.content_hash}, .* the one with {GRAPH}"):
            follower.check_graph(family)
        await follower.renew()
        assert follower.may_rank

        coordinator.dataset_sha256 = OTHER_GRAPH
        await asyncio.sleep(0.25)
        with pytest.raises(DatasetError, match=OTHER_GRAPH):
            await follower.renew()

    asyncio.run(follow())

    assert not follower.may_rank
    assert follower.refusal is not None and OTHER_GRAPH in follower.refusal


def test_a_follower_on_the_same_graph_begins(coordinator: Coordinator, family: Dataset) -> None:
    coordinator.dataset_sha256 = family.content_hash
    follower = PolicyFollower(coordinator.ask, ignore)

    asyncio.run(follower.first_policy())

    follower.check_graph(family)


def test_a_request_waits_about_a_second_for_a_lease_and_is_told_to_come_again(
    coordinator: Coordinator,
) -> None:
    follower = PolicyFollower(coordinator.ask, ignore)

    async def ask_while_the_coordinator_hangs() -> tuple[NotReady, float]:
        await follower.first_policy()
        coordinator.hangs = True
        began = time.monotonic()
        with pytest.raises(NotReady) as refused:
            await follower.until_current()
        return refused.value, time.monotonic() - began

    error, seconds = asyncio.run(ask_while_the_coordinator_hangs())
    problem = problem_of(error)

    assert (problem.status, problem.headers["Retry-After"]) == (503, "1")
    assert seconds < 2.0


def test_a_follower_that_has_no_room_for_a_policy_is_not_healthy_until_it_has(
    coordinator: Coordinator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    follower = PolicyFollower(coordinator.ask, ignore)

    async def follow() -> None:
        await follower.first_policy()
        await follower.renew()
        coordinator.live_name = "second"
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
        with pytest.raises(OSError, match="No such file"):
            await follower.renew()
        assert follower.refusal is not None and "No such file" in follower.refusal
        monkeypatch.undo()
        await follower.renew()

    asyncio.run(follow())

    assert follower.refusal is None and follower.may_rank


def test_a_follower_that_refused_a_policy_is_healthy_once_the_one_before_is_live_again(
    coordinator: Coordinator,
) -> None:
    async def refuse(policy: Policy) -> None:
        raise EvaluationError(f"policy {policy.name!r} has another shape")

    follower = PolicyFollower(coordinator.ask, refuse)

    async def follow() -> None:
        await follower.first_policy()
        await follower.renew()
        coordinator.live_name = "second"
        with pytest.raises(EvaluationError, match="another shape"):
            await follower.renew()
        assert follower.refusal is not None
        coordinator.live_name = "first"
        await follower.renew()

    asyncio.run(follow())

    assert follower.refusal is None and follower.may_rank
