"""What ``s3kit explain`` says is what the endpoint does: both are asked about the same requests.

One table of people and one of requests; each request is sent, signed by botocore, to an endpoint,
after explain was asked about it twice: by its action and resource, and by the request itself.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from s3kit.app import S3App
from s3kit.auth.session import session_rules
from s3kit.cli.captured import Captured
from s3kit.cli.explain import judge
from s3kit.cli.explain_request import Place
from s3kit.cli.explain_request import explain_request
from s3kit.cli.rehearsal import Rehearsal
from s3kit.cli.who import Who
from s3kit.config import Config
from tests.client import Client
from tests.client import Signer
from tests.endpoint import ACLS_COUNT
from tests.endpoint import MASTER_KEY

SCOPES: dict[str, dict[str, Any]] = {
    "AKINSIDE": {"paths": ["photos/in/"]},
    "AKREADONLY": {"read_only": True},
    "AKEXPIRED": {"expires": "2020-01-01T00:00:00Z"},
    "AKNETWORK": {"networks": ["203.0.113.0/24"]},
    "AKACTIONS": {"actions": ["s3:GetObject", "s3:List*"], "manage_buckets": False},
    "AKNODELETE": {"deletes": False},
}
ALICE_KEYS: list[dict[str, Any]] = [
    {"access_key": "AKALICE", "secret_key": "secret"},
    *({"access_key": name, "secret_key": "secret", "scope": SCOPES[name]} for name in SCOPES),
]
BUCKET_POLICY = [
    {
        "Effect": "Allow",
        "Principal": {"AWS": "arn:aws:iam::bob:root"},
        "Action": ["s3:GetObject", "s3:PutObject"],
        "Resource": "arn:aws:s3:::photos/in/*",
    },
    {
        "Effect": "Allow",
        "Principal": "*",
        "Action": "s3:ListBucket",
        "Resource": "arn:aws:s3:::photos",
        "Condition": {"StringLike": {"s3:prefix": "in/*"}},
    },
    {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": "arn:aws:s3:::photos/*",
        "Condition": {"IpAddress": {"aws:SourceIp": "198.51.100.0/24"}},
    },
    {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:PutObject",
        "Resource": "arn:aws:s3:::photos/*",
        "Condition": {"StringEquals": {"s3:x-amz-acl": "public-read"}},
    },
]
USER_POLICY = [
    {
        "Effect": "Allow",
        "Action": ["s3:GetObject*", "s3:PutObject", "s3:ListAllMyBuckets"],
        "Resource": "*",
    },
    {"Effect": "Deny", "Action": "s3:*", "Resource": "arn:aws:s3:::photos/out/*"},
]
ONLY_READING = [{"Effect": "Allow", "Action": "s3:Get*", "Resource": "arn:aws:s3:::photos/*"}]
TRUST = [
    {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::alice:root"}, "Action": "sts:AssumeRole"}
]


def document(statements: list[dict[str, Any]]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


@dataclass(frozen=True)
class Asked:
    """A request, and what explain is asked in its place. ``#`` stands for a number of its own."""

    method: str
    target: str
    action: str
    resource: str
    headers: Mapping[str, str] = field(default_factory=dict)
    given: Mapping[str, str] = field(default_factory=dict)
    peer: str = "203.0.113.9"
    version_id: str | None = None
    body: bytes = b""


REQUESTS = (
    Asked("GET", "/photos/in/a", "s3:GetObject", "photos/in/a"),
    Asked("HEAD", "/photos/out/a", "s3:GetObject", "photos/out/a"),
    Asked("GET", "/photos/inside/a", "s3:GetObject", "photos/inside/a"),
    Asked("GET", "/photos/in/none", "s3:GetObject", "photos/in/none"),
    Asked("GET", "/photos/in/a", "s3:GetObject", "photos/in/a", peer="198.51.100.7"),
    Asked("GET", "/photos/in/a?versionId=null", "s3:GetObject", "photos/in/a", version_id="null"),
    Asked("GET", "/photos/in/a?tagging", "s3:GetObjectTagging", "photos/in/a"),
    Asked("GET", "/photos/in/a?acl", "s3:GetObjectAcl", "photos/in/a"),
    Asked("PUT", "/photos/in/#", "s3:PutObject", "photos/in/#", body=b"x"),
    Asked("PUT", "/photos/out/#", "s3:PutObject", "photos/out/#", body=b"x"),
    Asked(
        *("PUT", "/photos/in/#", "s3:PutObject", "photos/in/#"),
        headers={"x-amz-acl": "public-read"},
        given={"s3:x-amz-acl": "public-read"},
    ),
    Asked("DELETE", "/photos/in/#", "s3:DeleteObject", "photos/in/#"),
    Asked("GET", "/photos?list-type=2", "s3:ListBucket", "photos"),
    Asked(
        *("GET", "/photos?list-type=2&prefix=in/", "s3:ListBucket", "photos"),
        given={"s3:prefix": "in/"},
    ),
    Asked("GET", "/photos?uploads", "s3:ListBucketMultipartUploads", "photos"),
    Asked("GET", "/photos?policy", "s3:GetBucketPolicy", "photos"),
    Asked("PUT", "/photos?policy", "s3:PutBucketPolicy", "photos", body=b"{}"),
    Asked("DELETE", "/photos", "s3:DeleteBucket", "photos"),
    Asked("GET", "/", "s3:ListAllMyBuckets", ""),
    Asked("PUT", "/fresh-#", "s3:CreateBucket", "fresh-#"),
    Asked("GET", "/open/public", "s3:GetObject", "open/public"),
    Asked("GET", "/open/private", "s3:GetObject", "open/private"),
    Asked("GET", "/open/his", "s3:GetObject", "open/his"),
    Asked("PUT", "/open/#", "s3:PutObject", "open/#", body=b"x"),
    Asked("GET", "/open", "s3:ListBucket", "open"),
    Asked("GET", "/open?acl", "s3:GetBucketAcl", "open"),
)

REFUSED = {
    "alice": 3,
    "bob": 16,
    "camera": 14,
    "reader": 14,
    "narrow reader": 21,
    "disabled": len(REQUESTS),
    "nobody": 21,
    "AKINSIDE": 18,
    "AKREADONLY": 10,
    "AKEXPIRED": len(REQUESTS),
    "AKNETWORK": 3,
    "AKACTIONS": 16,
    "AKNODELETE": 5,
}
"""Who asks, and how many of the requests are refused: without refusals it would show nothing."""


class Stage:
    """An endpoint, another one over the same data that only judges, and who is who."""

    def __init__(self, folder: Path) -> None:
        config = Config(
            **ACLS_COUNT,
            index=f"sqlite:///{folder / 'index.db'}",
            storages={"default": str(folder / "blobs")},
            durability="relaxed",
            master_keys=(MASTER_KEY,),
            accounts=[
                {"id": "alice", "keys": ALICE_KEYS},
                {"id": "bob", "keys": [{"access_key": "AKBOB", "secret_key": "secret"}]},
            ],
        )
        self.app = S3App(config)
        self.signers: dict[str, Signer | None] = {
            "alice": Signer("AKALICE", "secret"),
            "bob": Signer("AKBOB", "secret"),
            "nobody": None,
            **{name: Signer(name, "secret") for name in SCOPES},
        }
        self.whos = {
            "alice": (Who(key="AKALICE"), Who(account="alice")),
            "bob": (Who(key="AKBOB"), Who(account="bob")),
            "nobody": (Who(anonymous=True),),
            **{name: (Who(key=name),) for name in SCOPES},
        }
        self._fill()
        self._users()
        self.judging = Rehearsal(config)

    def _fill(self) -> None:
        alice, bob = (Client(self.app, self.signers[name]) for name in ("alice", "bob"))
        for path in ("/photos", "/photos/in/a", "/photos/out/a", "/photos/inside/a", "/open"):
            assert alice.put(path).status == 200
        assert alice.put("/photos", document(BUCKET_POLICY).encode(), "policy").status == 204
        assert alice.put("/open", query="acl", x_amz_acl="public-read-write").status == 200
        assert alice.put("/open/public", b"x", x_amz_acl="public-read").status == 200
        assert alice.put("/open/private", b"x").status == 200
        assert bob.put("/open/his", b"x").status == 200

    def _users(self) -> None:
        accounts = self.app.store.accounts
        accounts.create(id="carl")
        accounts.users.create("alice", "camera", {"own": document(USER_POLICY)})
        made = accounts.create_key("alice", user="camera")
        self.signers["camera"] = Signer(made.access_key, made.secret_key)
        self.whos["camera"] = (Who(key=made.access_key), Who(account="alice", user="camera"))
        made = accounts.create_key("carl")
        accounts.keys.disable(made.access_key)
        self.signers["disabled"] = Signer(made.access_key, made.secret_key)
        self.whos["disabled"] = (Who(key=made.access_key),)
        self.app.store.roles.create(
            "alice", "reader", trust=document(TRUST), policies={"own": document(USER_POLICY)}
        )
        narrow = document(ONLY_READING)
        self.signers["reader"] = self._assumed("")
        self.signers["narrow reader"] = self._assumed(narrow)
        role = Who(account="alice", role="reader")
        self.whos["reader"] = (role,)
        rules = session_rules(narrow)
        self.whos["narrow reader"] = (Who(account="alice", role="reader", session_policy=rules),)

    def _assumed(self, policy: str) -> Signer:
        arn = "arn:aws:iam::alice:role/reader"
        body = f"Action=AssumeRole&Version=2011-06-15&RoleArn={arn}&RoleSessionName=me"
        body += f"&Policy={policy}" if policy else ""
        headers = {"content-type": "application/x-www-form-urlencoded"}
        request = AWSRequest(method="POST", url="http://s3.test/", data=body, headers=headers)
        SigV4Auth(Credentials("AKALICE", "secret"), "sts", "us-east-1").add_auth(request)
        client = Client(self.app, None)
        sent = {**dict(request.headers.items()), "Host": "s3.test"}
        answer = client.send("POST", "/", sent, body.encode())
        found = {each.tag: each.text or "" for each in answer.xml.iter()}
        return Signer(found["AccessKeyId"], found["SecretAccessKey"], found["SessionToken"])

    def close(self) -> None:
        self.judging.close()
        self.app.close()


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    made = Stage(tmp_path_factory.mktemp("agrees"))
    yield made
    made.close()


_numbers = itertools.count()


@pytest.mark.parametrize("name", REFUSED)
def test_explain_says_what_the_endpoint_does(stage: Stage, name: str) -> None:
    refused = 0
    for each in REQUESTS:
        number = f"n{next(_numbers)}"
        target, resource = each.target.replace("#", number), each.resource.replace("#", number)
        place = (name, each.method, target)
        said = [
            judge(
                stage.app, who, each.action, resource, each.version_id, each.peer, each.given
            ).decision.allowed
            for who in stage.whos[name]
        ]
        client = Client(stage.app, stage.signers[name])
        headers = client.signed_headers(each.method, target, each.headers, each.body)
        captured = Captured(each.method, target, tuple(headers.items()), each.body)
        report = explain_request(
            stage.judging, captured, Place("http", peer=each.peer), time.time()
        )
        environ = {"REMOTE_ADDR": each.peer}
        answer = client.send(each.method, target, headers, each.body, environ=environ)
        assert answer.status not in (500, 501), place
        done = answer.status != 403
        assert said == [done] * len(said), (place, answer.body)
        assert (report.answer.error is None) or not done or answer.status == 404, place
        if not done:
            refused += 1
            assert report.answer.error is not None, (place, answer.body)
            if each.method != "HEAD":
                assert report.answer.error.code == answer.code, place
            assert not report.allowed
    assert refused == REFUSED[name]
