"""Events in the outbox: order within a key, leases, retries and what was given up."""

from __future__ import annotations

import itertools
import random
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import HealthCheck
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from s3kit.index import outbox
from s3kit.index.outbox import Waiting
from s3kit.index.session import Index

TARGET = "acme:hear"
NUMBERS = itertools.count()


def add(index: Index, key: bytes, event: str = "e", target: str = TARGET, now: int = 0) -> int:
    return index.write(
        lambda c: outbox.add(
            c, event=event, bucket_id=1, key=key, target=target, document="{}", now=now
        )
    )


def take(
    index: Index, holder: str = "me", now: int = 0, most: int = 10, target: str = TARGET
) -> list[Waiting]:
    return index.write(lambda c: outbox.take(c, target, holder, now, now + 1000, most))


def finish(index: Index, rows: list[Waiting], holder: str = "me") -> None:
    index.write(lambda c: outbox.finish(c, holder, [row.id for row in rows]))


def fail(
    index: Index, row: Waiting, due: int, *, dead: bool = False, error: str = "", holder: str = "me"
) -> None:
    index.write(lambda c: outbox.fail(c, holder, row, due=due, dead=dead, error=error))


def keys(rows: list[Waiting]) -> list[bytes]:
    return [row.key for row in rows]


def test_events_are_taken_in_their_order_and_by_one_only(index: Index) -> None:
    numbers = [add(index, key) for key in (b"a", b"b", b"a", b"c")]
    mine = take(index, "me", most=2)
    assert keys(mine) == [b"a", b"b"]
    # The other event of a is not the oldest of its key.
    theirs = take(index, "other")
    assert keys(theirs) == [b"c"]
    assert take(index, "third") == []
    finish(index, mine)
    finish(index, theirs, "me")
    again = take(index, "third")
    assert [row.id for row in again] == [numbers[2]]
    assert index.read(outbox.backlog)[0].waiting == 2


def test_events_behind_the_oldest_of_a_key_are_taken_with_it(sqlite: Index) -> None:
    for key in (b"a", b"b", b"a", b"a"):
        add(sqlite, key)
    assert keys(take(sqlite, most=3)) == [b"a", b"b", b"a"]
    assert take(sqlite, "other") == []


def test_targets_and_buckets_do_not_wait_for_each_other(sqlite: Index) -> None:
    add(sqlite, b"a")
    add(sqlite, b"a", target="other:one")
    assert len(take(sqlite)) == 1
    assert len(take(sqlite, target="other:one")) == 1
    assert take(sqlite, target="nobody") == []


def test_one_that_fails_holds_up_those_behind_it_and_nothing_else(index: Index) -> None:
    for key in (b"a", b"a", b"b"):
        add(index, key)
    first, second, third = take(index)
    fail(index, first, due=500, error="no\0t now \udcff")
    index.write(lambda c: outbox.release(c, "me", [second.id, third.id]))
    assert keys(take(index, "other", now=499)) == [b"b"]
    assert not index.read(lambda c: outbox.any_due(c, TARGET, 499))
    assert index.read(lambda c: outbox.any_due(c, TARGET, 500))
    again = take(index, "other", now=500)
    assert [(row.id, row.attempts, row.error) for row in again] == [
        (first.id, 1, "no\\0t now \\udcff"),
        (second.id, 0, ""),
    ]


def test_one_that_is_given_up_lets_those_behind_it_go(index: Index) -> None:
    first = add(index, b"a")
    second = add(index, b"a")
    fail(index, take(index)[0], due=0, dead=True, error="never")
    index.write(lambda c: outbox.release(c, "me", [second]))
    rest = take(index)
    assert [row.id for row in rest] == [second]
    finish(index, rest)
    (dead,) = index.read(lambda c: outbox.dead_page(c, 0, 10))
    assert (dead.id, dead.dead, dead.attempts, dead.error) == (first, True, 1, "never")
    assert index.read(outbox.backlog) == [outbox.Backlog(TARGET, 0, 1, 0)]
    assert index.write(lambda c: outbox.revive(c, TARGET, 9)) == 1
    (back,) = take(index, now=9)
    assert (back.id, back.dead, back.attempts) == (first, False, 0)
    fail(index, back, due=0, dead=True)
    assert index.write(lambda c: outbox.forget_dead(c, TARGET)) == 1
    assert index.read(outbox.backlog) == []


def test_what_a_dead_worker_had_is_taken_alone_and_counts_as_tried(index: Index) -> None:
    for key in (b"a", b"b", b"b"):
        add(index, key)
    assert len(take(index, "dead")) == 3
    assert take(index, now=999) == []
    (first,) = take(index, now=1000)
    (second,) = take(index, "other", now=1000)
    assert (first.key, first.attempts, second.key, second.attempts) == (b"a", 1, b"b", 1)
    # Who comes back has nothing to say about what others have.
    finish(index, [first, second], "dead")
    fail(index, first, due=0, dead=True, holder="dead")
    assert index.read(outbox.backlog)[0].waiting == 3


def test_a_lease_can_be_renewed_as_long_as_it_is_held(sqlite: Index) -> None:
    for key in (b"a", b"b"):
        add(sqlite, key)
    mine = [row.id for row in take(sqlite)]
    assert sqlite.write(lambda c: outbox.renew(c, "me", mine, 5000)) == set(mine)
    assert take(sqlite, "other", now=4999) == []
    assert len(take(sqlite, "other", now=5000)) == 1
    assert sqlite.write(lambda c: outbox.renew(c, "me", mine, 9000)) == {mine[1]}


def test_all_targets_of_an_event_have_its_place(sqlite: Index) -> None:
    first = add(sqlite, b"a")
    seq = sqlite.write(
        lambda c: outbox.add(
            c,
            event="e",
            bucket_id=1,
            key=b"a",
            target="other:one",
            document="{}",
            now=0,
            seq=first,
        )
    )
    assert seq == first
    assert {take(sqlite)[0].seq, take(sqlite, target="other:one")[0].seq} == {first}


def test_what_is_undone_was_never_written(sqlite: Index) -> None:
    def work(c: Any) -> None:
        outbox.add(c, event="e", bucket_id=1, key=b"a", target=TARGET, document="{}", now=0)
        raise KeyError("no")

    with pytest.raises(KeyError):
        sqlite.write(work)
    assert take(sqlite) == []


def test_workers_at_once_take_each_event_once_and_a_key_at_a_time(index: Index) -> None:
    expected: dict[bytes, list[int]] = {}
    for number in range(60):
        key = b"key%d" % (number % 7)
        expected.setdefault(key, []).append(add(index, key))
    taken: dict[bytes, list[int]] = {key: [] for key in expected}
    held: set[bytes] = set()
    limit = time.monotonic() + 120

    def work(holder: str) -> None:
        # What another has taken that failed since never ends.
        while time.monotonic() < limit:
            rows = take(index, holder, most=5)
            if not rows:
                if index.read(outbox.backlog) == []:
                    return
                continue
            mine = {row.key for row in rows}
            assert not mine & held
            held.update(mine)
            for row in rows:
                taken[row.key].append(row.id)
            held.difference_update(mine)
            finish(index, rows, holder)

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(work, f"worker{number}") for number in range(4)]:
            done.result()
    assert taken == expected


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.sampled_from([b"a", b"b", b"c"])),
        st.tuples(st.just("take"), st.integers(0, 2)),
        st.tuples(st.just("settle"), st.integers(0, 2)),
        st.tuples(st.just("wait"), st.integers(1, 1500)),
    ),
    max_size=40,
)


@settings(
    max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(STEPS, st.integers(0, 2**32))
def test_whatever_happens_a_key_is_in_order_and_no_event_is_lost(
    sqlite: Index, steps: list[tuple[str, Any]], seed: int
) -> None:
    """Workers take, deliver, fail, and are away longer than their leases; the clock goes on."""
    chance = random.Random(seed)
    target = f"target{next(NUMBERS)}"
    now = 0
    expected: dict[bytes, list[int]] = {}
    heard: dict[bytes, list[int]] = {}
    held: dict[int, list[Waiting]] = {}
    until: dict[int, int] = {}

    def settle(worker: int) -> None:
        rows = held.pop(worker, [])
        if now >= until.get(worker, 0):
            return  # it was killed
        stuck = set()
        for row in rows:
            if row.key in stuck:
                continue
            if chance.random() < 0.3:
                fail(sqlite, row, now + chance.randrange(2000), holder=str(worker))
                stuck.add(row.key)
                continue
            heard.setdefault(row.key, []).append(row.id)
            finish(sqlite, [row], str(worker))
        sqlite.write(lambda c: outbox.release(c, str(worker), [row.id for row in rows]))

    for what, value in steps:
        if what == "add":
            expected.setdefault(value, []).append(add(sqlite, value, target=target, now=now))
        elif what == "take":
            held[value] = take(sqlite, str(value), now, chance.randrange(1, 5), target)
            until[value] = now + 1000
        elif what == "settle":
            settle(value)
        else:
            now += value
    held.clear()
    for _ in range(200):
        now += 5000
        held[9] = take(sqlite, "9", now, 10, target)
        until[9] = now + 1
        settle(9)
        if all(each.target != target for each in sqlite.read(outbox.backlog)):
            break
    assert heard == expected
