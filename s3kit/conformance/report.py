"""Verdicts, and the tables that they make: for a terminal, for a page, as JSON."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from typing import Any


class Verdict(enum.StrEnum):
    """What became of one operation."""

    RIGHT = "right"
    """The answer is the operation's, and what it was to do can be read back."""
    REFUSED = "refused"
    """An S3 error document with a code, 501 or 4xx, and nothing was changed."""
    WRONG = "wrong"
    """The answer or the effect is another operation's, or a success that had no effect."""
    ERROR = "error"
    """5xx other than 501, no XML where S3 has XML, or no answer at all."""


@dataclass(frozen=True)
class Result:
    """One operation's verdict, and what it rests on."""

    operation: str
    verdict: Verdict
    status: int | None
    """Of the operation's own answer; None where there was none."""
    code: str
    """The S3 error code of that answer, or ""."""
    detail: str


@dataclass
class Report:
    """What one run has measured."""

    url: str
    server: str = ""
    results: list[Result] = field(default_factory=list)
    left_behind: list[str] = field(default_factory=list)
    """Scratch buckets that could not be removed."""

    @property
    def counts(self) -> dict[str, int]:
        """How many operations got each verdict."""
        return {
            verdict.value: sum(1 for each in self.results if each.verdict is verdict)
            for verdict in Verdict
        }

    @property
    def passed(self) -> bool:
        """Nothing was wrong or an error: clients are told the truth."""
        return all(each.verdict in (Verdict.RIGHT, Verdict.REFUSED) for each in self.results)


def summary(report: Report) -> str:
    """One line of counts."""
    counts = ", ".join(f"{number} {verdict}" for verdict, number in report.counts.items())
    return f"{len(report.results)} operations: {counts}"


def _said(result: Result) -> str:
    if result.status is None:
        return "-"
    return f"{result.status} {result.code}".rstrip()


def text_table(report: Report) -> str:
    """Lines for a terminal, the summary last."""
    width = max((len(each.operation) for each in report.results), default=0)
    answers = max((len(_said(each)) for each in report.results), default=0)
    lines = [
        f"{each.operation:{width}}  {each.verdict:7}  {_said(each):{answers}}  "
        f"{each.detail}".rstrip()
        for each in report.results
    ]
    lines += ["", summary(report)]
    lines += [f"Could not be removed: {name}" for name in report.left_behind]
    return "\n".join(lines)


def markdown_table(report: Report) -> str:
    """A table for a page; what is wrong or an error is bold."""
    lines = ["| Operation | Verdict | Answer | Seen |", "|---|---|---|---|"]
    for each in report.results:
        good = each.verdict in (Verdict.RIGHT, Verdict.REFUSED)
        verdict = each.verdict.value if good else f"**{each.verdict}**"
        detail = each.detail.replace("|", "\\|").replace("<", "&lt;")
        lines.append(f"| {each.operation} | {verdict} | {_said(each)} | {detail} |")
    return "\n".join(lines)


def as_mapping(report: Report) -> Mapping[str, Any]:
    """The report as plain data, for JSON."""
    return {
        "url": report.url,
        "server": report.server,
        "counts": report.counts,
        "left_behind": report.left_behind,
        "operations": [
            {
                "operation": each.operation,
                "verdict": each.verdict.value,
                "status": each.status,
                "code": each.code,
                "detail": each.detail,
            }
            for each in report.results
        ],
    }
