"""Buckets as websites, on host names of their own: pages for browsers, never XML.

A website is read anonymously: Access decides about each object as for any stranger. Signatures,
``x-amz-*`` headers and the query are not looked at. The document is in
:mod:`s3kit.operations.website`.
Source: Amazon S3 User Guide, "Hosting a static website using Amazon S3".
"""

from __future__ import annotations

import html
import http
from collections.abc import Callable
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING
from typing import Final
from urllib.parse import quote

from .auth.canonical import ANONYMOUS_IDENTITY
from .call import Call
from .call import Site
from .errors import AccessDenied
from .errors import MethodNotAllowed
from .errors import NoSuchBucket
from .errors import NoSuchKey
from .errors import NoSuchWebsiteConfiguration
from .errors import S3Error
from .model import ANONYMOUS
from .model import Bucket
from .naming import find_bucket
from .operations.objects import read_object
from .operations.website import Condition
from .operations.website import Redirect
from .operations.website import WebsiteConfiguration
from .operations.website import website_of
from .wire.address import aws_quote
from .wire.environ import Input
from .wire.query import parse_query
from .wire.response import Response
from .wire.routing import find_operation

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

REDIRECT_HEADER: Final = "x-amz-website-redirect-location"
_URL: Final = "/:?#[]@!$&'()*+,;=%~"
_NOT_OF_ERRORS: Final = (
    "HTTP_RANGE",
    "HTTP_IF_RANGE",
    "HTTP_IF_MATCH",
    "HTTP_IF_NONE_MATCH",
    "HTTP_IF_MODIFIED_SINCE",
    "HTTP_IF_UNMODIFIED_SINCE",
)

Perform = Callable[[Call, Callable[[Call], Response]], Response]
"""What :meth:`s3kit.app.S3App.perform` does: bucket, access, then the work."""


class Visit:
    """One browser's request for a page.

    :param key: the path, decoded, without its first slash.
    :param base: the URL's beginning as the browser knows it, up to where the path begins.
    :param mount: what stands in front of the path, percent-encoded.
    :param query: as it was sent.
    """

    __slots__ = ("base", "body", "environ", "key", "method", "mount", "name", "query", "request_id")

    def __init__(
        self,
        environ: WSGIEnvironment,
        body: Input,
        request_id: str,
        name: str,
        key: bytes,
        base: tuple[str, str],
        mount: str,
        query: str,
    ) -> None:
        self.environ = plain_environ(environ)
        self.method: str = environ["REQUEST_METHOD"]
        self.body = body
        self.request_id = request_id
        self.name = name
        self.key = key
        self.base = base
        self.mount = mount
        self.query = query


def plain_environ(environ: WSGIEnvironment) -> WSGIEnvironment:
    """A request as any browser sends it: nothing in it that S3 alone understands."""
    return {
        name: value
        for name, value in environ.items()
        if not name.startswith("HTTP_X_AMZ_") and name != "HTTP_AUTHORIZATION"
    }


def serve(site: Site, visit: Visit, perform: Perform) -> Response:
    """The page, the redirect, or the error document.

    :raises S3Error: what :func:`error_page` is to show; ``error_document`` in it is another
        error, for which there is no error document.
    """
    if visit.method not in ("GET", "HEAD"):
        raise MethodNotAllowed(
            headers={"Allow": "GET, HEAD"}, method=visit.method, resource_type="OBJECT"
        )
    try:
        bucket = find_bucket(site, visit.environ, visit.name, ANONYMOUS)
    except NoSuchBucket:
        raise NoSuchBucket(bucket_name=visit.name) from None
    website = website_of(site.store, bucket)
    if website is None:
        raise NoSuchWebsiteConfiguration(bucket_name=visit.name)
    everything = website.redirect_all_requests_to
    if everything is not None:
        where = Redirect(everything.host_name, protocol=everything.protocol)
        return redirect(visit, where, "")
    found = rule_for(website, visit.key)
    if found is not None:
        return redirect(visit, *found)
    assert website.index_document is not None, "check() wants one"
    suffix = website.index_document.suffix.encode()
    key = visit.key
    if not key or key.endswith(b"/"):
        key += suffix
    try:
        return read(site, visit, key, perform)
    except S3Error as error:
        if isinstance(error, NoSuchKey | AccessDenied) and key == visit.key:
            folder = key + b"/"
            if is_folder(site, visit, bucket, key, folder + suffix):
                return moved(302, visit.mount + safe_path(folder) + query_of(visit))
        found = rule_for(website, visit.key, error.status)
        if found is not None:
            return redirect(visit, *found)
        if website.error_document is None or not 400 <= error.status < 500:
            raise
        return error_document(site, visit, website.error_document.key, error, perform)


def read(site: Site, visit: Visit, key: bytes, perform: Perform) -> Response:
    """An object of the website, or the redirect that was stored with it."""
    head = visit.method == "HEAD"
    call = call_for(site, visit, key)
    if "s3kit.request" in visit.environ:
        visit.environ["s3kit.request"].called(call)
    response = perform(call, partial(read_object, head=head))
    for name, value in response.headers:
        if name == REDIRECT_HEADER:
            close = getattr(response.body, "close", None)
            if close is not None:
                close()
            return moved(301, quote(value, safe=_URL, encoding="latin-1"))
    return response


def call_for(site: Site, visit: Visit, key: bytes) -> Call:
    """A stranger's GetObject or HeadObject."""
    operation = find_operation("HeadObject" if visit.method == "HEAD" else "GetObject")
    return Call(
        visit.environ,
        site,
        operation,
        parse_query(""),
        visit.body,
        visit.request_id,
        ANONYMOUS_IDENTITY,
        visit.name,
        key,
    )


def is_folder(site: Site, visit: Visit, bucket: Bucket, key: bytes, index: bytes) -> bool:
    """Whether nothing is at ``key`` itself, yet there is an index that this visitor may see."""
    objects = site.store.objects
    for name, wanted in ((key, False), (index, True)):
        version = objects.find(bucket, name, inline=False)
        if (version is not None and not version.delete_marker) is not wanted:
            return False
    call = call_for(site, visit, index)
    call.maybe_bucket = bucket
    return call.allowed("s3:GetObject", bucket, index)


def error_document(
    site: Site, visit: Visit, key: str, error: S3Error, perform: Perform
) -> Response:
    """The website's own page for an error, with the error's status."""
    environ = visit.environ
    for name in _NOT_OF_ERRORS:
        environ.pop(name, None)
    try:
        response = perform(
            call_for(site, visit, key.encode()), partial(read_object, head=visit.method == "HEAD")
        )
    except S3Error as second:
        error.__context__ = None
        raise ErrorDocumentMissing(error, second, key) from None
    headers = [
        (name, value)
        for name, value in response.headers
        if name != REDIRECT_HEADER and name.lower() != "accept-ranges"
    ]
    return Response(error.status, [*headers, *error_headers(error)], response.body)


class ErrorDocumentMissing(S3Error):
    """An error for which the website's error document could not be read either."""

    def __init__(self, first: S3Error, second: S3Error, key: str) -> None:
        super().__init__(first.text, headers=first.headers, **first.details)
        self.status = first.status
        self.first = first
        self.second = second
        self.key = key

    @property
    def code(self) -> str:
        return self.first.code


# -- redirects


def rule_for(
    website: WebsiteConfiguration, key: bytes, status: int | None = None
) -> tuple[Redirect, str] | None:
    """The first rule that counts for a key, with the prefix that it matched.

    :param status: of the error that was met; None before the object is looked for, when only the
        rules that do not ask for an error count.
    """
    for rule in website.routing_rules or ():
        condition = rule.condition or Condition()
        code = condition.http_error_code_returned_equals
        if (None if status is None else str(status)) != code:
            continue
        prefix = condition.key_prefix_equals or ""
        if key.startswith(prefix.encode()):
            return rule.redirect, prefix
    return None


def redirect(visit: Visit, where: Redirect, prefix: str) -> Response:
    """Send the browser where a rule says.

    The URL is always a whole one: a path of two slashes would name another host.
    """
    scheme, host = visit.base
    if where.host_name is None:
        host += visit.mount
    else:
        host = where.host_name
    if where.replace_key_with is not None:
        path = quote(where.replace_key_with, safe=_URL)
    elif where.replace_key_prefix_with is not None:
        rest = visit.key[len(prefix.encode()) :]
        path = quote(where.replace_key_prefix_with, safe=_URL) + aws_quote(rest)
    else:
        path = aws_quote(visit.key)
    query = query_of(visit)
    if query and "?" in path:
        query = "&" + query[1:]
    status = int(where.http_redirect_code or 301)
    return moved(status, f"{where.protocol or scheme}://{host}/{path}{query}")


def safe_path(key: bytes) -> str:
    """A key as a path of this host; a second slash in front would make it a host's name."""
    rest = key.lstrip(b"/")
    return "/" + "%2F" * (len(key) - len(rest)) + aws_quote(rest)


def query_of(visit: Visit) -> str:
    """The request's query, with its question mark, fit for a header."""
    return "?" + quote(visit.query, safe=_URL, encoding="latin-1") if visit.query else ""


def moved(status: int, location: str) -> Response:
    """A redirect."""
    return Response(status, [("Location", location), ("Content-Length", "0")], ())


# -- pages for errors


def error_headers(error: S3Error) -> list[tuple[str, str]]:
    """What tells a program of the error that a person reads of."""
    headers = [*error.headers.items(), ("x-amz-error-code", error.code)]
    text = error.text
    if text.isascii() and text.isprintable():
        headers.append(("x-amz-error-message", text))
    return headers


def error_page(
    error: S3Error, request_id: str, host_id: str
) -> tuple[int, list[tuple[str, str]], bytes]:
    """Status, headers and page of an error; whatever a client sent is escaped (A111)."""
    status = error.status
    headers = error_headers(error)
    if status == 304:
        return status, headers, b""
    title = f"{status} {http.HTTPStatus(status).phrase}"
    rows = [*facts_of(error), ("RequestId", request_id), ("HostId", host_id)]
    pieces = [
        f"<html>\n<head><title>{title}</title></head>\n<body>\n<h1>{title}</h1>\n",
        list_of(rows),
    ]
    if isinstance(error, ErrorDocumentMissing):
        pieces.append(
            "<h3>An Error Occurred While Attempting to Retrieve a Custom Error Document</h3>\n"
        )
        pieces.append(list_of(facts_of(error.second)))
    pieces.append("<hr/>\n</body>\n</html>\n")
    body = "".join(pieces).encode("utf-8", "replace")
    headers.append(("Content-Type", "text/html; charset=utf-8"))
    headers.append(("Content-Length", str(len(body))))
    return status, headers, body


def facts_of(error: S3Error) -> list[tuple[str, str]]:
    """Code, message and details of an error."""
    facts = [("Code", error.code), ("Message", error.text)]
    for name, value in error.details.items():
        text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
        facts.append(("".join(word.capitalize() for word in name.split("_")), text))
    return facts


def list_of(rows: Iterable[tuple[str, str]]) -> str:
    """Names and values as a list of HTML."""
    items = "".join(f"<li>{name}: {html.escape(value)}</li>\n" for name, value in rows)
    return f"<ul>\n{items}</ul>\n"
