"""Work in the background: when it begins, that it ends, and what a fork makes of it."""

from __future__ import annotations

import os
import threading
import warnings

import pytest

from s3kit.store import chore
from s3kit.store.chore import Chore

LONG = 60.0


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No thread here hangs, but a busy machine may keep one waiting."""
    monkeypatch.setattr(chore, "CLOSE_SECONDS", LONG)


@pytest.fixture
def done() -> threading.Semaphore:
    """Released by each work that is done."""
    return threading.Semaphore(0)


def test_a_nudge_does_it_once_when_it_is_time(done: threading.Semaphore) -> None:
    works: list[threading.Event] = []

    def work(stop: threading.Event) -> None:
        works.append(stop)
        done.release()

    made = Chore("test", work, 3600)
    made.nudge()
    assert works == []
    made._next = 0.0
    made.nudge()
    assert done.acquire(timeout=LONG)
    made.nudge()
    made.close()
    assert len(works) == 1
    assert works[0].is_set()
    made._next = 0.0
    made.nudge()
    made.go_on()
    assert made._thread is not None
    assert not made._thread.is_alive()


def test_it_goes_on_after_a_failure_and_without_nudges(
    done: threading.Semaphore, caplog: pytest.LogCaptureFixture
) -> None:
    def work(stop: threading.Event) -> None:
        done.release()
        raise OSError("the disk is gone")

    made = Chore("test", work, 0.01)
    made.go_on()
    for _ in range(3):
        assert done.acquire(timeout=LONG)
    made.close()
    assert "test failed; it will be tried again" in caplog.text


def test_it_is_told_to_end_and_waited_for() -> None:
    begun = threading.Event()
    ended = threading.Event()

    def work(stop: threading.Event) -> None:
        begun.set()
        assert stop.wait(LONG)
        ended.set()

    made = Chore("test", work, 0.01)
    made.go_on()
    assert begun.wait(LONG)
    made.close()
    assert ended.is_set()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_child_begins_a_thread_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chore, "LONGEST_DELAY", 0.0)
    read, write = os.pipe()

    def work(stop: threading.Event) -> None:
        os.write(write, b"%d " % os.getpid())

    made = Chore("test", work, 3600)
    made.nudge()
    assert os.read(read, 100).split() == [b"%d" % os.getpid()]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
        if child == 0:
            made.nudge()
            if made._thread is not None:
                made._thread.join(LONG)
            os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read, 100).split() == [b"%d" % child]
    made.close()
    os.close(read)
    os.close(write)
