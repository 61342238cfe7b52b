"""What every test shares; a folder's own fixtures are in its own conftest."""

from __future__ import annotations

import gc
import os
from collections.abc import Generator
from typing import Any

import pytest
from hypothesis import settings

IN_CI = os.environ.get("CI", "").lower() not in ("", "0", "false")

settings.register_profile("default", deadline=None)
settings.register_profile("ci", deadline=None, print_blob=True)
settings.load_profile("ci" if IN_CI else "default")


IMPOSSIBLE = ("other processes do not see this storage",)
"""Reasons that say something of what is tested, and nothing of the machine."""


def _refuse_skip(report: Any) -> None:
    """In CI everything is there, so a skipped test is one that nobody knows is broken."""
    if IN_CI and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        if str(reason).endswith(IMPOSSIBLE):
            return
        report.outcome = "failed"
        report.longrepr = f"Skipped, which is a failure in CI: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    report = yield
    if item.get_closest_marker("optional") is None:
        _refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, Any, Any]:
    report = yield
    _refuse_skip(report)
    return report


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Long texts make poor names; one that holds the time differs between xdist's processes."""
    return argname if isinstance(val, str | bytes) and len(val) > 50 else None


def pytest_collection_finish() -> None:
    """Leave the tests themselves out of collections: 15,000 that live to the end."""
    gc.collect()
    gc.freeze()
