"""``s3kit users``: the users of an account, and their policies."""

from __future__ import annotations

import json
from typing import Any
from typing import BinaryIO

import click

from ..store.users import StoredUser
from .accounts import AS_JSON
from .identities import moment
from .identities import opened
from .identities import show
from .identities import show_all
from .settings import data_options


def shown(user: StoredUser) -> dict[str, Any]:
    """A user in words."""
    return {
        "account": user.account,
        "name": user.name,
        "created": moment(user.created),
        "policies": sorted(user.policies),
    }


@click.group()
def users() -> None:
    """Look after the users of an account: their keys may do what their policies allow."""


@users.command()
@click.argument("account")
@click.argument("user")
@data_options
@AS_JSON
def create(account: str, user: str, as_json: bool, **options: Any) -> None:
    """Make a user; `s3kit users policy` says what it may do, `s3kit keys create` gives it keys."""
    with opened(options) as store:
        show(shown(store.accounts.create_user(account, user)), as_json=as_json)


@users.command("list")
@click.argument("account")
@data_options
@AS_JSON
def list_users(account: str, as_json: bool, **options: Any) -> None:
    """List the users of an account."""
    with opened(options) as store:
        store.accounts.get(account)
        found = [shown(each) for each in store.accounts.list_users(account)]
    show_all(found, ("name", "created", "policies"), as_json=as_json)


@users.command()
@click.argument("account")
@click.argument("user")
@data_options
def delete(account: str, user: str, **options: Any) -> None:
    """Remove a user with its keys."""
    with opened(options) as store:
        keys = store.accounts.delete_user(account, user)
    click.echo(f"The user {user} and {keys} keys are deleted.")


@users.command()
@click.argument("account")
@click.argument("user")
@click.argument("name")
@click.option(
    "--put", "file", type=click.File("rb"), help="Take the policy from this file, - for the input."
)
@click.option("--delete", "deleting", is_flag=True, help="Take the policy from the user.")
@data_options
def policy(
    account: str, user: str, name: str, file: BinaryIO | None, deleting: bool, **options: Any
) -> None:
    """Show, put or delete the policy NAME of a user."""
    if file is not None and deleting:
        raise click.UsageError("Give --put or --delete, not both.")
    with opened(options) as store:
        if file is not None:
            store.accounts.put_user_policy(account, user, name, file.read())
            click.echo(f"The user {user} has the policy {name}.")
        elif deleting:
            store.accounts.delete_user_policy(account, user, name)
            click.echo(f"The user {user} has the policy {name} no more.")
        else:
            text = store.accounts.get_user(account, user).policies.get(name)
            if text is None:
                raise click.ClickException(f"NoSuchEntity: The user {user} has no policy {name}.")
            click.echo(json.dumps(json.loads(text), indent=2))
