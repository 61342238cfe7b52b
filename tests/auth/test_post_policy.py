"""s3kit.auth.post_policy: browser forms, by AWS's example, botocore, and one test per condition."""

from __future__ import annotations

import base64
import datetime
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from typing import Any

import pytest
from botocore.auth import S3SigV4PostAuth
from botocore.awsrequest import AWSRequest
from hypothesis import given
from hypothesis import strategies as st

from s3kit.auth.post_policy import Verdict
from s3kit.auth.post_policy import check_form
from s3kit.auth.post_policy import parse_policy
from s3kit.errors import AccessDenied
from s3kit.errors import AuthorizationQueryParametersError
from s3kit.errors import InvalidAccessKeyId
from s3kit.errors import InvalidArgument
from s3kit.errors import InvalidPolicyDocument
from s3kit.errors import InvalidRequest
from s3kit.errors import InvalidToken
from s3kit.errors import NotImplemented
from s3kit.errors import S3Error
from s3kit.errors import SignatureDoesNotMatch
from s3kit.model import Key
from tests.auth.signing import ALICE
from tests.auth.signing import EXAMPLE_KEY
from tests.auth.signing import EXAMPLE_RING
from tests.auth.signing import KEY
from tests.auth.signing import KEY_RING
from tests.auth.signing import SESSION_KEY
from tests.auth.signing import botocore_credentials

ANYTHING = st.text(st.characters(exclude_categories=()))
BUCKET = "photos"
REQUIRED = ["policy", "x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-signature"]

EXAMPLE_POLICY = (
    "eyAiZXhwaXJhdGlvbiI6ICIyMDE1LTEyLTMwVDEyOjAwOjAwLjAwMFoiLA0KICAiY29uZGl0aW9ucyI6IFsNCiAgICB7"
    "ImJ1Y2tldCI6ICJzaWd2NGV4YW1wbGVidWNrZXQifSwNCiAgICBbInN0YXJ0cy13aXRoIiwgIiRrZXkiLCAidXNlci91"
    "c2VyMS8iXSwNCiAgICB7ImFjbCI6ICJwdWJsaWMtcmVhZCJ9LA0KICAgIHsic3VjY2Vzc19hY3Rpb25fcmVkaXJlY3Qi"
    "OiAiaHR0cDovL3NpZ3Y0ZXhhbXBsZWJ1Y2tldC5zMy5hbWF6b25hd3MuY29tL3N1Y2Nlc3NmdWxfdXBsb2FkLmh0bWwi"
    "fSwNCiAgICBbInN0YXJ0cy13aXRoIiwgIiRDb250ZW50LVR5cGUiLCAiaW1hZ2UvIl0sDQogICAgeyJ4LWFtei1tZXRh"
    "LXV1aWQiOiAiMTQzNjUxMjM2NTEyNzQifSwNCiAgICB7IngtYW16LXNlcnZlci1zaWRlLWVuY3J5cHRpb24iOiAiQUVT"
    "MjU2In0sDQogICAgWyJzdGFydHMtd2l0aCIsICIkeC1hbXotbWV0YS10YWciLCAiIl0sDQoNCiAgICB7IngtYW16LWNy"
    "ZWRlbnRpYWwiOiAiQUtJQUlPU0ZPRE5ON0VYQU1QTEUvMjAxNTEyMjkvdXMtZWFzdC0xL3MzL2F3czRfcmVxdWVzdCJ9"
    "LA0KICAgIHsieC1hbXotYWxnb3JpdGhtIjogIkFXUzQtSE1BQy1TSEEyNTYifSwNCiAgICB7IngtYW16LWRhdGUiOiAi"
    "MjAxNTEyMjlUMDAwMDAwWiIgfQ0KICBdDQp9"
)
EXAMPLE_FORM = {
    "key": "user/user1/cat.jpg",
    "acl": "public-read",
    "success_action_redirect": "http://sigv4examplebucket.s3.amazonaws.com/successful_upload.html",
    "content-type": "image/jpeg",
    "x-amz-meta-uuid": "14365123651274",
    "x-amz-server-side-encryption": "AES256",
    "x-amz-credential": "AKIAIOSFODNN7EXAMPLE/20151229/us-east-1/s3/aws4_request",
    "x-amz-algorithm": "AWS4-HMAC-SHA256",
    "x-amz-date": "20151229T000000Z",
    "x-amz-meta-tag": "",
    "policy": EXAMPLE_POLICY,
    "x-amz-signature": "8afdbf4008c03f22c2cd3cdb72e4afbb1f6a588f3255ac628749a66d7f09699e",
}
EXAMPLE_NOW = 1451347200.0


def expiration(seconds: float = 600) -> str:
    moment = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def botocore_form(
    conditions: list[Any],
    fields: Mapping[str, str],
    *,
    expires: str | None = None,
    key: Key = KEY,
    region: str = "us-east-1",
) -> dict[str, str]:
    """A form as botocore signs it now, its field names in lower case."""
    request = AWSRequest("POST", f"http://s3.example.com/{BUCKET}")
    # botocore writes its own conditions and fields into the same objects.
    request.context["s3-presign-post-policy"] = {
        "expiration": expires or expiration(),
        "conditions": conditions,
    }
    request.context["s3-presign-post-fields"] = dict(fields)
    S3SigV4PostAuth(botocore_credentials(key), "s3", region).add_auth(request)
    return {
        name.lower(): value for name, value in request.context["s3-presign-post-fields"].items()
    }


def judge(fields: Mapping[str, str], **more: Any) -> Verdict:
    more = {"bucket": BUCKET, "now": time.time(), **more}
    return check_form(fields, key_ring=KEY_RING, **more)


def decide(conditions: list[Any], fields: Mapping[str, str], **more: Any) -> Verdict:
    """Judge a form with these conditions besides those on its bucket and key."""
    everywhere = [{"bucket": BUCKET}, ["starts-with", "$key", ""]]
    return judge(botocore_form([*everywhere, *conditions], {"key": "cat.jpg", **fields}, **more))


def sign(policy: str, key: Key = KEY) -> dict[str, str]:
    """The fields of a form whose policy is this text, in base64 or not."""
    date = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    scope = f"{date[:8]}/us-east-1/s3/aws4_request"
    secret = f"AWS4{key.secret_key}".encode()
    for word in scope.split("/"):
        secret = hmac.new(secret, word.encode(), hashlib.sha256).digest()
    return {
        "key": "cat.jpg",
        "policy": policy,
        "x-amz-algorithm": "AWS4-HMAC-SHA256",
        "x-amz-credential": f"{key.access_key}/{scope}",
        "x-amz-date": date,
        "x-amz-signature": hmac.new(secret, policy.encode(), hashlib.sha256).hexdigest(),
    }


def encode(document: Any) -> str:
    return base64.b64encode(json.dumps(document).encode()).decode()


# -- the signature


def test_the_documented_example_verifies() -> None:
    verdict = check_form(EXAMPLE_FORM, "sigv4examplebucket", EXAMPLE_RING, now=EXAMPLE_NOW)
    assert verdict.identity.kind == "form"
    assert verdict.identity.caller.access_key == EXAMPLE_KEY.access_key
    assert verdict.identity.payload == "UNSIGNED-PAYLOAD"
    assert verdict.length_range is None


def test_what_botocore_signs_verifies() -> None:
    verdict = decide([{"acl": "private"}], {"acl": "private"})
    assert verdict.identity.caller.account is ALICE


def test_a_form_without_a_policy_is_anonymous() -> None:
    """A080: Access decides what an anonymous caller may store."""
    verdict = judge({"key": "cat.jpg", "acl": "private"})
    assert verdict.identity.caller.anonymous
    assert verdict.length_range is None


@pytest.mark.parametrize("name", REQUIRED)
def test_a_form_with_only_some_of_the_signatures_fields_is_refused(name: str) -> None:
    """A080: to leave out the signature does not make the policy's author anonymous."""
    fields = botocore_form([{"bucket": BUCKET}, {"key": "cat.jpg"}], {"key": "cat.jpg"})
    assert judge(fields).identity.kind == "form"
    for form in ({**fields, name: ""}, {k: v for k, v in fields.items() if k != name}):
        with pytest.raises(InvalidArgument, match=f"(?i)a field named '{name}'"):
            judge(form)


@pytest.mark.parametrize("signature", ["0" * 64, "0", "é" * 64, "\ud800"])
def test_a_wrong_signature_is_refused(signature: str) -> None:
    """A081."""
    fields = botocore_form([{"bucket": BUCKET}, {"key": "cat.jpg"}], {"key": "cat.jpg"})
    with pytest.raises(SignatureDoesNotMatch) as caught:
        judge({**fields, "x-amz-signature": signature})
    assert caught.value.details["string_to_sign"] == fields["policy"]
    assert KEY.secret_key not in str(caught.value.details)


def test_the_answer_to_a_wrong_signature_shows_no_token() -> None:
    fields = botocore_form([{"bucket": BUCKET}, {"key": "cat.jpg"}], {"key": "cat.jpg"})
    fields |= {"x-amz-signature": "0" * 64, "x-amz-security-token": "T0KEN"}
    with pytest.raises(SignatureDoesNotMatch) as caught:
        judge(fields)
    # The policy has it, and would show it in base64.
    assert "string_to_sign" not in caught.value.details
    assert "T0KEN" not in str(caught.value.details)


def test_a_wrong_secret_another_policy_and_an_unknown_key_are_refused() -> None:
    """A081."""
    conditions = [{"bucket": BUCKET}, {"key": "cat.jpg"}]
    fields = {"key": "cat.jpg"}
    with pytest.raises(SignatureDoesNotMatch):
        judge(botocore_form(conditions, fields, key=Key(KEY.access_key, "wrong", ALICE)))
    with pytest.raises(InvalidAccessKeyId):
        judge(botocore_form(conditions, fields, key=Key("AKIANOBODY", "x", ALICE)))
    other = encode({"expiration": expiration(), "conditions": []})
    with pytest.raises(SignatureDoesNotMatch):
        judge({**botocore_form(conditions, fields), "policy": other})


@pytest.mark.parametrize("name", ["awsaccesskeyid", "signature"])
def test_a_version_2_form_is_refused_clearly(name: str) -> None:
    """IU-06."""
    with pytest.raises(InvalidRequest, match="Please use AWS4-HMAC-SHA256"):
        judge({"key": "cat.jpg", name: "x", "policy": EXAMPLE_POLICY})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x-amz-algorithm", "AWS4-HMAC-SHA1"),
        ("x-amz-credential", "AKIAALICE"),
        ("x-amz-credential", "AKIAALICE/20130524/us-east-1/s3/aws4_request"),
        ("x-amz-date", "today"),
    ],
)
def test_a_malformed_field_of_the_signature_is_refused(name: str, value: str) -> None:
    fields = botocore_form([{"bucket": BUCKET}, {"key": "cat.jpg"}], {"key": "cat.jpg"})
    with pytest.raises(AuthorizationQueryParametersError):
        judge({**fields, name: value})
    with pytest.raises(NotImplemented):
        judge({**fields, "x-amz-algorithm": "AWS4-ECDSA-P256-SHA256"})


def test_a_pinned_region_holds_for_forms_too() -> None:
    """IU-12."""
    conditions = [{"bucket": BUCKET}, {"key": "cat.jpg"}]
    fields = botocore_form(conditions, {"key": "cat.jpg"}, region="eu-west-1")
    assert judge(fields).identity.kind == "form"
    assert judge(fields, region="eu-west-1").identity.kind == "form"
    with pytest.raises(AuthorizationQueryParametersError):
        judge(fields, region="us-east-1")


def test_a_session_token_must_be_the_keys_own() -> None:
    assert decide([], {}, key=SESSION_KEY).identity.caller.access_key == SESSION_KEY.access_key
    for token, error in (("wrong", InvalidToken), (None, InvalidAccessKeyId)):
        key = Key(SESSION_KEY.access_key, SESSION_KEY.secret_key, ALICE, session_token=token)
        with pytest.raises(error):
            decide([], {}, key=key)
    with pytest.raises(InvalidToken):
        decide([], {}, key=Key(KEY.access_key, KEY.secret_key, ALICE, session_token="odd"))


# -- the conditions


def test_an_expired_policy_is_refused() -> None:
    """A082."""
    with pytest.raises(AccessDenied, match=r"Policy expired\."):
        decide([], {}, expires=expiration(-1))


def test_an_exact_condition_holds_the_whole_value() -> None:
    """A083."""
    for condition in ({"acl": "private"}, ["eq", "$acl", "private"], ["EQ", "$ACL", "private"]):
        assert decide([condition], {"acl": "private"}).identity.kind == "form"
        for wrong in ("public-read", "", "Private", "private ", "private,public-read"):
            with pytest.raises(AccessDenied, match="Policy Condition failed"):
                decide([condition], {"acl": wrong})


def test_a_prefix_condition_holds_the_beginning() -> None:
    """A083."""
    condition = ["starts-with", "$x-amz-meta-a", "user/"]
    for right in ("user/", "user/1"):
        assert decide([condition], {"x-amz-meta-a": right}).identity.kind == "form"
    for wrong in ("", "user", "users/1", "/user/", "User/1"):
        with pytest.raises(AccessDenied, match="Policy Condition failed"):
            decide([condition], {"x-amz-meta-a": wrong})


@pytest.mark.parametrize(
    ("condition", "right", "wrong"),
    [
        ({"key": "a/b"}, "a/b", "a/c"),
        (["eq", "$key", "ü"], "ü", "u"),
        (["starts-with", "$key", "user/eric/"], "user/eric/cat", "user/erica/cat"),
    ],
)
def test_a_key_must_be_the_one_that_the_policy_allows(
    condition: Any, right: str, wrong: str
) -> None:
    """A083, seen last in RustFS GHSA-w5fh-f8xh-5x3p."""
    conditions = [{"bucket": BUCKET}, condition]
    assert judge(botocore_form(list(conditions), {"key": right})).identity.kind == "form"
    with pytest.raises(AccessDenied):
        judge(botocore_form(list(conditions), {"key": wrong}))


def test_every_condition_must_hold() -> None:
    conditions = [["starts-with", "$acl", "p"], {"acl": "private"}]
    assert decide(conditions, {"acl": "private"}).identity.kind == "form"
    with pytest.raises(AccessDenied):
        decide(conditions, {"acl": "public-read"})


def test_one_object_may_hold_several_conditions() -> None:
    condition = {"acl": "private", "x-amz-meta-a": "1"}
    assert decide([condition], {"acl": "private", "x-amz-meta-a": "1"}).identity.kind == "form"
    with pytest.raises(AccessDenied):
        decide([condition], {"acl": "private", "x-amz-meta-a": "2"})


@pytest.mark.parametrize("condition", [{"acl": "private"}, ["starts-with", "$acl", ""]])
def test_a_condition_on_a_field_that_is_not_there_fails(condition: Any) -> None:
    with pytest.raises(AccessDenied, match="Policy Condition failed"):
        decide([condition], {})


def test_any_value_is_allowed_by_an_empty_prefix() -> None:
    assert decide([["starts-with", "$acl", ""]], {"acl": "anything"}).identity.kind == "form"


def test_each_of_several_content_types_must_begin_as_the_condition_says() -> None:
    condition = ["starts-with", "$Content-Type", "image/"]
    for right in ("image/png", "image/png,image/jpeg", "image/png, image/jpeg"):
        assert decide([condition], {"content-type": right}).identity.kind == "form"
    for wrong in ("text/html", "image/png,text/html", "text/html,image/png"):
        with pytest.raises(AccessDenied):
            decide([condition], {"content-type": wrong})


@pytest.mark.parametrize("name", ["acl", "x-amz-meta-a", "success_action_redirect", "tagging"])
def test_a_field_without_a_condition_is_refused_by_its_name(name: str) -> None:
    """A085."""
    with pytest.raises(AccessDenied, match=f"Extra input fields: {name}"):
        decide([], {name: "x"})


def test_a_key_without_a_condition_is_refused() -> None:
    """A083, A085."""
    with pytest.raises(AccessDenied, match="Extra input fields: key"):
        judge(botocore_form([{"bucket": BUCKET}], {"key": "cat.jpg"}))


def test_fields_to_ignore_need_no_condition() -> None:
    assert decide([], {"x-ignore-a": "x", "file": "x"}).identity.kind == "form"


def test_a_policy_for_one_bucket_is_none_for_another() -> None:
    """A086, seen in MinIO CVE-2023-28434."""
    conditions = [{"bucket": BUCKET}, {"key": "cat.jpg"}]
    fields = botocore_form(list(conditions), {"key": "cat.jpg"})
    with pytest.raises(AccessDenied):
        judge(fields, bucket="secrets")
    # Nor when the form says that it means the policy's bucket.
    with pytest.raises(AccessDenied):
        judge({**fields, "bucket": BUCKET}, bucket="secrets")
    with pytest.raises(AccessDenied):
        judge({**fields, "bucket": "secrets"})
    assert judge({**fields, "bucket": BUCKET}).identity.kind == "form"


def test_a_policy_must_name_the_bucket() -> None:
    """A086."""
    with pytest.raises(AccessDenied, match="Extra input fields: bucket"):
        judge(botocore_form([{"key": "cat.jpg"}], {"key": "cat.jpg"}))


@pytest.mark.parametrize(
    ("conditions", "wanted"),
    [
        ([], None),
        ([["content-length-range", 1, 10]], (1, 10)),
        ([["content-length-range", 0, 0]], (0, 0)),
        ([["content-length-range", "1", "10"]], (1, 10)),
        ([["content-length-range", 1, 10], ["content-length-range", 5, 20]], (5, 10)),
        ([["content-length-range", 5, 20], ["content-length-range", 1, 10]], (5, 10)),
    ],
)
def test_the_size_that_the_file_may_have_is_told(
    conditions: list[Any], wanted: tuple[int, int] | None
) -> None:
    """A084: whoever reads the file holds it to this."""
    assert decide(conditions, {}).length_range == wanted


# -- the policy's form


@pytest.mark.parametrize(
    "policy",
    [
        "%%%",
        base64.b64encode(b"{").decode(),
        base64.b64encode(b"\xff\xfe{}").decode(),
        base64.b64encode(b"[" * 20000).decode(),
        base64.b64encode(b"9" * 5000).decode(),
        encode([]),
        encode({}),
        encode({"conditions": []}),
        encode({"expiration": expiration()}),
        encode({"expiration": expiration(), "conditions": {}}),
        encode({"expiration": expiration(), "conditions": [], "comment": "x"}),
        encode({"expiration": "tomorrow", "conditions": []}),
        encode({"expiration": 9999999999, "conditions": []}),
        encode({"expiration": "2999-01-01T00:00:00", "conditions": []}),
        *(
            encode({"expiration": expiration(), "conditions": [condition]})
            for condition in (
                "acl",
                {},
                [],
                {"acl": 1},
                {"acl": None},
                ["eq", "$acl"],
                ["eq", "acl", "private"],
                ["eq", "$", "private"],
                ["eq", 1, "private"],
                ["eq", "$acl", 1],
                ["ends-with", "$acl", "private"],
                [1, "$acl", "private"],
                ["content-length-range", 1],
                ["content-length-range", 10, 1],
                ["content-length-range", -1, 1],
                ["content-length-range", "a", "b"],
                ["content-length-range", True, 5],
                ["content-length-range", 0.5, 5],
            )
        ),
    ],
)
def test_a_policy_that_is_none_is_refused_under_a_right_signature(policy: str) -> None:
    with pytest.raises(InvalidPolicyDocument):
        judge(sign(policy))


@pytest.mark.parametrize(
    "moment", ["2015-12-30T12:00:00.000Z", "2015-12-30T12:00:00Z", "2015-12-30T13:00:00+01:00"]
)
def test_an_expiration_is_read_in_iso_8601(moment: str) -> None:
    policy = parse_policy(encode({"expiration": moment, "conditions": []}))
    assert policy.expires == 1451476800


def test_base64_in_lines_is_read() -> None:
    text = base64.encodebytes(json.dumps({"expiration": expiration(), "conditions": []}).encode())
    assert parse_policy(text.decode()).conditions == ()


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | ANYTHING,
    lambda inner: st.lists(inner) | st.dictionaries(ANYTHING, inner),
)


@given(JSON, JSON)
def test_no_policy_makes_it_fail_otherwise_than_by_an_s3_error(first: Any, second: Any) -> None:
    for document in (
        first,
        {"expiration": first, "conditions": second},
        {"expiration": expiration(), "conditions": [first, ["eq", first, second]]},
        {"expiration": expiration(), "conditions": [["content-length-range", first, second]]},
    ):
        try:
            parse_policy(encode(document))
        except InvalidPolicyDocument:
            pass


@given(st.dictionaries(st.sampled_from([*REQUIRED, "key", "x-amz-security-token"]), ANYTHING))
def test_no_fields_make_it_fail_otherwise_than_by_an_s3_error(changed: dict[str, str]) -> None:
    fields = sign(encode({"expiration": expiration(), "conditions": []}))
    with pytest.raises(S3Error) as caught:
        judge({**fields, **changed})
    assert 400 <= caught.value.status < 500
