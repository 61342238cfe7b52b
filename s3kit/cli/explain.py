"""``s3kit explain``: would this request be allowed, and by which rule?"""

from __future__ import annotations

import io
import json
import os
import time
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC
from datetime import datetime
from types import MappingProxyType
from typing import Any
from typing import BinaryIO

import click

from ..app import S3App
from ..auth.access import ACCOUNT_ACTIONS
from ..auth.access import versioned
from ..auth.actions import ACTIONS
from ..auth.actions import OBJECT_ACTIONS
from ..auth.actions import is_condition_key
from ..auth.canonical import UNSIGNED_PAYLOAD
from ..auth.canonical import Identity
from ..auth.patterns import normal_key
from ..auth.policy import Policy
from ..auth.session import session_rules
from ..auth.trace import explained
from ..call import Call
from ..config import Config
from ..config import ConfigError
from ..config import nearest
from ..context import RequestContext
from ..context import Value
from ..errors import AccessDenied
from ..errors import MalformedPolicy
from ..errors import NoSuchBucket
from ..model import Caller
from ..model import Decision
from ..model import Question
from ..model import Step
from ..naming import find_bucket
from ..wire.environ import Input
from ..wire.query import parse_query
from ..wire.routing import Operation
from ..wire.routing import find_operation
from ..wire.routing import operations
from .captured import MOST_BYTES
from .captured import NoRequest
from .captured import read_captured
from .client_canonical import find_canonical
from .explain_request import Place
from .explain_request import explain_request
from .first_start import first_credentials
from .judged import Judged
from .rehearsal import Rehearsal
from .request_report import Report
from .settings import check_index
from .settings import data_options
from .settings import gather
from .settings import gather_existing
from .who import Who
from .who import caller_of

ADVICE = {
    "account": "Sign the request with a key of an account.",
    "session": "Use the key that opened the session, or a session for this bucket.",
    "scope": "Use another key: this one is narrowed so that it cannot.",
    "session policy": "The session's policy must allow it too.",
    "user policy": "A policy of the user must allow it, and none of them deny it.",
    "bucket policy": "Change or remove this statement: a Deny counts before everything.",
    "public access block": "Switch that switch off, or let the policy name whom it means.",
    "owner": "The bucket's policy must allow it to this caller, or an ACL where ACLs count.",
    "ownership": "The bucket's policy must allow it to this caller: ACLs do not count here.",
    "object owner": "The object's owner must grant it, or ACLs be switched off in the bucket.",
    "absence": "The key is not there; to be told so takes s3:ListBucket.",
    "profile": "The bucket's policy must allow it: under this profile no ACL does.",
    "authorize hook": "The app's own authorize function must allow it.",
    "signature": "Use a key that is there and enabled.",
}
"""What would have to change, by the kind of rule that refused."""


@click.command()
@click.argument("action", default="")
@click.argument("resource", default="")
@data_options
@click.option("--access-key", "--key", "signer", metavar="ID", help="Who asks: who has this key.")
@click.option("--account", metavar="ID", help="Who asks: this account itself.")
@click.option("--user", metavar="NAME", help="Who asks: this user of the account.")
@click.option("--role", metavar="NAME", help="Who asks: a session of this role of the account.")
@click.option("--anonymous", is_flag=True, help="Who asks: somebody who does not sign.")
@click.option(
    "--session-policy",
    type=click.File("rb"),
    metavar="FILE",
    help="Who asks has opened a session with this policy.",
)
@click.option(
    "--owner",
    metavar="ID",
    help="Whose bucket it is, where names of buckets are per account; with --request: to whom its "
    "mount is bound.",
)
@click.option("--version-id", metavar="ID", help="Of the object, where the request names it.")
@click.option("--source-ip", metavar="ADDRESS", default="", help="Where the request comes from.")
@click.option(
    "--condition",
    "conditions",
    multiple=True,
    metavar="KEY=VALUE",
    help="What the request says under a condition key, such as s3:prefix=a/. May be repeated.",
)
@click.option(
    "--request",
    "captured",
    type=click.File("rb"),
    metavar="FILE",
    help="A captured request, - for the input: as it came, as curl -v or boto's debug log has it, "
    "or a presigned URL. Nothing of it is carried out.",
)
@click.option(
    "--client-canonical",
    type=click.File("rb"),
    metavar="FILE",
    help="With --request: the client's own canonical request, or its debug log.",
)
@click.option("--method", metavar="METHOD", help="With --request: what a bare URL is sent with.")
@click.option(
    "--at", metavar="TIME", help="With --request: when it came, 2026-11-21T15:00:00Z; now if not."
)
@click.option("--http", "plain", is_flag=True, help="With --request: it came over plain HTTP.")
@click.option("--mount", metavar="PATH", default="", help="With --request: where an app has s3kit.")
@click.option(
    "--host",
    "hosts",
    multiple=True,
    metavar="HOST",
    help="With --request: by what name, and port, a client may know the endpoint; again for more.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.pass_context
def explain(
    context: click.Context,
    /,
    action: str,
    resource: str,
    signer: str | None,
    account: str | None,
    user: str | None,
    role: str | None,
    anonymous: bool,
    session_policy: BinaryIO | None,
    owner: str | None,
    version_id: str | None,
    source_ip: str,
    conditions: tuple[str, ...],
    captured: BinaryIO | None,
    client_canonical: BinaryIO | None,
    method: str | None,
    at: str | None,
    plain: bool,
    mount: str,
    hosts: tuple[str, ...],
    as_json: bool,
    **options: Any,
) -> None:
    """Tell whether ACTION (s3:GetObject) on RESOURCE (bucket/key) is allowed, and by which rule.

    Or, with --request, what a captured request is, whether it would be carried out and why its
    signature is wrong. The endpoint's own rules decide, as for a request over HTTPS; nothing is
    changed. The exit code is 0 where it is allowed, 1 where not, 2 where the question is wrong.
    """
    who = Who(signer, account, user, role, anonymous, _policy_of(session_policy))
    if captured is not None:
        if action or who != Who() or version_id or conditions:
            raise click.UsageError("The request itself says what is asked, and who asks.")
        scheme = "http" if plain else "https"
        place = Place(scheme, mount.rstrip("/"), source_ip, hosts, owner or "")
        report = _of_request(options, captured, client_canonical, place, method, at)
        if as_json:
            click.echo(json.dumps(report.document()))
        else:
            _say(report.lines())
        context.exit(0 if report.allowed else 1)
    if not action:
        raise click.UsageError("Say which ACTION, or give a request (--request).")
    if client_canonical is not None or method or at or plain or mount or hosts:
        raise click.UsageError("That is about a captured request: give it with --request.")
    who.check()
    chosen = _action(action)
    given = _given(conditions)
    config = _config(options)
    check_index(config)
    app = S3App(replace(config, relay=False, run_lifecycle=False))
    try:
        judged = judge(app, who, chosen, resource, version_id, source_ip, given, owner=owner)
    finally:
        app.close()
    allowed = judged.decision.allowed
    advice = "" if allowed else ADVICE.get(judged.decision.by, "")
    if as_json:
        shown = {"decision": judged.says, "to_allow": advice, **judged.document()}
        click.echo(json.dumps(shown))
    else:
        _say(_lines(judged, advice))
    context.exit(0 if allowed else 1)


def judge(
    app: S3App,
    who: Who,
    action: str,
    resource: str,
    version_id: str | None = None,
    source_ip: str = "",
    given: Mapping[str, Value] = MappingProxyType({}),
    *,
    owner: str | None = None,
) -> Judged:
    """What the endpoint decides of such a request, and why.

    :param given: what the request says under condition keys.
    :param owner: whose bucket is meant, where several accounts have one of that name.
    :raises ConfigError: there is nobody of that name, or no such bucket.
    :raises click.BadParameter: the action is not about such a thing.
    """
    caller = caller_of(app, who)
    if isinstance(caller, str):
        decision = Decision(False, caller, by="signature")
        return Judged(action, resource, decision, (Step("signature", "deny", decision.reason),))
    question = _question(app, caller, action, resource, owner, version_id, source_ip, given)
    decision, steps = explained(app.site.access, question)
    return Judged(question.action, resource, decision, tuple(steps))


def _say(lines: Iterable[str]) -> None:
    """Print what others may have chosen much of; a terminal obeys what it is sent."""
    for line in lines:
        click.echo("".join(c if c.isprintable() else ascii(c)[1:-1] for c in line))


def _of_request(
    options: Mapping[str, Any],
    captured: BinaryIO,
    client_canonical: BinaryIO | None,
    place: Place,
    method: str | None,
    at: str | None,
) -> Report:
    data = captured.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise click.BadParameter("it has more than 64 MiB.", param_hint="--request")
    try:
        found = read_captured(data, (method or "").upper())
    except NoRequest as error:
        raise click.BadParameter(str(error), param_hint="--request") from None
    try:
        now = time.time() if at is None else _moment(at)
    except (ValueError, OverflowError):
        raise click.BadParameter(f'"{at}" is no time.', param_hint="--at") from None
    log = data if client_canonical is None else client_canonical.read(MOST_BYTES)
    dates = [value for name, value in found.headers if name.lower() == "x-amz-date"]
    client = find_canonical(log.decode("utf-8", "replace"), like=dates[0] if dates else "")
    if client is None and client_canonical is not None:
        raise click.BadParameter("it has no canonical request.", param_hint="--client-canonical")
    config = _config(options)
    check_index(config)
    app = Rehearsal(config)
    try:
        return explain_request(app, found, place, now, client)
    finally:
        app.close()


def _moment(text: str) -> float:
    found = datetime.fromisoformat(text)
    return (found if found.tzinfo is not None else found.replace(tzinfo=UTC)).timestamp()


def _policy_of(file: BinaryIO | None) -> Policy | None:
    if file is None:
        return None
    try:
        return session_rules(file.read(MOST_BYTES).decode("utf-8"))
    except (UnicodeDecodeError, MalformedPolicy) as error:
        text = error.text if isinstance(error, MalformedPolicy) else "it is no UTF-8."
        raise click.BadParameter(text, param_hint="--session-policy") from None


def _lines(judged: Judged, advice: str) -> Iterator[str]:
    yield judged.headline
    yield ""
    yield from judged.reasons()
    if advice:
        yield ""
        yield f"To be allowed: {advice}"


def _config(options: Mapping[str, Any]) -> Config:
    """The endpoint's configuration, with the key pair that its first start made."""
    config = gather_existing(options, os.environ)
    settings = gather(options, os.environ)
    if settings.has_keys or settings.data is None or not (settings.data / "credentials").exists():
        return config
    found = first_credentials(settings.data, config.region)
    return settings.with_key(found.access_key, found.secret_key).config


def _action(text: str) -> str:
    names = {each.lower(): each for each in ACTIONS}
    for name in (text.lower(), f"s3:{text.lower()}"):
        if name in names:
            return names[name]
    raise click.BadParameter(f'no "{text}". {nearest(text, ACTIONS)}', param_hint="ACTION")


def _given(conditions: tuple[str, ...]) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for each in conditions:
        name, equals, value = each.partition("=")
        if not equals or not is_condition_key(name):
            raise click.BadParameter(
                f'"{each}" is no KEY=VALUE with a condition key.', param_hint="--condition"
            )
        key = normal_key(name)
        before = found.get(key)
        if before is None:
            found[key] = value
        else:
            found[key] = (*((before,) if isinstance(before, str) else before), value)
    return found


class _Given(RequestContext):
    """What a request says, and before it what the command line does."""

    __slots__ = ("_given",)

    def __init__(self, context: RequestContext, given: Mapping[str, Value]) -> None:
        super().__init__(
            context.call, context.action, context.bucket, context.key, context.version_id
        )
        self._given = given

    def __getitem__(self, key: str) -> Value:
        return self._given[key] if key in self._given else super().__getitem__(key)


def _question(
    app: S3App,
    caller: Caller,
    action: str,
    resource: str,
    owner: str | None,
    version_id: str | None,
    source_ip: str,
    given: Mapping[str, Value],
) -> Question:
    """What Access would be asked about such a request."""
    name, slash, rest = resource.removeprefix("arn:aws:s3:::").partition("/")
    key = rest.encode("utf-8", "surrogateescape") if slash and rest else None
    if (action in OBJECT_ACTIONS) is not (key is not None):
        wanted = "bucket/key" if action in OBJECT_ACTIONS else "a bucket alone, or none"
        raise click.BadParameter(f"{action} is about {wanted}.", param_hint="RESOURCE")
    bucket = None
    if action not in ACCOUNT_ACTIONS:
        try:
            bucket = find_bucket(app.site, {}, name, caller, expected=owner)
        except NoSuchBucket:
            raise ConfigError(f'There is no bucket "{name}".') from None
        except AccessDenied:
            raise ConfigError(
                f'The bucket "{name}" is another account\'s, and the names in the policies or the '
                "scope of who asks mean buckets of their own account."
            ) from None
        if owner is not None and owner != bucket.account:
            raise ConfigError(f'The account "{owner}" has no bucket "{name}".')
    environ = {
        "REQUEST_METHOD": "GET",
        "wsgi.url_scheme": "https",
        "REMOTE_ADDR": source_ip,
        "HTTP_HOST": "localhost",
        "HTTP_X_AMZ_DATE": time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()),
    }
    identity = Identity(caller, "anonymous" if caller.anonymous else "header", UNSIGNED_PAYLOAD)
    body = Input(io.BytesIO(), 0)
    call = Call(
        environ, app.site, _operation(action), parse_query(""), body, "", identity, name, key
    )
    call.maybe_bucket = bucket
    question = call.question(versioned(action, version_id), bucket, key, version_id, settle=True)
    assert isinstance(question.conditions, RequestContext)
    question.conditions = _Given(question.conditions, given)
    return question


def _operation(action: str) -> Operation:
    """An operation that asks for this action: the one of its name where there is one."""
    tail = action.partition(":")[2]
    found = [each for each in operations() if each.actions == action]
    for each in found:
        if each.name == tail:
            return each
    return found[0] if found else find_operation("HeadBucket")
