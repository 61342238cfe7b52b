"""The key of a captured request: whose it is, or why it cannot be used."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from datetime import UTC
from datetime import datetime

from ..app import S3App
from ..auth.canonical import find_key
from ..auth.mistakes import Mistake
from ..auth.scope import write_scope
from ..errors import NoSuchEntity
from ..errors import S3Error
from ..model import Key
from .request_report import Report


def find_key_of(
    app: S3App, access_key: str, token: str | None, report: Report, now: float
) -> Key | None:
    """The key of a signature; what is known of it goes into the report."""
    site = app.site
    try:
        key = find_key(site.key_ring, access_key, site.sessions, token, now)
    except S3Error as error:
        named = "***" if is_secret(app, access_key) else access_key
        report.key = f"{named}: {_why_no_key(app, access_key, token, error)}"
        report.reasons.append(Mistake("key", report.key))
        return None
    said = f"{access_key}, of the account {key.account.id}"
    if key.session is not None:
        until = datetime.fromtimestamp(key.session.expires, UTC)
        said += f", a session's until {until:%Y-%m-%dT%H:%M:%SZ}"
        said += f", opened with {key.session.parent}" if key.session.parent else ""
    if key.principal or key.user:
        said += f", of its {key.principal or 'user/' + key.user}"
    scope = key.scope
    if scope is not None:
        said += f", narrowed to {write_scope(scope)}"
        if scope.expires and now * 1000 >= scope.expires:
            report.reasons.append(Mistake("key", f"{access_key} has expired."))
    report.key = said
    if key.session_token is not None and token is None:
        text = "The key is a session's, and no x-amz-security-token came with the request."
        report.reasons.append(Mistake("key", text))
    if key.session_token is None and token is not None:
        text = "A session's token came with a key that has none: the client mixes two keys up."
        report.reasons.append(Mistake("key", text))
    return key


def is_secret(app: S3App, text: str) -> bool:
    """Whether this is a secret key of the configuration and not the id of one."""
    return any(text == each.secret_key for each in app.config.signing_keys())


def _why_no_key(app: S3App, access_key: str, token: str | None, error: S3Error) -> str:
    ring = app.site.key_ring
    if token is not None:
        return (
            f"no session's key that may be used now ({error.code}): the session is over, who "
            "opened it has no key any more, or the token is another's"
        )
    try:
        stored = app.store.accounts.get_key(access_key)
    except NoSuchEntity:
        pass
    else:
        if stored.status != "active":
            return f"the key is {stored.status}, see s3kit keys enable"
        status = app.store.accounts.get(stored.account).status
        return f"the key is there; its account {stored.account} is {status} and may not sign now"
    for other in (access_key.strip(), access_key.upper()):
        if other != access_key and ring.lookup(other) is not None:
            return f'there is no such key; "{other}" is one'
    if access_key.startswith("ASIA"):
        return "there is no such key; a session's works only with its x-amz-security-token"
    known = [each.access_key for each in app.config.signing_keys()]
    if is_secret(app, access_key):
        return "that is no access key but a secret; the client has the two mixed up"
    close = difflib.get_close_matches(access_key, known, n=1)
    return "there is no such key here" + (f'; did you mean "{close[0]}"?' if close else "")


def other_keys(app: S3App, key: Key) -> Iterator[Key]:
    """Other keys that the client may have mixed up with its own."""
    names = [each.access_key for each in app.config.signing_keys()]
    names += [each.access_key for each in app.store.accounts.list_keys(key.account.id)]
    for name in names[:200]:
        found = app.site.key_ring.lookup(name) if name != key.access_key else None
        if found is not None:
            yield found
