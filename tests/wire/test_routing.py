"""s3kit.wire.routing: which operation a request is, and what happens to every other query key.

The rows that are not built yet stay 501 in the real table, so these tests give every row a handler
in a table of their own.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3kit.errors import InvalidArgument
from s3kit.errors import InvalidRequest
from s3kit.errors import MethodNotAllowed
from s3kit.errors import NotImplemented as NotImplementedByS3
from s3kit.errors import S3Error
from s3kit.wire import routing
from s3kit.wire.query import EMPTY_QUERY
from s3kit.wire.query import Query
from s3kit.wire.routing import find_operation
from s3kit.wire.routing import operation
from s3kit.wire.routing import operations
from s3kit.wire.routing import resolve
from s3kit.wire.service_model import EXTRA_OPERATIONS
from s3kit.wire.service_model import OPERATIONS
from s3kit.wire.service_model import ModelRow


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """A table without any handler."""
    monkeypatch.setattr(routing, "_TABLE", {})
    monkeypatch.setattr(routing, "_PLAIN", {})
    routing._fill()


@pytest.fixture
def full(bare: None) -> None:
    """A table in which every operation is built."""
    for row in (*OPERATIONS, *EXTRA_OPERATIONS):
        if row.alias_of is None:
            claim(row)


def claim(row: ModelRow) -> None:
    operation(
        row.name, row.method, row.level, *row.subresources, action="s3:Any", header=row.header
    )(handler)


def handler(call: Any) -> Any:
    return call


def name_of(method: str, level: Any, query: str = "", **headers: str) -> str:
    environ = {f"HTTP_{name.upper()}": value for name, value in headers.items()}
    return resolve(method, level, Query(query) if query else EMPTY_QUERY, environ).name


def spelling(row: ModelRow) -> str:
    """The query of an operation as a client sends it."""
    values = {"id": "=1", "annotationName": "=n", "uploadId": "=u", "partNumber": "=1"}
    values["list-type"] = "=2"
    return "&".join(key + values.get(key, "") for key in sorted(row.subresources))


def rows() -> list[ModelRow]:
    return [row for row in (*OPERATIONS, *EXTRA_OPERATIONS) if row.alias_of is None]


@pytest.mark.usefixtures("full")
@pytest.mark.parametrize("row", rows(), ids=lambda row: row.name)
def test_every_operation_of_s3_is_found_by_its_request(row: ModelRow) -> None:
    headers = {row.header.replace("-", "_"): "x"} if row.header else {}
    query = spelling(row)
    assert name_of(row.method, row.level, query, **headers) == row.name
    extra = "x-id=" + row.name + "&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=0"
    assert (
        name_of(row.method, row.level, f"{query}&{extra}" if query else extra, **headers)
        == row.name
    )


@pytest.mark.usefixtures("full")
@pytest.mark.parametrize("row", rows(), ids=lambda row: row.name)
def test_every_operation_takes_its_own_parameters(row: ModelRow) -> None:
    headers = {row.header.replace("-", "_"): "x"} if row.header else {}
    for parameter in row.parameters:
        query = "&".join(filter(None, [spelling(row), f"{parameter}=1"]))
        assert name_of(row.method, row.level, query, **headers) == row.name


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize("row", rows(), ids=lambda row: row.name)
def test_an_operation_that_is_not_built_answers_501_by_its_name(row: ModelRow) -> None:
    """A107: never the plain object or bucket operation."""
    headers = {row.header.replace("-", "_"): "x"} if row.header else {}
    with pytest.raises(NotImplementedByS3, match=rf"\b{row.name}\b"):
        name_of(row.method, row.level, spelling(row), **headers)


@pytest.mark.usefixtures("bare")
def test_an_operation_that_is_not_built_is_named_even_without_its_companion() -> None:
    with pytest.raises(NotImplementedByS3, match="DeleteBucketMetricsConfiguration"):
        name_of("DELETE", "bucket", "metrics")


def alias_rows() -> list[ModelRow]:
    return [row for row in OPERATIONS if row.alias_of is not None]


@pytest.mark.parametrize("row", alias_rows(), ids=lambda row: row.name)
def test_an_older_name_is_known_by_its_newer_twin(row: ModelRow) -> None:
    assert find_operation(row.name).name == row.alias_of


def test_the_table_holds_every_operation_once() -> None:
    names = [each.name for each in operations()]
    assert len(names) == len(set(names)) == 117 - len(alias_rows())
    for name in names:
        assert find_operation(name).name == name
    with pytest.raises(KeyError):
        find_operation("GetNothing")


# Selection


@pytest.mark.usefixtures("full")
@pytest.mark.parametrize(
    ("method", "level", "query", "expected"),
    [
        ("GET", "service", "", "ListBuckets"),
        ("GET", "bucket", "", "ListObjects"),
        ("GET", "bucket", "list-type=2", "ListObjectsV2"),
        ("GET", "bucket", "list-type=2&prefix=a&max-keys=1", "ListObjectsV2"),
        ("GET", "bucket", "list-type=1", "ListObjects"),
        ("GET", "bucket", "list-type=bogus", "ListObjects"),
        ("GET", "bucket", "list-type", "ListObjects"),
        ("HEAD", "bucket", "list-type=2", "HeadBucket"),
        ("GET", "bucket", "analytics", "ListBucketAnalyticsConfigurations"),
        ("GET", "bucket", "analytics&id=1", "GetBucketAnalyticsConfiguration"),
        ("GET", "bucket", "id=1", "ListObjects"),
        ("GET", "bucket", "versioning=1", "GetBucketVersioning"),
        ("GET", "bucket", "Versioning", "ListObjects"),
        ("GET", "bucket", "acl=", "GetBucketAcl"),
        ("GET", "bucket", "versions&prefix=x", "ListObjectVersions"),
        ("GET", "object", "versionId=null", "GetObject"),
        ("GET", "object", "partNumber=1", "GetObject"),
        ("GET", "object", "partNumber=1&versionId=v", "GetObject"),
        ("HEAD", "object", "partNumber=1", "HeadObject"),
        ("GET", "object", "uploadId=u", "ListParts"),
        ("GET", "object", "tagging&versionId=v", "GetObjectTagging"),
        ("GET", "object", "annotation", "ListObjectAnnotations"),
        ("GET", "object", "annotation&annotationName=n", "GetObjectAnnotation"),
        ("GET", "object", "response-content-type=a/b", "GetObject"),
        ("PUT", "object", "partNumber=1&uploadId=u", "UploadPart"),
        ("PUT", "object", "uploadId=u&partNumber=1", "UploadPart"),
        ("POST", "object", "uploads", "CreateMultipartUpload"),
        ("POST", "object", "uploads=", "CreateMultipartUpload"),
        ("POST", "object", "uploadId=u", "CompleteMultipartUpload"),
        ("DELETE", "object", "uploadId=u", "AbortMultipartUpload"),
        ("DELETE", "object", "versionId=v", "DeleteObject"),
        ("POST", "object", "select&select-type=2", "SelectObjectContent"),
        ("POST", "bucket", "delete", "DeleteObjects"),
        ("POST", "bucket", "", "PostObject"),
    ],
)
def test_a_request_is_the_operation_that_amazon_takes_it_for(
    method: str, level: str, query: str, expected: str
) -> None:
    assert name_of(method, level, query) == expected


@pytest.mark.usefixtures("full")
def test_a_copy_source_header_makes_a_copy_and_only_of_a_plain_put_or_part() -> None:
    assert name_of("PUT", "object", x_amz_copy_source="/b/k") == "CopyObject"
    # A104: an empty one is a bad copy and not a plain upload.
    assert name_of("PUT", "object", x_amz_copy_source="") == "CopyObject"
    part = "partNumber=1&uploadId=u"
    assert name_of("PUT", "object", part, x_amz_copy_source="/b/k") == "UploadPartCopy"
    assert name_of("PUT", "object", "tagging", x_amz_copy_source="/b/k") == "PutObjectTagging"
    assert name_of("GET", "object", x_amz_copy_source="/b/k") == "GetObject"


@pytest.mark.usefixtures("full")
@pytest.mark.parametrize(
    ("level", "query", "message", "first"),
    [
        ("bucket", "versioning&acl", "acl, versioning", "acl"),
        ("bucket", "uploads&versioning", "uploads, versioning", "uploads"),
        ("object", "tagging&acl&retention", "acl, retention, tagging", "acl"),
    ],
)
def test_two_subresources_at_once_are_refused_by_name(
    level: str, query: str, message: str, first: str
) -> None:
    for method in ("GET", "PUT", "DELETE", "HEAD", "POST"):
        with pytest.raises(InvalidArgument) as caught:
            name_of(method, level, query)
        assert caught.value.text == f"Conflicting query string parameters: {message}"
        assert caught.value.details == {
            "argument_name": "ResourceType",
            "argument_value": first,
        }


@pytest.mark.usefixtures("full")
@pytest.mark.parametrize(
    ("method", "level", "query", "resource_type", "allow"),
    [
        ("POST", "object", "tagging", "TAGGING", "DELETE, GET, PUT"),
        ("POST", "bucket", "versioning", "VERSIONING", "GET, PUT"),
        ("DELETE", "bucket", "versioning", "VERSIONING", "GET, PUT"),
        ("DELETE", "object", "uploads", "UPLOADS", "POST"),
        ("PUT", "bucket", "location", "LOCATION", "GET"),
        ("GET", "bucket", "delete", "DELETE", "POST"),
        ("HEAD", "object", "acl", "ACL", "GET, PUT"),
        ("HEAD", "bucket", "policy", "POLICY", "DELETE, GET, PUT"),
        ("PATCH", "object", "tagging", "TAGGING", "DELETE, GET, PUT"),
        ("POST", "object", "", "OBJECT", "DELETE, GET, HEAD, PUT"),
        ("PATCH", "object", "", "OBJECT", "DELETE, GET, HEAD, PUT"),
        ("PATCH", "bucket", "x=1", "BUCKET", "DELETE, GET, HEAD, POST, PUT"),
        ("DELETE", "service", "", "SERVICE", "GET"),
        ("HEAD", "service", "", "SERVICE", "GET"),
        ("get", "object", "", "OBJECT", "DELETE, GET, HEAD, PUT"),
    ],
)
def test_a_method_that_nothing_takes_is_405_and_says_what_is_taken(
    method: str, level: str, query: str, resource_type: str, allow: str
) -> None:
    with pytest.raises(MethodNotAllowed) as caught:
        name_of(method, level, query)
    assert caught.value.details == {"method": method, "resource_type": resource_type}
    assert caught.value.headers == {"Allow": allow}


# Query keys that are no sub-resource of the level: design section 1


@pytest.mark.usefixtures("full")
@pytest.mark.parametrize("level", ["service", "bucket", "object"])
def test_a_read_ignores_query_keys_that_s3_does_not_know(level: str) -> None:
    plain = {"service": "ListBuckets", "bucket": "ListObjects", "object": "GetObject"}[level]
    for query in ("ver=6.1", "foo", "foo=", "v=1&w", "ACL", "utm_source=x&fbclid"):
        assert name_of("GET", level, query) == plain
    if level != "service":
        assert name_of("HEAD", level, "ver=6.1&foo") == "Head" + level.title()


@pytest.mark.usefixtures("full")
@pytest.mark.parametrize(
    ("method", "level", "plain"),
    [
        ("PUT", "object", "PutObject"),
        ("PUT", "bucket", "CreateBucket"),
        ("POST", "bucket", "PostObject"),
    ],
)
def test_a_write_ignores_an_unknown_key_with_a_value_and_refuses_one_without(
    method: str, level: str, plain: str
) -> None:
    assert name_of(method, level, "foo=1") == plain
    for query in ("foo", "foo=", "foo=1&bar"):
        with pytest.raises(NotImplementedByS3, match=r"'(foo|bar)'"):
            name_of(method, level, query)


@pytest.mark.usefixtures("full")
def test_the_rule_for_unknown_keys_holds_beside_a_subresource_too() -> None:
    assert name_of("PUT", "bucket", "tagging&foo=1") == "PutBucketTagging"
    with pytest.raises(NotImplementedByS3):
        name_of("PUT", "bucket", "tagging&foo")
    with pytest.raises(NotImplementedByS3):
        name_of("DELETE", "bucket", "tagging&foo=1")
    assert name_of("GET", "bucket", "tagging&foo") == "GetBucketTagging"


@pytest.mark.usefixtures("full")
@pytest.mark.parametrize("level", ["bucket", "object"])
@pytest.mark.parametrize("query", ["foo", "foo=1", "force=true", "prefix=a", "id=1"])
def test_a_delete_refuses_every_key_that_it_does_not_take(level: str, query: str) -> None:
    with pytest.raises(NotImplementedByS3):
        name_of("DELETE", level, query)


@pytest.mark.usefixtures("full")
@pytest.mark.parametrize(
    ("method", "level", "plain"),
    [
        ("GET", "object", "GetObject"),
        ("PUT", "object", "PutObject"),
        ("DELETE", "object", "DeleteObject"),
        ("DELETE", "bucket", "DeleteBucket"),
        ("PUT", "bucket", "CreateBucket"),
        ("GET", "bucket", "ListObjects"),
        ("GET", "service", "ListBuckets"),
    ],
)
def test_keys_of_the_signature_and_of_access_logs_are_ignored_everywhere(
    method: str, level: str, plain: str
) -> None:
    queries = [
        "x-id=" + plain,
        "x-anything",
        "X-Amz-Algorithm=A&X-Amz-Credential=B&X-Amz-Signature=C",
        "x-amz-security-token=t",
        "X-AMZ-EXPIRES=5",
        # Version 2 of the signature, so that its own refusal is what the client reads.
        "AWSAccessKeyId=A&Signature=B&Expires=1",
    ]
    for query in queries:
        assert name_of(method, level, query) == plain


@pytest.mark.usefixtures("full")
@pytest.mark.parametrize(
    ("method", "level", "query"),
    [
        ("DELETE", "bucket", "metrics"),
        ("DELETE", "bucket", "analytics"),
        ("PUT", "object", "annotation"),
        ("DELETE", "object", "annotation"),
        ("PUT", "object", "uploadId=u"),
        ("PUT", "object", "partNumber=1"),
        ("PUT", "object", "partNumber"),
        ("GET", "bucket", "uploadId=u"),
        ("DELETE", "bucket", "uploadId=u"),
        ("GET", "bucket", "partNumber=1"),
    ],
)
def test_a_key_without_its_companion_never_reaches_the_plain_operation(
    method: str, level: str, query: str
) -> None:
    with pytest.raises(InvalidRequest):
        name_of(method, level, query)


@pytest.mark.usefixtures("full")
@pytest.mark.parametrize(
    ("method", "level", "query"),
    [
        ("PUT", "object", "versionId=v"),
        ("POST", "object", "uploads&versionId=v"),
        ("PUT", "object", "partNumber=1&uploadId=u&versionId=v"),
        ("GET", "bucket", "versionId=v"),
        ("GET", "bucket", "versioning&versionId"),
        ("DELETE", "bucket", "versionId=v"),
        ("PUT", "bucket", "tagging&versionId=v"),
    ],
)
def test_a_version_id_where_none_belongs_is_refused(method: str, level: str, query: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        name_of(method, level, query)
    assert caught.value.text == "This operation does not accept a version-id."
    assert caught.value.details["argument_name"] == "versionId"


@pytest.mark.usefixtures("full")
@pytest.mark.parametrize("row", rows(), ids=lambda row: row.name)
def test_a_subresource_never_reaches_a_plain_write_or_delete(row: ModelRow) -> None:
    """A107, at both levels: moto deletes the bucket on ``DELETE ?metrics``."""
    plain = {
        "CreateBucket",
        "DeleteBucket",
        "PostObject",
        "PutObject",
        "CopyObject",
        "DeleteObject",
    }
    for key in row.subresources - {"id", "annotationName", "list-type"}:
        for method in ("PUT", "POST", "DELETE"):
            for level in ("bucket", "object"):
                for query in (key, key + "=", key + "=1"):
                    try:
                        found = name_of(method, level, query)
                    except S3Error as error:
                        assert error.status in (400, 405, 501)
                    else:
                        assert found not in plain


@pytest.mark.usefixtures("full")
def test_a_bare_word_of_the_other_level_is_a_misdirected_call_and_not_a_read() -> None:
    for level, query in (("object", "policy"), ("bucket", "legal-hold"), ("service", "acl")):
        with pytest.raises(MethodNotAllowed):
            name_of("GET", level, query)
    assert name_of("GET", "object", "location=berlin") == "GetObject"
    assert name_of("GET", "bucket", "restore=1") == "ListObjects"


@given(
    st.sampled_from(["GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS", ""]),
    st.sampled_from(["service", "bucket", "object"]),
    st.lists(
        st.sampled_from(
            sorted({key for row in OPERATIONS for key in row.subresources | row.parameters})
        )
        | st.text(max_size=5),
        max_size=4,
    ),
)
def test_no_query_makes_the_router_fail_otherwise_than_with_an_s3_error(
    method: str, level: Any, names: list[str]
) -> None:
    try:
        resolve(method, level, Query("&".join(names)), {})
    except S3Error as error:
        assert error.status < 500 or error.status == 501


# Registration


@pytest.mark.usefixtures("bare")
def test_a_handler_is_registered_with_what_it_needs_and_returned_unchanged() -> None:
    decorate = operation(
        "PutBucketTagging",
        "PUT",
        "bucket",
        "tagging",
        action="s3:PutBucketTagging",
        body="document",
    )
    assert decorate(handler) is handler
    found = resolve("PUT", "bucket", Query("tagging"), {})
    assert found.handler is handler
    assert (found.name, found.actions, found.body) == (
        "PutBucketTagging",
        "s3:PutBucketTagging",
        "document",
    )
    assert find_operation("DeleteObject").status == 204


@pytest.mark.usefixtures("bare")
def test_a_double_claim_is_an_import_error() -> None:
    operation("GetObject", "GET", "object", action="s3:GetObject")(handler)
    with pytest.raises(TypeError, match="two handlers"):
        operation("GetObject", "GET", "object", action="s3:GetObject")(handler)


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize(
    ("name", "method", "level", "keys", "header", "message"),
    [
        ("GetNothing", "GET", "object", (), None, "no operation named 'GetNothing'"),
        ("GetObject", "PUT", "object", (), None, "GET object, not PUT object|is GET object in S3"),
        ("GetObject", "GET", "bucket", (), None, "not GET bucket"),
        ("PutObject", "PUT", "object", ("tagging",), None, r"not PUT object \?tagging"),
        ("CopyObject", "PUT", "object", (), None, "PUT object x-amz-copy-source in S3"),
        ("UploadPart", "PUT", "object", ("uploadId",), None, "partNumber&uploadId in S3"),
        ("GetBucketLifecycle", "GET", "bucket", ("lifecycle",), None,
         "shares its URL with GetBucketLifecycleConfiguration"),
    ],
)  # fmt: skip
def test_a_wrong_claim_is_an_import_error_that_says_what_is_right(
    name: str, method: str, level: Any, keys: tuple[str, ...], header: str | None, message: str
) -> None:
    with pytest.raises(TypeError, match=message):
        operation(name, method, level, *keys, action="s3:Any", header=header)


@pytest.mark.usefixtures("full")
def test_a_request_without_a_query_costs_one_look_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routing, "_select", None)
    assert name_of("GET", "object") == "GetObject"
