"""The figures of a run: medians, ratios, and the targets that they meet or miss."""

from __future__ import annotations

import os
import platform
import sqlite3
import statistics
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.cases import BIG_GIB
from benchmarks.cases import Case
from benchmarks.servers import FEW
from benchmarks.servers import FEW_ALIKE
from benchmarks.servers import MANY

GUNICORN = "gunicorn"
GRANIAN = "granian"


@dataclass(slots=True)
class Measured:
    """One burst: requests a second, server CPU seconds and latencies for one request."""

    rate: float
    cpu: float
    p50: float
    p99: float
    count: int
    errors: int = 0


@dataclass(slots=True)
class Row:
    """All rounds of one case on one server. ``note`` says why there are none, or what is odd."""

    case: str
    server: str
    variant: str = ""
    rounds: list[Measured | None] = field(default_factory=list)
    note: str = ""

    def median(self, metric: str) -> float | None:
        """The median of ``rate``, ``cpu``, ``p50`` or ``p99`` over the rounds that succeeded."""
        values = [getattr(one, metric) for one in self.rounds if one is not None]
        return statistics.median(values) if values else None

    def least(self, metric: str) -> float | None:
        """The same for the least."""
        return min((getattr(one, metric) for one in self.rounds if one is not None), default=None)


@dataclass(frozen=True, slots=True)
class Target:
    """A bound on the ratio of one server's figure to another's in the same rounds."""

    case: str
    server: str
    metric: str
    over: str
    bound: float
    at_least: bool = False
    variant: str = ""
    over_variant: str = ""

    @property
    def text(self) -> str:
        """The target in words."""
        what = {"cpu": "CPU", "rate": "rate", "p50": "median latency"}[self.metric]
        words = "at least" if self.at_least else "at most"
        variant = f" ({self.variant})" if self.variant else ""
        over = f"{self.over} ({self.over_variant})" if self.over_variant else self.over
        return f"{self.case}: {self.server}{variant} {what} {words} {self.bound} x {over}"


def targets() -> list[Target]:
    """The targets of issue 3.

    "rclone" is the one that caches writes, as where the targets' figures were taken. The cost of a
    small GET over distinct keys that they name (0.53-0.96 ms) is that of keys which it has not
    written back yet (``get-fresh``); later it falls to 0.11-0.4 ms, which ``get`` shows. The cost
    of a big GET that they name (1.6-2.0 s/GiB: the file is hashed at each GET) is that of rclone's
    default; with the write cache it falls to 0.4-0.6 once the file has been written back. Buckets
    of different size are compared by pages of the same shape; ``page-prefixes`` shows another.
    """
    found = []
    for server, small_get, small_put in ((GUNICORN, 0.5, 0.8), (GRANIAN, 0.2, 0.5)):
        kit = f"s3kit-{server}"
        bare = f"bare-{server}"
        found += [
            Target("get-fresh", kit, "cpu", "rclone", small_get),
            Target("put", kit, "cpu", "rclone", small_put),
            Target("get", kit, "cpu", bare, 2.0),
            Target("list", kit, "cpu", "moto", 0.04),
            Target("put-64m", kit, "cpu", bare, 1.15),
            Target("get-64m", kit, "cpu", "rclone-off", 0.2),
            Target("get-64m", kit, "rate", "nginx", 0.8, at_least=True),
            Target("writers", kit, "rate", kit, 2.0, True, "32", "1"),
        ]
        found += [
            Target(case, kit, metric, kit, 1.2, False, MANY, few)
            for case, few in (("page", FEW), ("page-folders", FEW_ALIKE), ("page-root", FEW))
            for metric in ("p50", "cpu")
        ]
    return found


class Figures:
    """The rows of a run by case, server and variant."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str, str], Row] = {}

    def row(self, case: str, server: str, variant: str = "") -> Row:
        """The row, made when it is not there."""
        return self._rows.setdefault((case, server, variant), Row(case, server, variant))

    def find(self, case: str, server: str, variant: str = "") -> Row | None:
        return self._rows.get((case, server, variant))

    def of(self, case: str) -> list[Row]:
        return [row for row in self._rows.values() if row.case == case]

    def all(self) -> list[Row]:
        return list(self._rows.values())

    def ratio(self, above: Row | None, below: Row | None, metric: str) -> float | None:
        """The median over rounds of one figure divided by the other of the same round."""
        if above is None or below is None:
            return None
        ratios = [
            getattr(one, metric) / getattr(other, metric)
            for one, other in zip(above.rounds, below.rounds, strict=False)
            if one is not None and other is not None and getattr(other, metric)
        ]
        return statistics.median(ratios) if ratios else None

    def more(self, above: Row | None, below: Row | None, metric: str) -> float | None:
        """The median over rounds of one figure less the other of the same round."""
        if above is None or below is None:
            return None
        found = [
            getattr(one, metric) - getattr(other, metric)
            for one, other in zip(above.rounds, below.rounds, strict=False)
            if one is not None and other is not None
        ]
        return statistics.median(found) if found else None

    def judge(self, target: Target) -> tuple[float | None, bool | None]:
        """The measured ratio, and whether it meets the target; None where nothing was measured."""
        ratio = self.ratio(
            self.find(target.case, target.server, target.variant),
            self.find(target.case, target.over, target.over_variant),
            target.metric,
        )
        if ratio is None:
            return None, None
        return ratio, ratio >= target.bound if target.at_least else ratio <= target.bound


def _number(value: float | None, digits: int = 3) -> str:
    """A figure with about three digits that count."""
    if value is None:
        return "-"
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.{max(0, digits - len(str(int(value))))}f}"


def table(figures: Figures, cases: Iterable[Case]) -> str:
    """All cases as text: medians, and ratios of CPU to the peers and the bare server."""
    lines = []
    for case in cases:
        rows = figures.of(case.name)
        if not rows:
            continue
        rate, cpu = ("MiB/s", "CPU s/GiB") if case.big else ("req/s", "CPU us/req")
        lines.append(f"\n{case.name}: {case.title}")
        if case.against:
            lines += _compared(figures, case, rows)
            continue
        lines.append(
            f"  {'server':<27}{rate:>10}{cpu:>12}{'p50 ms':>9}{'p99 ms':>9}"
            f"{'x rclone':>10}{'x r.-off':>10}{'x moto':>9}{'x bare':>9}"
        )
        for row in rows:
            lines.append(_line(figures, case, row))
    return "\n".join(lines)


def _compared(figures: Figures, case: Case, rows: Sequence[Row]) -> list[str]:
    """Rows each with another one of its server, by CPU: medians of the same rounds, and the least.

    The least is what a round took that nobody else on the machine disturbed.
    """
    heading = (
        f"  {'server':<20}{'row':<24}{'CPU us/req':>11}{'more':>8}{'x':>7}{'least':>8}{'x':>7}"
    )
    lines = [f"{heading}  compared with"]
    for row in rows:
        cpu = row.median("cpu")
        name = f"  {row.server.removeprefix('s3kit-'):<20}{row.variant:<24}"
        if cpu is None:
            lines.append(f"{name}  {row.note or 'not measured'}")
            continue
        other = case.against.get(row.variant, "")
        plain = figures.find(case.name, "-".join(row.server.split("-")[:2]), other)
        more, ratio = figures.more(row, plain, "cpu"), figures.ratio(row, plain, "cpu")
        errors = sum(one.errors for one in row.rounds if one is not None)
        least, least_plain = row.least("cpu"), None if plain is None else plain.least("cpu")
        of_least = least / least_plain if least and least_plain else None
        lines.append(
            f"{name}{_number(cpu * 1e6):>11}"
            f"{'-' if more is None else f'{more * 1e6:+.1f}':>8}{_number(ratio):>7}"
            f"{_number(least and least * 1e6):>8}{_number(of_least):>7}  {other}"
            f"{f'  {errors} errors' if errors else ''}{'  ' + row.note if row.note else ''}"
        )
    return lines


def _line(figures: Figures, case: Case, row: Row) -> str:
    name = f"{row.server} {row.variant}".strip()
    rate, cpu = row.median("rate"), row.median("cpu")
    if rate is None or cpu is None:
        return f"  {name:<27}  {row.note or 'not measured'}"
    rate *= BIG_GIB * 1024 if case.big else 1
    cpu *= 1 / BIG_GIB if case.big else 1e6
    server = row.server.removeprefix("s3kit-").removesuffix("-relaxed")
    ratios = [
        figures.ratio(row, figures.find(case.name, other, row.variant), "cpu")
        if row.server.startswith("s3kit-")
        else None
        for other in ("rclone", "rclone-off", "moto", f"bare-{server}")
    ]
    p50, p99 = (1000 * (row.median(metric) or 0) for metric in ("p50", "p99"))
    errors = sum(one.errors for one in row.rounds if one is not None)
    note = f"  {errors} errors" if errors else ""
    return (
        f"  {name:<27}{_number(rate):>10}{_number(cpu):>12}{_number(p50):>9}{_number(p99):>9}"
        f"{_number(ratios[0]):>10}{_number(ratios[1]):>10}{_number(ratios[2]):>9}"
        f"{_number(ratios[3]):>9}{note}"
        f"{'  ' + row.note if row.note else ''}"
    )


def verdicts(figures: Figures, cases: Iterable[str]) -> list[tuple[Target, float | None, str]]:
    """Each target of these cases with its ratio and ``met``, ``not met`` or ``not measured``."""
    wanted = set(cases)
    found = []
    for target in targets():
        if target.case in wanted:
            ratio, met = figures.judge(target)
            word = "not measured" if met is None else "met" if met else "NOT MET"
            found.append((target, ratio, word))
    return found


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "cpu": models[0] if models else platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "system": platform.platform(),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "load": os.getloadavg(),
        **{name: _version(name) for name in ("s3kit", "gunicorn", "granian", "sqlalchemy")},
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def document(figures: Figures, cases: Sequence[Case], options: Mapping[str, Any]) -> dict[str, Any]:
    """The whole run as JSON values."""
    return {
        "machine": machine(),
        "options": dict(options),
        "rows": [
            {
                "case": row.case,
                "server": row.server,
                "variant": row.variant,
                "note": row.note,
                "median": {metric: row.median(metric) for metric in ("rate", "cpu", "p50", "p99")},
                "rounds": [
                    None
                    if one is None
                    else {name: getattr(one, name) for name in Measured.__slots__}
                    for one in row.rounds
                ],
            }
            for row in figures.all()
        ],
        "targets": [
            {"target": target.text, "ratio": ratio, "verdict": word}
            for target, ratio, word in verdicts(figures, [case.name for case in cases])
        ],
    }
