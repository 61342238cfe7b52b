"""Requests signed by hand, step by step as AWS documents it, so that each step can be done wrong.

Nothing of s3kit and nothing of botocore signs here: a fault that both shared would not be seen.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
import zlib
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from typing import Any
from urllib.parse import parse_qsl
from urllib.parse import quote

from tests.client import HOST
from tests.client import Answer
from tests.client import Client
from tests.client import Signer
from tests.endpoint import OWNER

EMPTY = hashlib.sha256(b"").hexdigest()
SIGNED_CHUNKS = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
SIGNED_TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"


def amz_date(seconds_from_now: float = 0) -> str:
    """x-amz-date so many seconds from now."""
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(time.time() + seconds_from_now))


@dataclass
class Signature:
    """One signature's parts; every one may be set to what it should not be.

    ``signed`` lists the signed headers, all of them by default. ``scope_date`` is the date's own
    by default.
    """

    signer: Signer = OWNER
    date: str = field(default_factory=amz_date)
    region: str = "us-east-1"
    service: str = "s3"
    terminator: str = "aws4_request"
    scope_date: str | None = None
    signed: Sequence[str] | None = None
    algorithm: str = "AWS4-HMAC-SHA256"

    @property
    def scope(self) -> str:
        day = self.scope_date if self.scope_date is not None else self.date[:8]
        return f"{day}/{self.region}/{self.service}/{self.terminator}"

    @property
    def key(self) -> bytes:
        secret = ("AWS4" + self.signer.secret_key).encode()
        for word in self.scope.split("/"):
            secret = hmac.new(secret, word.encode(), hashlib.sha256).digest()
        return secret

    def over(self, text: str) -> str:
        """The signature of a string to sign."""
        return hmac.new(self.key, text.encode(), hashlib.sha256).hexdigest()

    def of_request(
        self, method: str, path: str, query: str, headers: Mapping[str, str], payload: str
    ) -> tuple[str, str]:
        """The signature and the SignedHeaders of a request."""
        lower = {name.lower(): " ".join(value.split()) for name, value in headers.items()}
        names = sorted(lower) if self.signed is None else list(self.signed)
        block = "".join(f"{name}:{lower.get(name, '')}\n" for name in names)
        pairs = sorted(
            (quote(name, safe="-_.~"), quote(value, safe="-_.~"))
            for name, value in parse_qsl(query, keep_blank_values=True)
        )
        canonical_query = "&".join(f"{name}={value}" for name, value in pairs)
        listed = ";".join(names)
        canonical = f"{method}\n{path}\n{canonical_query}\n{block}\n{listed}\n{payload}"
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        return self.over(f"AWS4-HMAC-SHA256\n{self.date}\n{self.scope}\n{digest}"), listed


def sign(
    method: str,
    target: str,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    *,
    payload: str | None = None,
    how: Signature | None = None,
) -> dict[str, str]:
    """The headers of a request signed in its Authorization header."""
    how = how or Signature()
    path, _, query = target.partition("?")
    word = hashlib.sha256(body).hexdigest() if payload is None else payload
    sent = {"Host": HOST, "x-amz-date": how.date, "x-amz-content-sha256": word, **(headers or {})}
    signature, listed = how.of_request(method, path, query, sent, word)
    credential = f"{how.signer.access_key}/{how.scope}"
    sent["Authorization"] = (
        f"{how.algorithm} Credential={credential}, SignedHeaders={listed}, Signature={signature}"
    )
    return sent


def presign(
    method: str,
    target: str,
    *,
    expires: int | str = 300,
    headers: Mapping[str, str] | None = None,
    how: Signature | None = None,
    change: Mapping[str, str | None] | None = None,
) -> str:
    """A presigned target; ``change`` sets or (with None) leaves out parameters before signing."""
    how = how or Signature()
    path, _, query = target.partition("?")
    sent = {"host": HOST, **(headers or {})}
    parameters: dict[str, str | None] = {
        "X-Amz-Algorithm": how.algorithm,
        "X-Amz-Credential": f"{how.signer.access_key}/{how.scope}",
        "X-Amz-Date": how.date,
        "X-Amz-Expires": str(expires),
        "X-Amz-SignedHeaders": ";".join(how.signed or sorted(name.lower() for name in sent)),
        **(change or {}),
    }
    added = "&".join(
        f"{name}={quote(value, safe='-_.~')}"
        for name, value in parameters.items()
        if value is not None
    )
    query = f"{query}&{added}" if query else added
    names = how.signed or sorted(name.lower() for name in sent)
    exact = Signature(**{**how.__dict__, "signed": names})
    signature, _ = exact.of_request(method, path, query, sent, "UNSIGNED-PAYLOAD")
    return f"{path}?{query}&X-Amz-Signature={signature}"


def crc32(data: bytes) -> str:
    """A CRC32 as S3 writes it."""
    return base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()


class Stream:
    """An aws-chunked upload, signed piece by piece; ``frames`` may be changed before it is sent."""

    def __init__(
        self,
        target: str,
        pieces: Sequence[bytes],
        *,
        payload: str = SIGNED_CHUNKS,
        trailer: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        declared: int | None = None,
        how: Signature | None = None,
    ) -> None:
        self.target = target
        self.how = how or Signature()
        length = sum(map(len, pieces)) if declared is None else declared
        sent = {
            "x-amz-decoded-content-length": str(length),
            "Content-Encoding": "aws-chunked",
            **(headers or {}),
        }
        if trailer:
            sent["x-amz-trailer"] = ",".join(trailer)
        self.headers = sign("PUT", target, sent, payload=payload, how=self.how)
        self.frames: list[bytes] = []
        signed = payload != UNSIGNED_TRAILER
        previous = self.headers["Authorization"].rpartition("=")[2]
        for piece in (*pieces, b""):
            line = f"{len(piece):x}"
            if signed:
                digest = hashlib.sha256(piece).hexdigest()
                previous = self._sign("PAYLOAD", previous, f"{EMPTY}\n{digest}")
                line += f";chunk-signature={previous}"
            end = b"\r\n" if piece or not trailer else b""
            self.frames.append(line.encode() + b"\r\n" + piece + end)
        if trailer:
            lines = "".join(f"{name}:{value}\n" for name, value in trailer.items())
            text = lines.replace("\n", "\r\n")
            if signed:
                digest = hashlib.sha256(lines.encode()).hexdigest()
                signature = self._sign("TRAILER", previous, digest)
                text += f"x-amz-trailer-signature:{signature}\r\n"
            self.frames.append(text.encode() + b"\r\n")

    def _sign(self, kind: str, previous: str, rest: str) -> str:
        return self.how.over(
            f"AWS4-HMAC-SHA256-{kind}\n{self.how.date}\n{self.how.scope}\n{previous}\n{rest}"
        )

    @property
    def body(self) -> bytes:
        return b"".join(self.frames)

    def send(self, client: Client, *, target: str | None = None, **headers: str | None) -> Answer:
        """Send it, with headers changed or (None) left out after signing."""
        sent = dict(self.headers)
        for name, value in headers.items():
            name = name.replace("_", "-")
            for there in [each for each in sent if each.lower() == name.lower()]:
                del sent[there]
            if value is not None:
                sent[name] = value
        return client.send("PUT", target or self.target, sent, self.body)


def form_body(
    fields: Mapping[str, str], file: bytes, *, filename: str = "cat.jpg", file_type: str = ""
) -> tuple[str, bytes]:
    """The Content-Type and the body of a browser's form."""
    boundary = "----Boundary7MA4YWxkTrZu0gW"
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    ]
    kind = f"Content-Type: {file_type}\r\n" if file_type else ""
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; '
        f'filename="{filename}"\r\n{kind}\r\n'
    )
    body = "".join(parts).encode() + head.encode() + file + f"\r\n--{boundary}--\r\n".encode()
    return f"multipart/form-data; boundary={boundary}", body


def policy(conditions: Sequence[Any], *, seconds: float = 300) -> str:
    """A POST policy in base64 that lives so long."""
    expiration = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))
    document = {"expiration": expiration, "conditions": list(conditions)}
    return base64.b64encode(json.dumps(document).encode()).decode()


def form_fields(
    fields: Mapping[str, str],
    conditions: Sequence[Any],
    *,
    seconds: float = 300,
    how: Signature | None = None,
) -> dict[str, str]:
    """A form's fields with a signed policy of these conditions and of the signature's own."""
    how = how or Signature()
    own = {
        "x-amz-algorithm": how.algorithm,
        "x-amz-credential": f"{how.signer.access_key}/{how.scope}",
        "x-amz-date": how.date,
    }
    if how.signer.token is not None:
        own["x-amz-security-token"] = how.signer.token
    text = policy([*conditions, *({name: value} for name, value in own.items())], seconds=seconds)
    return {**fields, **own, "policy": text, "x-amz-signature": how.over(text)}


def post_form(client: Client, bucket: str, fields: Mapping[str, str], file: bytes) -> Answer:
    """Send a form, unsigned but for its policy."""
    content_type, body = form_body(fields, file)
    target = client.mount + bucket
    return client.send("POST", target, {"Host": HOST, "Content-Type": content_type}, body)
