"""What must be seen after a refusal: nothing new, nothing changed, nothing told."""

from __future__ import annotations

from tests.client import Answer
from tests.client import Client


def assert_refused(answer: Answer, *codes: str) -> None:
    """A 4xx with one of these codes, in an S3 error document."""
    assert 400 <= answer.status < 500, (answer.status, answer.body)
    assert answer.code in codes, answer.body


def assert_denied(answer: Answer) -> None:
    """403, and AccessDenied where there is a body to say it."""
    assert answer.status == 403, (answer.status, answer.body)
    assert not answer.body or answer.code == "AccessDenied", answer.body


def assert_absent(owner: Client, path: str) -> None:
    """Nothing is stored there."""
    assert owner.head(path).status == 404


def assert_holds(owner: Client, path: str, body: bytes) -> None:
    """The object has just these bytes."""
    answer = owner.get(path)
    assert (answer.status, answer.body) == (200, body)


def keys_of(owner: Client, bucket: str) -> list[str]:
    """The keys in a bucket."""
    return owner.get(bucket).texts("Contents/Key")


def snapshot(owner: Client, bucket: str) -> dict[str, object]:
    """All that a bucket's owner can see of it."""
    keys = keys_of(owner, bucket)
    seen: dict[str, object] = {
        query: owner.get(bucket, query).body for query in ("acl", "tagging", "uploads", "versions")
    }
    for key in keys:
        answer = owner.get(f"{bucket}/{key}")
        seen[key] = (answer.body, answer.headers["etag"], answer.headers["last-modified"])
        for query in ("acl", "tagging"):
            seen[f"{key}?{query}"] = owner.get(f"{bucket}/{key}", query).body
    # Errors name the request; that differs each time.
    return {
        name: value if b"<RequestId>" not in (value if isinstance(value, bytes) else b"") else None
        for name, value in seen.items()
    }
