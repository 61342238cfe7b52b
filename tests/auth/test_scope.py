"""Scopes as data: what a document may say, and that it is written as it was read."""

from __future__ import annotations

import json
from typing import Any

import pytest

from s3kit.auth.scope import read_scope
from s3kit.auth.scope import write_scope
from s3kit.model import Scope


def test_a_document_is_read_and_written_back_the_same() -> None:
    """IU-01, IU-04, IU-11, IU-21: a narrow key is data."""
    document = {
        "paths": ["iup-usa/123/xxxxxxxx/", "other/"],
        "actions": ["s3:Get*", "s3:ListBucket"],
        "read_only": True,
        "manage_buckets": False,
        "deletes": False,
        "expires": "2027-01-31T12:00:00.250Z",
        "networks": ["203.0.113.0/24", "2001:db8::/32"],
        "byte_budget": 10_000,
    }
    scope = read_scope(json.loads(json.dumps(document)))
    assert scope == Scope(
        (("iup-usa", b"123/xxxxxxxx/"), ("other", b"")),
        ("s3:Get*", "s3:ListBucket"),
        True,
        False,
        False,
        1801396800250,
        ("203.0.113.0/24", "2001:db8::/32"),
        10_000,
    )
    assert write_scope(scope) == document
    assert read_scope({}) == Scope()
    assert write_scope(Scope()) == {}


@pytest.mark.parametrize(
    ("document", "scope"),
    [
        ({"paths": ["photos"]}, Scope((("photos", b""),))),
        ({"paths": ["photos/a"]}, Scope((("photos", b"a/"),))),
        ({"paths": ["photos/å/..", "photos/å/../"]}, Scope((("photos", "å/../".encode()),))),
        ({"actions": []}, Scope(actions=())),
        ({"actions": ["S3:getobject", "s3:GetObject"]}, Scope(actions=("s3:GetObject",))),
        ({"expires": 1801396800000}, Scope(expires=1801396800000)),
        ({"expires": "2027-01-31T13:00:00+01:00"}, Scope(expires=1801396800000)),
        ({"expires": 0, "byte_budget": 0}, Scope(byte_budget=0)),
        ({"networks": ["10.1.2.3", "10.9.9.9/8"]}, Scope(networks=("10.1.2.3/32", "10.0.0.0/8"))),
    ],
)
def test_what_is_said_shortly_is_completed(document: dict[str, Any], scope: Scope) -> None:
    """IU-03: a prefix ends with a segment."""
    assert read_scope(document) == scope
    assert read_scope(write_scope(scope)) == scope


@pytest.mark.parametrize(
    ("document", "text"),
    [
        ({"path": ["photos/"]}, 'Did you mean "paths"?'),
        ({"paths": []}, "at least one path"),
        ({"paths": "photos/"}, "list of texts"),
        ({"paths": ["/photos/a/"]}, "must begin with the name of a bucket"),
        ({"paths": ["*/a/"]}, "must begin with the name of a bucket"),
        ({"paths": ["photos/\ud800"]}, "UTF-8"),
        ({"paths": ["photos/" + "a" * 1024]}, "1024 bytes"),
        ({"actions": ["s3:GetObjects"]}, "Did you mean s3:GetObject?"),
        ({"actions": ["s3:Fly*"]}, "no action"),
        ({"actions": ["ec2:*"]}, "no action"),
        ({"actions": "s3:GetObject"}, "list of texts"),
        ({"read_only": 1}, "read_only must be true or false"),
        ({"manage_buckets": None}, "manage_buckets must be true or false"),
        ({"expires": "soon"}, "expires must be a time"),
        ({"expires": 1801396800}, "milliseconds"),
        ({"expires": True}, "expires must be a time"),
        ({"expires": "1969-01-01T00:00:00Z"}, "after 1970"),
        ({"expires": "9999-12-31T23:59:59-23:00"}, "before the year 10000"),
        ({"networks": []}, "at least one network"),
        ({"networks": ["10.0.0.0/40"]}, "no address or network"),
        ({"networks": ["::ffff:10.0.0.1"]}, "one of IPv4"),
        ({"byte_budget": -1}, "number of bytes"),
        ({"byte_budget": True}, "number of bytes"),
        ([], "a table"),
    ],
)
def test_what_is_wrong_is_said(document: Any, text: str) -> None:
    with pytest.raises(ValueError) as raised:
        read_scope(document)
    assert text in str(raised.value)
