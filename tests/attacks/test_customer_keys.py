"""A116: what is sealed with a customer's key opens with that key alone."""

from __future__ import annotations

import base64
import hashlib

import pytest

from tests.attacks.effects import assert_refused
from tests.client import Client

PREFIXES = ("x-amz-server-side-encryption", "x-amz-copy-source-server-side-encryption")


def customer(key: bytes, prefix: str = PREFIXES[0]) -> dict[str, str]:
    digest = hashlib.md5(key, usedforsecurity=False).digest()
    return {
        f"{prefix}-customer-algorithm": "AES256",
        f"{prefix}-customer-key": base64.b64encode(key).decode(),
        f"{prefix}-customer-key-MD5": base64.b64encode(digest).decode(),
    }


@pytest.mark.parametrize("size", [10, 100_000])
def test_a116_a_customers_object_opens_with_its_key_alone(
    s3: Client, bucket: str, size: int
) -> None:
    mine, yours = b"1" * 32, b"2" * 32
    path, data = f"{bucket}/k", b"secret" * size
    assert s3.request("PUT", path, headers=customer(mine), body=data).status == 200
    assert_refused(s3.get(path), "InvalidRequest")
    assert s3.request("GET", path, headers=customer(yours)).code == "AccessDenied"
    half = dict(list(customer(mine).items())[:1])
    assert s3.request("GET", path, headers=half).status == 400
    source = {"x-amz-copy-source": path}
    for key, status in ((None, 400), (yours, 403), (mine, 200)):
        headers = source if key is None else {**source, **customer(key, PREFIXES[1])}
        answer = s3.request("PUT", f"{bucket}/copy", headers=headers)
        assert answer.status == status
        assert s3.head(f"{bucket}/copy").status == (200 if status == 200 else 404)
    assert s3.request("GET", path, headers=customer(mine)).body == data
    assert s3.get(f"{bucket}/copy").body == data
