"""SigV4 in the header, of our own and apart from s3kit's, so that one can check the other.

Source: Amazon S3 API Reference, "Authenticating Requests: Using the Authorization Header".
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import quote

EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()
USER_AGENT = "s3kit-scripts"


@lru_cache(maxsize=64)
def _signing_key(secret_key: str, day: str, region: str) -> bytes:
    key = b"AWS4" + secret_key.encode()
    for part in (day, region, "s3", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


class Signer:
    """Builds signed HTTP/1.1 requests as bytes, ready to be sent.

    :param host: value of the Host header, e.g. ``127.0.0.1:9000``.
    """

    def __init__(
        self, host: str, access_key: str, secret_key: str, region: str = "us-east-1"
    ) -> None:
        self.host = host
        self._access_key = access_key
        self._secret_key = secret_key
        self._region = region

    def headers(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        payload_sha256: str = EMPTY_SHA256,
        extra: Mapping[str, str] | None = None,
    ) -> tuple[str, dict[str, str]]:
        """The request target and the signed headers of one request.

        :param path: not encoded, e.g. ``/bucket/key``.
        :param extra: more headers, lower-case names; all of them are signed.
        """
        now = time.gmtime()
        day = time.strftime("%Y%m%d", now)
        moment = time.strftime("%Y%m%dT%H%M%SZ", now)
        target = quote(path, safe="/-_.~")
        asked = "&".join(
            f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}"
            for name, value in sorted((query or {}).items())
        )
        headers = {
            "host": self.host,
            "x-amz-content-sha256": payload_sha256,
            "x-amz-date": moment,
            **(extra or {}),
        }
        names = sorted(headers)
        signed = ";".join(names)
        canonical = "\n".join(
            (
                method,
                target,
                asked,
                *(f"{name}:{headers[name].strip()}" for name in names),
                "",
                signed,
                payload_sha256,
            )
        )
        scope = f"{day}/{self._region}/s3/aws4_request"
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        text = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{digest}"
        signature = hmac.new(
            _signing_key(self._secret_key, day, self._region), text.encode(), "sha256"
        ).hexdigest()
        headers["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={self._access_key}/{scope}, "
            f"SignedHeaders={signed}, Signature={signature}"
        )
        return (f"{target}?{asked}" if asked else target), headers

    def request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        body: bytes | None = None,
        length: int | None = None,
        payload_sha256: str | None = None,
        extra: Mapping[str, str] | None = None,
    ) -> bytes:
        """One whole request; with ``length`` its head only, for a body that is sent apart.

        :param extra: see :meth:`headers`.
        """
        if payload_sha256 is None:
            payload_sha256 = hashlib.sha256(body).hexdigest() if body else EMPTY_SHA256
        target, headers = self.headers(
            method, path, query, payload_sha256=payload_sha256, extra=extra
        )
        lines = [f"{method} {target} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        lines.append(f"user-agent: {USER_AGENT}")
        if body is not None or length is not None:
            lines.append(f"content-length: {len(body or b'') if length is None else length}")
        return "\r\n".join((*lines, "", "")).encode() + (body or b"")
