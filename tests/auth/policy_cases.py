"""Cases of Amazon's public documentation, as data: a policy, requests, and what becomes of them.

A request is (who, action, resource, context, effect); ``who`` is an account's number, "" for
nobody known. Sources: Amazon S3 User Guide, "Examples of Amazon S3 bucket policies" and "Bucket
policy examples using condition keys"; IAM User Guide, "Condition operators", "Set operators for
multivalued context keys", "NotPrincipal", "NotAction", "NotResource" and "Policy evaluation logic".
"""

from __future__ import annotations

from typing import Any

ALICE, BOB = "111122223333", "444455556666"
ROOT = f"arn:aws:iam::{ALICE}:root"
BUCKET = "arn:aws:s3:::amzn-s3-demo-bucket"
NAME = "amzn-s3-demo-bucket"
KEY = f"{NAME}/key"
GET, PUT, LIST = "s3:GetObject", "s3:PutObject", "s3:ListBucket"

Request = tuple[str, str, str, dict[str, Any], str]


def allow(**members: Any) -> dict[str, Any]:
    return {
        "Effect": "Allow",
        "Principal": "*",
        "Action": GET,
        "Resource": f"{BUCKET}/*",
        **members,
    }


def deny(**members: Any) -> dict[str, Any]:
    return allow(Effect="Deny", **members)


def without(member: str, statement: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in statement.items() if name != member}


def when(operator: str, key: str, *values: str) -> dict[str, Any]:
    return {"Condition": {operator: {key: list(values)}}}


CASES: dict[str, tuple[list[dict[str, Any]], list[Request]]] = {
    "granting read to everybody": (
        [allow()],
        [
            ("", GET, KEY, {}, "Allow"),
            (BOB, GET, KEY, {}, "Allow"),
            ("", PUT, KEY, {}, ""),
            ("", LIST, NAME, {}, ""),
            ("", GET, "another-bucket/key", {}, ""),
        ],
    ),
    "granting permissions to multiple accounts": (
        [allow(Principal={"AWS": [ROOT, BOB]}, Action=[PUT, "s3:PutObjectAcl"])],
        [
            (ALICE, PUT, KEY, {}, "Allow"),
            (BOB, "s3:PutObjectAcl", KEY, {}, "Allow"),
            ("777788889999", PUT, KEY, {}, ""),
            ("", PUT, KEY, {}, ""),
        ],
    ),
    "an explicit deny beats every allow": (
        [allow(), deny(Principal={"AWS": ROOT}), allow(Principal={"AWS": ROOT})],
        [(ALICE, GET, KEY, {}, "Deny"), (BOB, GET, KEY, {}, "Allow")],
    ),
    "restricting access to HTTP requests with a referer": (
        [allow(**when("StringLike", "aws:Referer", "http://www.example.com/*"))],
        [
            ("", GET, KEY, {"aws:referer": "http://www.example.com/page"}, "Allow"),
            ("", GET, KEY, {"aws:referer": "http://www.example.com.evil/page"}, ""),
            ("", GET, KEY, {}, ""),
        ],
    ),
    "requiring encryption in transit": (
        [
            allow(),
            deny(Action="s3:*", **when("Bool", "aws:SecureTransport", "false")),
        ],
        [
            ("", GET, KEY, {"aws:securetransport": "false"}, "Deny"),
            ("", GET, KEY, {"aws:securetransport": "true"}, "Allow"),
        ],
    ),
    "allowing an address range but for one address": (
        [
            allow(
                Action="s3:*",
                Condition={
                    "IpAddress": {"aws:SourceIp": "192.0.2.0/24"},
                    "NotIpAddress": {"aws:SourceIp": "192.0.2.188/32"},
                },
            )
        ],
        [
            ("", GET, KEY, {"aws:sourceip": "192.0.2.1"}, "Allow"),
            ("", GET, KEY, {"aws:sourceip": "192.0.2.188"}, ""),
            ("", GET, KEY, {"aws:sourceip": "192.0.3.1"}, ""),
            ("", GET, KEY, {"aws:sourceip": "::1"}, ""),
            ("", GET, KEY, {}, ""),
        ],
    ),
    "allowing IPv4 and IPv6 addresses": (
        [allow(**when("IpAddress", "aws:SourceIp", "54.240.143.0/24", "2001:DB8:1234:5678::/64"))],
        [
            ("", GET, KEY, {"aws:sourceip": "54.240.143.7"}, "Allow"),
            ("", GET, KEY, {"aws:sourceip": "2001:db8:1234:5678::1"}, "Allow"),
            ("", GET, KEY, {"aws:sourceip": "2001:db8:1234:5679::1"}, ""),
        ],
    ),
    "denying all but a range": (
        [allow(), deny(Action="s3:*", **when("NotIpAddress", "aws:SourceIp", "192.0.2.0/24"))],
        [
            ("", GET, KEY, {"aws:sourceip": "192.0.2.7"}, "Allow"),
            ("", GET, KEY, {"aws:sourceip": "198.51.100.7"}, "Deny"),
            ("", GET, KEY, {}, "Deny"),
        ],
    ),
    "requiring bucket-owner-full-control": (
        [
            allow(
                Principal={"AWS": ROOT},
                Action=PUT,
                **when("StringEquals", "s3:x-amz-acl", "bucket-owner-full-control"),
            )
        ],
        [
            (ALICE, PUT, KEY, {"s3:x-amz-acl": "bucket-owner-full-control"}, "Allow"),
            (ALICE, PUT, KEY, {"s3:x-amz-acl": "private"}, ""),
            (ALICE, PUT, KEY, {}, ""),
        ],
    ),
    "requiring server-side encryption": (
        [
            allow(Action=PUT),
            deny(Action=PUT, **when("Null", "s3:x-amz-server-side-encryption", "true")),
        ],
        [
            (ALICE, PUT, KEY, {}, "Deny"),
            (ALICE, PUT, KEY, {"s3:x-amz-server-side-encryption": "AES256"}, "Allow"),
        ],
    ),
    "listing with a prefix": (
        [
            allow(
                Principal={"AWS": ROOT},
                Action=LIST,
                Resource=BUCKET,
                Condition={
                    "StringEquals": {"s3:prefix": ["", "home/"], "s3:delimiter": ["/"]},
                },
            ),
            allow(Principal={"AWS": BOB}, Action=LIST, Resource=BUCKET)
            | when("StringLike", "s3:prefix", "home/bob/*"),
        ],
        [
            (ALICE, LIST, NAME, {"s3:prefix": "home/", "s3:delimiter": "/"}, "Allow"),
            (ALICE, LIST, NAME, {"s3:prefix": "home/bob/", "s3:delimiter": "/"}, ""),
            (ALICE, LIST, NAME, {"s3:prefix": "home/"}, ""),
            (BOB, LIST, NAME, {"s3:prefix": "home/bob/x"}, "Allow"),
            (BOB, LIST, NAME, {"s3:prefix": "home/bobby/"}, ""),
            (BOB, LIST, NAME, {}, ""),
        ],
    ),
    "a maximum number of keys": (
        [
            allow(Action=LIST, Resource=BUCKET),
            deny(Action=LIST, Resource=BUCKET, **when("NumericGreaterThan", "s3:max-keys", "10")),
        ],
        [
            (ALICE, LIST, NAME, {"s3:max-keys": "10"}, "Allow"),
            (ALICE, LIST, NAME, {"s3:max-keys": "11"}, "Deny"),
            (ALICE, LIST, NAME, {}, "Allow"),
        ],
    ),
    "reading a version": (
        [
            allow(Action="s3:GetObjectVersion", Resource=f"{BUCKET}/HappyFace.jpg")
            | when("StringEquals", "s3:VersionId", "AaaHbAQitwiL_h47_44lRO2DDfLlBO5e")
        ],
        [
            (
                ALICE,
                "s3:GetObjectVersion",
                f"{NAME}/HappyFace.jpg",
                {"s3:versionid": "AaaHbAQitwiL_h47_44lRO2DDfLlBO5e"},
                "Allow",
            ),
            (ALICE, "s3:GetObjectVersion", f"{NAME}/HappyFace.jpg", {"s3:versionid": "x"}, ""),
            (ALICE, GET, f"{NAME}/HappyFace.jpg", {}, ""),
        ],
    ),
    "copying from one folder only": (
        [
            allow(Principal={"AWS": ROOT}, Action=PUT),
            deny(
                Principal={"AWS": ROOT},
                Action=PUT,
                **when("StringNotLike", "s3:x-amz-copy-source", "source/public/*"),
            ),
        ],
        [
            (ALICE, PUT, KEY, {"s3:x-amz-copy-source": "source/public/a"}, "Allow"),
            (ALICE, PUT, KEY, {"s3:x-amz-copy-source": "source/private/a"}, "Deny"),
            (ALICE, PUT, KEY, {}, "Deny"),
        ],
    ),
    "reading objects with a tag": (
        [allow(**when("StringEquals", "s3:ExistingObjectTag/environment", "production"))],
        [
            ("", GET, KEY, {"s3:existingobjecttag/environment": "production"}, "Allow"),
            ("", GET, KEY, {"s3:existingobjecttag/environment": "test"}, ""),
            ("", GET, KEY, {}, ""),
        ],
    ),
    "only these tag keys, all of them known": (
        [
            allow(
                Action="s3:PutObjectTagging",
                **when("ForAllValues:StringLike", "s3:RequestObjectTagKeys", "Owner", "Cre*Date"),
            )
        ],
        [
            ("", "s3:PutObjectTagging", KEY, {"s3:requestobjecttagkeys": ["Owner"]}, "Allow"),
            (
                "",
                "s3:PutObjectTagging",
                KEY,
                {"s3:requestobjecttagkeys": ["Owner", "CreationDate"]},
                "Allow",
            ),
            ("", "s3:PutObjectTagging", KEY, {"s3:requestobjecttagkeys": ["Owner", "x"]}, ""),
            ("", "s3:PutObjectTagging", KEY, {}, "Allow"),
        ],
    ),
    "at least one of these tag keys": (
        [
            allow(
                Action="s3:PutObjectTagging",
                **when("ForAnyValue:StringEquals", "s3:RequestObjectTagKeys", "Owner"),
            )
        ],
        [
            ("", "s3:PutObjectTagging", KEY, {"s3:requestobjecttagkeys": ["a", "Owner"]}, "Allow"),
            ("", "s3:PutObjectTagging", KEY, {"s3:requestobjecttagkeys": ["a"]}, ""),
            ("", "s3:PutObjectTagging", KEY, {}, ""),
        ],
    ),
    "NotAction with Allow": (
        [without("Action", allow(NotAction=["s3:DeleteObject", "s3:Put*"]))],
        [
            ("", GET, KEY, {}, "Allow"),
            ("", "s3:DeleteObject", KEY, {}, ""),
            ("", PUT, KEY, {}, ""),
        ],
    ),
    "NotResource with Deny": (
        [
            allow(),
            without("Resource", deny(NotResource=[f"{BUCKET}/public/*", f"{BUCKET}/?"])),
        ],
        [
            ("", GET, f"{NAME}/public/a", {}, "Allow"),
            ("", GET, f"{NAME}/a", {}, "Allow"),
            ("", GET, f"{NAME}/private/a", {}, "Deny"),
        ],
    ),
    "NotPrincipal with Deny": (
        [allow(), without("Principal", deny(NotPrincipal={"AWS": ROOT}))],
        [
            (ALICE, GET, KEY, {}, "Allow"),
            (BOB, GET, KEY, {}, "Deny"),
            ("", GET, KEY, {}, "Deny"),
        ],
    ),
    "IfExists": (
        [allow(**when("StringLikeIfExists", "aws:Referer", "http://www.example.com/*"))],
        [
            ("", GET, KEY, {}, "Allow"),
            ("", GET, KEY, {"aws:referer": "http://www.example.com/a"}, "Allow"),
            ("", GET, KEY, {"aws:referer": "http://example.com"}, ""),
        ],
    ),
    "between two dates": (
        [
            allow(
                Condition={
                    "DateGreaterThan": {"aws:CurrentTime": "2020-04-01T00:00:00Z"},
                    "DateLessThan": {"aws:CurrentTime": "2020-06-30T23:59:59Z"},
                }
            )
        ],
        [
            ("", GET, KEY, {"aws:currenttime": "2020-05-01T12:00:00Z"}, "Allow"),
            ("", GET, KEY, {"aws:currenttime": "2020-04-01T00:00:00Z"}, ""),
            ("", GET, KEY, {"aws:currenttime": "2020-07-01T00:00:00Z"}, ""),
        ],
    ),
    "several keys are ANDed, several values ORed": (
        [
            allow(
                Condition={
                    "StringEquals": {"s3:x-amz-acl": ["private", "public-read"]},
                    "Bool": {"aws:SecureTransport": "true"},
                }
            )
        ],
        [
            (
                "",
                GET,
                KEY,
                {"s3:x-amz-acl": "public-read", "aws:securetransport": "true"},
                "Allow",
            ),
            ("", GET, KEY, {"s3:x-amz-acl": "public-read", "aws:securetransport": "false"}, ""),
            ("", GET, KEY, {"aws:securetransport": "true"}, ""),
        ],
    ),
    "a path-scoped grant": (
        [allow(Resource=f"{BUCKET}/foo/*")],
        [
            ("", GET, f"{NAME}/foo/bar", {}, "Allow"),
            ("", GET, f"{NAME}/foo/", {}, "Allow"),
            ("", GET, f"{NAME}/foobar", {}, ""),
            ("", GET, f"{NAME}/foo", {}, ""),
            ("", GET, f"{NAME}/Foo/bar", {}, ""),
        ],
    ),
    "an ARN, part by part": (
        [allow(**when("ArnLike", "aws:PrincipalArn", "arn:aws:iam::111122223333:user/team-?/*"))],
        [
            (
                ALICE,
                GET,
                KEY,
                {"aws:principalarn": "arn:aws:iam::111122223333:user/team-a/ann"},
                "Allow",
            ),
            (
                ALICE,
                GET,
                KEY,
                {"aws:principalarn": "arn:aws:iam::444455556666:user/team-a/ann"},
                "",
            ),
        ],
    ),
}
