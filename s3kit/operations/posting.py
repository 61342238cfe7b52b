"""POST Object: a browser's form, whose policy decides what may be stored."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote
from urllib.parse import quote_from_bytes
from urllib.parse import urlsplit

from ..auth.post_policy import Verdict
from ..auth.post_policy import check_form
from ..call import Call
from ..errors import EntityTooLarge
from ..errors import EntityTooSmall
from ..errors import InvalidArgument
from ..errors import InvalidRequest
from ..errors import MalformedXML
from ..errors import MethodNotAllowed
from ..errors import MissingContentLength
from ..model import ObjectVersion
from ..store import Attributes
from ..store.multipart import default_checksum_algorithm
from ..wire.checksums import ALGORITHMS
from ..wire.checksums import BodyReader
from ..wire.checksums import Expected
from ..wire.checksums import decode
from ..wire.checksums import known_algorithm
from ..wire.encryption import read_customer_key
from ..wire.encryption import read_wanted
from ..wire.form import Form
from ..wire.form import FormFile
from ..wire.form import read_form
from ..wire.headers import check_tags
from ..wire.headers import stored_fields
from ..wire.names import STORAGE_CLASSES
from ..wire.names import check_key
from ..wire.response import Response
from ..wire.response import xml_response
from ..wire.routing import operation
from ..wire.xml import document
from ..wire.xml import from_xml
from .acl_headers import owner_and_acl
from .bucket_properties import agree_to_pay
from .encryption import checked
from .encryption import encryption_headers
from .lifecycle import expiration_headers
from .lock_headers import lock_of
from .objects import MAX_OBJECT_TAGS
from .objects import new_version_headers
from .objects import require_new_acl
from .tagging import Tagging

FORM_OVERHEAD = 1024 * 1024
"""Bytes that a form may have besides its file."""


@document("PostResponse", namespace="")
@dataclass
class PostResponse:
    """The answer to a form that asks for status 201."""

    location: str
    bucket: str
    key: bytes
    etag: str


class BoundedFile:
    """The form's file, held to the policy's content-length-range while it streams in."""

    __slots__ = ("_file", "_high", "_low", "_size")

    def __init__(self, file: FormFile, low: int, high: int) -> None:
        self._file = file
        self._low = low
        self._high = high
        self._size = 0

    def read(self, size: int = -1, /) -> bytes:
        """At most ``size`` bytes.

        :raises EntityTooLarge: the file has more bytes than the policy allows.
        :raises EntityTooSmall: it ended with fewer.
        """
        block = self._file.read(size)
        self._size += len(block)
        if self._size > self._high:
            raise EntityTooLarge(proposed_size=self._size, max_size_allowed=self._high)
        if not block and self._size < self._low:
            raise EntityTooSmall(proposed_size=self._size, min_size_allowed=self._low)
        return block


@operation("PostObject", "POST", "bucket", action="", body="stream")
def post_object(call: Call) -> Response:
    """Store a form's file under the key that its fields name.

    Source: Amazon S3 API Reference, "POST Object" and "Creating a POST policy".
    """
    form, verdict = admitted_form(call)
    fields = form.fields
    most = call.site.profile.max_put
    attributes = attributes_of_form(call, fields)
    low, high = verdict.length_range or (0, most)
    expected = declared_in_form(fields)
    body = BodyReader(
        BoundedFile(form.file, low, min(high, most)),
        None,
        expected=expected,
        compute=default_checksum_algorithm(),
    )
    version = call.store.objects.put(
        call.bucket,
        call.object_key,
        body,
        attributes,
        origin=call.origin,
        event="s3:ObjectCreated:Post",
    )
    return answer(call, fields, version)


def admitted_form(call: Call) -> tuple[Form, Verdict]:
    """The form, whose sender is now the call's and may store it; its file is not read yet.

    :raises AccessDenied: its policy or Access refuses it.
    :raises SignatureDoesNotMatch: or what else is wrong with the form, see :func:`check_form`.
    """
    content_type = call.header("content-type") or ""
    if not content_type.lower().startswith("multipart/form-data"):
        raise MethodNotAllowed(method="POST", resource_type="BUCKET")
    if not call.input.declared:
        raise MissingContentLength()
    most = call.site.profile.max_put
    length = call.input.length
    if length is not None and length > most + FORM_OVERHEAD:
        raise EntityTooLarge(proposed_size=length, max_size_allowed=most)
    form = read_form(call.input, content_type)
    fields = form.fields
    if "key" not in fields:
        raise InvalidArgument(
            "Bucket POST must contain a field named 'key'.  If it is specified, please check the "
            "order of the fields.",
            argument_name="key",
            argument_value="",
        )
    key_text = form.expand(fields["key"])
    if not key_text:
        # Such an object could be listed but never be read or removed.
        raise InvalidArgument(
            "User key must have a length greater than 0.", argument_name="key", argument_value=""
        )
    key = key_text.encode("utf-8", "surrogateescape")
    check_key(key)
    name = call.bucket_name
    assert name is not None, "the operation has a bucket"
    judged = {**fields, "key": key_text}
    if not call.identity.caller.anonymous:
        raise InvalidArgument(
            "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, "
            "Signature query string parameter or the Authorization header should be specified"
        )
    # Whatever becomes of it, records tell what it was about, and by whom, and no field's secret.
    call.key = key
    call.fields = fields
    verdict = check_form(
        judged,
        name,
        call.site.key_ring,
        now=call.now,
        region=call.site.pinned_region,
        sessions=call.site.sessions,
        signed=call.identify,
    )
    call.identity = verdict.identity
    if call.load_bucket is not None:
        call.load_bucket()
    bucket = call.bucket
    agree_to_pay(call, bucket, fields.get("x-amz-request-payer"))
    call.require("s3:PutObject", bucket, key)
    return form, verdict


def declared_in_form(fields: dict[str, str]) -> Expected | None:
    """The checksum that a form's fields declare for its file.

    :raises InvalidRequest: there is more than one, or it is none.
    """
    found = [
        (algorithm, value)
        for algorithm in ALGORITHMS
        if (value := fields.get(f"x-amz-checksum-{algorithm.lower()}")) is not None
    ]
    if len(found) > 1:
        raise InvalidRequest("Multiple checksum Types are not allowed.")
    if not found:
        return None
    algorithm, text = found[0]
    known_algorithm(algorithm)
    digest = decode(algorithm, text)
    if digest is None:
        raise InvalidRequest(f"Value for x-amz-checksum-{algorithm.lower()} field is invalid.")
    return Expected(algorithm, digest)


def attributes_of_form(call: Call, fields: dict[str, str]) -> Attributes:
    """What a form stores beside the file.

    :raises AccessDenied: InvalidArgument, InvalidRequest, InvalidTag ... as for PutObject.
    """
    bucket = call.bucket
    if "acl" in fields:
        fields = {**fields, "x-amz-acl": fields["acl"]}
    owner, acl = owner_and_acl(call, bucket, fields.get)
    if acl is not None:
        require_new_acl(call)
    storage_class = fields.get("x-amz-storage-class") or "STANDARD"
    if storage_class not in STORAGE_CLASSES:
        raise InvalidArgument(argument_name="x-amz-storage-class", argument_value=storage_class)
    return Attributes(
        owner=owner,
        # The file part has a type of its own, but no policy covers that one.
        headers=stored_fields(fields),
        storage_class=storage_class,
        acl=acl,
        tags=tags_of_form(call, fields.get("tagging")),
        wanted=checked(call, read_wanted(fields.get)),
        lock=lock_of(call, fields.get),
    )


def tags_of_form(call: Call, text: str | None) -> tuple[tuple[str, str], ...]:
    """The tags in the ``tagging`` field, an XML document as in PutObjectTagging."""
    if not text:
        return ()
    try:
        tags = from_xml(Tagging, text.encode()).pairs()
    except MalformedXML:
        raise InvalidArgument(argument_name="tagging", argument_value=text) from None
    check_tags(tags, MAX_OBJECT_TAGS)
    if tags:
        call.require("s3:PutObjectTagging", call.bucket, call.key)
    return tags


def answer(call: Call, fields: dict[str, str], version: ObjectVersion) -> Response:
    """204, or what ``success_action_redirect`` or ``success_action_status`` asks for."""
    bucket = call.bucket.name
    key, etag = version.key, version.etag
    location = call.public_url(bucket, key)
    named = [
        ("ETag", f'"{etag}"'),
        *new_version_headers(version),
        *encryption_headers(version.encryption, read_customer_key(fields.get)),
        *expiration_headers(call, call.bucket, version),
    ]
    headers = [*named, ("Location", location)]
    redirect = fields.get("success_action_redirect") or fields.get("redirect")
    if redirect:
        target = redirect_target(redirect, bucket, key, etag)
        if target is not None:
            return Response(303, [*named, ("Location", target), ("Content-Length", "0")], ())
    status = fields.get("success_action_status")
    if status == "201":
        return xml_response(PostResponse(location, bucket, key, f'"{etag}"'), 201, headers=headers)
    if status == "200":
        return Response(200, [*headers, ("Content-Length", "0")], ())
    return Response(204, headers, ())


def redirect_target(redirect: str, bucket: str, key: bytes, etag: str) -> str | None:
    """Where to send the browser; None where the field holds no http URL, which AWS ignores."""
    if not (redirect.isascii() and redirect.isprintable()) or " " in redirect:
        return None
    try:
        parts = urlsplit(redirect)
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not parts.netloc:
        return None
    added = f"bucket={quote(bucket)}&key={quote_from_bytes(key, safe='')}&etag=%22{etag}%22"
    query = f"{parts.query}&{added}" if parts.query else added
    return parts._replace(query=query).geturl()
