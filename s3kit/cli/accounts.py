"""``s3kit accounts``: who has buckets and keys at this endpoint."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC
from datetime import datetime
from typing import Any
from typing import Final

import click

from ..store.accounts import LIMITS
from ..store.accounts import StoredAccount
from .identities import moment
from .identities import opened
from .identities import show
from .identities import show_all
from .settings import data_options

SIGNS_UP: Final = "cloudstorage"
"""The profile whose accounts have a first key and a bucket from the start (CS-01)."""

AS_JSON = click.option("--json", "as_json", is_flag=True, help="JSON in place of words.")


def _read_amount(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> int | str | None:
    """A limit of an account's own: a number, ``any``, or ``plan`` for what its plan says."""
    if value is None or value in ("any", "plan"):
        return value
    if not value.isdecimal():
        raise click.BadParameter(f'"{value}" is neither a number nor "any" nor "plan".')
    return int(value)


def _read_moment(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> datetime | None:
    """A date or a time to come, of UTC unless it says otherwise."""
    if value is None:
        return None
    try:
        found = datetime.fromisoformat(value)
        found = found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise click.BadParameter(
            f'"{value}" is no date such as 2027-01-31 or 2027-01-31T12:00Z.'
        ) from None
    if found < datetime.now(UTC):
        raise click.BadParameter(f"{value} is over.")
    return found


def _limit_options(function: Any) -> Any:
    for name in reversed(LIMITS):
        text = f"How many {name} it may have, in place of its plan's."
        function = click.option(
            f"--{name}", callback=_read_amount, metavar="NUMBER|any|plan", help=text
        )(function)
    return function


def _take_limits(options: dict[str, Any]) -> dict[str, int | str]:
    """What the options say of the account's own limits; they are taken out."""
    given = {name: options.pop(name) for name in LIMITS}
    return {name: value for name, value in given.items() if value is not None}


def _limits(
    given: Mapping[str, int | str], now: Mapping[str, int | None] | None = None
) -> dict[str, int | None] | None:
    """The account's own limits; None where no option is about them."""
    if not given:
        return None
    found = dict(now or {})
    for name, value in given.items():
        if value == "plan":
            found.pop(name, None)
        else:
            found[name] = None if isinstance(value, str) else value
    return found


def shown(account: StoredAccount) -> dict[str, Any]:
    """An account in words."""
    return {
        "id": account.id,
        "number": account.number,
        "name": account.display_name,
        "email": account.email,
        "status": account.status,
        "plan": account.plan,
        "limits": dict(account.limits or {}),
        "created": moment(account.created),
        "delete_at": moment(account.delete_at),
    }


@click.group()
def accounts() -> None:
    """Look after the accounts that lie in the index."""


@accounts.command()
@data_options
@click.option("--id", help="Its canonical user id [default: 64 random hex digits].")
@click.option("--number", help="12 digits, for ARNs [default: random].")
@click.option("--name", help="What listings show of it.")
@click.option("--email")
@click.option("--plan", help="One of the configuration's plans.")
@_limit_options
@click.option(
    "--sign-up/--no-sign-up",
    default=None,
    help=f"Make a first key and a bucket too [default: under the profile {SIGNS_UP}].",
)
@click.option("--bucket", help="The name of that bucket.")
@AS_JSON
def create(
    id: str | None,
    number: str | None,
    name: str | None,
    email: str | None,
    plan: str | None,
    sign_up: bool | None,
    bucket: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Make an account. A first key's secret is shown this once and never again."""
    limits = _limits(_take_limits(options))
    given: dict[str, Any] = {
        "display_name": name or "",
        "email": email or "",
        "plan": plan or "",
        "id": id or "",
        "number": number or "",
    }
    with opened(options) as store:
        if sign_up is None:
            sign_up = bucket is not None or store.profile.name == SIGNS_UP
        if bucket is not None and not sign_up:
            raise click.UsageError("--bucket is the name of what --no-sign-up does not make.")
        if not sign_up:
            show(shown(store.accounts.create(**given, limits=limits)), as_json=as_json)
            return
        made = store.accounts.sign_up(**given, limits=limits, bucket=bucket or "")
        told = {"access_key": made.key.access_key, "secret_key": made.key.secret_key}
        show({**shown(made.account), "bucket": made.bucket.name, **told}, as_json=as_json)


@accounts.command("list")
@data_options
@AS_JSON
def list_accounts(as_json: bool, **options: Any) -> None:
    """List the accounts that lie in the index, in order of their ids."""
    found: list[dict[str, Any]] = []
    with opened(options) as store:
        after = ""
        while page := store.accounts.list(after=after):
            after = page[-1].id
            found.extend(shown(each) for each in page)
    show_all(found, ("id", "number", "name", "status", "plan"), as_json=as_json)


@accounts.command("show")
@click.argument("account")
@data_options
@AS_JSON
def show_account(account: str, as_json: bool, **options: Any) -> None:
    """Show an account, and what it may have."""
    with opened(options) as store:
        values = shown(store.accounts.get(account))
        limits = store.accounts.limits_of(account)
        values["may_have"] = {name: getattr(limits, name) for name in LIMITS}
        show(values, as_json=as_json)


@accounts.command("set")
@click.argument("account")
@data_options
@click.option("--name", help="What listings show of it.")
@click.option("--email")
@click.option("--plan", help='One of the configuration\'s plans, "" for none.')
@_limit_options
@AS_JSON
def set_account(
    account: str,
    name: str | None,
    email: str | None,
    plan: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Change what is given of an account."""
    given = _take_limits(options)
    with opened(options) as store:
        limits = _limits(given, store.accounts.get(account).limits)
        changed = store.accounts.set(
            account, display_name=name, email=email, plan=plan, limits=limits
        )
        show(shown(changed), as_json=as_json)


@accounts.command()
@click.argument("account")
@data_options
def suspend(account: str, **options: Any) -> None:
    """Let none of an account's keys be used, until `s3kit accounts resume`."""
    with opened(options) as store:
        store.accounts.suspend(account)
    click.echo(f"The account {account} is suspended.")


@accounts.command()
@click.argument("account")
@data_options
def resume(account: str, **options: Any) -> None:
    """Make an account active again that was suspended or was to be deleted."""
    with opened(options) as store:
        store.accounts.resume(account)
    click.echo(f"The account {account} is active.")


@accounts.command()
@click.argument("account")
@click.option(
    "--at",
    callback=_read_moment,
    metavar="DATE",
    help="Delete all that it has, then; until that day its keys may only read.",
)
@data_options
def delete(account: str, at: datetime | None, **options: Any) -> None:
    """Remove an account with its users and keys: now, if it has no buckets, or with them later."""
    with opened(options) as store:
        if at is None:
            store.accounts.delete(account)
            click.echo(f"The account {account} is deleted.")
        else:
            store.accounts.schedule_deletion(account, int(at.timestamp() * 1000))
            click.echo(f"The account {account} is deleted at {moment(int(at.timestamp()) * 1000)}.")
