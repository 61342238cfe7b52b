"""``s3kit explain``: the endpoint's own rules, asked on the command line."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from click.testing import Result

from s3kit.app import S3App
from s3kit.cli.main import cli
from s3kit.config import Config
from tests.client import Client
from tests.client import Signer

Ask = Callable[..., Result]

TOML = """
index = "sqlite:///{folder}/index.db"
storages = {{default = "{folder}/blobs"}}
[[accounts]]
id = "alice"
keys = [{{access_key = "AKALICE", secret_key = "a-secret"}}]
[[accounts]]
id = "bob"
keys = [{{access_key = "AKBOB", secret_key = "b-secret", user = "camera"}}]
"""
POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Sid": "from home",
            "Effect": "Allow",
            "Principal": "*",
            "Action": "s3:GetObject",
            "Resource": "arn:aws:s3:::photos/*",
            "Condition": {"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}},
        },
        {
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:GetObject",
            "Resource": "arn:aws:s3:::photos/secret/*",
        },
    ],
}


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ask:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("S3KIT_")]:
        monkeypatch.delenv(name)
    (tmp_path / "s3kit.toml").write_text(TOML.format(folder=tmp_path))
    app = S3App(Config.from_file(tmp_path / "s3kit.toml"))
    alice = Client(app, Signer("AKALICE", "a-secret"))
    assert alice.put("/photos").status == 200
    assert alice.put("/photos/key", b"x").status == 200
    assert alice.put("/photos", json.dumps(POLICY).encode(), "policy").status == 204
    app.close()

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(cli, ["explain", "--config", "s3kit.toml", *arguments])

    return run


def test_it_tells_which_rule_decides_and_what_was_looked_at(ask: Ask) -> None:
    found = ask("s3:GetObject", "photos/key", "--access-key", "AKALICE")
    assert found.exit_code == 0, found.output
    assert "the caller's account owns the bucket" in found.output
    found = ask("GetObject", "photos/key", "--access-key", "AKBOB")
    assert found.exit_code == 1
    assert "the request has none" in found.output
    assert "the bucket belongs to alice, not to the caller" in found.output
    assert "To be allowed: " in found.output
    found = ask("s3:GetObject", "photos/key", "--anonymous", "--source-ip", "203.0.113.9", "--json")
    assert found.exit_code == 0, found.output
    shown = json.loads(found.output)
    assert shown["decided_by"] == "bucket policy"
    assert shown["reason"] == 'the bucket\'s policy, statement 1 ("from home")'
    found = ask("s3:GetObject", "photos/secret/x", "--account", "alice")
    assert found.exit_code == 1
    assert "statement 2, Deny: it applies" in found.output
    found = ask(
        *("s3:GetObject", "photos/key", "--anonymous", "--condition", "aws:SourceIp=203.0.113.9")
    )
    assert found.exit_code == 0, found.output
    assert ask("s3:ListAllMyBuckets", "--access-key", "AKBOB").exit_code == 0
    found = ask("s3:GetObject", "photos/key", "--access-key", "AKNOBODY")
    assert found.exit_code == 1
    assert "there is no key AKNOBODY" in found.output
    assert "secret\n" not in found.output


@pytest.mark.parametrize(
    "arguments",
    [
        ("s3:GetObject", "photos/key"),
        ("s3:GetObject", "photos/key", "--anonymous", "--account", "alice"),
        ("s3:GetObjekt", "photos/key", "--anonymous"),
        ("s3:GetObject", "photos", "--anonymous"),
        ("s3:ListBucket", "photos/key", "--anonymous"),
        ("s3:ListBucket", "none", "--anonymous"),
        ("s3:GetObject", "photos/key", "--account", "nobody"),
        ("s3:GetObject", "photos/key", "--anonymous", "--condition", "nonsense"),
    ],
)
def test_a_wrong_question_is_told_from_a_refusal(ask: Ask, arguments: tuple[str, ...]) -> None:
    assert ask(*arguments).exit_code == 2


def test_where_names_are_per_account_it_is_told_whose_bucket_is_meant(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("S3KIT_BUCKET_NAMES", "account")
    assert ask("s3:GetObject", "photos/key", "--access-key", "AKALICE").exit_code == 0
    found = ask("s3:GetObject", "photos/key", "--account", "bob")
    assert found.exit_code == 2
    assert 'There is no bucket "photos"' in found.output
    asked = ("s3:GetObject", "photos/key", "--owner", "alice", "--source-ip", "203.0.113.9")
    assert ask(*asked, "--account", "bob").exit_code == 0
    found = ask(*asked, "--access-key", "AKNONE")
    assert found.exit_code == 1
    found = ask("s3:GetObject", "photos/key", "--account", "alice", "--owner", "bob")
    assert 'The account "bob" has no bucket "photos"' in found.output
