"""``s3kit accounts``, ``users`` and ``keys``, in this process, on an endpoint's data folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from click.testing import Result

from s3kit.app import S3App
from s3kit.cli.hosted import hosted_group
from s3kit.cli.main import cli
from s3kit.config import Config
from s3kit.index.schema import create_schema
from s3kit.index.session import Index
from s3kit.store.master_keys import new_key_text
from tests.client import Client
from tests.client import Signer

Run = Callable[..., Result]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder as a first start leaves it."""
    folder = tmp_path / "data"
    folder.mkdir()
    index = Index(f"sqlite:///{folder}/s3kit.db")
    create_schema(index)
    index.close()
    (folder / "master.key").write_text(new_key_text() + "\n")
    return folder


@pytest.fixture
def run(data: Path) -> Run:
    def invoke(*arguments: str, input: str | None = None, **variables: str) -> Result:
        given = [*arguments, "--data", str(data)]
        environ = {f"S3KIT_{name}": value for name, value in variables.items()}
        return CliRunner().invoke(cli, given, input=input, env=environ)

    return invoke


def told(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def open_data(data: Path) -> S3App:
    return S3App(
        Config(
            index=f"sqlite:///{data}/s3kit.db",
            storages={"default": str(data / "blobs")},
            master_key_file=str(data / "master.key"),
        )
    )


def test_an_account_from_its_first_day_to_its_last(run: Run) -> None:
    plans = '{"free": {"keys": 5}, "business": {}}'
    made = told(
        run("accounts", "create", "--name", "Alice", "--plan", "free", "--json", PLANS=plans)
    )
    account = made["id"]
    assert (made["name"], made["status"], made["limits"]) == ("Alice", "active", {})
    changed = told(
        run(
            *("accounts", "set", account, "--plan", "business", "--keys", "7", "--bytes", "any"),
            *("--email", "a@example.com", "--json"),
            PLANS=plans,
        )
    )
    assert changed["limits"] == {"keys": 7, "bytes": None}
    shown = told(run("accounts", "show", account, "--json", PLANS=plans))
    assert shown["may_have"] == {"keys": 7, "buckets": None, "bytes": None}
    assert (shown["plan"], shown["email"]) == ("business", "a@example.com")
    changed = told(run("accounts", "set", account, "--keys", "plan", "--json", PLANS=plans))
    assert changed["limits"] == {"bytes": None}
    assert run("accounts", "suspend", account).stdout == f"The account {account} is suspended.\n"
    listed = run("accounts", "list")
    assert [line.split() for line in listed.stdout.splitlines()] == [
        ["id", "number", "name", "status", "plan"],
        [account, made["number"], "Alice", "suspended", "business"],
    ]
    assert run("accounts", "resume", account).exit_code == 0
    result = run("accounts", "delete", account, "--at", "2999-01-31")
    assert result.stdout == f"The account {account} is deleted at 2999-01-31T00:00:00Z.\n"
    assert told(run("accounts", "show", account, "--json"))["delete_at"] == "2999-01-31T00:00:00Z"
    assert run("accounts", "delete", account).exit_code == 0
    assert run("accounts", "list").stdout == ""


def test_a_key_from_its_first_day_to_its_last(run: Run, data: Path) -> None:
    result = run("keys", "create", "default", "--label", "Laptop", "--json")
    made = told(result)
    secret = made.pop("secret_key")
    (listed,) = (
        json.loads(each)
        for each in run("keys", "list", "default", "--json").stdout.split("\n")
        if each
    )
    assert listed == made
    assert listed["label"] == "Laptop"
    app = open_data(data)
    client = Client(app, Signer(made["access_key"], secret))
    assert client.get("/").status == 200
    rotated = run("keys", "rotate", made["access_key"])
    assert "shown this once" in rotated.stderr
    new = rotated.stdout.split()[-1]
    assert new != secret
    app.store._backing.accounts.forget()
    assert client.get("/").code == "SignatureDoesNotMatch"
    client = Client(app, Signer(made["access_key"], new))
    for command, status in (("disable", 403), ("enable", 200), ("delete", 403)):
        assert run("keys", command, made["access_key"]).exit_code == 0
        # Within a second by itself, see tests/store/test_key_ring.py.
        app.store._backing.accounts.forget()
        assert client.get("/").status == status
    app.close()
    run("keys", "create", "default")
    assert run("keys", "reset", "default").stdout == "1 keys are deleted.\n"
    listing = run("keys", "list", "default")
    assert (listing.stdout, listing.exit_code) == ("", 0)
    for secret_shown in (secret, new):
        assert secret_shown not in run("keys", "list", "default", "--json").output


def test_a_narrow_key(run: Run) -> None:
    """IU-01 to IU-11: the scope is said by options."""
    made = told(
        run(
            *("keys", "create", "default", "--path", "photos/in/", "--path", "logs/"),
            *("--action", "s3:GetObject", "--read-only", "--no-manage-buckets", "--no-deletes"),
            *("--expires", "2999-01-31", "--network", "10.0.0.0/8", "--byte-budget", "1000"),
            "--json",
        )
    )
    assert made["scope"] == {
        "paths": ["photos/in/", "logs/"],
        "actions": ["s3:GetObject"],
        "read_only": True,
        "manage_buckets": False,
        "deletes": False,
        "expires": "2999-01-31T00:00:00Z",
        "networks": ["10.0.0.0/8"],
        "byte_budget": 1000,
    }


def test_a_user_and_what_it_may_do(run: Run, data: Path) -> None:
    assert told(run("users", "create", "default", "bob", "--json"))["policies"] == []
    policy = '{"Statement": {"Effect": "Allow", "Action": "s3:ListAllMyBuckets", "Resource": "*"}}'
    put = run("users", "policy", "default", "bob", "list", "--put", "-", input=policy)
    assert put.exit_code == 0, put.output
    assert json.loads(run("users", "policy", "default", "bob", "list").stdout) == json.loads(policy)
    made = told(run("keys", "create", "default", "--user", "bob", "--json"))
    app = open_data(data)
    client = Client(app, Signer(made["access_key"], made["secret_key"]))
    assert client.get("/").status == 200
    assert client.put("/photos").code == "AccessDenied"
    app.close()
    listed = run("users", "list", "default", "--json")
    assert json.loads(listed.stdout)["policies"] == ["list"]
    assert run("users", "policy", "default", "bob", "list", "--delete").exit_code == 0
    assert run("users", "policy", "default", "bob", "list").exit_code == 1
    result = run("users", "delete", "default", "bob")
    assert result.stdout == "The user bob and 1 keys are deleted.\n"


def test_a_sign_up_shows_the_key_once(run: Run) -> None:
    """CS-01."""
    made = told(run("accounts", "create", "--sign-up", "--bucket", "of-alice", "--json"))
    assert made["bucket"] == "of-alice"
    assert len(made["secret_key"]) == 40
    assert made["secret_key"] not in run("keys", "list", made["id"], "--json").output
    assert "secret_key" not in told(run("accounts", "create", "--json"))


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("accounts", "show", "nobody"), 1, "NoSuchEntity: There is no account nobody."),
        (("accounts", "suspend", "default"), 1, "InvalidRequest: The configuration gives"),
        (("accounts", "create", "--plan", "x"), 1, "plan is one of the configuration's plans"),
        (("accounts", "create", "--keys", "few"), 2, "neither a number nor"),
        (("accounts", "create", "--no-sign-up", "--bucket", "b"), 2, "--bucket is the name"),
        (("accounts", "delete", "x", "--at", "soon"), 2, "is no date such as"),
        (("accounts", "delete", "x", "--at", "2001-01-01"), 2, "2001-01-01 is over."),
        (("accounts", "delete", "x", "--at", "9999-12-31T23:00-02:00"), 2, "is no date such as"),
        (("keys", "create", "nobody"), 1, "NoSuchEntity: There is no account nobody."),
        (("keys", "create", "default", "--user", "x"), 1, "NoSuchEntity: The account has no user"),
        (("keys", "create", "default", "--path", "X"), 2, "must begin with the name of a bucket"),
        (("keys", "create", "default", "--network", "X"), 2, "X"),
        (("keys", "list", "nobody"), 1, "NoSuchEntity"),
        (("keys", "rotate", "AKNONE"), 1, "NoSuchEntity: There is no access key AKNONE."),
        (("users", "list", "nobody"), 1, "NoSuchEntity"),
        (("users", "policy", "default", "bob", "p", "--delete"), 1, "NoSuchEntity"),
    ],
)
def test_what_cannot_be_is_said_in_a_line(
    run: Run, arguments: tuple[str, ...], code: int, message: str
) -> None:
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (code, "")
    assert message in result.stderr.splitlines()[-1]


def test_a_secret_needs_a_master_key(run: Run, data: Path) -> None:
    (data / "master.key").unlink()
    result = run("keys", "create", "default")
    assert result.exit_code == 1
    assert "set master_key_file or master_keys" in result.stderr


def test_a_hosts_command_asks_for_no_folder(data: Path) -> None:
    config = Config(index=f"sqlite:///{data}/s3kit.db", master_key_file=str(data / "master.key"))
    group = hosted_group(lambda: config)
    result = CliRunner().invoke(group, ["keys", "create", "default", "--json"])
    assert result.exit_code == 0, result.output
    assert "secret_key" in json.loads(result.stdout)
    result = CliRunner().invoke(group, ["keys", "create", "default", "--data", "elsewhere"])
    assert result.exit_code == 2
    assert "--data" not in CliRunner().invoke(group, ["accounts", "create", "--help"]).output
    assert "--data" in CliRunner().invoke(cli, ["accounts", "create", "--help"]).output
