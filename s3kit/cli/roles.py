"""``s3kit roles``: what may be assumed through STS, and by whom."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from ..app import S3App
from ..config import DEFAULT_ACCOUNT
from ..config import ConfigError
from ..errors import MalformedPolicy
from ..model import Account
from ..store.roles import USUAL_SECONDS
from ..store.roles import NoSuchRole
from ..store.roles import RoleExists
from ..store.roles import RoleRow
from .settings import check_index
from .settings import data_options
from .settings import gather_existing

_account = click.option(
    "--account", default=DEFAULT_ACCOUNT, metavar="ID", help="Whose role it is.", show_default=True
)
_json = click.option("--json", "as_json", is_flag=True, help="One JSON document.")
_policy = click.option(
    "--policy",
    "policies",
    multiple=True,
    metavar="NAME=FILE",
    help="A policy of the role: what its sessions may do. Can be given several times.",
)


@click.group()
def roles() -> None:
    """Look after roles, which others may assume through STS."""


@roles.command("create")
@click.argument("name")
@click.option("--trust", required=True, metavar="FILE", help="The policy that says who may.")
@_policy
@click.option(
    "--max-seconds",
    type=int,
    default=USUAL_SECONDS,
    show_default=True,
    help="How long a session may be asked for, 900 to 43200.",
)
@_account
@_json
@data_options
def create(
    name: str,
    trust: str,
    policies: tuple[str, ...],
    max_seconds: int,
    account: str,
    as_json: bool,
    **options: Any,
) -> None:
    """Make the role NAME. Without a policy its sessions may do nothing."""
    with _endpoint(options, account) as (app, owner):
        row = app.store.roles.create(
            owner.id,
            name,
            trust=_text(trust),
            policies=_policies(policies),
            most_seconds=max_seconds,
        )
    _show(row, owner, as_json)


@roles.command("set")
@click.argument("name")
@click.option("--trust", metavar="FILE", help="Another policy that says who may.")
@_policy
@click.option("--drop-policy", "dropped", multiple=True, metavar="NAME", help="Take one away.")
@click.option("--max-seconds", type=int, help="How long a session may be asked for.")
@_account
@_json
@data_options
def change(
    name: str,
    trust: str | None,
    policies: tuple[str, ...],
    dropped: tuple[str, ...],
    max_seconds: int | None,
    account: str,
    as_json: bool,
    **options: Any,
) -> None:
    """Change the role NAME. Its open sessions feel another policy within a second."""
    with _endpoint(options, account) as (app, owner):
        found = app.store.roles
        if trust is not None:
            found.set_trust(owner.id, name, _text(trust))
        for policy, text in _policies(policies).items():
            found.put_policy(owner.id, name, policy, text)
        for policy in dropped:
            found.delete_policy(owner.id, name, policy)
        if max_seconds is not None:
            found.set_most_seconds(owner.id, name, max_seconds)
        row = found.get(owner.id, name)
    _show(row, owner, as_json)


@roles.command("list")
@_account
@_json
@data_options
def list_roles(account: str, as_json: bool, **options: Any) -> None:
    """Show the roles of an account."""
    with _endpoint(options, account) as (app, owner):
        rows = app.store.roles.list_roles(owner.id)
    if as_json:
        click.echo(json.dumps([_facts(row, owner) for row in rows]))
    else:
        for row in rows:
            click.echo(_arn(row, owner))


@roles.command("show")
@click.argument("name")
@_account
@_json
@data_options
def show(name: str, account: str, as_json: bool, **options: Any) -> None:
    """Show the role NAME with its policies."""
    with _endpoint(options, account) as (app, owner):
        row = app.store.roles.get(owner.id, name)
    _show(row, owner, as_json)


@roles.command("delete")
@click.argument("name")
@_account
@data_options
def delete(name: str, account: str, **options: Any) -> None:
    """Remove the role NAME; its sessions end within a second."""
    with _endpoint(options, account) as (app, owner):
        app.store.roles.delete(owner.id, name)
    click.echo(f"Removed {name}.")


@contextmanager
def _endpoint(options: dict[str, Any], account: str) -> Iterator[tuple[S3App, Account]]:
    config = gather_existing(options, os.environ)
    check_index(config)
    app = S3App(config)
    try:
        owner = app.site.key_ring.account(account)
        if owner is None:
            raise ConfigError(f'There is no account "{account}".')
        yield app, owner
    except NoSuchRole as error:
        raise ConfigError(f'The account "{account}" has no role "{error}".') from None
    except RoleExists as error:
        raise ConfigError(
            f'The account "{account}" has a role "{error}". Change it with `s3kit roles set`.'
        ) from None
    except (MalformedPolicy, ValueError) as error:
        raise ConfigError(str(error)) from None
    finally:
        app.close()


def _text(path: str) -> str:
    try:
        return Path(path).read_text("utf-8").strip()
    except OSError as error:
        raise ConfigError(f"Cannot read {path}: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is no text.") from None


def _policies(given: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for each in given:
        name, equals, path = each.partition("=")
        if not equals or not name or not path:
            raise ConfigError(f'--policy "{each}" must be NAME=FILE.')
        found[name] = _text(path)
    return found


def _arn(row: RoleRow, owner: Account) -> str:
    return f"arn:aws:iam::{owner.number or owner.id}:role/{row.name}"


def _facts(row: RoleRow, owner: Account) -> dict[str, Any]:
    return {
        "name": row.name,
        "arn": _arn(row, owner),
        "id": row.id,
        "account": row.account,
        "created": datetime.fromtimestamp(row.created / 1000, UTC).isoformat(timespec="seconds"),
        "max_seconds": row.most_seconds,
        "trust": json.loads(row.trust),
        "policies": {name: json.loads(text) for name, text in row.policies.items()},
    }


def _show(row: RoleRow, owner: Account, as_json: bool) -> None:
    facts = _facts(row, owner)
    if as_json:
        click.echo(json.dumps(facts))
        return
    for name in ("arn", "id", "created", "max_seconds"):
        click.echo(f"{name.replace('_', ' '):<12}{facts[name]}")
    click.echo(f"trust       {json.dumps(facts['trust'])}")
    for name, policy in facts["policies"].items():
        click.echo(f"policy      {name}: {json.dumps(policy)}")
