"""A second evaluator of policies, written from the manual alone and as simply as can be.

It shares no line with s3kit.auth: wildcards are a recursion over characters, the policy is the
JSON itself, and nothing is prepared beforehand. Slow, and easy to check by eye.
"""

from __future__ import annotations

import base64
import datetime
import ipaddress
from typing import Any

Request = dict[str, Any]
"""``account``, perhaps ``user``, ``action``, ``resource`` (without ``arn:aws:s3:::``), ``context``.
"""

ANY, ONE = "any", "one"


def letters(text: str, context: dict[str, Any]) -> list[str] | None:
    """The letters of a text, ANY and ONE for wildcards; None where a variable has no value."""
    found: list[str] = []
    while text:
        if not text.startswith("${"):
            found.append({"*": ANY, "?": ONE}.get(text[0], text[0]))
            text = text[1:]
            continue
        name, _, text = text[2:].partition("}")
        if name in ("*", "?", "$"):
            found.append(name)
            continue
        name, comma, default = name.partition(",")
        value = context.get(name.lower(), default.strip()[1:-1] if comma else None)
        if value is None:
            return None
        found += value
    return found


def like(pattern: str, text: str, context: dict[str, Any] | None = None) -> bool:
    """Whether a text fits a pattern with ``*`` and ``?`` and variables."""
    wanted = letters(pattern, context or {})
    if wanted is None:
        return False
    row = [True] + [False] * len(text)
    for letter in wanted:
        if letter == ANY:
            new = [row[0]]
            for index in range(len(text)):
                new.append(new[index] or row[index + 1])
        else:
            new = [False] + [
                row[index] and letter in (ONE, text[index]) for index in range(len(text))
            ]
        row = new
    return row[-1]


def equal(wanted: str, text: str, context: dict[str, Any]) -> bool:
    """Whether a text is the very one that is wanted, with variables and without wildcards."""
    found = letters(wanted, context)
    return found is not None and "".join(found).replace(ANY, "*").replace(ONE, "?") == text


def many(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def same(kind: str, wanted: str, value: str, context: dict[str, Any]) -> bool:
    """One value of a request against one of the policy, by the operator without its Not."""
    if kind == "Bool":
        return value.lower() == wanted.lower()
    if kind == "StringEquals":
        return equal(wanted, value, context)
    if kind == "StringEqualsIgnoreCase":
        return value.casefold() == wanted.casefold()
    if kind == "StringLike":
        return like(wanted, value, context)
    if kind == "BinaryEquals":
        return base64.b64decode(wanted) == value.encode()
    if kind in ("ArnLike", "ArnEquals"):
        patterns, parts = wanted.split(":", 5), value.split(":", 5)
        return len(patterns) == len(parts) and all(map(like, patterns, parts))
    if kind == "IpAddress":
        return ipaddress.ip_address(value) in ipaddress.ip_network(wanted, strict=False)
    if kind.startswith("Numeric"):
        return ordered(kind.removeprefix("Numeric"), float(value), float(wanted))
    if kind.startswith("Date"):
        return ordered(kind.removeprefix("Date"), moment(value), moment(wanted))
    raise AssertionError(kind)


def moment(text: str) -> float:
    found = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    if found.tzinfo is None:
        found = found.replace(tzinfo=datetime.UTC)
    return found.timestamp()


def ordered(word: str, value: float, wanted: float) -> bool:
    return {
        "Equals": value == wanted,
        "LessThan": value < wanted,
        "LessThanEquals": value <= wanted,
        "GreaterThan": value > wanted,
        "GreaterThanEquals": value >= wanted,
    }[word]


def holds(operator: str, wanted: list[str], found: Any, context: dict[str, Any]) -> bool:
    """Whether a condition holds for the values that a request has under its key, None without."""
    quantifier, _, word = operator.rpartition(":")
    if word == "Null":
        return (found is None) is (wanted[0] == "true")
    optional = word.endswith("IfExists")
    word = word.removesuffix("IfExists")
    negative = "Not" in word
    word = word.replace("Not", "")
    if found is None:
        if optional or quantifier == "ForAllValues":
            return True
        return negative and quantifier == ""

    def fits(value: str) -> bool:
        hit = any(same(word, each, value, context) for each in wanted)
        return not hit if negative else hit

    answers = [fits(value) for value in many(found)]
    if quantifier == "ForAllValues" or (negative and quantifier == ""):
        return all(answers)
    return any(answers)


def parts(principal: Any) -> list[tuple[str, str]]:
    """The accounts' numbers of a principal, each with the user's name or nothing."""
    if principal == "*":
        return [("*", "")]
    found = []
    for each in many(principal["AWS"]):
        account, _, who = each.removeprefix("arn:aws:iam::").partition(":")
        found.append((account, "" if who == "root" else who.removeprefix("user/")))
    return found


def names(principal: Any, request: Request, *, directly: bool = False) -> bool:
    """Whether a principal is the caller's account, the caller itself, or everybody.

    :param directly: its account is not enough for a user.
    """
    account, user = request["account"], request.get("user", "")
    wanted = {("*", ""), (account, user)} | (set() if directly else {(account, "")})
    return any(each in wanted for each in parts(principal))


def excepts(principal: Any, request: Request) -> bool:
    """Whether a NotPrincipal leaves the caller out: itself, and its account."""
    found, account, user = parts(principal), request["account"], request.get("user", "")
    return ("*", "") in found or ((account, "") in found and (account, user) in found)


def speaks(statement: dict[str, Any], request: Request) -> bool:
    """Whether a statement is about a request."""

    def among(member: str, test: Any) -> bool:
        if member in statement:
            return any(test(each) for each in many(statement[member]))
        return not any(test(each) for each in many(statement[f"Not{member}"]))

    context = request["context"]

    def resource(pattern: str) -> bool:
        return like(pattern.removeprefix("arn:aws:s3:::"), request["resource"], context)

    def action(pattern: str) -> bool:
        return like(pattern.lower(), request["action"].lower())

    if "Principal" in statement and not names(statement["Principal"], request):
        return False
    if "NotPrincipal" in statement and excepts(statement["NotPrincipal"], request):
        return False
    if not among("Action", action) or not among("Resource", resource):
        return False
    return all(
        holds(operator, [str(each) for each in many(wanted)], context.get(key.lower()), context)
        for operator, keys in statement.get("Condition", {}).items()
        for key, wanted in keys.items()
    )


def decide(policy: dict[str, Any], request: Request) -> str:
    """``Deny``, ``Allow``, or nothing."""
    effects = {each["Effect"] for each in many(policy["Statement"]) if speaks(each, request)}
    return "Deny" if "Deny" in effects else "Allow" if "Allow" in effects else ""


def may(
    request: Request,
    owner: str,
    bucket: list[dict[str, Any]],
    own: list[dict[str, Any]] | None,
    session: list[dict[str, Any]] | None,
    *,
    restricted: bool = False,
) -> bool:
    """The whole decision about an object without an ACL, after "Policy evaluation logic".

    :param owner: the number of the account that the bucket belongs to.
    :param own: the policies of a user; None for whoever may do all that the account may.
    :param session: what a session was narrowed to.
    :param restricted: RestrictPublicBuckets is on.
    """
    effects = {
        "bucket": decide({"Statement": bucket}, request),
        "own": "Allow" if own is None else decide({"Statement": own}, request),
        "session": "Allow" if session is None else decide({"Statement": session}, request),
    }
    if "Deny" in effects.values() or effects["session"] != "Allow":
        return False
    if request["account"] == owner:
        direct = [
            each
            for each in bucket
            if each["Effect"] == "Allow"
            and names(each["Principal"], request, directly=True)
            and speaks(each, request)
        ]
        return effects["own"] == "Allow" or bool(direct)
    if restricted and any(map(is_public, bucket)):
        return False
    return effects["bucket"] == "Allow" == effects["own"]


def is_public(statement: dict[str, Any]) -> bool:
    """Whether it lets in everybody but for a fixed network; other conditions name nobody."""
    return (
        statement["Effect"] == "Allow"
        and ("*", "") in parts(statement["Principal"])
        and "IpAddress" not in statement.get("Condition", {})
    )
