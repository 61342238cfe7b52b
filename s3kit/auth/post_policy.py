"""The browser form of SigV4: a signed policy that says what a form may store.

Source: Amazon S3 API Reference, "Browser-Based Uploads Using POST", "Creating a POST Policy".
"""

from __future__ import annotations

import base64
import binascii
import datetime
import hmac
import json
import time
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Final
from typing import NamedTuple

from ..errors import AccessDenied
from ..errors import InvalidArgument
from ..errors import InvalidPolicyDocument
from ..model import Key
from .canonical import ALGORITHM
from .canonical import ANONYMOUS_IDENTITY
from .canonical import UNSIGNED_PAYLOAD
from .canonical import Identity
from .canonical import SigningKey
from .canonical import check_session_token
from .canonical import find_key
from .canonical import keep_signing_key
from .canonical import mismatch
from .canonical import signature_v2_refused
from .canonical import signing_key
from .keyring import KeyRing
from .presigned import check_parameters
from .presigned import new_credential
from .session import Sessions

_REQUIRED: Final = {
    "policy": "Policy",
    "x-amz-algorithm": "X-Amz-Algorithm",
    "x-amz-credential": "X-Amz-Credential",
    "x-amz-date": "X-Amz-Date",
    "x-amz-signature": "X-Amz-Signature",
}
_SIGNED: Final = frozenset((*_REQUIRED, "x-amz-security-token"))
_SIGNED_V2: Final = frozenset(("awsaccesskeyid", "signature"))
# The only fields that need no condition.
_FREE: Final = frozenset(("policy", "x-amz-signature", "file"))
_FREE_PREFIX: Final = "x-ignore-"


class Verdict(NamedTuple):
    """Who signed a form, and the size in bytes (both ends included) that its file may have.

    Whoever reads the file holds it to ``length_range`` (A084): no header tells its size before.
    """

    identity: Identity
    length_range: tuple[int, int] | None


class Policy(NamedTuple):
    """A parsed policy. ``conditions`` are (operator, lower-case field name, text)."""

    expires: float
    conditions: tuple[tuple[str, str, str], ...]
    length_range: tuple[int, int] | None


def check_form(
    fields: Mapping[str, str],
    bucket: str,
    key_ring: KeyRing,
    *,
    now: float,
    region: str | None = None,
    sessions: Sessions | None = None,
    signed: Callable[[Identity], object] | None = None,
) -> Verdict:
    """Check a form's signature, and its fields against the policy. The file is not read.

    A form without any of the signature's fields is anonymous; that is for Access to judge (A080).

    :param fields: value by lower-case name; ``key`` with ``${filename}`` already replaced.
    :param bucket: the bucket that the request names; conditions on ``bucket`` see this one.
    :param now: seconds since the epoch.
    :param region: the only region that the signature may name; None accepts any.
    :param sessions: finds temporary keys; None where there are none.
    :param signed: is told whose the signature is, before the policy is looked at.
    :raises AccessDenied: the policy has expired, or a field breaks or lacks a condition.
    :raises InvalidPolicyDocument: the policy is none.
    :raises SignatureDoesNotMatch: or ExpiredToken, InvalidAccessKeyId, InvalidToken,
        InvalidRequest, InvalidArgument, AuthorizationQueryParametersError.
    """
    if not _SIGNED_V2.isdisjoint(fields):
        raise signature_v2_refused()
    if _SIGNED.isdisjoint(fields):
        return Verdict(ANONYMOUS_IDENTITY, None)
    for name, title in _REQUIRED.items():
        if not fields.get(name):
            raise InvalidArgument(
                f"Bucket POST must contain a field named '{title}'.  "
                "If it is specified, please check the order of the fields.",
                argument_name=title,
                argument_value="",
            )
    credential, _ = check_parameters(
        fields["x-amz-algorithm"], fields["x-amz-credential"], fields["x-amz-date"], region
    )
    token = fields.get("x-amz-security-token")
    key = find_key(key_ring, credential.access_key, sessions, token, now)
    signing = signing_key(key, credential)
    text = fields["policy"]
    signature = fields["x-amz-signature"]
    expected = signing.sign(text.encode("utf-8", "surrogatepass"))
    if not (signature.isascii() and hmac.compare_digest(expected, signature)):
        error = mismatch(key, text, signature)
        if "x-amz-security-token" in fields:
            # What was signed, the policy, has a condition on the token: clients log errors.
            del error.details["string_to_sign"], error.details["string_to_sign_bytes"]
        raise error
    keep_signing_key(signing)
    check_session_token(key, token)
    identity = Identity(signing.caller, "form", UNSIGNED_PAYLOAD)
    if signed is not None:
        signed(identity)
    policy = parse_policy(text)
    if now >= policy.expires:
        raise AccessDenied("Invalid according to Policy: Policy expired.")
    if fields.get("bucket", bucket) != bucket:
        # The policy's word on the bucket is about where the form goes, not what it says (A086).
        raise AccessDenied("Invalid according to Policy: the form names another bucket.")
    _check_fields(policy, {**fields, "bucket": bucket})
    return Verdict(identity, policy.length_range)


def parse_policy(text: str) -> Policy:
    """Read a policy from its base64 form.

    :raises InvalidPolicyDocument: it is none.
    """
    try:
        # Some languages' base64 comes in lines.
        document = json.loads(base64.b64decode("".join(text.split()), validate=True))
    except (binascii.Error, ValueError, RecursionError):
        raise _invalid("Invalid JSON.") from None
    if not isinstance(document, dict):
        raise _invalid("Invalid JSON.")
    for name in document:
        if name not in ("expiration", "conditions"):
            raise _invalid(f"Unexpected: '{name}'.")
    conditions = []
    low = 0
    high: int | None = None
    for operator, name, value in _conditions(document.get("conditions")):
        if operator != "content-length-range":
            if not (isinstance(name, str) and isinstance(value, str)):
                raise _invalid("Invalid Simple-Condition: value must be a string.")
            conditions.append((operator, name, value))
            continue
        # A second range narrows the first.
        low = max(low, _size(name))
        limit = _size(value)
        high = limit if high is None else min(high, limit)
        if low > high:
            raise _invalid("Invalid content-length-range: the minimum is above the maximum.")
    return Policy(
        _expiration(document.get("expiration")),
        tuple(conditions),
        None if high is None else (low, high),
    )


def _invalid(what: str) -> InvalidPolicyDocument:
    return InvalidPolicyDocument(f"Invalid Policy: {what}")


def _expiration(value: object) -> float:
    if value is None:
        raise _invalid("Policy missing expiration.")
    try:
        moment = datetime.datetime.fromisoformat(value if isinstance(value, str) else "")
        if moment.tzinfo is None:
            raise ValueError
        return moment.timestamp()
    except (ValueError, OverflowError):
        raise _invalid("Invalid 'expiration' value.") from None


def _conditions(value: object) -> list[tuple[str, object, object]]:
    """The conditions as (operator, name, value); a content-length-range as (.., low, high)."""
    if not isinstance(value, list):
        raise _invalid("Policy missing conditions.")
    result: list[tuple[str, object, object]] = []
    for condition in value:
        if isinstance(condition, dict) and condition:
            result += [("eq", name.lower(), text) for name, text in condition.items()]
            continue
        if not (isinstance(condition, list) and len(condition) == 3):
            raise _invalid("Invalid Condition: it must be an object or a list of three.")
        operator, name, operand = condition
        operator = operator.lower() if isinstance(operator, str) else ""
        if operator in ("eq", "starts-with"):
            if not (isinstance(name, str) and name[:1] == "$" and len(name) > 1):
                raise _invalid("Invalid Condition: a field's name begins with '$'.")
            name = name[1:].lower()
        elif operator != "content-length-range":
            raise _invalid(f"Invalid Condition: unknown operation '{operator}'.")
        result.append((operator, name, operand))
    return result


def _size(value: object) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 18:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise _invalid("Invalid content-length-range: its ends are whole numbers.")
    return value


def _check_fields(policy: Policy, fields: Mapping[str, str]) -> None:
    covered = set()
    for operator, name, wanted in policy.conditions:
        covered.add(name)
        # S3 refuses a condition on a field that the form does not have, even for any value.
        value = fields.get(name)
        if value is None or not _holds(operator, name, wanted, value):
            shown = json.dumps([operator, f"${name}", wanted])
            raise AccessDenied(f"Invalid according to Policy: Policy Condition failed: {shown}")
    extra = sorted(
        name
        for name in fields
        if name not in covered and name not in _FREE and not name.startswith(_FREE_PREFIX)
    )
    if extra:
        raise AccessDenied(f"Invalid according to Policy: Extra input fields: {', '.join(extra)}")


def _holds(operator: str, name: str, wanted: str, value: str) -> bool:
    if operator == "eq":
        return value == wanted
    if name == "content-type" and "," in value:
        # Source: "Creating a POST Policy": of a list of types each one must begin so.
        return all(part.strip().startswith(wanted) for part in value.split(","))
    return value.startswith(wanted)


def sign_form(
    fields: Mapping[str, str],
    conditions: Sequence[object],
    key: Key,
    *,
    expires: int,
    region: str = "us-east-1",
    now: float | None = None,
) -> dict[str, str]:
    """Make a form's signed fields: those given, the policy and its signature.

    :param fields: what the form will send besides; a condition for each must be in ``conditions``.
    :param conditions: the policy's, as S3 writes them; those on the signature's own fields are
        added.
    :param expires: seconds that the form may be sent for, from ``now`` on.
    :param now: seconds since the epoch, by default the clock's.
    """
    moment = time.time() if now is None else now
    amz_date, credential = new_credential(key, region, moment)
    signed = {
        "x-amz-algorithm": ALGORITHM,
        "x-amz-credential": f"{key.access_key}/{credential.scope}",
        "x-amz-date": amz_date,
    }
    if key.session_token is not None:
        signed["x-amz-security-token"] = key.session_token
    until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment + expires))
    document = {
        "expiration": until,
        "conditions": [*conditions, *({name: value} for name, value in signed.items())],
    }
    policy = base64.b64encode(json.dumps(document).encode()).decode()
    signature = SigningKey(key, credential).sign(policy.encode())
    return {**fields, **signed, "policy": policy, "x-amz-signature": signature}
