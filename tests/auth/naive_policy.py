"""A second evaluator of policies, written from the manual alone and as simply as can be.

It shares no line with s3kit.auth: wildcards are a recursion over characters, the policy is the
JSON itself, and nothing is prepared beforehand. Slow, and easy to check by eye.
"""

from __future__ import annotations

import datetime
import ipaddress
from typing import Any

Request = dict[str, Any]
"""``account``, ``action``, ``resource`` (without ``arn:aws:s3:::``) and ``context``."""


def like(pattern: str, text: str) -> bool:
    """Whether a text fits a pattern with ``*`` and ``?``."""
    row = [True] + [False] * len(text)
    for letter in pattern:
        if letter == "*":
            new = [row[0]]
            for index in range(len(text)):
                new.append(new[index] or row[index + 1])
        else:
            new = [False] + [
                row[index] and letter in ("?", text[index]) for index in range(len(text))
            ]
        row = new
    return row[-1]


def many(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def same(kind: str, wanted: str, value: str) -> bool:
    """One value of a request against one of the policy, by the operator without its Not."""
    if kind in ("StringEquals", "Bool"):
        return value.lower() == wanted.lower() if kind == "Bool" else value == wanted
    if kind == "StringEqualsIgnoreCase":
        return value.casefold() == wanted.casefold()
    if kind == "StringLike":
        return like(wanted, value)
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


def holds(operator: str, wanted: list[str], found: Any) -> bool:
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
        hit = any(same(word, each, value) for each in wanted)
        return not hit if negative else hit

    answers = [fits(value) for value in many(found)]
    if quantifier == "ForAllValues" or (negative and quantifier == ""):
        return all(answers)
    return any(answers)


def speaks(statement: dict[str, Any], request: Request) -> bool:
    """Whether a statement is about a request."""

    def among(member: str, test: Any) -> bool:
        if member in statement:
            return any(test(each) for each in many(statement[member]))
        return not any(test(each) for each in many(statement[f"Not{member}"]))

    def named(principal: Any) -> bool:
        if principal == "*":
            return True
        return any(
            each == "*" or request["account"] == each.removeprefix("arn:aws:iam::").split(":")[0]
            for each in many(principal["AWS"])
        )

    def resource(pattern: str) -> bool:
        return like(pattern.removeprefix("arn:aws:s3:::"), request["resource"])

    def action(pattern: str) -> bool:
        return like(pattern.lower(), request["action"].lower())

    if not among("Principal", named) or not among("Action", action):
        return False
    if not among("Resource", resource):
        return False
    return all(
        holds(operator, [str(each) for each in many(wanted)], request["context"].get(key.lower()))
        for operator, keys in statement.get("Condition", {}).items()
        for key, wanted in keys.items()
    )


def decide(policy: dict[str, Any], request: Request) -> str:
    """``Deny``, ``Allow``, or nothing."""
    effects = {each["Effect"] for each in many(policy["Statement"]) if speaks(each, request)}
    return "Deny" if "Deny" in effects else "Allow" if "Allow" in effects else ""
