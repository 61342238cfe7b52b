"""``s3kit explain --request``: what a captured request is, and why its signature is wrong."""

from __future__ import annotations

import difflib
import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import field
from datetime import UTC
from datetime import datetime
from typing import TYPE_CHECKING
from typing import Any
from typing import Final

from ..auth.canonical import MAX_SKEW
from ..auth.canonical import STS_SERVICE
from ..auth.canonical import Request
from ..auth.canonical import find_key
from ..auth.canonical import masked
from ..auth.canonical import verify
from ..auth.claims import Claim
from ..auth.claims import Comparer
from ..auth.claims import Form
from ..auth.claims import form_of
from ..auth.claims import read_claim
from ..auth.mistakes import Around
from ..auth.mistakes import Mistake
from ..auth.mistakes import find_mistakes
from ..auth.scope import write_scope
from ..errors import NoSuchEntity
from ..errors import S3Error
from ..errors import SignatureDoesNotMatch
from ..model import Key
from .captured import Captured
from .client_canonical import ClientCanonical
from .rehearsal import Rehearsal
from .rehearsal import Rehearsed

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


@dataclass(slots=True)
class Report:
    """What is known of a captured request.

    ``matches`` is None where no signature could be compared. ``reasons`` are proved where
    ``proved``: with them changed the signature is right. ``differences`` are lines of the canonical
    request: what it is, the client's, the endpoint's.
    """

    request: str
    signature: str
    key: str = ""
    matches: bool | None = None
    proved: bool = False
    reasons: list[Mistake] = field(default_factory=list)
    canonical: str = ""
    to_sign: str = ""
    client: str = ""
    differences: list[tuple[str, str, str]] = field(default_factory=list)
    answer: Rehearsed = field(default_factory=Rehearsed)
    in_time: Rehearsed | None = None

    @property
    def allowed(self) -> bool:
        """Whether the endpoint would do it now."""
        return self.answer.error is None and not self.answer.redirected

    def document(self) -> dict[str, Any]:
        """All of it for programs."""
        return {
            "decision": "allow" if self.allowed else "deny",
            "request": self.request,
            "signature": self.signature,
            "key": self.key,
            "matches": self.matches,
            "proved": self.proved,
            "reasons": [{"cause": each.cause, "text": each.text} for each in self.reasons],
            "canonical_request": self.canonical,
            "string_to_sign": self.to_sign,
            "client": self.client,
            "differences": [
                {"line": line, "client": client, "endpoint": ours}
                for line, client, ours in self.differences
            ],
            "answer": _answer(self.answer),
            "at_its_own_time": None if self.in_time is None else _answer(self.in_time),
        }

    def lines(self) -> Iterator[str]:
        """All of it for people."""
        yield f"{'allow' if self.allowed else 'deny'}  {self.request}"
        yield ""
        yield f"  signature  {self.signature}"
        if self.key:
            yield f"  key        {self.key}"
        if self.matches is not None:
            yield f"  matches    {'yes' if self.matches else 'no'}"
        yield f"  answer     {_in_words(self.answer)}"
        if self.in_time is not None:
            yield f"  in time    {_in_words(self.in_time)}"
        for number, each in enumerate(self.reasons):
            head = "" if number else "Because:" if self.proved else "Perhaps:"
            if head:
                yield ""
                yield head
            yield f"  {each.cause:<10} {each.text}"
        if self.client:
            yield ""
            yield f"The client's own canonical request: {self.client}"
            for line, client, ours in self.differences:
                yield f"  {line}"
                yield f"    - client    {client}"
                yield f"    + endpoint  {ours}"
        if self.canonical:
            yield ""
            yield "The canonical request, as this endpoint has it:"
            yield from (f"  | {line}" for line in self.canonical.split("\n"))
            yield ""
            yield "The string to sign:"
            yield from (f"  | {line}" for line in self.to_sign.split("\n"))
        for judged in (self.in_time or self.answer).judged:
            yield ""
            says = "allow" if judged.decision.allowed else "deny"
            yield f"{says}  {judged.action}  {judged.resource}".rstrip()
            for step in judged.steps[:-1]:
                yield f"  {step.rule:<20} {step.says or '-':<6} {step.text}"
            yield f"  {'=> ' + judged.decision.by:<20} {says:<6} {judged.decision.reason}"


def _answer(found: Rehearsed) -> dict[str, Any]:
    error = found.error
    return {
        "status": found.redirected or (200 if error is None else error.status),
        "code": "" if error is None else error.code,
        "message": "" if error is None else error.text,
        "decisions": [
            {
                "action": each.action,
                "resource": each.resource,
                "allowed": each.decision.allowed,
                "decided_by": each.decision.by,
                "reason": each.decision.reason,
                "steps": [{"rule": s.rule, "says": s.says, "text": s.text} for s in each.steps],
            }
            for each in found.judged
        ],
    }


def _in_words(found: Rehearsed) -> str:
    if found.error is not None:
        return f"{found.error.status} {found.error.code}: {found.error.text}"
    if found.redirected:
        return f"{found.redirected}, before anybody looks at the signature"
    rest = " (its body was not captured)" if found.unread and _has_body(found) else ""
    return f"it would be carried out{rest}"


def _has_body(found: Rehearsed) -> bool:
    return found.call is not None and found.call.operation.body != "none"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a request was captured.

    :param scheme: ``http`` or ``https``, where the request does not tell.
    :param mount: where an app has the endpoint.
    :param peer: whoever sent it, the proxy's address behind one.
    :param hosts: further names by which clients may know the endpoint.
    """

    scheme: str = "https"
    mount: str = ""
    peer: str = ""
    hosts: tuple[str, ...] = ()

    def environ(self, captured: Captured) -> WSGIEnvironment:
        """A new environ of the request."""
        return captured.environ(scheme=self.scheme, mount=self.mount, peer=self.peer)


def explain_request(
    app: Rehearsal,
    captured: Captured,
    place: Place,
    now: float,
    client: ClientCanonical | None = None,
) -> Report:
    """Find out all that there is to tell of a request.

    :param now: seconds since the epoch.
    :param client: the client's own canonical request, where it is known.
    """
    answer = app.rehearse(place.environ(captured), now, body=captured.body is not None)
    environ = place.environ(captured)
    request = app.request_of(environ)
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
    key = _find_key(app, claim, report, now)
    report.reasons += _about_headers(request, claim)
    report.reasons += _about_scope(app, claim)
    report.reasons += _about_body(claim, captured)
    shown = form_of(request, claim, "" if key is None else key.secret_key)
    report.canonical = masked(shown.canonical)
    report.to_sign = shown.to_sign
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
    scheme = request.environ.get("HTTP_AUTHORIZATION", "").partition(" ")[0]
    names = request.query.names
    if scheme == "AWS" or {"AWSAccessKeyId", "Signature"} <= names:
        return "version 2, which is not supported"
    if scheme and not scheme.startswith("AWS4-"):
        return f"none of S3's: the Authorization header's scheme is {scheme[:32]!r}"
    content_type = request.environ.get("CONTENT_TYPE", "")
    if request.method == "POST" and content_type.startswith("multipart/form-data"):
        if answer.unread:
            return "a browser's form; it is in the body, which was not captured"
        kind = "" if answer.call is None else answer.call.identity.kind
        return "version 4 in a browser's form" + (", which is right" if kind == "form" else "")
    return "none: the request is anonymous"


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


def _find_key(app: Rehearsal, claim: Claim, report: Report, now: float) -> Key | None:
    """The key of the claim; what is known of it goes into the report."""
    access_key = claim.credential.access_key
    site = app.site
    try:
        key = find_key(site.key_ring, access_key, site.sessions, claim.token, now)
    except S3Error as error:
        report.key = f"{access_key}: {_why_no_key(app, access_key, claim.token, error)}"
        report.reasons.append(Mistake("key", report.key))
        return None
    said = f"{access_key}, of the account {key.account.id}"
    if key.session is not None:
        until = datetime.fromtimestamp(key.session.expires, UTC)
        said += f", a session's until {until:%Y-%m-%dT%H:%M:%SZ}"
        said += f", opened with {key.session.parent}" if key.session.parent else ""
    if key.principal or key.user:
        said += f", of its {key.principal or 'user/' + key.user}"
    scope = key.scope
    if scope is not None:
        said += f", narrowed to {write_scope(scope)}"
        if scope.expires and now * 1000 >= scope.expires:
            report.reasons.append(Mistake("key", f"{access_key} has expired."))
    report.key = said
    if key.session_token is not None and claim.token is None:
        text = "The key is a session's, and no x-amz-security-token came with the request."
        report.reasons.append(Mistake("key", text))
    if key.session_token is None and claim.token is not None:
        text = "A session's token came with a key that has none: the client mixes two keys up."
        report.reasons.append(Mistake("key", text))
    return key


def _why_no_key(app: Rehearsal, access_key: str, token: str | None, error: S3Error) -> str:
    ring = app.site.key_ring
    if token is not None:
        return (
            f"no session's key that may be used now ({error.code}): the session is over, who "
            "opened it has no key any more, or the token is another's"
        )
    try:
        stored = app.store.accounts.get_key(access_key)
    except NoSuchEntity:
        pass
    else:
        if stored.status != "active":
            return f"the key is {stored.status}, see s3kit keys enable"
        status = app.store.accounts.get(stored.account).status
        return f"the key is there; its account {stored.account} is {status} and may not sign now"
    for other in (access_key.strip(), access_key.upper()):
        if other != access_key and ring.lookup(other) is not None:
            return f'there is no such key; "{other}" is one'
    if access_key.startswith("ASIA"):
        return "there is no such key; a session's works only with its x-amz-security-token"
    known = [each.access_key for each in app.config.signing_keys()]
    if any(access_key == each.secret_key for each in app.config.signing_keys()):
        return "that is no access key but a secret; the client has the two mixed up"
    close = difflib.get_close_matches(access_key, known, n=1)
    return "there is no such key here" + (f'; did you mean "{close[0]}"?' if close else "")


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
        tuple(_others(app, key)),
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


def _others(app: Rehearsal, key: Key) -> Iterator[Key]:
    """Other keys that the client may have mixed up with its own."""
    names = [each.access_key for each in app.config.signing_keys()]
    names += [each.access_key for each in app.store.accounts.list_keys(key.account.id)]
    for name in names[:200]:
        found = app.site.key_ring.lookup(name) if name != key.access_key else None
        if found is not None:
            yield found


def _beside_client(
    report: Report, shown: Form, claim: Claim, key: Key | None, client: ClientCanonical
) -> None:
    """The client's canonical request beside ours, and whether its signature is over that one."""
    ours = dict(_lines_of(shown))
    theirs = dict(client.lines())
    for line in dict.fromkeys((*theirs, *ours)):
        if theirs.get(line) != ours.get(line):
            shown_pair = (_shown(line, theirs.get(line)), _shown(line, ours.get(line)))
            report.differences.append((line, *shown_pair))
    if key is None:
        report.client = f"{len(report.differences)} lines differ"
        return
    signed_it = Comparer(key, claim.signature).fits(shown, client.text)
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


def _lines_of(form: Form) -> Iterator[tuple[str, str]]:
    yield "method", form.method
    yield "path", form.path
    yield "query", form.query
    for name, value in form.headers:
        yield f"header {name}", value
    yield "signed headers", form.names
    yield "payload", form.payload


def _shown(line: str, value: str | None) -> str:
    if value is None:
        return "(not there)"
    name = line.removeprefix("header ")
    if name != line:
        return masked(f"{name}:{value}").partition(":")[2]
    return masked(value)


def moment_of(text: str) -> float:
    """A time in ISO 8601 or as x-amz-date has it, in seconds since the epoch.

    :raises ValueError: it is none.
    """
    found = datetime.fromisoformat(text)
    return (found if found.tzinfo is not None else found.replace(tzinfo=UTC)).timestamp()


def clock() -> float:
    """Seconds since the epoch."""
    return time.time()
