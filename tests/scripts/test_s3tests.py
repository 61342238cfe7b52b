"""The script that runs ceph/s3-tests: its case list and the report."""

from __future__ import annotations

import configparser
import json
import tomllib
from pathlib import Path

import pytest

from s3kit.config import Config
from s3kit.config import read_accounts
from scripts.s3tests import ACCOUNTS
from scripts.s3tests import FAILED
from scripts.s3tests import KMS_KEYS
from scripts.s3tests import PASSED
from scripts.s3tests import Case
from scripts.s3tests import Outcome
from scripts.s3tests import accounts_file
from scripts.s3tests import last_error_line
from scripts.s3tests import main
from scripts.s3tests import put_report
from scripts.s3tests import read_cases
from scripts.s3tests import read_reasons
from scripts.s3tests import report
from scripts.s3tests import suite_configuration
from scripts.s3tests import write_results

TABLE = (
    "feature\ttest\twhy\n"
    "copy\ttest_s3.py::test_copy_a\t\n"
    "listing\ttest_s3.py::test_list_a\tslow\n"
    "listing\ttest_s3.py::test_list_b\t\n"
)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "cases.tsv"
    path.write_text(TABLE, encoding="utf-8")
    return path


def test_cases_are_chosen_by_feature_and_by_a_part_of_their_name(table: Path) -> None:
    assert len(read_cases(table)) == 3
    assert read_cases(table, ["copy"]) == [Case("copy", "test_s3.py::test_copy_a")]
    assert read_cases(table, tests=["_b"]) == [Case("listing", "test_s3.py::test_list_b")]


def test_an_unknown_feature_is_named_with_those_that_there_are(table: Path) -> None:
    with pytest.raises(ValueError, match=r"nosuch.*copy, listing"):
        read_cases(table, ["nosuch"])


def test_server_and_suite_are_told_the_same_accounts() -> None:
    suite = configparser.RawConfigParser()
    suite.read_string(suite_configuration("127.0.0.1", 9000, secure=False))
    served = {account["id"]: account for account in tomllib.loads(accounts_file())["account"]}
    assert len(served) == len(ACCOUNTS)
    for account in ACCOUNTS:
        section = suite[account.section]
        known = served[section["user_id"]]
        assert known["email"] == section["email"]
        assert known["keys"] == [
            {"access_key": section["access_key"], "secret_key": section["secret_key"]}
        ]


def test_an_error_is_told_in_one_line() -> None:
    crash = {"reprcrash": {"message": "AssertionError: no\nassert 1 == 2"}}
    assert last_error_line({"longrepr": crash}) == "AssertionError: no"
    assert last_error_line({"longrepr": "first\nlast\n"}) == "last"
    assert last_error_line({"longrepr": None}) == ""


def test_results_are_written_as_json_and_as_a_table(tmp_path: Path) -> None:
    outcomes = [Outcome("copy", "a", PASSED), Outcome("copy", "b", FAILED, "oh")]
    write_results(outcomes, tmp_path / "results.json")
    assert [one["result"] for one in json.loads((tmp_path / "results.json").read_text())] == [
        PASSED,
        FAILED,
    ]
    assert (tmp_path / "results.tsv").read_text().splitlines()[2] == "copy\tb\tfailed\t0.0\toh"


def test_the_server_takes_the_suites_accounts(tmp_path: Path) -> None:
    path = tmp_path / "accounts.toml"
    path.write_text(accounts_file(), encoding="utf-8")
    config = Config.from_mapping({"accounts": read_accounts(path)})
    assert {name for name, _ in config.named_keys()} == set(KMS_KEYS)
    suite = configparser.RawConfigParser()
    suite.read_string(suite_configuration("127.0.0.1", 9000, secure=False))
    main_account = suite["s3 main"]
    assert [main_account["kms_keyid"], main_account["kms_keyid2"]] == list(KMS_KEYS)
    assert {"s3 main", "s3 alt", "s3 tenant", "iam", "iam root"} <= set(suite.sections())
    emails = {key.account.id: key.account.email for key in config.signing_keys()}
    assert emails[main_account["user_id"]] == main_account["email"]


RESULTS = [
    Outcome("copy", "test_s3.py::test_copy_a", PASSED),
    Outcome("listing", "test_s3.py::test_list_a", FAILED, "assert 400 == 403"),
    Outcome("listing", "test_s3.py::test_list_b", FAILED, "a | b\nc"),
]


def test_a_page_names_each_case_that_does_not_pass_with_its_reason(tmp_path: Path) -> None:
    section = report(RESULTS, {"test_s3.py::test_list_a": "Amazon answers 400 | always"})
    assert "**1 of 3** pass" in section
    assert "| listing | 0 | 2 |" in section
    assert "| `test_list_a` | Amazon answers 400 \\| always |" in section
    assert "| `test_list_b` | not explained yet: a \\| b c |" in section
    assert "test_copy_a" not in section
    page = tmp_path / "page.md"
    page.write_text("# A page\n\ntext\n", encoding="utf-8")
    put_report(page, section)
    assert page.read_text(encoding="utf-8") == f"# A page\n\ntext\n\n{section}"
    page.write_text(f"# A page\n\n{section}\n## next\n\nmore\n", encoding="utf-8")
    results = tmp_path / "results.json"
    write_results(RESULTS[:1], results)
    assert main(["--from", str(results), "--report", str(page)]) == 0
    text = page.read_text(encoding="utf-8")
    assert text.startswith("# A page\n\n## ceph/s3-tests\n")
    assert text.endswith("\n## next\n\nmore\n")
    assert "**1 of 1** pass" in text
    assert "does not pass" not in text


def test_every_known_reason_is_about_a_case_and_says_something() -> None:
    for test, reason in read_reasons().items():
        assert test.startswith("test_s3.py::test_"), test
        assert len(reason) > 20
