"""What backups and restores tell: how far they are, what came of it, or why it cannot be done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import field

NAMED = 1000
"""How many damaged blobs a manifest names."""

Advance = Callable[[int], object]
"""Told how many bytes there are, or how many more have been dealt with."""


class BackupError(Exception):
    """A backup or a restore that cannot be done; the text says what would help."""


class Busy(BackupError):
    """Another run is at work at the place; later it can be done."""


@dataclass(frozen=True, slots=True)
class Damage:
    """A blob that could not be copied as it was written down."""

    storage: str
    blob: str
    problem: str

    def __str__(self) -> str:
        return f"blob {self.blob} on storage {self.storage}: {self.problem}"


@dataclass
class Result:
    """What a backup or a restore has done. ``copied`` and ``kept`` are numbers of blobs."""

    name: str
    blobs: int = 0
    bytes: int = 0
    copied: int = 0
    kept: int = 0
    inline: int = 0
    damaged: int = 0
    damages: list[Damage] = field(default_factory=list)

    def damage(self, storage: str, blob: str, problem: str) -> None:
        """One more blob that is not as it should be."""
        self.damaged += 1
        if len(self.damages) < NAMED:
            self.damages.append(Damage(storage, blob, problem))
