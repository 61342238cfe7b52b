"""An endpoint with three accounts, and botocore as the judge of what it says.

``parsed`` reads an answer with botocore's own parser and refuses every element that the service
model does not have in that place, so a misnamed or misplaced element fails the test.
"""

from __future__ import annotations

import base64
import functools
import io
import itertools
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from xml.etree import ElementTree

import botocore.awsrequest
import botocore.config
import botocore.parsers
import botocore.session
import urllib3

from s3kit.app import S3App
from s3kit.config import Config
from tests.client import Answer
from tests.client import Client
from tests.client import Signer
from tests.client import call
from tests.client import make_environ

OWNER = Signer("AKOWNER", "owner-secret")
OTHER = Signer("AKOTHER", "other-secret")
OWNER_ID = "owner-id"
OTHER_ID = "other-id"

ACCOUNTS = (
    {
        "id": OWNER_ID,
        "name": "Olive Owner",
        "email": "olive@example.com",
        "keys": [{"access_key": OWNER.access_key, "secret_key": OWNER.secret_key}],
    },
    {
        "id": OTHER_ID,
        "name": "Otto Other",
        "email": "otto@example.com",
        "keys": [{"access_key": OTHER.access_key, "secret_key": OTHER.secret_key}],
    },
)

ACLS_COUNT: dict[str, Any] = {"object_ownership": "none", "block_public_access": False}
"""Settings with which ACLs and public policies count in new buckets; by default none does."""

MASTER_KEY = base64.b64encode(b"master key of the tests, 32 byte").decode()
KMS_KEYS = {
    "first": base64.b64encode(b"first named key of the tests, 32").decode(),
    "second": base64.b64encode(b"second named key of the tests 32").decode(),
}

_numbers = itertools.count(1)


def fresh_name(stem: str = "bucket") -> str:
    """A bucket name that no other test has."""
    return f"{stem}-{next(_numbers)}"


def make_app(storage: str, folder: Path, **settings: Any) -> S3App:
    """An app over ``memory`` or ``file`` storages; the second storage takes ``far-*`` buckets.

    ACLs count in new buckets, for much of S3 cannot be seen without; ``object_ownership=""`` and
    ``block_public_access=None`` make them as the profile has it.
    """
    if storage == "memory":
        storages = {"default": "memory://", "far": "memory://"}
        index = "memory://"
    else:
        storages = {"default": str(folder / "near"), "far": str(folder / "far")}
        index = f"sqlite:///{folder / 'index.db'}"
    values: dict[str, Any] = {
        "storages": storages,
        "index": index,
        "durability": "relaxed",
        "accounts": ACCOUNTS,
        "place": {"far-*": "far"},
        "master_keys": (MASTER_KEY,),
        "kms_keys": KMS_KEYS,
        **ACLS_COUNT,
        **settings,
    }
    return S3App(Config(**values))


# -- botocore's parser over our bytes


@functools.cache
def botocore_session() -> Any:
    """One for all clients: each session reads botocore's models anew, for a tenth of a second."""
    return botocore.session.Session()


@functools.cache
def service_model() -> Any:
    """botocore's model of S3."""
    return botocore_session().get_service_model("s3")


def parsed(operation: str, answer: Answer) -> dict[str, Any]:
    """What botocore's parser makes of an answer, every element of it known to the model."""
    shape = service_model().operation_model(operation).output_shape
    if shape is not None and answer.body and answer.status < 300:
        payload = shape.serialization.get("payload")
        member = shape.members[payload] if payload else shape
        if member.type_name == "structure":
            refuse_strangers(member, ElementTree.fromstring(answer.body))
    parser = botocore.parsers.create_parser("rest-xml")
    return dict(
        parser.parse(
            {
                "body": answer.body,
                "headers": botocore.awsrequest.HeadersDict(answer.headers),
                "status_code": answer.status,
                "context": {"operation_name": operation},
            },
            shape,
        )
    )


def refuse_strangers(shape: Any, element: ElementTree.Element) -> None:
    """Fail on an element that the shape does not have, at any depth, and on repeated ones."""
    members = {}
    for name, member in shape.members.items():
        if member.serialization.get("location") in ("header", "headers", "statusCode"):
            continue
        wire = member.serialization.get("name", name)
        if member.type_name == "list" and member.serialization.get("flattened"):
            wire = member.serialization.get("name") or member.member.serialization.get("name", name)
        members[wire] = member
    seen = set()
    for child in element:
        tag = child.tag.rpartition("}")[2]
        assert tag in members, f"{element.tag} has no {tag}, but {sorted(members)}"
        member = members[tag]
        flat = member.type_name == "list" and member.serialization.get("flattened")
        assert flat or tag not in seen, f"{tag} is there twice"
        seen.add(tag)
        if member.type_name == "structure":
            refuse_strangers(member, child)
        elif flat and member.member.type_name == "structure":
            refuse_strangers(member.member, child)
        elif member.type_name == "list":
            item = member.member.serialization.get("name", "member")
            for entry in child:
                assert entry.tag.rpartition("}")[2] == item
                if member.member.type_name == "structure":
                    refuse_strangers(member.member, entry)
        else:
            assert len(child) == 0, f"{tag} has children"


# -- botocore as a client, without sockets


def botocore_client(
    signer: Signer | None, endpoint: str, region: str = "us-east-1", **config: Any
) -> Any:
    """A botocore S3 client of this signer; ``config`` is botocore's."""
    return botocore_session().create_client(
        "s3",
        region_name=region,
        endpoint_url=endpoint,
        aws_access_key_id=signer.access_key if signer else None,
        aws_secret_access_key=signer.secret_key if signer else None,
        aws_session_token=signer.token if signer else None,
        config=botocore.config.Config(**config),
    )


def boto_client(
    app: Any,
    signer: Signer | None = OWNER,
    *,
    mount: str = "",
    endpoint: str = "http://s3.test",
    region: str = "us-east-1",
    **config: Any,
) -> Any:
    """A botocore S3 client whose requests go straight into a WSGI app.

    Over an https ``endpoint`` botocore sends its checksums in trailers.
    """
    client = botocore_client(
        signer,
        endpoint + mount,
        region,
        s3={"addressing_style": "path"},
        retries={"total_max_attempts": 1},
        **config,
    )

    def send(request: Any, **kwargs: Any) -> Any:
        url = urlsplit(request.url)
        target = url.path + (f"?{url.query}" if url.query else "")
        body = request.body
        if body is None:
            body = b""
        elif not isinstance(body, bytes):
            body = body.encode() if isinstance(body, str) else body.read()
        headers = {
            name: value.decode() if isinstance(value, bytes) else str(value)
            for name, value in request.headers.items()
        }
        headers.setdefault("Host", url.netloc)
        if "Transfer-Encoding" not in headers:
            headers["Content-Length"] = str(len(body))
        environ = make_environ(request.method, target, headers, body, mount=mount)
        environ["wsgi.url_scheme"] = url.scheme
        answer = call(app, environ)
        raw = urllib3.HTTPResponse(
            body=io.BytesIO(answer.body),
            headers=answer.headers,
            status=answer.status,
            preload_content=False,
            request_method=request.method,
        )
        return botocore.awsrequest.AWSResponse(
            request.url, answer.status, botocore.awsrequest.HeadersDict(answer.headers), raw
        )

    client.meta.events.register("before-send.s3", send)
    return client


__all__ = ["Answer", "Client", "boto_client", "fresh_name", "make_app", "parsed"]
