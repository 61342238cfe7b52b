"""What a request says of its own signature, and the parts that such a signature covers.

For people who ask why a signature is wrong; requests themselves go through ``auth.sigv4``.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterator
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace
from typing import Any
from typing import Final
from typing import Literal

from ..errors import AuthorizationHeaderMalformed
from ..errors import AuthorizationQueryParametersError
from ..model import Key
from .canonical import ALGORITHM
from .canonical import Credential
from .canonical import Request
from .canonical import SignedHeaders
from .canonical import SigningKey
from .canonical import canonical_query
from .canonical import parse_amz_date
from .canonical import parse_credential
from .canonical import parse_signed_headers
from .presigned import possible_payloads
from .presigned import query_parameters
from .presigned import query_token
from .sigv4 import request_date
from .sigv4 import split_authorization

HEADER: Final = "header:"
"""What names a header among the parts that a change is about: ``header:host``."""

_SPACES: Final = re.compile(r"[ \t\r\n\v\f]+")


@dataclass(frozen=True, slots=True)
class Claim:
    """A signature with all that came with it. ``seconds`` is its date since the epoch.

    ``payloads`` are what may stand for the body; ``expires`` are the seconds that a presigned URL
    lives, "" for a signature in the header.
    """

    kind: Literal["header", "query"]
    credential: Credential
    amz_date: str
    seconds: int
    signed: SignedHeaders
    signature: str = field(repr=False)
    payloads: tuple[str, ...]
    token: str | None = field(repr=False)
    expires: str = ""

    @property
    def presigned(self) -> bool:
        """Whether it stands in the query."""
        return self.kind == "query"


def read_claim(request: Request) -> Claim | None:
    """A request's claim, None where it has no signature of version 4.

    :raises S3Error: it is malformed; as for the request itself.
    """
    authorization: str = request.environ.get("HTTP_AUTHORIZATION", "")
    if authorization:
        return _of_header(request, authorization)
    if any(name.startswith("X-Amz-") for name in request.query.names):
        return _of_query(request)
    return None


def _of_header(request: Request, authorization: str) -> Claim:
    text, names, signature = split_authorization(authorization)
    credential = parse_credential(text)
    signed = parse_signed_headers(names)
    if credential is None or signed is None:
        part = "Credential is" if credential is None else "SignedHeaders are"
        raise AuthorizationHeaderMalformed(
            f"The authorization header is malformed; the {part} mal-formed."
        )
    amz_date, seconds = request_date(request.environ)
    environ = request.environ
    payload = request.payload or environ.get("HTTP_X_AMZ_CONTENT_SHA256", "")
    token = environ.get("HTTP_X_AMZ_S3SESSION_TOKEN", environ.get("HTTP_X_AMZ_SECURITY_TOKEN"))
    return Claim("header", credential, amz_date, seconds, signed, signature, (payload,), token)


def _of_query(request: Request) -> Claim:
    _, text, signature, amz_date, names, expires = query_parameters(request.query)
    credential = parse_credential(text)
    signed = parse_signed_headers(names)
    seconds = parse_amz_date(amz_date)
    if credential is None or signed is None or seconds is None:
        wrong = "Credential" if credential is None else "Date" if signed else "SignedHeaders"
        raise AuthorizationQueryParametersError(f"X-Amz-{wrong} is mal-formed.")
    payloads, _ = possible_payloads(request)
    return Claim(
        "query",
        credential,
        amz_date,
        seconds,
        signed,
        signature,
        payloads,
        query_token(request),
        expires,
    )


@dataclass(frozen=True, slots=True)
class CanonicalRequest:
    """A canonical request in its parts; ``names`` is the list of signed headers."""

    method: str
    path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    names: str
    payload: str

    @property
    def canonical(self) -> str:
        """The canonical request itself."""
        block = "".join(f"{name}:{value}\n" for name, value in self.headers)
        return f"{self.method}\n{self.path}\n{self.query}\n{block}\n{self.names}\n{self.payload}"

    def lines(self) -> Iterator[tuple[str, str]]:
        """Each line with what it is."""
        yield "method", self.method
        yield "path", self.path
        yield "query", self.query
        for name, value in self.headers:
            yield f"header {name}", value
        yield "signed headers", self.names
        yield "payload", self.payload


@dataclass(frozen=True, slots=True)
class Form(CanonicalRequest):
    """All that goes into a signature, as one side has it.

    ``credential`` is what the string to sign names, ``scope`` what the signing key is made for.
    """

    amz_date: str
    credential: Credential
    scope: Credential
    secret: str = field(repr=False)

    @property
    def to_sign(self) -> str:
        """The string to sign."""
        return self.over(self.canonical)

    def over(self, canonical: str) -> str:
        """The string to sign for another canonical request."""
        try:
            data = canonical.encode("latin-1")
        except UnicodeEncodeError:
            data = canonical.encode("utf-8", "surrogatepass")
        digest = hashlib.sha256(data).hexdigest()
        return f"{ALGORITHM}\n{self.amz_date}\n{self.credential.scope}\n{digest}"

    def with_parts(self, parts: Mapping[str, Any]) -> Form:
        """The same with other parts, by their names; ``header:NAME`` is a header's value."""
        changed = {name: value for name, value in parts.items() if not name.startswith(HEADER)}
        if len(changed) != len(parts):
            changed["headers"] = tuple(
                (name, parts.get(HEADER + name, value)) for name, value in self.headers
            )
        return replace(self, **changed)


def form_of(request: Request, claim: Claim, secret: str = "") -> Form:
    """What this endpoint takes a request's signature to cover: the first form that it tries."""
    headers = []
    for name, variable in claim.signed.pairs:
        value = request.host if variable == "HTTP_HOST" else request.environ.get(variable, "")
        headers.append((name, _SPACES.sub(" ", value.strip(" \t\r\n"))))
    return Form(
        request.method,
        request.canonical_paths[0],
        canonical_query(request.query.raw, presigned=claim.presigned),
        tuple(headers),
        claim.signed.text,
        claim.payloads[0],
        claim.amz_date,
        claim.credential,
        claim.credential,
        secret,
    )


class Comparer:
    """Compares signatures that one key may have made."""

    __slots__ = ("_key", "_made", "_signature")

    def __init__(self, key: Key, signature: str) -> None:
        self._key = key
        self._signature = signature.encode("utf-8", "replace")
        self._made: dict[tuple[str, str], SigningKey] = {}

    def fits(self, form: Form, canonical: str | None = None) -> bool:
        """Whether the signature is one of this form, or of this canonical request."""
        to_sign = form.to_sign if canonical is None else form.over(canonical)
        place = (form.secret, form.scope.scope)
        signing = self._made.get(place)
        if signing is None:
            signing = SigningKey(replace(self._key, secret_key=form.secret), form.scope)
            self._made[place] = signing
        made = signing.sign(to_sign.encode("latin-1", "replace"))
        return hmac.compare_digest(made.encode(), self._signature)
