"""``s3kit roles``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from click.testing import Result

from s3kit.app import S3App
from s3kit.cli.main import cli
from s3kit.config import Config

TRUST = {"Effect": "Allow", "Principal": {"AWS": "111122223333"}, "Action": "sts:AssumeRole"}
READS = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "s3kit.toml"
    path.write_text(
        f"""
index = "sqlite:///{tmp_path}/index.db"
[storages]
default = "{tmp_path}/blobs"
[[accounts]]
id = "acme"
number = "111122223333"
keys = [{{access_key = "AK", secret_key = "secret"}}]
"""
    )
    S3App(Config.from_file(path)).close()
    for name, statement in (("trust", TRUST), ("reads", READS)):
        (tmp_path / f"{name}.json").write_text(json.dumps({"Statement": statement}))
    return path


def test_roles_are_made_shown_changed_and_removed(config: Path) -> None:
    folder = config.parent

    def run(*arguments: str, account: str = "acme") -> Result:
        given = ["roles", *arguments, "--account", account, "--config", str(config)]
        given = [each.replace("@", f"{folder}/") for each in given]
        return CliRunner().invoke(cli, given, env={})

    made = run("create", "reader", "--trust", "@trust.json", "--policy", "p=@reads.json", "--json")
    assert made.exit_code == 0, made.output
    facts = json.loads(made.output)
    assert facts["arn"] == "arn:aws:iam::111122223333:role/reader"
    assert (facts["max_seconds"], facts["policies"]) == (3600, {"p": {"Statement": READS}})
    assert run("list").output == "arn:aws:iam::111122223333:role/reader\n"
    changed = run("set", "reader", "--drop-policy", "p", "--max-seconds", "900")
    assert changed.exit_code == 0, changed.output
    assert "max seconds 900" in changed.output
    shown = json.loads(run("show", "reader", "--json").output)
    assert (shown["id"], shown["policies"], shown["max_seconds"]) == (facts["id"], {}, 900)
    assert json.loads(run("list", "--json").output) == [shown]
    for arguments, text in (
        (("create", "reader", "--trust", "@trust.json"), "has a role"),
        (("create", "other", "--trust", "@none.json"), "Cannot read"),
        (("create", "other", "--trust", "@reads.json"), "Statement 1"),
        (("create", "other", "--trust", "@trust.json", "--policy", "p"), "NAME=FILE"),
        (("create", "other", "--trust", "@trust.json", "--policy", "p=@trust.json"), "Statement"),
        (("create", "a/b", "--trust", "@trust.json"), "can be no role"),
        (("create", "other", "--trust", "@trust.json", "--max-seconds", "43201"), "900 to 43200"),
        (("show", "other"), "has no role"),
        (("set", "other", "--max-seconds", "900"), "has no role"),
        (("delete", "other"), "has no role"),
    ):
        answer = run(*arguments)
        assert answer.exit_code == 2, arguments
        assert text in answer.output
    assert "no account" in run("list", account="nobody").output
    assert run("delete", "reader").output == "Removed reader.\n"
    assert run("list").output == ""
