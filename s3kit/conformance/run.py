"""Try operations one after another, and clean up after each."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from collections.abc import Iterable

from ..wire.service_model import OPERATIONS
from ..wire.service_model import ModelRow
from .endpoint import Broken
from .endpoint import Endpoint
from .objects import PROBES
from .report import Report
from .report import Result
from .report import Verdict
from .trial import CONTENT
from .trial import SENTINEL
from .trial import Judged
from .trial import Trial
from .trial import Unready

ROWS = {row.name: row for row in OPERATIONS}


class CannotBegin(Exception):
    """Without a bucket with an object in it nothing can be measured; the text says what failed."""


def run(
    endpoint: Endpoint,
    operations: Iterable[str] = (),
    *,
    on_result: Callable[[Result], None] = lambda result: None,
) -> Report:
    """Try the operations, by default all of S3's, each in buckets of its own.

    :param operations: names; they are tried in the service model's order.
    :raises CannotBegin: no bucket can be made, filled or read.
    :raises KeyError: S3 has no operation of that name.
    """
    wanted = {ROWS[name].name for name in operations} or set(ROWS)
    # No other run, and nobody's own bucket, begins so.
    prefix = f"s3kit-conformance-{secrets.token_hex(4)}"
    report = Report(endpoint.url)
    report.left_behind += _check_ground(endpoint, f"{prefix}-ground")
    for number, row in enumerate(OPERATIONS):
        if row.name not in wanted:
            continue
        trial = Trial(endpoint, row, f"{prefix}-{number}")
        try:
            result = _judge(trial)
        finally:
            report.left_behind += trial.clean()
        report.results.append(result)
        on_result(result)
    report.server = endpoint.server
    return report


def _check_ground(endpoint: Endpoint, prefix: str) -> list[str]:
    trial = Trial(endpoint, ROWS["GetObject"], prefix)
    try:
        bucket = trial.bucket()
        answer = trial.send("GET", bucket, SENTINEL)
        if answer.status != 200 or answer.body != CONTENT:
            raise CannotBegin(
                f"{endpoint.url} does not give back what was stored in a scratch bucket: "
                f"{answer.status} {answer.code}"
            )
    except (Broken, Unready) as error:
        raise CannotBegin(f"{endpoint.url}: {error}") from None
    finally:
        left = trial.clean()
    return left


def _judge(trial: Trial) -> Result:
    name = trial.row.name
    try:
        verdict, detail = Verdict.RIGHT, PROBES[name](trial)
    except Judged as judged:
        verdict, detail = judged.verdict, judged.detail
    except Unready as error:
        verdict, detail = Verdict.ERROR, str(error)
    except Broken as error:
        verdict, detail = Verdict.ERROR, f"around the operation: {error}"
    answer = trial.answer
    if answer is None:
        return Result(name, verdict, None, "", detail)
    if verdict is Verdict.RIGHT:
        notes = [detail, *trial.notes]
        if answer.status != expected_status(trial.row):
            notes.append(f"S3 answers {expected_status(trial.row)}")
        detail = "; ".join(filter(None, notes))
    return Result(name, verdict, answer.status, answer.code, detail)


def expected_status(row: ModelRow) -> int:
    """The status of Amazon's plain success, which the model does not always tell."""
    return _STATUSES.get(row.name, row.status)


_STATUSES = {"PutBucketPolicy": 204, "PutBucketTagging": 204, "RestoreObject": 202}
