"""Every attack of the list has a test that names it, and no test names one that is not there."""

from __future__ import annotations

import re
from pathlib import Path

FIRST, LAST = 1, 119


def test_every_attack_has_a_test_and_every_number_is_an_attack() -> None:
    tested = set()
    for path in Path(__file__).parent.glob("test_*.py"):
        for name in re.findall(r"def (test_\w+)|id=\"(a\d{3}[\w-]*)\"", path.read_text()):
            tested |= {int(number) for number in re.findall(r"a(\d{3})", "".join(name))}
    attacks = set(range(FIRST, LAST + 1))
    assert not attacks - tested, "without a test: " + str(sorted(attacks - tested))
    assert not tested - attacks, "no such attack: " + str(sorted(tested - attacks))
