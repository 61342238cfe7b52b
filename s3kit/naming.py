"""Whose bucket a request means where names are per account: decided here, for all of its parts.

Elsewhere a name is enough, and nothing of this is done.
"""

from __future__ import annotations

import re
import time
from contextlib import suppress
from typing import TYPE_CHECKING
from typing import Final
from urllib.parse import unquote

from .errors import AccessDenied
from .errors import NoSuchBucket
from .errors import S3Error
from .model import ANONYMOUS
from .model import Bucket
from .model import Caller
from .wire.address import account_of_host
from .wire.environ import header
from .wire.environ import public_url_parts

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

    from .call import Site

ACCOUNT: Final = "s3kit.account"
"""Where the environ says to which account a mount is bound."""

_CREDENTIAL: Final = re.compile(r"(?:^|&)X-Amz-Credential=([^&]{1,1024})")
_TOKEN: Final = re.compile(r"(?:^|&)X-Amz-Security-Token=([^&]+)")
_AUTHORIZATION: Final = re.compile(r"Credential=([^/,\s]{1,1024})/")


def find_bucket(
    site: Site,
    environ: WSGIEnvironment,
    name: str,
    caller: Caller,
    *,
    expected: str | None = None,
    fresh: bool = False,
) -> Bucket:
    """The bucket that a request means by ``name``.

    Where names are per account that is the one of the account that ``expected`` names, if it has
    one; else of the caller's; else of the account to which the host or mount is bound; else, for a
    request that nobody has signed and on no such host, the only one of that name.

    :param expected: what the client says whose bucket it is, an account's id or its number.
    :param fresh: as for :meth:`s3kit.store.buckets.Buckets.get`.
    :raises NoSuchBucket: there is none.
    :raises AccessDenied: it is another account's, and the caller is narrowed to names.
    """
    buckets = site.store.buckets
    if not buckets.per_account:
        return buckets.get(name, fresh=fresh)
    bucket = _find(site, environ, name, caller.account_id, expected, fresh)
    if bucket.account != caller.account_id and is_narrowed(caller):
        raise AccessDenied
    return bucket


def is_narrowed(caller: Caller) -> bool:
    """Whether a policy or a scope tells the caller by names where it may go.

    Whoever wrote them meant buckets of his own account: another's of that name is none of them.
    """
    scope = caller.scope
    return (
        caller.policies is not None
        or caller.session_policy is not None
        or (scope is not None and bool(scope.paths))
    )


def _find(
    site: Site,
    environ: WSGIEnvironment,
    name: str,
    account: str | None,
    expected: str | None,
    fresh: bool,
) -> Bucket:
    buckets = site.store.buckets
    if expected:
        numbered = site.store.roles.account_numbered(expected)
        for owner in (expected, numbered):
            if owner:
                try:
                    return buckets.get(name, account=owner, fresh=fresh)
                except NoSuchBucket:
                    pass
    if account:
        try:
            return buckets.get(name, account=account, fresh=fresh)
        except NoSuchBucket:
            pass
    bound = bound_account(site, environ)
    if bound:
        return buckets.get(name, account=bound, fresh=fresh)
    if account is None:
        return buckets.get(name, fresh=fresh)
    raise NoSuchBucket(bucket_name=name)


def bound_account(site: Site, environ: WSGIEnvironment) -> str | None:
    """The account to which the mount or the host of a request is bound, None for none."""
    mounted: str | None = environ.get(ACCOUNT)
    if mounted or not site.account_hosts:
        return mounted
    host = public_url_parts(environ, site.trusted)[1]
    return account_of_host(host, site.account_hosts)


def claimed_caller(site: Site, environ: WSGIEnvironment) -> Caller:
    """Somebody of the account whose key a request names, be it signed by it or not.

    For a preflight, which browsers send without any signature, and for telling of a request that
    was refused: it decides whose CORS rules and whose log those are, and never who may do what.
    """
    if not site.store.buckets.per_account:
        return ANONYMOUS
    found = _CREDENTIAL.search(environ.get("QUERY_STRING", ""))
    if found is not None:
        access_key = unquote(found[1]).partition("/")[0]
    else:
        found = _AUTHORIZATION.search(header(environ, "authorization") or "")
        if found is None:
            return ANONYMOUS
        access_key = found[1]
    key = site.key_ring.lookup(access_key)
    if key is None:
        found = _TOKEN.search(environ.get("QUERY_STRING", ""))
        token = header(environ, "x-amz-security-token") if found is None else unquote(found[1])
        if token:
            with suppress(S3Error):
                key = site.sessions.find(access_key, token, time.time())
    return ANONYMOUS if key is None else Caller(key.account)
