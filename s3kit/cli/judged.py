"""A decision of the endpoint with what led to it, as ``s3kit explain`` shows it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..model import Decision
from ..model import Step


@dataclass(frozen=True, slots=True)
class Judged:
    """A question that Access was asked, and how it came to its answer.

    :param resource: ``bucket/key``, a bucket, or empty for what is about an account.
    :param steps: the rules that were looked at; the last is the one that decided.
    """

    action: str
    resource: str
    decision: Decision
    steps: tuple[Step, ...]

    @property
    def says(self) -> str:
        """``allow`` or ``deny``."""
        return "allow" if self.decision.allowed else "deny"

    @property
    def headline(self) -> str:
        """The decision in one line, for people."""
        return f"{self.says}  {self.action}  {self.resource}".rstrip()

    def reasons(self) -> Iterator[str]:
        """A line for each rule, for people."""
        for step in self.steps[:-1]:
            yield f"  {step.rule:<20} {step.says or '-':<6} {step.text}"
        yield f"  {'=> ' + self.decision.by:<20} {self.says:<6} {self.decision.reason}"

    def document(self) -> dict[str, Any]:
        """All of it but the decision itself, for programs."""
        return {
            "action": self.action,
            "resource": self.resource,
            "decided_by": self.decision.by,
            "reason": self.decision.reason,
            "steps": [{"rule": s.rule, "says": s.says, "text": s.text} for s in self.steps],
        }
