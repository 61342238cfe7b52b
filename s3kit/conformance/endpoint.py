"""Signed requests to an endpoint, one connection each, and what came back."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import urlsplit
from xml.etree.ElementTree import Element
from xml.etree.ElementTree import ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from ..auth.sigv4 import sign_headers
from ..model import Key
from ..wire.address import aws_quote

MOST_BODY = 8 << 20
"""Bytes of an answer that are read; nothing that is asked for here is nearly as long."""


class Broken(Exception):
    """No HTTP answer: refused or closed connection, time over, or what came is not HTTP."""


@dataclass(frozen=True)
class Answer:
    """What the endpoint said."""

    status: int
    headers: Mapping[str, str]
    """By lower-case name."""
    body: bytes

    @cached_property
    def xml(self) -> Element | None:
        """The body as XML without namespaces; None where it is none."""
        try:
            root: Element = fromstring(self.body, forbid_dtd=True)
        except (ParseError, DefusedXmlException, ValueError, LookupError):
            return None
        for element in root.iter():
            element.tag = element.tag.rpartition("}")[2]
        return root

    @property
    def root(self) -> str:
        """The name of the document's root element, or ""."""
        return "" if self.xml is None else self.xml.tag

    @property
    def code(self) -> str:
        """The code of an S3 error document, or ""."""
        if self.xml is None or self.xml.tag != "Error":
            return ""
        return (self.xml.findtext("Code") or "").strip()

    @property
    def good(self) -> bool:
        """A success; S3 can put an error into a 200."""
        return 200 <= self.status < 300 and self.root != "Error"

    def texts(self, path: str) -> list[str]:
        """The texts of all elements at a path such as ``Contents/Key``."""
        if self.xml is None:
            return []
        return [(element.text or "").strip() for element in self.xml.findall(path)]

    def text(self, path: str) -> str:
        """The text of the first element at a path, or ""."""
        return next(iter(self.texts(path)), "")


class Endpoint:
    """An S3 endpoint and a key of it; buckets are addressed in the path.

    :param url: with the path that it is mounted under, if any.
    :param timeout: seconds without a byte after which a request is given up.
    :param verify: check the certificate of an https URL.
    :raises ValueError: the URL is none of http or https.
    """

    def __init__(
        self,
        url: str,
        key: Key,
        *,
        region: str = "us-east-1",
        timeout: float = 30.0,
        verify: bool = True,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url!r} is no http:// or https:// URL.")
        self.url = url.rstrip("/")
        self.region = region
        self._key = key
        self._base = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        self._prefix = parts.path.rstrip("/")
        self._host = parts.hostname
        self._port = parts.port
        self._timeout = timeout
        self._context: ssl.SSLContext | None = None
        if parts.scheme == "https":
            self._context = ssl.create_default_context()
            if not verify:
                self._context.check_hostname = False
                self._context.verify_mode = ssl.CERT_NONE
        self.server = ""
        """What its answers say in the header Server."""

    def send(
        self,
        method: str,
        bucket: str = "",
        key: str = "",
        query: str = "",
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> Answer:
        """Sign and send a request.

        :param query: as it is sent, percent-encoded.
        :raises Broken: there is no answer.
        """
        path = f"{self._prefix}/{aws_quote(bucket)}" + (f"/{aws_quote(key)}" if key else "")
        target = path + (f"?{query}" if query else "")
        signed = sign_headers(
            method,
            self._base + target,
            self._key,
            headers=headers,
            payload=body,
            region=self.region,
        )
        connection = self._connect()
        try:
            connection.request(method, target, body or None, {**signed, "Connection": "close"})
            response = connection.getresponse()
            data = response.read(MOST_BODY)
        except (OSError, http.client.HTTPException) as error:
            raise Broken(_reason(error)) from error
        finally:
            connection.close()
        found = {name.lower(): value for name, value in response.getheaders()}
        self.server = found.get("server", self.server)
        return Answer(response.status, found, data)

    def _connect(self) -> http.client.HTTPConnection:
        if self._context is not None:
            return http.client.HTTPSConnection(
                self._host, self._port, timeout=self._timeout, context=self._context
            )
        return http.client.HTTPConnection(self._host, self._port, timeout=self._timeout)


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, http.client.RemoteDisconnected | ConnectionResetError | BrokenPipeError):
        return "closed the connection without an answer"
    if isinstance(error, http.client.IncompleteRead):
        return "closed the connection in the middle of its answer"
    if isinstance(error, http.client.HTTPException):
        return f"sent what is not HTTP ({type(error).__name__})"
    return str(error) or type(error).__name__
