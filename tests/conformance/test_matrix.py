"""Who may do which operation: one readable table, tried cell by cell through signed requests.

Every cell that says no must also change nothing: not a row of the index differs afterwards.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from s3kit.app import S3App
from s3kit.auth.post_policy import sign_form
from s3kit.index.schema import metadata
from s3kit.model import Key
from s3kit.model import Scope
from s3kit.model import Session
from s3kit.wire.routing import operations
from tests.attacks.handmade import post_form
from tests.attacks.test_accounts import HOLD
from tests.attacks.test_accounts import REQUESTS
from tests.attacks.test_accounts import RETENTION
from tests.attacks.test_accounts import Request
from tests.attacks.test_accounts import delete_document
from tests.attacks.test_accounts import md5_of
from tests.client import Answer
from tests.client import Client
from tests.client import Signer
from tests.endpoint import make_app

TABLE = """
               owner other alice inside outside sibling read-only expired disabled anonymous session
service          +     +     -     -       -       -        +        -       -         -        -
new bucket       +     +     -     -       -       -        -        -       -         -        -
session          +     -     -     +       +       +        +        -       -         -        -
bucket           +     -     -     -       -       -        +        -       -         -        -
bucket change    +     -     -     -       -       -        -        -       -         -        -
place            +     -     -     +       +       +        +        -       -         -        -
look             +     -     +     -       -       -        +        -       -         -        +
list             +     -     +     +       -       -        +        -       -         -        +
list more        +     -     -     +       -       -        +        -       -         -        -
object           +     -     +     +       -       -        +        -       -         -        +
object facts     +     -     -     +       -       -        +        -       -         -        -
object store     +     -     +     +       -       -        -        -       -         -        +
object change    +     -     -     +       -       -        -        -       -         -        -
"""
"""A plus where the operation's answer is what it is for the owner, a minus where it is 403.

The key of inside, outside and sibling is bound to a folder; what it is told of the bucket itself is
where it lies, and a session, to which the same bounds hold.
"""

KINDS = {
    "service": "ListBuckets",
    "new bucket": "CreateBucket",
    "session": "CreateSession",
    "place": "GetBucketLocation",
    "look": "HeadBucket",
    "list": "ListObjects ListObjectsV2",
    "list more": "ListMultipartUploads ListObjectVersions",
    "object": "GetObject HeadObject",
    "object store": "CompleteMultipartUpload CopyObject CreateMultipartUpload PostObject PutObject "
    "UploadPart UploadPartCopy",
}
"""All others are of the kind that their level and their first word say."""

READING = ("Get", "Head", "List")


def kind_of(name: str, level: str) -> str:
    """The row of an operation."""
    for kind, names in KINDS.items():
        if name in names.split():
            return kind
    if name == "DeleteObjects":
        level = "object"
    if level == "object":
        return "object facts" if name.startswith(READING) else "object change"
    return level if name.startswith(READING) else f"{level} change"


def cells() -> dict[str, dict[str, bool]]:
    """The table: kind to caller to whether it may."""
    head, *rows = TABLE.strip("\n").splitlines()
    callers = head.split()
    found = {}
    for row in rows:
        kind, *marks = row[:15].strip(), *row[15:].split()
        assert len(marks) == len(callers)
        found[kind] = {caller: mark == "+" for caller, mark in zip(callers, marks, strict=True)}
    return found


CELLS = cells()
OPERATIONS = {
    each.name: kind_of(each.name, each.level) for each in operations() if each.handler is not None
}
FOLDERS = {"inside": "team", "outside": "elsewhere", "sibling": "teamEVIL"}
"""Where a caller's request goes; the three have the same key pair, which is bound to team/."""


def test_every_operation_is_in_the_table() -> None:
    assert set(OPERATIONS.values()) == CELLS.keys()


OWNER = "owner-id"
OTHER = "other-id"
SESSION = """{"Statement": {"Effect": "Allow", "Resource": "*",
    "Action": ["s3:ListBucket", "s3:GetObject", "s3:PutObject"]}}"""
# What alice herself was given; the bucket's policy gives her the rest.
ALICE = b"""{"Statement": {"Effect": "Allow", "Resource": "*",
    "Action": ["s3:ListBucket", "s3:GetObject"]}}"""
BUCKET = b"""{"Statement": {"Effect": "Allow", "Action": "s3:PutObject",
    "Principal": {"AWS": "arn:aws:iam::111111111111:user/alice"},
    "Resource": "arn:aws:s3:::matrix/*"}}"""
TEAM = Scope(paths=(("matrix", b"team/"), ("locked", b"team/")))
SCOPES = {
    "inside": Scope(paths=(("matrix", b"team/"), ("locked", b"team/"))),
    "read-only": Scope(read_only=True),
    "expired": Scope(expires=1),
}


@dataclass(frozen=True)
class Endpoint:
    """An app whose accounts, users and keys lie in SQL, and the callers' keys."""

    app: S3App
    keys: dict[str, Key]

    def client(self, caller: str) -> Client:
        key = self.keys.get(caller)
        if key is None:
            return Client(self.app, None)
        return Client(self.app, Signer(key.access_key, key.secret_key, key.session_token))


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[Endpoint]:
    app = make_app("memory", tmp_path, accounts=())
    accounts = app.store.accounts
    for name, number in ((OWNER, "111111111111"), (OTHER, "222222222222")):
        accounts.create(id=name, number=number)
    accounts.create_user(OWNER, "alice", {"reading": ALICE})
    ring = app.store.key_ring

    def make(account: str = OWNER, user: str = "", scope: Scope | None = None) -> Key:
        found = ring.lookup(accounts.create_key(account, user=user, scope=scope).access_key)
        assert found is not None
        return found

    keys = {"owner": make(), "other": make(OTHER), "alice": make(user="alice")}
    keys |= {caller: make(scope=scope) for caller, scope in SCOPES.items()}
    keys["outside"] = keys["sibling"] = keys["inside"]
    keys["disabled"] = make()
    accounts.disable_key(keys["disabled"].access_key)
    now = int(time.time())
    keys["session"] = app.site.sessions.open(
        Session(keys["owner"].access_key, expires=now + 900, issued=now, policy=SESSION)
    )
    yield Endpoint(app, keys)
    app.close()


def request_of(name: str) -> Request:
    """The operation's request, about things in ``{folder}``."""
    found = MADE_HERE.get(name) or REQUESTS[name]
    path = found.path.replace("{bucket}/", "{bucket}/{folder}/")
    path = path.replace("{locked}/", "{locked}/{folder}/")
    query, headers = found.query, found.headers
    if name.startswith(("ListObject", "ListMultipart")):
        query = f"{query}&prefix={{folder}}/".strip("&")
    if name == "RenameObject":
        headers = {"x-amz-rename-source": "{folder}/private"}
    return dataclasses.replace(found, path=path, query=query, headers=headers)


NEW = Request("PUT", "/new-{number}")
MADE_HERE = {"CreateBucket": NEW, "ListBuckets": Request("GET", "/")}


def prepare(owner: Client, request: Request, folder: str, number: int) -> dict[str, Any]:
    """The things that the request is about, in a folder of their own."""
    values: dict[str, Any] = {
        "bucket": "/matrix",
        "key": f"/matrix/{folder}/private",
        "own": f"/matrix/{folder}/source",
        "locked": "/locked",
        "folder": folder,
        "number": number,
    }
    needs = str((request.path, request.query, request.headers))
    assert owner.put(values["key"], b"private").status == 200
    if "{own}" in needs:
        assert owner.put(values["own"], b"source").status == 200
    if "{upload}" in needs:
        values["upload"] = owner.post(values["key"], query="uploads").text("UploadId")
        query = f"partNumber=1&uploadId={values['upload']}"
        values["part"] = owner.put(values["key"], b"part", query).headers["etag"].encode()
    if "{locked}" in needs:
        key = f"/locked/{folder}/k"
        assert owner.put(key, b"private").status == 200
        for query, body in (("retention", RETENTION), ("legal-hold", HOLD)):
            assert owner.put(key, body, query, Content_MD5=md5_of(body)).status == 200
    return values


def rows(app: S3App) -> dict[str, list[Any]]:
    """All that is written anywhere but when a key was used last."""
    with app.store.index.engine.connect() as connection:
        return {
            table.name: sorted(map(repr, connection.execute(select(*_but(table.c, "last_used")))))
            for table in metadata.sorted_tables
        }


def _but(columns: Any, name: str) -> list[Any]:
    return [column for column in columns if column.name != name]


def send(
    endpoint: Endpoint, name: str, caller: str, request: Request, values: dict[str, Any]
) -> Answer:
    client = endpoint.client(caller)
    keys = endpoint.keys
    if name == "PostObject":
        fields = {"key": f"{values['folder']}/posted"}
        if caller in keys:
            fields = sign_form(fields, [{"bucket": "matrix"}, fields], keys[caller], expires=60)
        return post_form(client, values["bucket"], fields, b"x")
    if name == "DeleteObjects":
        body = delete_document(f"{values['folder']}/private")
        return client.post(values["bucket"], body, "delete", Content_MD5=md5_of(body))
    body = request.body % values["part"] if b"%s" in request.body else request.body
    headers = {header: text.format(**values) for header, text in request.headers.items()}
    path = request.path.format(**values)
    return client.request(request.method, path, request.query.format(**values), headers, body)


def is_denied(answer: Answer) -> bool:
    """Whether the whole request, or the one key of it, was refused for who sent it."""
    if answer.status == 403:
        return not answer.body or answer.code != "InvalidObjectState"
    return answer.body.count(b"<Code>AccessDenied</Code>") == 1


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_matrix(endpoint: Endpoint, name: str) -> None:
    """IU-01 to IU-04, IU-11: what each caller may do, and that what it may not has no effect."""
    app, owner = endpoint.app, endpoint.client("owner")
    assert owner.put("/matrix").status == 200
    assert owner.put("/locked", x_amz_bucket_object_lock_enabled="true").status == 200
    assert owner.put("/matrix", BUCKET, "policy").status == 204
    request = ELSEWHERE_REQUESTS.get(name) or request_of(name)
    may = CELLS[OPERATIONS[name]]
    folders = {caller: FOLDERS.get(caller, "team") for caller in may}
    shared = {
        folder: prepare(owner, request, folder, 0) for folder in sorted(set(folders.values()))
    }
    before = rows(app)
    wrong = {}
    for caller in [each for each in may if not may[each]]:
        answer = send(endpoint, name, caller, request, shared[folders[caller]])
        if not is_denied(answer):
            wrong[caller] = answer
    assert not wrong
    assert rows(app) == before
    statuses: dict[str, int] = {}
    for number, caller in enumerate([each for each in may if may[each]], 1):
        folder = f"{folders[caller]}/{number}"
        answer = send(endpoint, name, caller, request, prepare(owner, request, folder, number))
        if is_denied(answer) or answer.status != statuses.setdefault(name, answer.status):
            wrong[caller] = answer
    assert not wrong


ELSEWHERE_REQUESTS = {
    "DeleteObjects": Request("POST", "{bucket}"),
    "PostObject": Request("POST", "{bucket}", status=204),
}
