"""A080 to A086: browser forms. One test per condition is in tests/operations/test_posting.py."""

from __future__ import annotations

import pytest

from tests.attacks.effects import assert_absent
from tests.attacks.effects import assert_denied
from tests.attacks.effects import assert_holds
from tests.attacks.effects import assert_refused
from tests.attacks.effects import keys_of
from tests.attacks.handmade import Signature
from tests.attacks.handmade import form_fields
from tests.attacks.handmade import policy
from tests.attacks.handmade import post_form
from tests.client import Client
from tests.client import Signer
from tests.endpoint import OTHER
from tests.endpoint import OWNER
from tests.endpoint import fresh_name


def conditions(bucket: str, key: str = "k") -> list[object]:
    return [{"bucket": bucket[1:]}, {"key": key}]


def test_a080_a_form_without_a_policy_is_denied_on_a_private_bucket(
    s3: Client, anonymous: Client, bucket: str
) -> None:
    assert_denied(post_form(anonymous, bucket, {"key": "k"}, b"x"))
    # A policy without its signature is no signature.
    unsigned = {"key": "k", "policy": policy(conditions(bucket))}
    assert_refused(post_form(anonymous, bucket, unsigned, b"x"), "InvalidArgument", "AccessDenied")
    assert keys_of(s3, bucket) == []
    signed = form_fields({"key": "k"}, conditions(bucket))
    assert post_form(anonymous, bucket, signed, b"x").status == 204
    assert_holds(s3, f"{bucket}/k", b"x")


@pytest.mark.parametrize(
    ("signer", "codes"),
    [
        (Signer(OWNER.access_key, "wrong"), ["SignatureDoesNotMatch"]),
        (Signer(OWNER.access_key, ""), ["SignatureDoesNotMatch"]),
        (Signer("AKNOBODY", "any"), ["InvalidAccessKeyId"]),
        (OTHER, ["AccessDenied"]),
    ],
)
def test_a081_a_policy_must_be_signed_by_who_may_write(
    s3: Client, anonymous: Client, bucket: str, signer: Signer, codes: list[str]
) -> None:
    fields = form_fields({"key": "k"}, conditions(bucket), how=Signature(signer=signer))
    assert_refused(post_form(anonymous, bucket, fields, b"x"), *codes)
    assert_absent(s3, f"{bucket}/k")


def test_a081_a_changed_policy_or_signature_is_refused(
    s3: Client, anonymous: Client, bucket: str
) -> None:
    fields = form_fields({"key": "k"}, conditions(bucket))
    wider = policy([*conditions(bucket), ["starts-with", "$key", ""]])
    for change in (
        {"policy": wider},
        {"x-amz-signature": "0" * 64},
        {"x-amz-signature": ""},
        {"x-amz-signature": fields["x-amz-signature"][:-1]},
        {"x-amz-credential": fields["x-amz-credential"].replace("us-east-1", "eu-west-1")},
        {"x-amz-algorithm": "none"},
        {"x-amz-date": "20200101T000000Z"},
    ):
        answer = post_form(anonymous, bucket, {**fields, **change}, b"x")
        assert_refused(
            answer,
            "SignatureDoesNotMatch",
            "InvalidArgument",
            "AuthorizationQueryParametersError",
            "AccessDenied",
        )
    assert keys_of(s3, bucket) == []


def test_a082_an_expired_policy_is_denied(s3: Client, anonymous: Client, bucket: str) -> None:
    fields = form_fields({"key": "k"}, conditions(bucket), seconds=-1)
    assert_denied(post_form(anonymous, bucket, fields, b"x"))
    assert_absent(s3, f"{bucket}/k")
    fields = form_fields({"key": "k"}, conditions(bucket), seconds=30)
    assert post_form(anonymous, bucket, fields, b"x").status == 204


@pytest.mark.parametrize("key", ["other", "k/../secret", "uploads", "upload", "K", " k", ""])
def test_a083_the_key_must_meet_its_condition(
    s3: Client, anonymous: Client, bucket: str, secret: str, key: str
) -> None:
    # RustFS GHSA-w5fh-f8xh-5x3p: conditions were parsed, not enforced.
    for wanted in (conditions(bucket), [{"bucket": bucket[1:]}, ["starts-with", "$key", "user/"]]):
        fields = form_fields({"key": key}, wanted)
        answer = post_form(anonymous, bucket, fields, b"evil")
        assert_refused(answer, "AccessDenied", "InvalidArgument")
    assert keys_of(s3, bucket) == ["secret"]
    assert_holds(s3, secret, b"private")


def test_a083_the_expanded_filename_is_what_the_condition_sees(
    s3: Client, anonymous: Client, bucket: str
) -> None:
    wanted = [{"bucket": bucket[1:]}, ["starts-with", "$key", "user/"]]
    fields = form_fields({"key": "${filename}"}, wanted)
    assert_denied(post_form(anonymous, bucket, fields, b"x"))
    fields = form_fields({"key": "user/${filename}"}, wanted)
    assert post_form(anonymous, bucket, fields, b"x").status == 204
    assert keys_of(s3, bucket) == ["user/cat.jpg"]


@pytest.mark.parametrize("size", [0, 9, 101, 5000, 200_000])
def test_a084_the_files_length_is_held_to_its_range(
    s3: Client, anonymous: Client, bucket: str, size: int
) -> None:
    wanted = [*conditions(bucket), ["content-length-range", 10, 100]]
    fields = form_fields({"key": "k"}, wanted)
    answer = post_form(anonymous, bucket, fields, b"x" * size)
    assert_refused(answer, "EntityTooSmall" if size < 10 else "EntityTooLarge")
    assert_absent(s3, f"{bucket}/k")
    for fitting in (10, 100):
        assert post_form(anonymous, bucket, fields, b"x" * fitting).status == 204


@pytest.mark.parametrize(
    "extra",
    [
        {"acl": "public-read"},
        {"x-amz-meta-role": "admin"},
        {"Content-Type": "text/html"},
        {"success_action_redirect": "https://evil.test/"},
        {"tagging": "<Tagging/>"},
        {"x-amz-storage-class": "GLACIER"},
        {"unknown": "field"},
    ],
)
def test_a085_a_field_without_a_condition_is_denied(
    s3: Client, anonymous: Client, bucket: str, extra: dict[str, str]
) -> None:
    fields = form_fields({"key": "k", **extra}, conditions(bucket))
    assert_denied(post_form(anonymous, bucket, fields, b"x"))
    assert_absent(s3, f"{bucket}/k")
    ignored = form_fields({"key": "k", "x-ignore-this": "1"}, conditions(bucket))
    assert post_form(anonymous, bucket, ignored, b"x").status == 204


def test_a086_a_policy_for_one_bucket_does_not_serve_another(
    s3: Client, anonymous: Client, bucket: str
) -> None:
    # MinIO CVE-2023-28434.
    victim = f"/{fresh_name('victim')}"
    s3.put(victim)
    fields = form_fields({"key": "k"}, conditions(bucket))
    assert_denied(post_form(anonymous, victim, fields, b"x"))
    # A field that repeats the policy's bucket does not make it the request's.
    fields = form_fields({"key": "k", "bucket": bucket[1:]}, conditions(bucket))
    assert_denied(post_form(anonymous, victim, fields, b"x"))
    fields = form_fields({"key": f"../{victim[1:]}/k"}, [{"bucket": bucket[1:]}])
    assert_denied(post_form(anonymous, bucket, fields, b"x"))
    assert keys_of(s3, victim) == []
    # Without any condition on the bucket a policy serves nowhere.
    assert_denied(post_form(anonymous, victim, form_fields({"key": "k"}, [{"key": "k"}]), b"x"))
    assert keys_of(s3, victim) == []
