"""Who the case ``access`` asks as, and what each may: accounts, keys, roles, policies and ACLs.

Everything is made as an operator would make it: accounts, users, keys and roles by the Python API
into the data folder, before a server starts on it; buckets, documents and objects by requests.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load import Load
from benchmarks.load import Request
from s3kit.app import S3App
from s3kit.auth.hook import AuthorizationRequest
from s3kit.cli.first_start import make_data
from s3kit.cli.settings import gather
from s3kit.config import DEFAULT_ACCOUNT
from s3kit.model import Session
from scripts.signing import Signer

OBJECTS = 200
NEW_OBJECTS = 1500
BODY = bytes(range(256)) * 4
BODY_SHA256 = hashlib.sha256(BODY).hexdigest()

OWN = "own"
"""A bucket of the configured key's account, as every new one is."""
SHARED = "shared"
"""One whose policy of 20 statements lets another account read."""
GRANTED = "granted"
"""One with ACLs, which grant another account each object."""
ALL = "all"
"""One with both; of the policy's statements none applies, the ACLs decide."""
ROOM = "room"
"""One of an account without a limit."""
LIMITED = "limited"
"""One of an account that may store so many bytes and no more."""

PLAIN, PLAIN_PUT = "plain GET", "plain PUT"
GETS = (
    PLAIN,
    "key in SQL",
    "SQL key, scope",
    "SQL key, 20 statements",
    "SQL key, user policy",
    "SQL key, ACL",
    "session, its policy",
    "all of it",
)
PUTS = (PLAIN_PUT, "SQL key: PUT", "SQL key, budget: PUT", "SQL key, limit: PUT")
HOOKED, AUDITED = "authorize hook", "audit log"
"""Plain GETs of servers that are set up so."""
AGAINST = {
    **dict.fromkeys(GETS[1:], PLAIN),
    **dict.fromkeys(PUTS[1:], PLAIN_PUT),
    HOOKED: PLAIN,
    AUDITED: PLAIN,
}
"""Which row each is compared with."""

HOOKED, AUDITED = "authorize hook", "audit log"
"""Plain GETs of servers that are set up so."""


@dataclass(frozen=True)
class Caller:
    """An access key with its secret, and the session token that it needs."""

    access_key: str
    secret_key: str
    token: str | None = None

    def signer(self, host: str) -> Signer:
        return Signer(host, self.access_key, self.secret_key)

    @property
    def extra(self) -> dict[str, str]:
        """The headers that its requests need."""
        return {} if self.token is None else {"x-amz-security-token": self.token}


def agree(request: AuthorizationRequest) -> None:
    """An ``authorize`` hook that leaves everything as it is decided."""


def statements(bucket: str, allowed: Sequence[str]) -> bytes:
    """A policy of 20 statements, against all of which a read must be held.

    :param allowed: the ids of the accounts that may read; those that own the bucket may anyway.
    """
    resource = f"arn:aws:s3:::{bucket}"
    found: list[dict[str, object]] = [
        {
            "Effect": "Deny",
            "Principal": "*",
            "Action": ["s3:GetObject", "s3:PutObject"],
            "Resource": f"{resource}/*",
            "Condition": {"NotIpAddress": {"aws:SourceIp": ["127.0.0.0/8", "::1/128"]}},
        },
        {
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:*",
            "Resource": f"{resource}/*",
            "Condition": {"Bool": {"aws:SecureTransport": "true"}},
        },
        {
            "Effect": "Allow",
            "Principal": {"CanonicalUser": list(allowed)},
            "Action": "s3:GetObject",
            "Resource": f"{resource}/*",
        },
    ]
    found += [
        {
            "Effect": "Deny",
            "Principal": "*",
            "Action": ["s3:Get*", "s3:PutObject"],
            "Resource": [f"{resource}/team-{number}/*", f"{resource}/*/secret-{number}-*"],
            "Condition": {"StringNotLike": {"aws:UserAgent": f"agent-{number}/*"}},
        }
        for number in range(17)
    ]
    return json.dumps({"Version": "2012-10-17", "Statement": found}).encode()


def reading(*buckets: str) -> str:
    """A policy of users, roles or sessions: they may read these buckets' objects."""
    allow = {
        "Effect": "Allow",
        "Action": ["s3:GetObject", "s3:ListBucket"],
        "Resource": [f"arn:aws:s3:::{bucket}/*" for bucket in buckets],
    }
    deny = {"Effect": "Deny", "Action": "s3:Delete*", "Resource": "*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [allow, deny]})


TENANT, LIMITED_ACCOUNT, FREE_ACCOUNT = "tenant", "tenant-limited", "tenant-free"
LIMIT = 10**12


def make_callers(data: Path, access_key: str, secret_key: str) -> dict[str, Caller]:
    """Make accounts, users, keys and roles in a data folder of ``s3kit serve``.

    :param access_key: the configured key, of the account ``default``.
    :returns: who asks in which row.
    """
    make_data(data)
    config = gather(
        {"data": str(data), "access_key": access_key, "secret_key": secret_key}, {}
    ).config
    app = S3App(config)
    try:
        accounts = app.store.accounts
        for account in (TENANT, LIMITED_ACCOUNT, FREE_ACCOUNT):
            accounts.create(id=account)
        accounts.set(LIMITED_ACCOUNT, limits={"bytes": LIMIT})

        def key(
            account: str, *, user: str = "", scope: Mapping[str, object] | None = None
        ) -> Caller:
            made = accounts.keys.create(account, user=user, scope=scope)
            return Caller(made.access_key, made.secret_key)

        def user(account: str, name: str, policy: str) -> None:
            accounts.users.create(account, name)
            accounts.put_user_policy(account, name, "reading", policy)

        def session(parent: Caller, account: str, policies: str, policy: str) -> Caller:
            trust = {"Effect": "Allow", "Principal": "*", "Action": "sts:AssumeRole"}
            role = app.store.roles.create(
                account,
                "reader",
                trust=json.dumps({"Version": "2012-10-17", "Statement": [trust]}),
                policies={"reading": policies},
            )
            now = int(time.time())
            # What AssumeRole opens.
            opened = app.site.sessions.open(
                Session(
                    parent.access_key,
                    expires=now + 12 * 3600,
                    issued=now,
                    roles=((account, role.name, role.id),),
                    name="benchmark",
                    policy=policy,
                )
            )
            return Caller(opened.access_key, opened.secret_key, opened.session_token)

        owner = Caller(access_key, secret_key)
        user(DEFAULT_ACCOUNT, "reader", reading(OWN))
        user(TENANT, "reader", reading(ALL))
        narrow = {"read_only": True, "networks": ["127.0.0.0/8", "::1/128"]}
        own_key = key(DEFAULT_ACCOUNT)
        tenant_key = key(TENANT)
        narrow_key = key(TENANT, user="reader", scope={**narrow, "paths": [f"{ALL}/folder/"]})
        return {
            PLAIN: owner,
            "key in SQL": own_key,
            "SQL key, scope": key(DEFAULT_ACCOUNT, scope={**narrow, "paths": [f"{OWN}/folder/"]}),
            "SQL key, 20 statements": tenant_key,
            "SQL key, user policy": key(DEFAULT_ACCOUNT, user="reader"),
            "SQL key, ACL": tenant_key,
            "session, its policy": session(own_key, DEFAULT_ACCOUNT, reading(OWN), reading(OWN)),
            "all of it": session(narrow_key, TENANT, reading(ALL), reading(ALL)),
            HOOKED: owner,
            AUDITED: owner,
            PLAIN_PUT: owner,
            "SQL key: PUT": key(FREE_ACCOUNT),
            "SQL key, budget: PUT": key(FREE_ACCOUNT, scope={"byte_budget": LIMIT}),
            "SQL key, limit: PUT": key(LIMITED_ACCOUNT),
        }
    finally:
        app.close()


BUCKET_OF = {
    "SQL key, 20 statements": SHARED,
    "SQL key, ACL": GRANTED,
    "all of it": ALL,
    "SQL key: PUT": ROOM,
    "SQL key, budget: PUT": ROOM,
    "SQL key, limit: PUT": LIMITED,
}


def key_of(number: int) -> str:
    return f"folder/object-{number:05d}"


def preparations(callers: Mapping[str, Caller], host: str) -> list[Request]:
    """The requests that make the buckets, their documents and their objects."""
    owner = callers[PLAIN].signer(host)
    objects = [key_of(number) for number in range(OBJECTS)]
    writers = {"x-amz-object-ownership": "ObjectWriter"}
    granted = {"x-amz-grant-read": f'id="{TENANT}"'}
    found = []
    for bucket, extra, grants in (
        (OWN, {}, {}),
        (SHARED, {}, {}),
        (GRANTED, writers, granted),
        (ALL, writers, granted),
    ):
        found.append(owner.request("PUT", f"/{bucket}", body=b"", extra=extra))
        found += [
            owner.request("PUT", f"/{bucket}/{name}", body=BODY, extra=grants) for name in objects
        ]
    for bucket, allowed in ((SHARED, TENANT), (ALL, FREE_ACCOUNT)):
        body = statements(bucket, [allowed])
        found.append(owner.request("PUT", f"/{bucket}", {"policy": ""}, body=body))
    for row, bucket in (("SQL key: PUT", ROOM), ("SQL key, limit: PUT", LIMITED)):
        found.append(callers[row].signer(host).request("PUT", f"/{bucket}", body=b""))
    return [Request(each) for each in found]


def requests_of(row: str, callers: Mapping[str, Caller], host: str, turn: int) -> list[Request]:
    """The requests of one row in one round."""
    caller = callers[row]
    signer = caller.signer(host)
    bucket = BUCKET_OF.get(row, OWN)
    if row in PUTS:
        return [
            Request(
                signer.request(
                    "PUT",
                    f"/{bucket}/new-{PUTS.index(row)}-{turn}-{number:05d}",
                    body=BODY,
                    payload_sha256=BODY_SHA256,
                )
            )
            for number in range(NEW_OBJECTS)
        ]
    return [
        Request(signer.request("GET", f"/{bucket}/{key_of(number)}", extra=caller.extra))
        for number in range(OBJECTS)
    ]


def prepare(callers: Mapping[str, Caller], host: str, port: int) -> None:
    """Have a running server make what the rows ask for.

    :raises RuntimeError: it refused something.
    """
    requests = preparations(callers, host)
    with Load(port, 1) as load:
        done = load.burst(requests, seconds=120.0, limit=len(requests))
        if done.errors:
            raise RuntimeError(f"refused what the case access needs: {done.first_error}")
