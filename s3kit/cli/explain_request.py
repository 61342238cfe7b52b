"""``s3kit explain --request``: what a captured request is, and why its signature is wrong."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import replace
from typing import TYPE_CHECKING
from typing import Final

from ..auth.canonical import MAX_SKEW
from ..auth.canonical import STS_SERVICE
from ..auth.canonical import Request
from ..auth.canonical import SigningKey
from ..auth.canonical import masked
from ..auth.canonical import parse_credential
from ..auth.canonical import verify
from ..auth.claims import CanonicalRequest
from ..auth.claims import Claim
from ..auth.claims import Comparer
from ..auth.claims import Form
from ..auth.claims import form_of
from ..auth.claims import read_claim
from ..auth.mistakes import Around
from ..auth.mistakes import Mistake
from ..auth.mistakes import find_mistakes
from ..auth.mistakes import secret_mistakes
from ..errors import S3Error
from ..errors import SignatureDoesNotMatch
from ..model import Key
from ..naming import ACCOUNT
from ..wire.address import aws_quote
from ..wire.form import read_form
from .captured import Captured
from .rehearsal import Rehearsal
from .rehearsal import Rehearsed
from .request_report import Report
from .signers import find_key_of
from .signers import is_secret
from .signers import other_keys

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_VERSION_2: Final = (
    "It is signed with version 2 of AWS's signatures, which S3 has given up. Set the client to "
    "version 4 (s3cmd: signature_v2 = False; boto3: Config(signature_version='s3v4'))."
)
_ADVICE_BY_LINE: Final = {
    "method": "The client signed for another method than it sent.",
    "path": "The path was changed or taken off on the way, or the client encodes it otherwise.",
    "query": "The query was changed on the way, or the client encodes or sorts it otherwise.",
    "header host": "Something on the way changes Host: let the proxy pass it on, port and all.",
    "signed headers": "The two sides list other headers.",
    "payload": "The body's hash, or what stands for it, was changed after the signature.",
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a request was captured.

    :param scheme: ``http`` or ``https``, where the request does not tell.
    :param mount: where an app has the endpoint.
    :param peer: whoever sent it, the proxy's address behind one.
    :param hosts: further names by which clients may know the endpoint.
    :param account: the account to which the mount is bound, where names of buckets are per account.
    """

    scheme: str = "https"
    mount: str = ""
    peer: str = ""
    hosts: tuple[str, ...] = ()
    account: str = ""

    def environ(self, captured: Captured) -> WSGIEnvironment:
        """A new environ of the request."""
        made = captured.environ(scheme=self.scheme, mount=self.mount, peer=self.peer)
        if self.account:
            made[ACCOUNT] = self.account
        return made


def explain_request(
    app: Rehearsal,
    captured: Captured,
    place: Place,
    now: float,
    client: CanonicalRequest | None = None,
) -> Report:
    """Find out all that there is to tell of a request.

    :param now: seconds since the epoch.
    :param client: the client's own canonical request, where it is known.
    """
    answer = app.rehearse(place.environ(captured), now, body=captured.body is not None)
    environ = place.environ(captured)
    try:
        request = app.request_of(environ)
    except S3Error as error:
        report = Report(_title(captured, answer), "of no path that S3 has", answer=answer)
        text = error.text
        if captured.target.startswith("//"):
            text = "The path begins with two slashes: the client's endpoint must not end in one."
        report.reasons.append(Mistake("path", text))
        return report
    report = Report(_title(captured, answer), _form_without_claim(request, answer), answer=answer)
    if report.signature.startswith("version 2"):
        report.reasons.append(Mistake("signature", _VERSION_2))
        return report
    try:
        claim = read_claim(request)
    except S3Error as error:
        if not report.signature.startswith("none of S3's"):
            report.signature = f"malformed: {error.text}"
        report.reasons = list(_malformed(request))
        return report
    if claim is None:
        if captured.body is not None and _is_form(request):
            explain_form(app, report, environ, now)
        return report
    if claim.credential.service == STS_SERVICE and captured.body is not None:
        request.service = STS_SERVICE
        request.payload = hashlib.sha256(captured.body).hexdigest()
        claim = read_claim(request) or claim
    report.signature = _claim_in_words(claim)
    report.reasons = list(_clock(claim, now))
    if not -MAX_SKEW <= claim.seconds - now <= MAX_SKEW and answer.error is not None:
        body = captured.body is not None
        report.in_time = app.rehearse(place.environ(captured), claim.seconds, body=body)
    key = find_key_of(app, claim.credential.access_key, claim.token, report, now)
    report.reasons += _about_headers(request, claim)
    report.reasons += _about_scope(app, claim)
    report.reasons += _about_body(claim, captured)
    shown = form_of(request, claim, "" if key is None else key.secret_key)
    report.canonical = masked(shown.canonical)
    report.to_sign = shown.to_sign
    if is_secret(app, claim.credential.access_key):
        # In the place of the key's id, in a presigned URL's query.
        sent = aws_quote(claim.credential.access_key, False)
        report.canonical = report.canonical.replace(sent, "***")
    if key is not None:
        _compare(app, report, request, claim, key, shown, captured, place)
    if client is not None:
        _beside_client(report, shown, claim, key, client)
    return report


def _title(captured: Captured, answer: Rehearsed) -> str:
    call = answer.call
    if call is None:
        # Not the query, which may be a signature itself.
        return f"{captured.method} {captured.target.partition('?')[0]}"
    text = f"{captured.method} {call.operation.name}"
    if call.bucket_name:
        text += f" of {call.bucket_name}"
        if call.key is not None:
            text += "/" + call.key.decode("utf-8", "backslashreplace")
    return text


def _form_without_claim(request: Request, answer: Rehearsed) -> str:
    scheme, _, rest = request.environ.get("HTTP_AUTHORIZATION", "").strip().partition(" ")
    names = request.query.names
    if scheme == "AWS" or {"AWSAccessKeyId", "Signature"} <= names:
        return "version 2, which is not supported"
    if scheme and not scheme.startswith("AWS4-"):
        # Without a second word it may be a token.
        named = f": the Authorization header is of {scheme[:32]!r}" if rest else ""
        return f"none of S3's{named}"
    if _is_form(request) and answer.unread:
        return "that of a browser's form is in its body, which was not captured"
    return "none: the request is anonymous"


def _is_form(request: Request) -> bool:
    content_type = request.environ.get("CONTENT_TYPE", "").lower()
    return request.method == "POST" and content_type.startswith("multipart/form-data")


def _claim_in_words(claim: Claim) -> str:
    where = "the query (a presigned URL)" if claim.presigned else "the Authorization header"
    text = f"version 4 in {where}, {claim.credential.scope}, of {claim.amz_date}"
    payload = claim.payloads[0]
    if payload.startswith("STREAMING-"):
        text += "; the body comes in " + ("" if "UNSIGNED" in payload else "signed ") + "chunks"
    if claim.expires:
        text += f", for {claim.expires} seconds"
    return text


def _malformed(request: Request) -> Iterator[Mistake]:
    names = request.query.names
    if any(name.startswith("amp;") for name in names):
        text = "The URL was escaped for HTML: each &amp; in it must be an &."
        yield Mistake("query", text)
    if "X-Amz-Algorithm" in names and "X-Amz-Signature" not in names:
        yield Mistake("query", "The URL is cut off: its X-Amz-Signature is missing.")
    if "%2F" in (request.query.get("X-Amz-Credential") or "").upper():
        yield Mistake("query", "The URL was percent-encoded once more after it was made.")


def _clock(claim: Claim, now: float) -> Iterator[Mistake]:
    away = claim.seconds - now
    if away > MAX_SKEW or (away < -MAX_SKEW and not claim.presigned):
        how = "ahead of" if away > 0 else "behind"
        text = (
            f"The request's date is {_duration(abs(away))} {how} this endpoint's clock, and "
            f"{MAX_SKEW // 60} minutes are allowed. Is it an old request, say when it came (--at); "
            "else set the client's clock."
        )
        yield Mistake("clock", text)
    if claim.expires.isdigit() and now > claim.seconds + int(claim.expires[:9]):
        over = now - claim.seconds - int(claim.expires[:9])
        yield Mistake("clock", f"The URL's time is over, by {_duration(over)}. Make a new one.")


def _duration(seconds: float) -> str:
    left = int(seconds)
    for size, name in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if left >= size:
            count = left // size
            return f"{count} {name}{'' if count == 1 else 's'}"
    return f"{left} seconds"


def explain_form(app: Rehearsal, report: Report, environ: WSGIEnvironment, now: float) -> None:
    """What is to tell of a browser's form; its policy is what was signed."""
    try:
        fields = read_form(environ["wsgi.input"], environ.get("CONTENT_TYPE", "")).fields
    except S3Error as error:
        report.signature = f"that of a form, which cannot be read: {error.text}"
        return
    credential = parse_credential(fields.get("x-amz-credential", ""))
    if credential is None:
        if "signature" in fields or "awsaccesskeyid" in fields:
            report.signature = "version 2 in a browser's form, which is not supported"
            report.reasons.append(Mistake("signature", _VERSION_2))
        return
    report.signature = f"version 4 in a browser's form, {credential.scope}"
    token = fields.get("x-amz-security-token")
    key = find_key_of(app, credential.access_key, token, report, now)
    policy, signature = fields.get("policy", ""), fields.get("x-amz-signature", "")
    # The policy of a session's form has a condition on the token.
    report.to_sign = policy if token is None else "***"
    if key is None:
        return
    data = policy.encode("utf-8", "surrogatepass")

    def fits(secret: str) -> bool:
        made = SigningKey(replace(key, secret_key=secret), credential).sign(data)
        return hmac.compare_digest(made.encode(), signature.encode("utf-8", "replace"))

    report.matches = fits(key.secret_key)
    if not report.matches:
        for mistake, secret in secret_mistakes(key, other_keys(app, key)):
            if fits(secret):
                report.proved, report.reasons = True, [mistake]
                return
        text = "The policy was changed after it was signed, or with another secret for this key."
        report.reasons.append(Mistake("policy", text))


def _about_headers(request: Request, claim: Claim) -> Iterator[Mistake]:
    environ = request.environ
    for name, variable in claim.signed.pairs:
        if variable != "HTTP_HOST" and variable not in environ:
            text = f'The header "{name}" is signed and did not come: something took it away.'
            yield Mistake("header", text)
    variables = claim.signed.variables
    for variable in sorted(environ):
        if variable.startswith("HTTP_X_AMZ_") and variable not in variables:
            name = variable[5:].lower().replace("_", "-")
            text = f'The header "{name}" came and is not signed: it was added after the signature.'
            yield Mistake("header", text)
    if not claim.signed.has_host:
        yield Mistake("header", "The signature leaves out Host, which it must cover.")
    if not claim.presigned and not claim.payloads[0]:
        text = "x-amz-content-sha256 did not come; S3 wants it, though not every service of AWS."
        yield Mistake("payload", text)


def _about_scope(app: Rehearsal, claim: Claim) -> Iterator[Mistake]:
    credential = claim.credential
    pinned = app.site.pinned_region
    if pinned is not None and credential.region != pinned:
        text = f'It is signed for the region "{credential.region}"; this endpoint is "{pinned}".'
        yield Mistake("region", text)
    if credential.service not in ("s3", "s3express", STS_SERVICE):
        text = f'It is signed for the service "{credential.service}"; S3\'s is s3.'
        yield Mistake("service", text)
    if credential.date != claim.amz_date[:8]:
        text = f"The credential is of {credential.date}, the request of {claim.amz_date[:8]}."
        yield Mistake("clock", text)


def _about_body(claim: Claim, captured: Captured) -> Iterator[Mistake]:
    payload = claim.payloads[0]
    if captured.body is None or len(payload) != 64:
        return
    if hashlib.sha256(captured.body).hexdigest() != payload.lower():
        text = (
            f"The body is not the one that was signed: {len(captured.body)} bytes of another "
            "SHA-256 came than x-amz-content-sha256 says."
        )
        yield Mistake("payload", text)


def _compare(
    app: Rehearsal,
    report: Report,
    request: Request,
    claim: Claim,
    key: Key,
    shown: Form,
    captured: Captured,
    place: Place,
) -> None:
    """Whether the signature is right, and with what other request it would be."""
    try:
        verify(
            request,
            key,
            claim.credential,
            claim.amz_date,
            claim.signed,
            claim.payloads,
            claim.signature,
            presigned=claim.presigned,
        )
    except SignatureDoesNotMatch:
        report.matches = False
    except S3Error as error:
        report.reasons.append(Mistake("header", error.text))
        return
    else:
        report.matches = True
        if isinstance(report.answer.error, SignatureDoesNotMatch):
            text = (
                "The request's own signature is right; a chunk's or the trailer's in its body is "
                "not: the body was changed, or the client chains its signatures otherwise."
            )
            report.reasons.append(Mistake("payload", text))
        return
    path, _, query = captured.target.partition("?")
    config = app.config
    prefixes = (
        config.public_prefix,
        place.mount,
        request.environ.get("HTTP_X_FORWARDED_PREFIX", ""),
    )
    around = Around(
        path,
        query,
        captured.body,
        (*place.hosts, *config.base_hosts),
        tuple(each for each in prefixes if each),
        config.region,
        tuple(other_keys(app, key)),
    )
    found = find_mistakes(shown, claim, key, request, around)
    if found:
        report.proved = True
        report.reasons = list(found)
        return
    if len(claim.signature) != 64:
        text = f"The signature has {len(claim.signature)} characters, and not 64: it is cut off."
        report.reasons.append(Mistake("signature", text))
    text = (
        "With nothing that was tried is the signature right. Likeliest the client has another "
        "secret for this key, or a proxy changes Host (say by what name clients know this "
        "endpoint: --host); what the client signed itself tells more (--client-canonical)."
    )
    report.reasons.append(Mistake("secret", text))


def _beside_client(
    report: Report, shown: Form, claim: Claim, key: Key | None, client: CanonicalRequest
) -> None:
    """The client's canonical request beside ours, and whether its signature is over that one."""
    ours = dict(shown.lines())
    theirs = dict(client.lines())
    for line in dict.fromkeys((*theirs, *ours)):
        if theirs.get(line) != ours.get(line):
            shown_pair = (_shown(line, theirs.get(line)), _shown(line, ours.get(line)))
            report.differences.append((line, *shown_pair))
    if key is None:
        report.client = f"{len(report.differences)} lines differ"
        return
    signed_it = Comparer(key, claim.signature).fits(shown, client.canonical)
    same = "it is the same as the endpoint's" if not report.differences else ""
    if signed_it:
        report.client = same or "the signature is of this one, and with the right secret"
        if not report.matches and report.differences and not report.proved:
            report.proved = True
            report.reasons = [
                Mistake(line.split()[0], _ADVICE_BY_LINE.get(line, _other_line(line)))
                for line, _, _ in report.differences
            ]
        return
    report.client = f"{same or 'it differs'}, and the signature is not of it with this key's secret"
    if same and not report.proved:
        text = (
            "Both sides sign the same text: the client has another secret for this key, or signs "
            "with the region, service or date of another scope."
        )
        report.reasons = [Mistake("secret", text)]


def _other_line(line: str) -> str:
    return f"Something on the way changes the {line}: let it pass, or let the client not sign it."


def _shown(line: str, value: str | None) -> str:
    if value is None:
        return "(not there)"
    name = line.removeprefix("header ")
    if name != line:
        return masked(f"{name}:{value}").partition(":")[2]
    return masked(value)
