"""Every attack of the list has a test that names it, or is named here as a later issue's."""

from __future__ import annotations

import re
from pathlib import Path

FIRST, LAST = 1, 119

LATER = {
    "keys that see one prefix only": range(68, 75),
}
"""By feature that s3kit does not have yet: attack numbers without a test so far."""


def test_every_attack_has_a_test_or_is_named_as_a_later_one() -> None:
    tested = set()
    for path in Path(__file__).parent.glob("test_*.py"):
        for name in re.findall(r"def (test_\w+)|id=\"(a\d{3}[\w-]*)\"", path.read_text()):
            tested |= {int(number) for number in re.findall(r"a(\d{3})", "".join(name))}
    later = {number for numbers in LATER.values() for number in numbers}
    missing = set(range(FIRST, LAST + 1)) - tested - later
    assert not missing, sorted(missing)
    assert not later & tested, "these have a test now: take them off LATER"
