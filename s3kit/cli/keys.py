"""``s3kit keys``: the access keys that lie in the index."""

from __future__ import annotations

from typing import Any

import click

from ..auth.scope import read_scope
from ..auth.scope import write_scope
from ..model import Scope
from ..store.access_keys import NO_SCOPE
from ..store.access_keys import AccessKey
from ..store.access_keys import NewKey
from .accounts import AS_JSON
from .identities import moment
from .identities import opened
from .identities import show
from .identities import show_all
from .settings import data_options


def shown(key: AccessKey) -> dict[str, Any]:
    """A key in words; its secret is not known here."""
    return {
        "access_key": key.access_key,
        "account": key.account,
        "user": key.user,
        "label": key.label,
        "status": key.status,
        "created": moment(key.created),
        "last_used": moment(key.last_used),
        "scope": {} if key.scope is None else _said(key.scope),
        "bytes_used": key.bytes_used,
    }


def _said(scope: Scope) -> dict[str, Any]:
    """Only what narrows."""
    wide = write_scope(NO_SCOPE)
    return {
        name: value
        for name, value in write_scope(scope).items()
        if name not in wide or value != wide[name]
    }


def tell(made: NewKey, *, as_json: bool) -> None:
    """Show a key with its secret."""
    values = shown(made.key)
    if as_json:
        show({**values, "secret_key": made.secret_key}, as_json=True)
        return
    show({"access_key": made.access_key, "secret_key": made.secret_key}, as_json=False)
    click.echo("The secret is shown this once: nobody can tell it again.", err=True)


def scope_options(function: Any) -> Any:
    """The options that narrow a key."""
    options = (
        click.option(
            "--path",
            "paths",
            metavar="BUCKET/PREFIX/",
            multiple=True,
            help="Where it may go; again for another place.",
        ),
        click.option(
            "--action",
            "actions",
            metavar="ACTION",
            multiple=True,
            help="What it may do: s3:GetObject, s3:List*; again for another.",
        ),
        click.option("--read-only", is_flag=True, help="It may change nothing."),
        click.option(
            "--no-manage-buckets", is_flag=True, help="It may do nothing to buckets themselves."
        ),
        click.option("--no-deletes", is_flag=True, help="It may remove no object."),
        click.option("--expires", metavar="DATE", help="When it ends: 2027-01-31T12:00:00Z."),
        click.option(
            "--network",
            "networks",
            metavar="NETWORK",
            multiple=True,
            help="Where its requests must come from: 10.0.0.0/8; again for another.",
        ),
        click.option(
            "--byte-budget",
            type=click.IntRange(min=0),
            metavar="BYTES",
            help="How much it may store in its life.",
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function


def take_scope(options: dict[str, Any]) -> Scope:
    """What the options narrow a key to; they are taken out.

    :raises click.UsageError: one of them cannot be.
    """
    document: dict[str, Any] = {}
    for name in ("paths", "actions", "networks"):
        if given := options.pop(name):
            document[name] = list(given)
    for name in ("expires", "byte_budget"):
        if (given := options.pop(name)) is not None:
            document[name] = given
    if options.pop("read_only"):
        document["read_only"] = True
    for name in ("manage_buckets", "deletes"):
        if options.pop(f"no_{name}"):
            document[name] = False
    try:
        return read_scope(document)
    except ValueError as error:
        raise click.UsageError(str(error)) from None


@click.group()
def keys() -> None:
    """Look after the access keys that lie in the index."""


@keys.command()
@click.argument("account")
@click.option("--user", default="", help="The account's user whose key it is to be.")
@click.option("--label", default="", help="What its owner calls it.")
@scope_options
@data_options
@AS_JSON
def create(account: str, user: str, label: str, as_json: bool, **options: Any) -> None:
    """Make a key; its secret is shown this once and never again.

    The account may be one of the configuration, such as `default`.
    """
    scope = take_scope(options)
    with opened(options) as store:
        made = store.accounts.create_key(account, user=user, label=label, scope=scope)
        tell(made, as_json=as_json)


@keys.command("list")
@click.argument("account")
@click.option("--user", help='Only the keys of this user, "" for the account\'s own.')
@data_options
@AS_JSON
def list_keys(account: str, user: str | None, as_json: bool, **options: Any) -> None:
    """List the keys of an account, the oldest first."""
    with opened(options) as store:
        store.accounts.get(account)
        found = [shown(each) for each in store.accounts.list_keys(account, user=user)]
    columns = ("access_key", "user", "label", "status", "created", "last_used", "scope")
    show_all(found, columns, as_json=as_json)


@keys.command()
@click.argument("access_key")
@data_options
@AS_JSON
def rotate(access_key: str, as_json: bool, **options: Any) -> None:
    """Give a key a new secret, shown this once. The old one ends at once."""
    with opened(options) as store:
        tell(store.accounts.rotate_key(access_key), as_json=as_json)


@keys.command()
@click.argument("access_key")
@data_options
def disable(access_key: str, **options: Any) -> None:
    """Let a key be used no more, until `s3kit keys enable`."""
    with opened(options) as store:
        store.accounts.disable_key(access_key)
    click.echo(f"The key {access_key} is disabled.")


@keys.command()
@click.argument("access_key")
@data_options
def enable(access_key: str, **options: Any) -> None:
    """Let a key be used again."""
    with opened(options) as store:
        store.accounts.enable_key(access_key)
    click.echo(f"The key {access_key} is active.")


@keys.command()
@click.argument("access_key")
@data_options
def delete(access_key: str, **options: Any) -> None:
    """Remove a key."""
    with opened(options) as store:
        store.accounts.delete_key(access_key)
    click.echo(f"The key {access_key} is deleted.")


@keys.command()
@click.argument("account")
@data_options
def reset(account: str, **options: Any) -> None:
    """Remove all keys of an account, those of its users too."""
    with opened(options) as store:
        removed = store.accounts.reset_keys(account)
    click.echo(f"{removed} keys are deleted.")
