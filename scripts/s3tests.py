"""Run ceph/s3-tests cases against ``s3kit serve`` or any endpoint and say which fail, and why.

The suite itself stays outside this repository; name the folder of a checkout:

    python -m scripts.s3tests PATH/TO/s3-tests --cases must.tsv --feature listing --feature copy

The case list is a table with tabs: feature, test (``test_s3.py::test_name``), why.

``--report docs/conformance.md`` puts the result into that page; ``--from results.json`` does so
without another run. Why a case does not pass stands in ``scripts/s3tests_reasons.tsv``.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from collections.abc import Sequence
from dataclasses import asdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from scripts.processes import LOOPBACK
from scripts.processes import ServerProcess
from scripts.processes import free_port
from scripts.processes import s3kit_command

PLUGINS = ("pytest-xdist", "pytest-timeout", "pytest-reportlog")
REASONS = Path(__file__).with_name("s3tests_reasons.tsv")
HEADING = "## ceph/s3-tests"
NO_REASON = "not explained yet:"
PASSED = "passed"
FAILED = "failed"
FLAKY = "flaky"
UNCLEAN = "unclean"
SKIPPED = "skipped"
MISSING = "missing"

# The suite takes one bucket prefix for a whole process and clears it before every case, so a bucket
# that a server cannot clear would fail all later cases. This plug-in takes a prefix for each case.
PLUGIN = """
import pytest
import s3tests.functional as suite

@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    if suite.prefix is not None:
        suite.prefix = suite.choose_bucket_prefix("s3kit-{random}-")
"""

# Cases that look at more than their own buckets, or that measure time, want the server alone.
ALONE = ("list_buckets", "paginated", "atomic", "concurrent")


# Few failures may be the crowd's fault; many are the server's, and each try takes its time.
RETRY_AT_MOST = 40


@dataclass(frozen=True, slots=True)
class Account:
    """An account of the suite's configuration. ``section`` is its heading there."""

    section: str
    id: str
    name: str
    email: str
    access_key: str
    secret_key: str


KMS_KEYS = {
    # The suite's own names; keys that protect nothing.
    "testkey-1": "dGVzdGtleS0xLW9mLWNlcGgtczMtdGVzdHMtMDAwMDA=",
    "testkey-2": "dGVzdGtleS0yLW9mLWNlcGgtczMtdGVzdHMtMDAwMDA=",
}

ACCOUNTS = (
    Account("s3 main", "a1" * 32, "main", "main@example.com", "S3TESTSMAIN000000001", "m" * 40),
    Account("s3 alt", "b2" * 32, "alt", "alt@example.com", "S3TESTSALT0000000001", "a" * 40),
    Account("s3 tenant", "c3" * 32, "tenant", "ten@example.com", "S3TESTSTENANT0000001", "t" * 40),
    Account("iam", "d4" * 32, "iam", "iam@example.com", "S3TESTSIAM0000000001", "i" * 40),
    Account("iam root", "e5" * 32, "root", "root@example.com", "S3TESTSROOT000000001", "r" * 40),
    Account(
        "iam alt root", "f6" * 32, "altroot", "ar@example.com", "S3TESTSALTROOT000001", "o" * 40
    ),
)


@dataclass(frozen=True, slots=True)
class Case:
    """One line of a case list."""

    feature: str
    test: str


@dataclass(slots=True)
class Outcome:
    """What one case did. ``error`` is the last line of its error, ``seconds`` its duration."""

    feature: str
    test: str
    result: str
    error: str = ""
    seconds: float = 0.0


def read_cases(path: Path, features: Iterable[str] = (), tests: Iterable[str] = ()) -> list[Case]:
    """The cases of a table that are wanted; all when no feature or test is named.

    :param tests: words; a case is wanted when its name contains one of them.
    :raises ValueError: for a feature that the table does not have.
    """
    with path.open(encoding="utf-8", newline="") as file:
        rows = [Case(row["feature"], row["test"]) for row in csv.DictReader(file, delimiter="\t")]
    wanted = set(features)
    unknown = wanted - {case.feature for case in rows}
    if unknown:
        known = ", ".join(sorted({case.feature for case in rows}))
        raise ValueError(f"No such feature: {', '.join(sorted(unknown))}. There are: {known}.")
    words = tuple(tests)
    return [
        case
        for case in rows
        if (not wanted or case.feature in wanted)
        and (not words or any(word in case.test for word in words))
    ]


def make_environment(folder: Path, checkout: Path) -> Path:
    """A virtual environment with what the suite needs; its Python. Made once, then kept."""
    python = folder / "bin" / "python"
    stamp = folder / "s3tests-ready"
    if not stamp.exists():
        print(f"Making the suite's environment in {folder} ...", flush=True)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        install = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        subprocess.run([*install, "-r", str(checkout / "requirements.txt"), *PLUGINS], check=True)
        stamp.touch()
    return python


def accounts_file() -> str:
    """The accounts as TOML for ``s3kit serve --accounts``."""
    return "\n".join(
        f"[[account]]\nid = {json.dumps(account.id)}\nname = {json.dumps(account.name)}\n"
        f"email = {json.dumps(account.email)}\n"
        f"keys = [{{ access_key = {json.dumps(account.access_key)}, "
        f"secret_key = {json.dumps(account.secret_key)} }}]\n"
        + (_kms_keys() if account.section == "s3 main" else "")
        for account in ACCOUNTS
    )


def _kms_keys() -> str:
    """The keys of aws:kms that an account brings, as TOML."""
    lines = (f"{json.dumps(name)} = {json.dumps(key)}\n" for name, key in KMS_KEYS.items())
    return "[account.kms_keys]\n" + "".join(lines)


def suite_configuration(host: str, port: int, *, secure: bool, day_seconds: int = 0) -> str:
    """The suite's own configuration file.

    :param day_seconds: what the endpoint's lifecycle takes for a day, where it is no real one.
    """
    lines = [
        "[DEFAULT]",
        f"host = {host}",
        f"port = {port}",
        f"is_secure = {secure}",
        "ssl_verify = False",
        "[fixtures]",
        "bucket prefix = s3kit-{random}-",
        "iam name prefix = s3-tests-",
        "iam path prefix = /s3-tests/",
    ]
    for account in ACCOUNTS:
        lines += [
            f"[{account.section}]",
            f"display_name = {account.name}",
            f"user_id = {account.id}",
            f"email = {account.email}",
            f"access_key = {account.access_key}",
            f"secret_key = {account.secret_key}",
        ]
        if account.section == "s3 main":
            # s3kit's region; an empty LocationConstraint stands for us-east-1.
            lines.append("api_name = ")
            one, two = KMS_KEYS
            lines += [f"kms_keyid = {one}", f"kms_keyid2 = {two}"]
            # Classes that AWS lets an object go to after a day, each from the one before.
            lines.append("storage_classes = GLACIER_IR, GLACIER")
            lines.append(f"lc_debug_interval = {day_seconds or 10}")
        if account.section == "s3 tenant":
            lines.append("tenant = ")
    return "\n".join(lines) + "\n"


def last_error_line(report: dict[str, Any]) -> str:
    """The last line of an error's text (pytest's ``E`` lines), short enough to read."""
    text = report.get("longrepr")
    crash = text.get("reprcrash") if isinstance(text, dict) else None
    message = crash.get("message", "") if isinstance(crash, dict) else str(text or "")
    lines = [line.strip() for line in str(message).splitlines() if line.strip()]
    return lines[0 if isinstance(crash, dict) else -1][:300] if lines else ""


class Run:
    """One run of pytest over a set of cases, read from its log of reports while it goes on."""

    def __init__(self, python: Path, checkout: Path, settings: Path, folder: Path) -> None:
        self._python = python
        self._checkout = checkout
        self._settings = settings
        self._folder = folder

    def _pytest(self, arguments: Sequence[str], output: Path) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "S3TEST_CONF": str(self._settings)}
        environment["PYTHONPATH"] = str(self._folder)
        (self._folder / "one_prefix_a_case.py").write_text(PLUGIN, encoding="utf-8")
        for name in [name for name in environment if name.startswith("AWS_")]:
            del environment[name]
        with output.open("ab") as file:
            return subprocess.Popen(
                [
                    *(str(self._python), "-m", "pytest"),
                    *("-p", "no:cacheprovider", "-p", "one_prefix_a_case"),
                    *arguments,
                ],
                cwd=self._checkout,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
            )

    def existing(self, cases: Sequence[Case]) -> set[str]:
        """Which of the cases the checkout has."""
        files = sorted({f"s3tests/functional/{case.test.partition('::')[0]}" for case in cases})
        present = [name for name in files if (self._checkout / name).exists()]
        output = self._folder / "collect.log"
        output.unlink(missing_ok=True)
        self._pytest(["--collect-only", "-q", *present], output).wait()
        start = "s3tests/functional/"
        return {
            line[len(start) :].strip()
            for line in output.read_text(encoding="utf-8", errors="replace").splitlines()
            if line.startswith(start)
        }

    def outcomes(
        self, cases: Sequence[Case], *, processes: int, timeout: int, title: str
    ) -> dict[str, Outcome]:
        """Run the cases; their outcomes by test."""
        if not cases:
            return {}
        by_test = {case.test: Outcome(case.feature, case.test, MISSING) for case in cases}
        reports = self._folder / "reports.jsonl"
        reports.unlink(missing_ok=True)
        arguments = [f"--report-log={reports}", f"--timeout={timeout}", "-q", "--tb=short"]
        if processes > 1:
            arguments += ["-n", str(processes)]
        process = self._pytest(
            [*arguments, *(f"s3tests/functional/{test}" for test in by_test)],
            self._folder / "pytest.log",
        )
        position = 0
        shown = 0.0
        try:
            while True:
                ended = process.poll() is not None
                position = self._read(reports, position, by_test)
                if ended or time.monotonic() - shown > 2.0:
                    shown = time.monotonic()
                    count = Counter(outcome.result for outcome in by_test.values())
                    print(
                        f"\r{title}: {len(by_test) - count[MISSING]}/{len(by_test)}, "
                        f"{count[PASSED]} passed, {count[FAILED]} failed ",
                        end="\n" if ended else "",
                        flush=True,
                    )
                if ended:
                    return by_test
                time.sleep(0.2)
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()

    @staticmethod
    def _read(reports: Path, position: int, by_test: dict[str, Outcome]) -> int:
        if not reports.exists():
            return position
        with reports.open("rb") as file:
            file.seek(position)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                position += len(line)
                report = json.loads(line)
                test = str(report.get("nodeid", "")).removeprefix("s3tests/functional/")
                outcome = by_test.get(test)
                if outcome is None or report.get("$report_type") != "TestReport":
                    continue
                outcome.seconds = round(outcome.seconds + report.get("duration", 0.0), 3)
                if report["outcome"] == FAILED and outcome.result == PASSED:
                    outcome.result = UNCLEAN
                    outcome.error = f"({report['when']}) {last_error_line(report)}"
                elif report["outcome"] == FAILED:
                    where = "" if report["when"] == "call" else f"({report['when']}) "
                    if outcome.result != FAILED:
                        outcome.error = where + last_error_line(report)
                    outcome.result = FAILED
                elif report["outcome"] == SKIPPED:
                    outcome.result = SKIPPED
                elif report["when"] == "call" and outcome.result == MISSING:
                    outcome.result = PASSED
        return position


def run_suite(
    run: Run, cases: Sequence[Case], *, processes: int, timeout: int, retry: bool
) -> list[Outcome]:
    """Run cases in parallel, those that want the server alone one by one, failed ones again.

    A case that fails in the crowd and passes alone counts as ``flaky``, one that passes but whose
    buckets could not be cleared away afterwards as ``unclean``.
    """
    existing = run.existing(cases)
    absent = [
        Outcome(case.feature, case.test, MISSING) for case in cases if case.test not in existing
    ]
    present = [case for case in cases if case.test in existing]
    together = [case for case in present if not any(word in case.test for word in ALONE)]
    alone = [case for case in present if case not in set(together)]
    found = run.outcomes(together, processes=processes, timeout=timeout, title="in parallel")
    found |= run.outcomes(alone, processes=1, timeout=timeout, title="one by one")
    failed = [case for case in together if found[case.test].result in (FAILED, MISSING)]
    if retry and processes > 1 and len(failed) <= RETRY_AT_MOST:
        again = run.outcomes(failed, processes=1, timeout=timeout, title="failed ones again")
        for test, outcome in again.items():
            if outcome.result == PASSED:
                outcome.result = FLAKY
                outcome.error = found[test].error
            found[test] = outcome
    for outcome in found.values():
        if outcome.result == MISSING:
            outcome.result, outcome.error = FAILED, "no report: the run ended before it"
    return [found[case.test] for case in present] + absent


def print_report(outcomes: Sequence[Outcome]) -> None:
    """Counts for each feature, then every case that did not pass."""
    features = sorted({outcome.feature for outcome in outcomes})
    count = Counter((outcome.feature, outcome.result) for outcome in outcomes)
    columns = (PASSED, UNCLEAN, FAILED, FLAKY, SKIPPED, MISSING)
    print(f"\n{'feature':<28}{'cases':>7}" + "".join(f"{name:>9}" for name in columns))
    for feature in features:
        numbers = [count[feature, column] for column in columns]
        print(f"{feature:<28}{sum(numbers):>7}" + "".join(f"{number:>9}" for number in numbers))
    totals = [sum(count[feature, column] for feature in features) for column in columns]
    print(f"{'all':<28}{sum(totals):>7}" + "".join(f"{number:>9}" for number in totals))
    for outcome in outcomes:
        if outcome.result != PASSED:
            print(f"\n{outcome.result:<8}{outcome.feature}  {outcome.test}\n    {outcome.error}")


def read_reasons(path: Path = REASONS) -> dict[str, str]:
    """Why known cases do not pass, by test."""
    with path.open(encoding="utf-8", newline="") as file:
        return {row["test"]: row["reason"] for row in csv.DictReader(file, delimiter="\t")}


def report(outcomes: Sequence[Outcome], reasons: dict[str, str]) -> str:
    """The section of a Markdown page: how many cases pass, and which do not, each with why."""
    good = [outcome for outcome in outcomes if outcome.result in (PASSED, FLAKY)]
    bad = [outcome for outcome in outcomes if outcome not in good]
    lines = [
        HEADING,
        "",
        "ceph/s3-tests against `s3kit serve`: of the cases that were sorted as agreeing with"
        " Amazon S3,",
        f"**{len(good)} of {len(outcomes)}** pass. Most are older than AWS's defaults of 2023: the"
        " server runs with",
        '`object_ownership = "none"` and `block_public_access = false`.'
        " `scripts/s3tests.py --report` runs them and",
        "writes this section.",
        "",
        "| feature | passed | of |",
        "|---|---:|---:|",
    ]
    for feature in sorted({outcome.feature for outcome in outcomes}):
        all_of_it = [outcome for outcome in outcomes if outcome.feature == feature]
        passed = sum(outcome in good for outcome in all_of_it)
        lines.append(f"| {feature} | {passed} | {len(all_of_it)} |")
    lines.append("")
    if bad:
        lines += ["| does not pass | why |", "|---|---|"]
        lines += [
            f"| `{_cell(outcome.test.partition('::')[2])}` "
            f"| {_cell(reasons.get(outcome.test) or f'{NO_REASON} {outcome.error}')} |"
            for outcome in sorted(bad, key=lambda outcome: (outcome.feature, outcome.test))
        ]
        lines.append("")
    return "\n".join(lines)


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def put_report(page: Path, section: str) -> None:
    """Put the section into a page: in place of the one that it has, else at its end."""
    text = page.read_text(encoding="utf-8")
    before, found, rest = text.partition(f"{HEADING}\n")
    _, following, after = rest.partition("\n## ")
    if not found:
        before = before.rstrip("\n") + "\n\n"
    page.write_text(f"{before}{section}{following}{after}", encoding="utf-8")


def read_results(path: Path) -> list[Outcome]:
    """The outcomes that :func:`write_results` wrote."""
    return [Outcome(**each) for each in json.loads(path.read_text(encoding="utf-8"))]


def write_results(outcomes: Sequence[Outcome], path: Path) -> None:
    """Write ``path`` as JSON and, beside it, the same as a table with tabs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        json.dumps([asdict(outcome) for outcome in outcomes], indent=1), encoding="utf-8"
    )
    with path.with_suffix(".tsv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(["feature", "test", "result", "seconds", "error"])
        for outcome in outcomes:
            writer.writerow(
                [outcome.feature, outcome.test, outcome.result, outcome.seconds, outcome.error]
            )


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.s3tests",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("checkout", type=Path, nargs="?", help="folder of a ceph/s3-tests checkout")
    parser.add_argument("--cases", type=Path, help="table of feature, test, why")
    parser.add_argument("--feature", action="append", default=[], help="again for several")
    parser.add_argument("--test", action="append", default=[], help="part of a case's name")
    parser.add_argument(
        "--work",
        type=Path,
        default=Path(tempfile.gettempdir()) / "s3kit-s3tests",
        help="folder for the environment and logs, kept between runs (default %(default)s)",
    )
    parser.add_argument("--endpoint", help="test this URL instead of starting s3kit")
    parser.add_argument("--server", default="", help="gunicorn or granian")
    parser.add_argument("--workers", type=int)
    parser.add_argument("--threads", type=int)
    parser.add_argument(
        "--lifecycle-day-seconds",
        type=int,
        default=0,
        help="a day of the started server's lifecycle; the suite's own default is 10",
    )
    parser.add_argument("--processes", type=int, default=4, help="pytest processes (default 4)")
    parser.add_argument("--timeout", type=int, default=120, help="seconds for one case")
    parser.add_argument("--no-retry", action="store_true", help="do not run failed cases again")
    parser.add_argument("--output", type=Path, help="results as .json (and .tsv beside it)")
    parser.add_argument("--report", type=Path, help="Markdown page that takes the result")
    parser.add_argument(
        "--from", dest="results", type=Path, help="for --report: the .json of an earlier run"
    )
    options = parser.parse_args(argv)
    if options.results is not None:
        if options.report is None:
            parser.error("--from is for --report")
    elif options.checkout is None or options.cases is None:
        parser.error("name the folder of the checkout, and --cases")
    return options


def main(argv: Sequence[str] | None = None) -> int:
    """Run the suite; 0 when every wanted case passed."""
    options = arguments(argv)
    if options.results is not None:
        put_report(options.report, report(read_results(options.results), read_reasons()))
        return 0
    try:
        cases = read_cases(options.cases, options.feature, options.test)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    if not cases:
        print("No case is wanted.", file=sys.stderr)
        return 2
    work: Path = options.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    checkout: Path = options.checkout.resolve()
    python = make_environment(work / "environment", checkout)
    (work / "pytest.log").unlink(missing_ok=True)
    settings = work / "s3tests.conf"
    run = Run(python, checkout, settings, work)
    started = time.monotonic()

    def suite(host: str, port: int, *, secure: bool = False) -> list[Outcome]:
        written = suite_configuration(
            host, port, secure=secure, day_seconds=options.lifecycle_day_seconds
        )
        settings.write_text(written, encoding="utf-8")
        return run_suite(
            run,
            cases,
            processes=options.processes,
            timeout=options.timeout,
            retry=not options.no_retry,
        )

    if options.endpoint:
        url = urlsplit(options.endpoint)
        secure = url.scheme == "https"
        outcomes = suite(
            url.hostname or LOOPBACK, url.port or (443 if secure else 80), secure=secure
        )
    else:
        with tempfile.TemporaryDirectory(prefix="s3kit-s3tests-") as folder:
            accounts = Path(folder) / "accounts.toml"
            accounts.write_text(accounts_file(), encoding="utf-8")
            port = free_port()
            (work / "server.log").unlink(missing_ok=True)
            command = s3kit_command(
                data=Path(folder) / "data",
                port=port,
                server=options.server,
                accounts=accounts,
                workers=options.workers,
                threads=options.threads,
            )
            # Most of its cases are of a time when ACLs counted in every new bucket.
            os.environ["S3KIT_OBJECT_OWNERSHIP"] = "none"
            os.environ["S3KIT_BLOCK_PUBLIC_ACCESS"] = "false"
            if options.lifecycle_day_seconds:
                # The suite's objects are small.
                os.environ["S3KIT_LIFECYCLE_DAY_SECONDS"] = str(options.lifecycle_day_seconds)
                os.environ["S3KIT_SMALLEST_TRANSITION"] = "0"
            with ServerProcess(command, port, work / "server.log"):
                outcomes = suite(LOOPBACK, port)
    print_report(outcomes)
    output = (options.output or work / "results.json").resolve()
    write_results(outcomes, output)
    if options.report is not None:
        put_report(options.report, report(outcomes, read_reasons()))
    print(f"\n{time.monotonic() - started:.0f} s; results in {output} and .tsv, logs in {work}")
    return 0 if all(outcome.result in (PASSED, FLAKY) for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
