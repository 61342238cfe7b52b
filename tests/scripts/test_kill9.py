"""What was acknowledged outlives kill -9; scripts/kill9.py does the same for 200 cycles."""

from __future__ import annotations

import random
import sqlite3
import sys
from pathlib import Path

import pytest

from scripts.kill9 import Crashes
from scripts.kill9 import is_whole
from scripts.kill9 import make_body
from scripts.kill9 import run_cycles

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs process groups and gunicorn")


def test_ten_crashes_lose_nothing_acknowledged_and_show_no_half_object(tmp_path: Path) -> None:
    report = run_cycles(tmp_path, 10)
    assert report.problems == []
    assert report.cycles == 10
    assert report.acknowledged > 20


def test_a_lost_object_is_noticed(tmp_path: Path) -> None:
    crashes = Crashes(tmp_path)
    try:
        crashes.cycle()
        # One whose removal was under way may be gone.
        while not any(
            state.certain and None not in state.possible
            for states in crashes.states
            for state in states.values()
        ):
            crashes.cycle()
        with sqlite3.connect(tmp_path / "data" / "s3kit.db") as database:
            database.execute("delete from s3kit_current")
        database.close()
        crashes.finish()
    finally:
        crashes.close()
    assert any("nothing, allowed were" in problem for problem in crashes.report.problems)


def test_any_cut_or_changed_byte_makes_a_body_not_whole() -> None:
    body = make_body(random.Random(1), 1000)
    assert is_whole(body)
    assert not is_whole(body[:-1])
    assert not is_whole(body[:500] + b"?" + body[501:])
