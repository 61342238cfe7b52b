"""POST Object: one test per condition of a policy, each form signed by botocore.

What strangers try with forms is in tests/attacks/test_forms.py.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import re
import zlib
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl
from urllib.parse import urlsplit

import pytest

from s3kit.app import S3App
from s3kit.wire.checksums import digest_of
from s3kit.wire.checksums import encode
from tests.client import HOST
from tests.client import Answer
from tests.client import Client
from tests.client import Signer
from tests.endpoint import ACCOUNTS
from tests.endpoint import OTHER
from tests.endpoint import OTHER_ID
from tests.endpoint import OWNER
from tests.endpoint import OWNER_ID
from tests.endpoint import botocore_client
from tests.endpoint import fresh_name
from tests.endpoint import make_app
from tests.endpoint import parsed

FILE = b"the file's bytes"


def multipart(
    fields: Mapping[str, str],
    file: bytes,
    *,
    filename: str = "cat.jpg",
    file_type: str | None = None,
    after: Mapping[str, str] | None = None,
) -> tuple[str, bytes]:
    """A browser's form: the fields in order, the file behind them."""
    boundary = "WebKitFormBoundary0123456789"
    lines = []
    for name, value in fields.items():
        lines.append(
            f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}'
        )
    kind = f"\r\nContent-Type: {file_type}" if file_type else ""
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{filename}"{kind}'
        "\r\n\r\n"
    )
    tail = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}'
        for name, value in (after or {}).items()
    ]
    text = "\r\n".join([*lines, head]).encode() + file
    text += "".join(f"\r\n{each}" for each in tail).encode() + f"\r\n--{boundary}--\r\n".encode()
    return f"multipart/form-data; boundary={boundary}", text


@functools.cache
def signing_client(signer: Signer) -> Any:
    """A botocore client that signs forms; it is never asked to send anything."""
    return botocore_client(signer, f"http://{HOST}", signature_version="s3v4")


class Forms:
    """Makes forms with botocore and posts them to one bucket."""

    def __init__(self, app: S3App, mount: str, bucket: str) -> None:
        self.owner = Client(app, OWNER, mount=mount)
        self.sender = Client(app, None, mount=mount)
        self.bucket = bucket

    def fields(
        self,
        key: str = "k",
        fields: Mapping[str, str] | None = None,
        conditions: list[Any] | None = None,
        *,
        expires: int = 300,
        signer: Signer = OWNER,
        bucket: str | None = None,
    ) -> dict[str, str]:
        """What ``generate_presigned_post`` makes."""
        made = signing_client(signer).generate_presigned_post(
            (bucket or self.bucket).lstrip("/"),
            key,
            Fields=dict(fields or {}),
            Conditions=list(conditions or []),
            ExpiresIn=expires,
        )
        return {name: str(value) for name, value in made["fields"].items()}

    def send(self, fields: Mapping[str, str], file: bytes = FILE, **how: Any) -> Answer:
        bucket = how.pop("bucket", self.bucket)
        content_type, body = multipart(fields, file, **how)
        headers = {"Host": HOST, "Content-Type": content_type}
        return self.sender.send("POST", self.sender.mount + bucket, headers, body)

    def post(
        self,
        fields: Mapping[str, str] | None = None,
        conditions: list[Any] | None = None,
        *,
        key: str = "k",
        file: bytes = FILE,
        **how: Any,
    ) -> Answer:
        """Post a form whose policy has just these conditions and the key's and the bucket's."""
        return self.send(self.fields(key, fields, conditions), file, **how)

    def get(self, key: str = "k") -> Answer:
        return self.owner.get(f"{self.bucket}/{key}")

    def keys(self) -> list[str]:
        return self.owner.get(self.bucket).texts("Contents/Key")

    def refused(self, answer: Answer, code: str = "AccessDenied", status: int = 403) -> None:
        """The answer says so, and nothing was stored."""
        assert (answer.status, answer.code) == (status, code), answer.body
        assert self.keys() == []


@pytest.fixture
def forms(app: S3App, mount: str, bucket: str) -> Forms:
    return Forms(app, mount, bucket)


def test_a_signed_form_stores_its_file(forms: Forms) -> None:
    answer = forms.post()
    etag = f'"{hashlib.md5(FILE, usedforsecurity=False).hexdigest()}"'
    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers["etag"] == etag
    assert answer.headers["location"] == f"http://{HOST}{forms.sender.mount}{forms.bucket}/k"
    assert forms.get().body == FILE
    assert forms.get().headers["content-type"] == "binary/octet-stream"


@pytest.mark.parametrize("size", [0, 1, 5000, 1 << 20, (1 << 20) + 1, 3_000_000])
def test_files_of_any_size_arrive_whole(forms: Forms, size: int) -> None:
    file = bytes(range(251)) * (size // 251) + b"\r\n" * (size % 251 // 2) + b"-" * (size % 2)
    assert forms.post(file=file).status == 204
    assert forms.get().body == file


def test_eq(forms: Forms) -> None:
    condition = ["eq", "$x-amz-meta-a", "right"]
    forms.refused(forms.post({"x-amz-meta-a": "wrong"}, [condition]))
    forms.refused(forms.post({"x-amz-meta-a": "right2"}, [condition]))
    forms.refused(forms.post({"x-amz-meta-a": ""}, [condition]))
    assert forms.post({"x-amz-meta-a": "right"}, [condition]).status == 204
    assert forms.get().headers["x-amz-meta-a"] == "right"


def test_eq_as_an_object(forms: Forms) -> None:
    forms.refused(forms.post({"x-amz-meta-a": "wrong"}, [{"x-amz-meta-a": "right"}]))
    assert forms.post({"x-amz-meta-a": "right"}, [{"x-amz-meta-a": "right"}]).status == 204


def test_starts_with(forms: Forms) -> None:
    condition = ["starts-with", "$x-amz-meta-a", "image/"]
    forms.refused(forms.post({"x-amz-meta-a": "text/image/"}, [condition]))
    forms.refused(forms.post({"x-amz-meta-a": "image"}, [condition]))
    assert forms.post({"x-amz-meta-a": "image/png"}, [condition]).status == 204


def test_starts_with_nothing_is_any_value(forms: Forms) -> None:
    condition = ["starts-with", "$x-amz-meta-a", ""]
    assert forms.post({"x-amz-meta-a": "whatever"}, [condition]).status == 204


@pytest.mark.parametrize("size", [4, 11])
def test_content_length_range_refuses_beyond_both_ends(forms: Forms, size: int) -> None:
    answer = forms.post(conditions=[["content-length-range", 5, 10]], file=b"x" * size)
    assert answer.text("ProposedSize") == str(size)
    forms.refused(answer, "EntityTooSmall" if size < 5 else "EntityTooLarge", 400)


@pytest.mark.parametrize("size", [5, 10])
def test_content_length_range_includes_both_ends(forms: Forms, size: int) -> None:
    answer = forms.post(conditions=[["content-length-range", 5, 10]], file=b"x" * size)
    assert answer.status == 204
    assert forms.get().body == b"x" * size


def test_content_length_range_stops_a_large_file_on_its_way(forms: Forms) -> None:
    answer = forms.post(conditions=[["content-length-range", 0, 10]], file=b"x" * 3_000_000)
    forms.refused(answer, "EntityTooLarge", 400)


def test_bucket(forms: Forms) -> None:
    elsewhere = f"/{fresh_name('elsewhere')}"
    forms.owner.put(elsewhere)
    fields = forms.fields(bucket=elsewhere)
    forms.refused(forms.send(fields))
    assert forms.send(fields, bucket=elsewhere).status == 204


def test_key(forms: Forms) -> None:
    forms.refused(forms.send({**forms.fields("user/me"), "key": "user/you"}))
    forms.refused(forms.send({**forms.fields("user/me"), "key": "user/me2"}))
    assert forms.send(forms.fields("user/me")).status == 204
    assert forms.keys() == ["user/me"]


def test_key_starts_with_filename(forms: Forms) -> None:
    # botocore turns a key that ends in ${filename} into a starts-with condition.
    fields = forms.fields("user/me/${filename}")
    assert forms.send(fields, filename="cat.jpg").status == 204
    assert forms.send(fields, filename="C:\\pictures\\dog.jpg").status == 204
    assert forms.send(fields, filename="../../you/evil.jpg").status == 204
    assert forms.send(fields, filename="").status == 204
    assert forms.keys() == [
        "user/me/",
        "user/me/cat.jpg",
        "user/me/dog.jpg",
        "user/me/evil.jpg",
    ]


def test_filename_in_the_middle(forms: Forms) -> None:
    fields = forms.fields("k", conditions=[["starts-with", "$key", "a/"]])
    # The key's own condition of botocore is another one: so sign by hand what it cannot.
    forms.refused(forms.send({**fields, "key": "a/${filename}/b"}))
    fields = forms.fields("a/${filename}")
    assert forms.send({**fields, "key": "a/${filename}/b"}).status == 204
    assert forms.keys() == ["a/cat.jpg/b"]


def test_keys_of_any_letters(forms: Forms) -> None:
    for key in ("\u00e9\u4e2d\U0001f408", "a b+c%20&?#", "../x", "/lead"):
        assert forms.send(forms.fields(key)).status == 204
    assert sorted(forms.keys()) == sorted(
        ["\u00e9\u4e2d\U0001f408", "a b+c%20&?#", "../x", "/lead"]
    )


def test_a_missing_or_long_key(forms: Forms) -> None:
    fields = forms.fields()
    del fields["key"]
    forms.refused(forms.send(fields), "InvalidArgument", 400)
    forms.refused(forms.send(forms.fields("k" * 1025)), "KeyTooLongError", 400)
    forms.refused(
        forms.send({**forms.fields("a/${filename}")}, filename="x" * 1024), "KeyTooLongError", 400
    )
    assert forms.send(forms.fields("k" * 1024)).status == 204


def test_a_key_that_is_empty_once_the_filename_is_in_it(forms: Forms) -> None:
    fields = forms.fields("${filename}")
    for wrong in ({"filename": ""}, {"filename": "dir/"}):
        answer = forms.send(fields, **wrong)
        assert answer.text("Message") == "User key must have a length greater than 0."
        forms.refused(answer, "InvalidArgument", 400)
    forms.refused(forms.send({**fields, "key": ""}), "InvalidArgument", 400)
    assert forms.send(fields, filename="dir/cat.jpg").status == 204
    assert forms.keys() == ["cat.jpg"]


def test_an_extra_field_without_a_condition(forms: Forms) -> None:
    answer = forms.post({"x-amz-meta-extra": "1"})
    assert "x-amz-meta-extra" in (answer.text("Message") or "")
    forms.refused(answer)
    assert forms.send({**forms.fields(), "x-ignore-extra": "1"}).status == 204


def test_a_condition_without_its_field(forms: Forms) -> None:
    forms.refused(forms.post(conditions=[{"x-amz-meta-a": "1"}]))
    forms.refused(forms.post(conditions=[["starts-with", "$x-amz-meta-a", ""]]))


def test_fields_behind_the_file_count_for_nothing(forms: Forms) -> None:
    answer = forms.post(after={"x-amz-meta-late": "1", "acl": "public-read"})
    assert answer.status == 204
    assert "x-amz-meta-late" not in forms.get().headers
    assert forms.sender.get(f"{forms.bucket}/k").status == 403


def test_expired(forms: Forms) -> None:
    answer = forms.send(forms.fields(expires=-1))
    assert "expired" in (answer.text("Message") or "")
    forms.refused(answer)
    assert forms.send(forms.fields(expires=60)).status == 204


def test_success_action_redirect(forms: Forms) -> None:
    target = "https://app.example/done?user=1"
    condition = ["starts-with", "$success_action_redirect", "https://app.example/"]
    forms.refused(forms.post({"success_action_redirect": "https://evil.test/"}, [condition]))
    answer = forms.post({"success_action_redirect": target}, [condition], key="a b")
    assert answer.status == 303
    parts = urlsplit(answer.headers["location"])
    assert parts._replace(query="").geturl() == "https://app.example/done"
    assert dict(parse_qsl(parts.query)) == {
        "user": "1",
        "bucket": forms.bucket[1:],
        "key": "a b",
        "etag": answer.headers["etag"],
    }
    assert forms.get("a%20b").body == FILE


@pytest.mark.parametrize(
    "target", ["javascript:alert(1)", "not a url", "//evil.test/", "http://", "data:x"]
)
def test_a_redirect_that_is_no_web_address_is_ignored(forms: Forms, target: str) -> None:
    condition = ["starts-with", "$success_action_redirect", ""]
    answer = forms.post({"success_action_redirect": target}, [condition])
    assert answer.status == 204
    assert forms.get().body == FILE


@pytest.mark.parametrize(
    ("wanted", "status"),
    [("200", 200), ("201", 201), ("204", 204), ("404", 204), ("", 204), ("nonsense", 204)],
)
def test_success_action_status(forms: Forms, wanted: str, status: int) -> None:
    answer = forms.post({"success_action_status": wanted}, [{"success_action_status": wanted}])
    assert answer.status == status
    etag = answer.headers["etag"]
    location = answer.headers["location"]
    if status == 201:
        root = answer.xml
        assert root.tag == "PostResponse"
        assert {each.tag: each.text for each in root} == {
            "Location": location,
            "Bucket": forms.bucket[1:],
            "Key": "k",
            "ETag": etag,
        }
    else:
        assert answer.body == b""
    assert forms.get().headers["etag"] == etag


def test_acl(forms: Forms) -> None:
    forms.refused(forms.post({"acl": "public-read"}, [{"acl": "private"}]))
    forms.refused(forms.post({"acl": "nonsense"}, [{"acl": "nonsense"}]), "InvalidArgument", 400)
    assert forms.post({"acl": "public-read"}, [{"acl": "public-read"}]).status == 204
    assert forms.sender.get(f"{forms.bucket}/k").body == FILE
    assert forms.sender.get(forms.bucket).status == 403


def test_content_type(forms: Forms) -> None:
    condition = ["starts-with", "$Content-Type", "image/"]
    forms.refused(forms.post({"Content-Type": "text/html"}, [condition]))
    forms.refused(forms.post({"Content-Type": "image/png,text/html"}, [condition]))
    assert forms.post({"Content-Type": "image/png"}, [condition], file_type="x/y").status == 204
    assert forms.get().headers["content-type"] == "image/png"


def test_the_files_own_content_type_counts_for_nothing(forms: Forms) -> None:
    """No policy covers it, and a page of HTML runs scripts in the name of the bucket's host."""
    assert forms.post(file_type="text/html").status == 204
    assert forms.get().headers["content-type"] == "binary/octet-stream"
    forms.owner.put(forms.bucket, query="acl", x_amz_acl="public-read-write")
    assert forms.send({"key": "k2"}, file_type="text/html").status == 204
    assert forms.get("k2").headers["content-type"] == "binary/octet-stream"


def test_other_stored_headers(forms: Forms) -> None:
    stored = {
        "Cache-Control": "max-age=60",
        "Content-Disposition": 'attachment; filename="x"',
        "Content-Encoding": "gzip",
        "Content-Language": "de",
        "Expires": "Thu, 01 Dec 2033 16:00:00 GMT",
        "x-amz-website-redirect-location": "/elsewhere",
        "x-amz-storage-class": "STANDARD_IA",
    }
    assert forms.post(stored, [{name: value} for name, value in stored.items()]).status == 204
    headers = forms.get().headers
    for name, value in stored.items():
        assert headers[name.lower()] == value
    wrong = {"x-amz-storage-class": "COLD"}
    answer = forms.post(wrong, [wrong], key="other")
    assert answer.status == 400
    assert forms.keys() == ["k"]


def test_metadata(forms: Forms) -> None:
    metadata = {"x-amz-meta-uuid": "14365123651274", "X-Amz-Meta-Tag": "caf\u00e9"}
    conditions = [{name: value} for name, value in metadata.items()]
    assert forms.post(metadata, conditions).status == 204
    headers = forms.get().headers
    assert headers["x-amz-meta-uuid"] == "14365123651274"
    assert headers["x-amz-meta-tag"].startswith("=?UTF-8?")
    large = {"x-amz-meta-large": "x" * 2050}
    answer = forms.post(large, [large], key="other")
    assert (answer.status, answer.code) == (400, "MetadataTooLarge")
    odd = {"x-amz-meta-a b": "x"}
    assert forms.post(odd, [odd], key="other").status == 400
    split = {"Content-Type": "a\r\nx-evil: 1"}
    assert forms.post(split, [["starts-with", "$Content-Type", ""]], key="other").status == 400
    assert forms.keys() == ["k"]


TAGGING = "<Tagging><TagSet><Tag><Key>a</Key><Value>{}</Value></Tag></TagSet></Tagging>"


def test_tagging(forms: Forms) -> None:
    text = TAGGING.format("b")
    forms.refused(forms.post({"tagging": text}, [{"tagging": "<Tagging/>"}]))
    for wrong, code in (
        ("<Tagging>", "InvalidArgument"),
        ("a=b", "InvalidArgument"),
        (TAGGING.format("x" * 257), "InvalidTag"),
    ):
        forms.refused(forms.post({"tagging": wrong}, [{"tagging": wrong}]), code, 400)
    assert forms.post({"tagging": text}, [{"tagging": text}]).status == 204
    answer = forms.owner.get(f"{forms.bucket}/k", "tagging")
    assert parsed("GetObjectTagging", answer)["TagSet"] == [{"Key": "a", "Value": "b"}]


def test_checksum_fields(forms: Forms) -> None:
    right = {
        "x-amz-checksum-crc32": base64.b64encode(zlib.crc32(FILE).to_bytes(4, "big")).decode(),
        "x-amz-checksum-sha1": base64.b64encode(
            hashlib.sha1(FILE, usedforsecurity=False).digest()
        ).decode(),
        "x-amz-checksum-sha256": base64.b64encode(hashlib.sha256(FILE).digest()).decode(),
        "x-amz-checksum-md5": base64.b64encode(hashlib.md5(FILE).digest()).decode(),
        "x-amz-checksum-xxhash128": encode(digest_of("XXHASH128", FILE)),
    }
    for name, value in right.items():
        any_value = [["starts-with", f"${name}", ""]]
        forms.refused(forms.post({name: value}, any_value, file=b"other"), "BadDigest", 400)
        forms.refused(forms.post({name: "nonsense"}, any_value), "InvalidRequest", 400)
    two = dict(list(right.items())[:2])
    forms.refused(forms.post(two, [{n: v} for n, v in two.items()]), "InvalidRequest", 400)
    for name, value in right.items():
        assert forms.post({name: value}, [{name: value}]).status == 204
        headers = forms.owner.head(f"{forms.bucket}/k", x_amz_checksum_mode="ENABLED").headers
        assert headers[name] == value


def test_a_session_token_belongs_to_its_key(tmp_path: Any) -> None:
    session = {"access_key": "ASESSION", "secret_key": "session-secret", "session_token": "t+/="}
    accounts = ({**ACCOUNTS[0], "keys": [*ACCOUNTS[0]["keys"], session]}, ACCOUNTS[1])
    app = make_app("memory", tmp_path, accounts=accounts)
    try:
        Client(app, OWNER).put("/tokens")
        forms = Forms(app, "", "/tokens")
        with_token = Signer("ASESSION", "session-secret", "t+/=")
        forms.refused(
            forms.send(forms.fields(signer=Signer("ASESSION", "session-secret", "wrong"))),
            "InvalidToken",
            400,
        )
        answer = forms.send(forms.fields(signer=Signer("ASESSION", "session-secret")))
        forms.refused(answer, "InvalidAccessKeyId")
        late = forms.fields(signer=with_token)
        forms.refused(forms.send({**late, "x-amz-security-token": "t"}), "InvalidToken", 400)
        assert forms.send(late).status == 204
    finally:
        app.close()


def test_the_form_of_signature_version_2_is_refused(forms: Forms) -> None:
    policy = base64.b64encode(json.dumps({"conditions": []}).encode()).decode()
    fields = {"key": "k", "AWSAccessKeyId": OWNER.access_key, "policy": policy, "signature": "x"}
    answer = forms.send(fields)
    assert "AWS4-HMAC-SHA256" in (answer.text("Message") or "")
    forms.refused(answer, "InvalidRequest", 400)


def test_an_anonymous_form_into_a_bucket_that_all_may_write(forms: Forms) -> None:
    forms.refused(forms.send({"key": "k"}))
    forms.owner.put(forms.bucket, query="acl", x_amz_acl="public-read-write")
    assert forms.send({"key": "k"}).status == 204
    assert forms.get().body == FILE
    # What nobody signed is the bucket owner's.
    answer = forms.owner.get(f"{forms.bucket}/k", "acl")
    assert answer.text("Owner/ID") == OWNER_ID
    assert forms.send({"key": "k2", "acl": "public-read"}).status == 403
    assert forms.send({"key": "k3", "tagging": TAGGING.format("b")}).status == 403
    assert forms.keys() == ["k"]


def test_a_form_of_another_account_needs_the_buckets_leave(forms: Forms) -> None:
    fields = forms.fields(signer=OTHER)
    forms.refused(forms.send(fields))
    forms.owner.put(forms.bucket, query="acl", x_amz_acl="public-read-write")
    assert forms.send(fields).status == 204
    writer = Client(forms.owner.app, OTHER, mount=forms.owner.mount)
    assert writer.get(f"{forms.bucket}/k", "acl").text("Owner/ID") == OTHER_ID
    # The bucket's owner may remove it, but not read it.
    assert forms.owner.get(f"{forms.bucket}/k", "acl").status == 403
    assert forms.owner.delete(f"{forms.bucket}/k").status == 204


@pytest.mark.parametrize(
    "policy",
    ["", "!", "bm8ganNvbg==", "W10=", "e30=", "eyJjb25kaXRpb25zIjpbXX0="],
    ids=["empty", "no-base64", "no-json", "list", "no-conditions", "no-expiration"],
)
def test_a_policy_that_is_none(forms: Forms, policy: str) -> None:
    fields = {**forms.fields(), "policy": policy}
    answer = forms.send(fields)
    assert answer.status in (400, 403)
    assert answer.code in ("InvalidArgument", "SignatureDoesNotMatch", "InvalidPolicyDocument")
    assert forms.keys() == []


@pytest.mark.parametrize(
    ("content_type", "code"),
    [
        ("text/plain", "MethodNotAllowed"),
        ("application/x-www-form-urlencoded", "MethodNotAllowed"),
        ("multipart/form-data", "MalformedPOSTRequest"),
        ("multipart/form-data; boundary=other", "MalformedPOSTRequest"),
    ],
)
def test_a_form_in_another_envelope(forms: Forms, content_type: str, code: str) -> None:
    _, body = multipart(forms.fields(), FILE)
    headers = {"Host": HOST, "Content-Type": content_type}
    answer = forms.sender.send("POST", forms.sender.mount + forms.bucket, headers, body)
    assert answer.code == code
    assert 400 <= answer.status < 500
    assert forms.keys() == []


def test_a_form_without_a_file_or_with_two(forms: Forms) -> None:
    content_type, body = multipart(forms.fields(), FILE)
    headers = {"Host": HOST, "Content-Type": content_type}
    target = forms.sender.mount + forms.bucket
    without = re.sub(rb'name="file"; filename="[^"]*"', b'name="nofile"', body)
    answer = forms.sender.send("POST", target, headers, without)
    forms.refused(answer, "IncorrectNumberOfFilesInPostRequest", 400)
    part = body[body.rindex(b"--WebKit", 0, -40) :]
    assert b'name="file"' in part
    twice = body[: -len(b"--WebKitFormBoundary0123456789--\r\n")] + part
    answer = forms.sender.send("POST", target, headers, twice)
    forms.refused(answer, "IncorrectNumberOfFilesInPostRequest", 400)


def test_a_form_that_breaks_off(forms: Forms) -> None:
    content_type, body = multipart(forms.fields(), b"x" * 200_000)
    headers = {"Host": HOST, "Content-Type": content_type}
    for end in (10, 500, 5_000, 150_000, len(body) - 10):
        answer = forms.sender.send("POST", forms.sender.mount + forms.bucket, headers, body[:end])
        assert 400 <= answer.status < 500
        assert forms.keys() == []


def test_fields_before_the_file_have_20_kilobytes(forms: Forms) -> None:
    large = {"x-ignore-large": "x" * 21_000}
    forms.refused(forms.send({**forms.fields(), **large}), "MaxPostPreDataLengthExceededError", 400)


def test_a_field_that_comes_twice(forms: Forms) -> None:
    fields = forms.fields()
    content_type, body = multipart({**fields, "Key": "other"}, FILE)
    headers = {"Host": HOST, "Content-Type": content_type}
    answer = forms.sender.send("POST", forms.sender.mount + forms.bucket, headers, body)
    forms.refused(answer, "InvalidArgument", 400)


def test_a_form_with_an_authorization_header_too(forms: Forms) -> None:
    content_type, body = multipart(forms.fields(), FILE)
    answer = forms.owner.request("POST", forms.bucket, "", {"Content-Type": content_type}, body)
    forms.refused(answer, "InvalidArgument", 400)


def test_a_chunked_form_has_no_length_and_is_measured_all_the_same(forms: Forms) -> None:
    content_type, body = multipart(forms.fields(), FILE)
    headers = {"Host": HOST, "Content-Type": content_type, "Transfer-Encoding": "chunked"}
    answer = forms.sender.send("POST", forms.sender.mount + forms.bucket, headers, body)
    assert answer.status in (204, 411)
