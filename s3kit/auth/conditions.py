"""The conditions of a policy's statement: operators, and the values that they compare.

Source: IAM User Guide, "IAM JSON policy elements: Condition operators" and "Set operators for
multivalued context keys".
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from functools import partial
from typing import Any
from typing import Final
from typing import TypeAlias

from .patterns import BadVariable
from .patterns import Pattern
from .patterns import Resolve

Value: TypeAlias = "str | tuple[str, ...]"
Context: TypeAlias = "Mapping[str, Value]"
"""What a request says under each condition key; a key that it lacks is absent."""

Test: TypeAlias = "Callable[[str, Resolve], bool]"
"""Whether one value of the request fits one value of the policy."""


class BadCondition(ValueError):
    """A condition that can be no condition; the text says why."""


# -- what kinds of values there are


def _string(*, wildcards: bool, fold: bool = False) -> Callable[[str, bool], Test]:
    def compile_one(text: str, variables: bool) -> Test:
        pattern = Pattern(text, wildcards=wildcards, variables=variables, fold=fold)
        return lambda value, resolve: pattern.matches(value, resolve) is True

    return compile_one


_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,40}(\.[0-9]{1,40})?")


def _number(text: str) -> Decimal | None:
    text = text.strip()
    return Decimal(text) if _NUMBER.fullmatch(text) else None


def moment_of(text: str) -> Decimal | None:
    """Seconds since the epoch of an ISO 8601 date or time, or of such a number; else None."""
    text = text.strip()
    if len(text) > 64:
        return None
    number = _number(text)
    if number is not None and len(text) > 4:
        return number
    # A year or a month alone stands for its first day (W3C's note on dates and times).
    if len(text) in (4, 7):
        text += "-01-01" if len(text) == 4 else "-01"
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return Decimal(str(moment.timestamp()))
    except (ValueError, OverflowError):
        return None


def _ordered(
    read: Callable[[str], Decimal | None], noun: str, compare: Callable[[Any, Any], bool]
) -> Callable[[str, bool], Test]:
    """A test that compares what ``read`` makes of the two texts; it makes None of what is none."""

    def compile_one(text: str, variables: bool) -> Test:
        wanted = read(text)
        if wanted is None:
            raise BadCondition(f"{text!r} is no {noun}")

        def test(value: str, resolve: Resolve) -> bool:
            found = read(value)
            return found is not None and compare(found, wanted)

        return test

    return compile_one


_numeric: Final = partial(_ordered, _number, "number")
_date: Final = partial(_ordered, moment_of, "date")


def _truth(text: str) -> bool | None:
    return {"true": True, "false": False}.get(text.strip().lower())


def _bool(text: str, variables: bool) -> Test:
    wanted = _truth(text)
    if wanted is None:
        raise BadCondition(f"{text!r} is neither true nor false")
    return lambda value, resolve: _truth(value) is wanted


def _binary(text: str, variables: bool) -> Test:
    try:
        wanted = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise BadCondition(f"{text!r} is not base64") from None
    return lambda value, resolve: value.encode("utf-8", "surrogateescape") == wanted


Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def network_of(text: str) -> Network | None:
    """An address or a network in CIDR form; None for anything else."""
    try:
        return ipaddress.ip_network(text.strip(), strict=False)
    except ValueError:
        return None


@lru_cache(maxsize=1024)
def address_of(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """An address as a socket or a proxy tells it; None where it is none."""
    try:
        address = ipaddress.ip_address(text.strip().partition("%")[0])
    except ValueError:
        return None
    # A socket that takes both families shows IPv4 so.
    mapped = getattr(address, "ipv4_mapped", None)
    return address if mapped is None else mapped


def _address(text: str, variables: bool) -> Test:
    network = network_of(text)
    if network is None:
        raise BadCondition(f"{text!r} is no address or network such as 203.0.113.0/24")

    def test(value: str, resolve: Resolve) -> bool:
        address = address_of(value)
        return address is not None and address in network

    return test


def _arn(text: str, variables: bool) -> Test:
    # Each of the six parts is compared on its own, so that no star reaches over a colon of the
    # first five; a variable may hold colons itself, which then are text.
    parts = _split_arn(text)
    if len(parts) < 6 and text != "*":
        raise BadCondition(f"{text!r} is no ARN")
    patterns = [Pattern(part, variables=variables) for part in parts]

    def test(value: str, resolve: Resolve) -> bool:
        if text == "*":
            return True
        values = value.split(":", 5)
        return len(values) == len(patterns) and all(
            pattern.matches(piece, resolve) is True
            for pattern, piece in zip(patterns, values, strict=True)
        )

    return test


def _split_arn(text: str) -> list[str]:
    parts = [""]
    inside = False
    for letter in text:
        if letter == "{" and parts[-1].endswith("$"):
            inside = True
        elif letter == "}":
            inside = False
        if letter == ":" and not inside and len(parts) < 6:
            parts.append("")
        else:
            parts[-1] += letter
    return parts


@dataclass(frozen=True, slots=True)
class Operator:
    """How to compare one value; ``negated`` ones hold where no value of the policy fits."""

    compile: Callable[[str, bool], Test]
    negated: bool = False
    strict_value: bool = False
    """What the policy compares with is a plain text, a set of networks, or an ARN: what may make
    a statement's grant one to known parties only."""


def _equal(value: Any, wanted: Any) -> bool:
    return bool(value == wanted)


_ORDERS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "Equals": _equal,
    "LessThan": lambda value, wanted: value < wanted,
    "LessThanEquals": lambda value, wanted: value <= wanted,
    "GreaterThan": lambda value, wanted: value > wanted,
    "GreaterThanEquals": lambda value, wanted: value >= wanted,
}

OPERATORS: Final[dict[str, Operator]] = {
    "StringEquals": Operator(_string(wildcards=False), strict_value=True),
    "StringNotEquals": Operator(_string(wildcards=False), negated=True),
    "StringEqualsIgnoreCase": Operator(_string(wildcards=False, fold=True), strict_value=True),
    "StringNotEqualsIgnoreCase": Operator(_string(wildcards=False, fold=True), negated=True),
    "StringLike": Operator(_string(wildcards=True), strict_value=True),
    "StringNotLike": Operator(_string(wildcards=True), negated=True),
    "Bool": Operator(_bool),
    "BinaryEquals": Operator(_binary),
    "IpAddress": Operator(_address, strict_value=True),
    "NotIpAddress": Operator(_address, negated=True),
    "ArnEquals": Operator(_arn, strict_value=True),
    "ArnNotEquals": Operator(_arn, negated=True),
    "ArnLike": Operator(_arn, strict_value=True),
    "ArnNotLike": Operator(_arn, negated=True),
    **{f"Numeric{name}": Operator(_numeric(order)) for name, order in _ORDERS.items()},
    "NumericNotEquals": Operator(_numeric(_equal), negated=True),
    **{f"Date{name}": Operator(_date(order)) for name, order in _ORDERS.items()},
    "DateNotEquals": Operator(_date(_equal), negated=True),
}
_BY_LOWER_NAME: Final = {name.lower(): name for name in OPERATORS}

ALL, ANY = "forallvalues", "foranyvalue"


@dataclass(frozen=True, slots=True)
class Condition:
    """One operator over one key: it holds where one (negated: none) of the values fits."""

    operator: str
    key: str
    texts: tuple[str, ...]
    tests: tuple[Test, ...]
    negated: bool = False
    if_exists: bool = False
    quantifier: str = ""
    wants_absent: bool | None = None
    """Of the operator Null: whether the key must be absent."""

    def holds(self, context: Context, resolve: Resolve) -> bool:
        """Whether a request satisfies it."""
        found = context.get(self.key)
        if isinstance(found, str) and self.wants_absent is None:
            # One value, as nearly always: then every and any are the same.
            for test in self.tests:
                if test(found, resolve):
                    return not self.negated
            return self.negated
        values = () if found is None else (found,) if isinstance(found, str) else found
        if self.wants_absent is not None:
            return bool(values) is not self.wants_absent
        if not values:
            # A key that is absent fits nothing; ForAllValues holds of no values at all.
            if self.if_exists or self.quantifier == ALL:
                return True
            return self.negated and self.quantifier != ANY
        every = self.quantifier == ALL or (self.negated and self.quantifier != ANY)
        answers = (
            any(test(value, resolve) for test in self.tests) is not self.negated for value in values
        )
        return all(answers) if every else any(answers)


def condition(name: str, key: str, texts: Sequence[str], *, variables: bool) -> Condition:
    """Make a condition of what a policy says.

    :param name: the operator with its prefix and suffix, e.g. ``ForAnyValue:StringLikeIfExists``.
    :param variables: whether ``${...}`` in the texts are variables.
    :raises BadCondition: there is no such operator, or it cannot compare these texts.
    """
    word = name
    quantifier = ""
    prefix, colon, rest = name.partition(":")
    if colon:
        quantifier = prefix.lower()
        if quantifier not in (ALL, ANY):
            raise BadCondition(f"Invalid Condition type : {name}")
        word = rest
    if word.lower() == "null" and not quantifier:
        wanted = {_truth(text) for text in texts}
        if len(wanted) != 1 or None in wanted:
            raise BadCondition("Null takes true or false")
        return Condition(name, key, tuple(texts), (), wants_absent=wanted.pop())
    if_exists = word.lower().endswith("ifexists")
    if if_exists:
        word = word[:-8]
    known = _BY_LOWER_NAME.get(word.lower())
    if known is None:
        raise BadCondition(f"Invalid Condition type : {name}")
    operator = OPERATORS[known]
    try:
        tests = tuple(operator.compile(text, variables) for text in texts)
    except BadVariable:
        raise BadCondition("a variable that is none") from None
    return Condition(known, key, tuple(texts), tests, operator.negated, if_exists, quantifier)
