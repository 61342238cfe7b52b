"""Policies of buckets, users and sessions: read, matched, decided. Nothing here does I/O.

Source: IAM User Guide, "IAM JSON policy reference"; Amazon S3 User Guide, "Policies and
permissions in Amazon S3" and, for what is public, "Blocking public access to your Amazon S3
storage".
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from typing import Final
from typing import Literal
from typing import NamedTuple
from typing import NoReturn

from ..errors import MalformedPolicy
from ..model import Caller
from ..model import Question
from .actions import ACTIONS
from .actions import is_condition_key
from .conditions import ALL
from .conditions import OPERATORS
from .conditions import BadCondition
from .conditions import Condition
from .conditions import Context
from .conditions import condition
from .conditions import network_of
from .patterns import BadVariable
from .patterns import Glob
from .patterns import Pattern
from .patterns import Resolve
from .patterns import Variable
from .patterns import normal_key
from .patterns import tokens_of

MOST_BYTES: Final = 20 * 1024
"""Bytes of a bucket policy, blanks included."""

Kind = Literal["bucket", "user", "trust"]
"""Whose policy it is: a bucket's names principals, a user's (or role's or session's) names none; a
role's trust policy names principals and no resource."""

FEDERATED: Final = "oidc-provider/"
"""What the principal of somebody begins with for whom only an identity provider has vouched."""

VERSIONS: Final = ("2008-10-17", "2012-10-17")
RESOURCE: Final = "arn:aws:s3:::"

_MEMBERS: Final = frozenset({"Version", "Id", "Statement"})
_STATEMENT_MEMBERS: Final = frozenset(
    {
        "Action",
        "Condition",
        "Effect",
        "NotAction",
        "NotPrincipal",
        "NotResource",
        "Principal",
        "Resource",
        "Sid",
    }
)
_SERVICES: Final = ("s3:", "s3express:")
_ASSUMING: Final = (
    "sts:AssumeRole",
    "sts:AssumeRoleWithWebIdentity",
    "sts:TagSession",
)
_ACTIONS_BY_LOWER_NAME: Final = {name.lower(): name for name in ACTIONS}


@dataclass(frozen=True, slots=True)
class Principals:
    """Whom a statement names. ``accounts`` holds canonical ids and account numbers alike.

    ``members`` are parts of accounts: (account, ``user/name`` or ``role/name`` ...).
    """

    everyone: bool = False
    accounts: frozenset[str] = frozenset()
    members: frozenset[tuple[str, str]] = frozenset()
    services: frozenset[str] = frozenset()
    federated: frozenset[str] = frozenset()

    def covers(self, caller: Caller, *, deny: bool = False) -> bool:
        """Whether the caller is one of them.

        :param deny: whether it is asked for a refusal.
        """
        if self.everyone:
            # Whoever lets everyone in has not thought of all whom an identity provider knows.
            return deny or not caller.principal.startswith(FEDERATED) or self._vouched(caller)
        if caller.service:
            return caller.service in self.services
        account = caller.account
        if account is None:
            return self._vouched(caller)
        names = (account.id, account.number) if account.number else (account.id,)
        if any(name in self.accounts for name in names):
            return True
        return bool(self.members) and self.names_member(caller)

    def spares(self, caller: Caller) -> bool:
        """Whether a NotPrincipal excepts the caller: by its own name and its account's.

        Source: IAM User Guide, "AWS JSON policy elements: NotPrincipal".
        """
        account = caller.account
        if self.everyone or account is None or not caller.principal:
            return self.covers(caller, deny=True)
        names = (account.id, account.number) if account.number else (account.id,)
        return any(name in self.accounts for name in names) and self.names_member(caller)

    def _vouched(self, caller: Caller) -> bool:
        principal = caller.principal
        return principal.startswith(FEDERATED) and principal[len(FEDERATED) :] in self.federated

    def names_member(self, caller: Caller) -> bool:
        """Whether the caller is named itself, and not only its account or everybody."""
        account = caller.account
        if account is None:
            return False
        names = (account.id, account.number) if account.number else (account.id,)
        principal = caller.principal
        if not principal:
            # Ceph's spelling, without an account: arn:aws:iam:::user/ID.
            return ("", f"user/{account.id}") in self.members
        wanted = [principal]
        if principal.startswith("assumed-role/"):
            wanted.append(f"role/{principal.split('/')[1]}")
        return any((name, each) in self.members for name in names for each in wanted)


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement. ``number`` counts from 1; patterns of resources have no ``arn:aws:s3:::``.

    ``arns`` are whole ones: what it says of anything but buckets and objects.
    """

    number: int
    sid: str
    deny: bool
    principals: Principals | None
    not_principal: bool
    actions: tuple[Pattern, ...]
    not_action: bool
    resources: tuple[Pattern, ...]
    not_resource: bool
    conditions: tuple[Condition, ...]
    arns: tuple[Pattern, ...] = ()

    @property
    def label(self) -> str:
        """How to speak of it to a person."""
        return f"statement {self.number}" + (f' ("{self.sid}")' if self.sid else "")

    def names(self, action: str) -> bool:
        """Whether it is about this action, given in lower case."""
        found = any(each.matches(action, _nothing) for each in self.actions)
        return found is not self.not_action

    def covers(self, caller: Caller) -> bool:
        """Whether it is about this caller."""
        principals = self.principals
        if principals is None:
            return True
        if self.not_principal:
            return not principals.spares(caller)
        return principals.covers(caller, deny=self.deny)

    def obstacle(
        self, question: Question, resource: str, resolve: Resolve
    ) -> Literal["caller", "resource"] | Condition | None:
        """What keeps it from applying: its principals, its resources, or a condition; else None."""
        if not self.covers(question.caller):
            return "caller"
        if not self._covers(self.arns if question.resource else self.resources, resource, resolve):
            return "resource"
        conditions = question.conditions
        for each in self.conditions:
            if not each.holds(conditions, resolve):
                return each
        return None

    def _covers(self, patterns: tuple[Pattern, ...], resource: str, resolve: Resolve) -> bool:
        if not self.not_resource:
            return any(each.matches(resource, resolve) for each in patterns)
        for pattern in patterns:
            found = pattern.matches(resource, resolve)
            if found is None:
                # Nobody knows what it excepts: it must not widen a grant, nor narrow a refusal.
                return self.deny
            if found:
                return False
        return True

    @property
    def is_public(self) -> bool:
        """Whether it lets in people whom nobody has named.

        It does not where a condition names fixed values of whoever sends the request, or a
        network that is not half the world.
        """
        if self.deny or self.principals is None:
            return False
        if not self.principals.everyone and not self.not_principal:
            return False
        return not any(_names_someone(each) for each in self.conditions)


class _Ready(NamedTuple):
    """A statement about one action, made ready to be asked.

    ``anyone``: it is about every caller. ``quick`` says of each resource what it must hold and
    whether it fits; None where :meth:`Statement.obstacle` has to be asked.
    """

    statement: Statement
    anyone: bool
    quick: tuple[tuple[str, Callable[[str], bool]], ...] | None


def _ready(statement: Statement) -> _Ready:
    principals = statement.principals
    anyone = principals is None or (
        principals.everyone and statement.deny and not statement.not_principal
    )
    quick = [each.quick for each in statement.resources]
    known = tuple(each for each in quick if each is not None)
    plain = len(known) == len(quick) and not statement.not_resource
    return _Ready(statement, anyone, known if plain else None)


class Policy:
    """A policy, ready to be asked. Make one with :func:`parse_policy`."""

    __slots__ = ("_by_action", "is_public", "kind", "statements")

    def __init__(self, statements: Iterable[Statement], kind: Kind) -> None:
        self.kind = kind
        # A Deny wins, so that it is looked at first.
        self.statements = tuple(sorted(statements, key=lambda each: not each.deny))
        self.is_public = any(each.is_public for each in self.statements)
        self._by_action: dict[str, tuple[_Ready, ...]] = {}

    def __repr__(self) -> str:
        return f"Policy({self.kind}, {len(self.statements)} statements)"

    def decide(self, question: Question) -> Statement | None:
        """The statement that counts: one that denies before one that allows; None without any."""
        action = question.action
        about = self._by_action.get(action)
        if about is None:
            lower = action.lower()
            about = tuple(_ready(each) for each in self.statements if each.names(lower))
            # Actions are s3kit's own words, of which there are few.
            self._by_action[action] = about
        if not about:
            return None
        conditions = question.conditions
        resolve = _resolver(conditions)
        resource = resource_of(question)
        elsewhere = bool(question.resource)
        # What Statement.obstacle() says, written out: each request is held against each statement,
        # and most of those are about other keys.
        for statement, anyone, quick in about:
            if quick is None or elsewhere:
                if statement.obstacle(question, resource, resolve) is None:
                    return statement
                continue
            for needle, fits in quick:
                if needle in resource and fits(resource):
                    break
            else:
                continue
            if not anyone and not statement.covers(question.caller):
                continue
            for each in statement.conditions:
                if not each.holds(conditions, resolve):
                    break
            else:
                return statement
        return None

    def directly(self, question: Question) -> Statement | None:
        """A statement that allows it to the caller by name or to everybody; None without any.

        To name an account leaves it to the account which of its users may.
        Source: IAM User Guide, "AWS JSON policy elements: Principal", AWS account principals.
        """
        resolve = _resolver(question.conditions)
        resource = resource_of(question)
        lower = question.action.lower()
        for statement in self.statements:
            principals = statement.principals
            if (
                not statement.deny
                and principals is not None
                and (principals.everyone or principals.names_member(question.caller))
                and statement.names(lower)
                and statement.obstacle(question, resource, resolve) is None
            ):
                return statement
        return None

    def examine(self, question: Question) -> Iterator[tuple[Statement, str]]:
        """Each statement in its written order, and in words what keeps it from applying.

        The words are "" where it applies.
        """
        resolve = _resolver(question.conditions)
        resource = resource_of(question)
        lower = question.action.lower()
        for statement in sorted(self.statements, key=lambda each: each.number):
            if not statement.names(lower):
                yield statement, f"it is not about {question.action}"
                continue
            found = statement.obstacle(question, resource, resolve)
            if found is None:
                yield statement, ""
            elif found == "caller":
                yield statement, "it is not about this caller"
            elif found == "resource":
                yield statement, f"it is not about {resource or 'no bucket'}"
            elif isinstance(found, Condition):
                yield statement, _unmet(found, question.conditions)


def _resolver(conditions: Context) -> Resolve:
    """Finds the values of variables in what a request says."""

    def resolve(name: str) -> str | None:
        value = conditions.get(name)
        if isinstance(value, tuple):
            return value[0] if len(value) == 1 else None
        return value

    return resolve


def _unmet(one: Condition, conditions: Context) -> str:
    """Which condition does not hold, and what the request has in its place."""
    found = conditions.get(one.key)
    values = () if found is None else (found,) if isinstance(found, str) else found
    has = ", ".join(f'"{value}"' for value in values) or "none"
    wanted = ", ".join(f'"{text}"' for text in one.texts)
    return f"its condition {one.operator} {one.key} {wanted} does not hold: the request has {has}"


def resource_of(question: Question) -> str:
    """What a question is about: ``bucket``, ``bucket/key``, nothing, or another thing's ARN."""
    if question.resource:
        return question.resource
    bucket = question.bucket
    name = question.bucket_name if bucket is None else bucket.name
    if question.key is None:
        return name
    return f"{name}/{question.key.decode('utf-8', 'surrogateescape')}"


def _nothing(name: str) -> None:
    return None


# -- what is public

_NAMING_KEYS: Final = frozenset(
    {
        "aws:principalaccount",
        "aws:principalarn",
        "aws:principalorgid",
        "aws:principalorgpaths",
        "aws:sourceaccount",
        "aws:sourcearn",
        "aws:sourceip",
        "aws:sourceorgid",
        "aws:sourceorgpaths",
        "aws:sourceowner",
        "aws:sourcevpc",
        "aws:sourcevpce",
        "aws:userid",
        "s3:dataaccesspointaccount",
        "s3:dataaccesspointarn",
        "s3:x-amz-server-side-encryption-aws-kms-key-id",
    }
)


def _names_someone(one: Condition) -> bool:
    if one.key not in _NAMING_KEYS or one.if_exists or one.negated or one.quantifier == ALL:
        return False
    operator = OPERATORS.get(one.operator)
    if operator is None or not operator.strict_value:
        return False
    if one.key == "aws:sourceip":
        return one.operator == "IpAddress" and all(map(_is_narrow, one.texts))
    if one.key == "aws:userid":
        # All sessions of one role.
        return all(_ROLE_SESSIONS.fullmatch(text) or _is_fixed(text) for text in one.texts)
    if one.key == "s3:dataaccesspointarn":
        return all(_ACCESS_POINT.match(text) or _is_fixed(text) for text in one.texts)
    return all(map(_is_fixed, one.texts))


_ROLE_SESSIONS: Final = re.compile(r"AROA[A-Z0-9]+:\*")
_ACCESS_POINT: Final = re.compile(r"arn:aws[a-z-]*:s3:[^:*?$]*:[0-9]{12}:accesspoint/")


def _is_fixed(text: str) -> bool:
    return not any(letter in text for letter in ("*", "?", "${"))


def _is_narrow(text: str) -> bool:
    network = network_of(text)
    if network is None:
        return False
    if isinstance(network, ipaddress.IPv6Network):
        return network.prefixlen >= 32
    return network.prefixlen >= 8


# -- reading

_ACCOUNT_NUMBER: Final = re.compile(r"[0-9]{12}")
_CANONICAL_ID: Final = re.compile(r"[0-9a-f]{64}")
_MEMBER_ARN: Final = re.compile(
    r"arn:aws[a-z-]*:(?:iam|sts)::([A-Za-z0-9_.@+=,-]*):"
    r"(root|(?:user|role|group|assumed-role|federated-user|oidc-provider|saml-provider)/[^*?]+)"
)
_PROVIDER_ARN: Final = re.compile(r"arn:aws[a-z-]*:iam::[^:]*:oidc-provider/(.+)")
_OTHER_ARN: Final = re.compile(r"arn:(?!aws[a-z-]*:s3:)[a-z*?-]+:[a-z0-9*?-]+:[^:]*:[^:]*:.")
_CLAIM: Final = re.compile(r"[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[^:*?${}]*)?:(aud|sub|oaud|amr)")
_STS_KEYS: Final = frozenset({"sts:externalid", "sts:rolesessionname", "sts:roleid"})
_SERVICE: Final = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)+")

Known = Callable[[str], bool]
"""Whether an account of this canonical id exists."""


class _Fault(Exception):
    """What is wrong, before it is known where."""


def parse_policy(
    data: bytes, *, kind: Kind = "bucket", bucket: str | None = None, known: Known | None = None
) -> Policy:
    """Read a policy.

    :param bucket: the bucket that it is to belong to; a policy about another is refused.
    :param known: refuses principals that name no account; None takes every name.
    :raises MalformedPolicy: with a message that says where, by statement and member.
    """
    if len(data) > MOST_BYTES:
        raise MalformedPolicy("Policy exceeds the maximum allowed document size.")
    if data[:1] != b"{":
        raise MalformedPolicy("Policies must be valid JSON and the first byte must be '{'")
    document = _read_json(data)
    for name in document:
        if name not in _MEMBERS:
            raise MalformedPolicy(f"Unknown field {name}", detail=name)
    version = document.get("Version", VERSIONS[0])
    if version not in VERSIONS:
        raise MalformedPolicy("The policy must contain a valid version string", detail="Version")
    if "Id" in document and not isinstance(document["Id"], str):
        raise MalformedPolicy("Id must be a text", detail="Id")
    if "Statement" not in document:
        raise MalformedPolicy("Missing required field Statement", detail="Statement")
    found = document["Statement"]
    entries = found if isinstance(found, list) else [found]
    if not entries:
        raise MalformedPolicy("Could not parse the policy: Statement is empty!")
    statements: list[Statement] = []
    sids: set[str] = set()
    for number, entry in enumerate(entries, 1):
        if not isinstance(entry, dict):
            raise MalformedPolicy(f"Statement {number}: a statement must be an object")
        reader = _Reader(entry, number, kind, bucket, known, version == VERSIONS[1])
        statement = reader.read()
        if statement.sid:
            if statement.sid in sids:
                reader.fail("Sid", "Statement IDs (SID) in a single policy must be unique")
            sids.add(statement.sid)
        statements.append(statement)
    return Policy(statements, kind)


def _read_json(data: bytes) -> dict[str, Any]:
    told = "This policy contains invalid Json"
    try:
        document: dict[str, Any] = json.loads(
            data.decode("utf-8"), object_pairs_hook=_object, parse_constant=_no_constant
        )
    except _Fault as fault:
        raise MalformedPolicy(f"{told}: {fault}") from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise MalformedPolicy(f"{told}: {error.msg}, {where}", detail=where) from None
    except UnicodeDecodeError as error:
        raise MalformedPolicy(f"{told}: no UTF-8 at byte {error.start + 1}") from None
    except RecursionError:
        raise MalformedPolicy(f"{told}: too many levels") from None
    except ValueError:
        # A number of thousands of digits.
        raise MalformedPolicy(f"{told}: a number that is none or too long") from None
    return document


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # The last of two equal members would win, unseen by whoever reads the first.
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise _Fault(f'the member "{name[:100]}" is there twice')
        found[name] = value
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


class _Reader:
    """Reads one statement."""

    __slots__ = ("_bucket", "_entry", "_kind", "_known", "_number", "_sid", "_variables")

    def __init__(
        self,
        entry: Mapping[str, Any],
        number: int,
        kind: Kind,
        bucket: str | None,
        known: Known | None,
        variables: bool,
    ) -> None:
        self._entry = entry
        self._number = number
        self._kind = kind
        self._bucket = bucket
        self._known = known
        self._variables = variables
        self._sid = ""

    def fail(self, member: str, text: str, value: str | None = None) -> NoReturn:
        """Refuse the policy for this member.

        :raises MalformedPolicy:
        """
        where = f"Statement {self._number}" + (f' (Sid "{self._sid}")' if self._sid else "")
        shown = "" if value is None else f' "{value[:200]}"'
        raise MalformedPolicy(
            f"{text}. {where}, {member}{shown}", detail=member if value is None else value[:1024]
        )

    def read(self) -> Statement:
        """The statement."""
        entry = self._entry
        sid = entry.get("Sid", "")
        if not isinstance(sid, str):
            self.fail("Sid", "Sid must be a text")
        self._sid = sid
        for name in entry:
            if name not in _STATEMENT_MEMBERS:
                self.fail(name, f"Unknown field {name}")
        effect = entry.get("Effect")
        if effect is None:
            self.fail("Effect", "Missing required field Effect")
        if effect not in ("Allow", "Deny"):
            self.fail("Effect", f"Invalid effect: {str(effect)[:100]}")
        principals, not_principal = self._principals(effect)
        actions, not_action = self._texts("Action")
        resources, not_resource = self._resources()
        return Statement(
            self._number,
            sid,
            effect == "Deny",
            principals,
            not_principal,
            tuple(self._action(text) for text in actions),
            not_action,
            tuple(self._resource(text) for text in resources if not self._is_elsewhere(text)),
            not_resource,
            self._conditions(),
            tuple(self._arn(text) for text in resources if self._is_elsewhere(text) or text == "*"),
        )

    def _resources(self) -> tuple[Sequence[str], bool]:
        if self._kind != "trust":
            return self._texts("Resource")
        for name in ("Resource", "NotResource"):
            if name in self._entry:
                self.fail(name, f"Has prohibited field {name}")
        return ("*",), False

    def _texts(self, member: str) -> tuple[Sequence[str], bool]:
        """The texts of a member or of its Not twin, and which of the two it was."""
        entry = self._entry
        twin = f"Not{member}"
        if member in entry and twin in entry:
            self.fail(twin, f"Statement has both {member} and {twin}")
        name = twin if twin in entry else member
        if name not in entry:
            self.fail(member, f"Missing required field {member}")
        return self._list(name, entry[name]), name == twin

    def _list(self, member: str, value: Any) -> Sequence[str]:
        texts = value if isinstance(value, list) else [value]
        if not texts:
            self.fail(member, f"Missing required field {member} cannot be empty!")
        for text in texts:
            if not isinstance(text, str):
                self.fail(member, f"{member} must be a text or a list of texts")
        return texts

    # -- who

    def _principals(self, effect: str) -> tuple[Principals | None, bool]:
        entry = self._entry
        if self._kind == "user":
            for name in ("Principal", "NotPrincipal"):
                if name in entry:
                    self.fail(name, f"Policy document should not specify a {name.lower()}")
            return None, False
        if "Principal" in entry and "NotPrincipal" in entry:
            self.fail("NotPrincipal", "Statement has both Principal and NotPrincipal")
        name = "NotPrincipal" if "NotPrincipal" in entry else "Principal"
        if name not in entry:
            self.fail(name, "Missing required field Principal")
        if name == "NotPrincipal" and effect == "Allow":
            # It would let in everybody in the world but one.
            self.fail(name, "Allow with NotPrincipal is not allowed")
        value = entry[name]
        if value == "*":
            return Principals(everyone=True), name == "NotPrincipal"
        if not isinstance(value, dict) or not value:
            self.fail(name, "Invalid principal in policy", str(value)[:200])
        everyone = False
        accounts: set[str] = set()
        members: set[tuple[str, str]] = set()
        services: set[str] = set()
        federated: set[str] = set()
        for kind, texts in value.items():
            for text in self._list(name, texts):
                if kind == "AWS" and text == "*":
                    everyone = True
                elif kind == "AWS":
                    self._aws_principal(name, text, accounts, members)
                elif kind == "CanonicalUser":
                    if not self._is_account(text) and not _CANONICAL_ID.fullmatch(text):
                        self.fail(name, "Invalid principal in policy", f"{kind}: {text}")
                    accounts.add(text)
                elif kind == "Service" and _SERVICE.fullmatch(text):
                    services.add(text)
                elif kind == "Federated" and text and "*" not in text:
                    arn = _PROVIDER_ARN.fullmatch(text)
                    federated.add(provider_name(text) if arn is None else arn[1])
                else:
                    self.fail(name, "Invalid principal in policy", f"{kind}: {text}")
        found = Principals(
            everyone,
            frozenset(accounts),
            frozenset(members),
            frozenset(services),
            frozenset(federated),
        )
        return found, name == "NotPrincipal"

    def _is_account(self, text: str) -> bool:
        return bool(text) and (self._known is None or self._known(text))

    def _aws_principal(
        self, name: str, text: str, accounts: set[str], members: set[tuple[str, str]]
    ) -> None:
        match = _MEMBER_ARN.fullmatch(text)
        if match is None:
            if not _ACCOUNT_NUMBER.fullmatch(text) and not self._is_account(text):
                self.fail(name, "Invalid principal in policy", f"AWS: {text}")
            accounts.add(text)
            return
        account, member = match.groups()
        if member == "root" and account:
            accounts.add(account)
        elif account or member.startswith("user/"):
            members.add((account, member))
        else:
            self.fail(name, "Invalid principal in policy", f"AWS: {text}")

    # -- what

    def _action(self, text: str) -> Pattern:
        lower = text.lower()
        if self._kind == "trust":
            pattern = Pattern(lower)
            if not lower.startswith("sts:") or not any(
                pattern.matches(name.lower(), _nothing) for name in _ASSUMING
            ):
                self.fail("Action", "A trust policy may only specify STS AssumeRole actions", text)
            return pattern
        if lower in _ACTIONS_BY_LOWER_NAME:
            return Pattern(lower, wildcards=False)
        pattern = Pattern(lower)
        if lower != "*" and not (
            lower.startswith(_SERVICES)
            and any(pattern.matches(name, _nothing) for name in _ACTIONS_BY_LOWER_NAME)
        ):
            if self._kind == "user" and ":" in lower and not lower.startswith(_SERVICES):
                # Of another service: a user's policy may speak of all of them.
                return pattern
            self.fail("Action", "Policy has invalid action", text)
        return pattern

    def _is_elsewhere(self, text: str) -> bool:
        """Whether it is of another service: a user's policy may speak of all of them."""
        return (
            self._kind == "user"
            and _OTHER_ARN.match(text) is not None
            and not text.startswith(RESOURCE)
        )

    def _arn(self, text: str) -> Pattern:
        try:
            return Pattern(text, variables=self._variables)
        except BadVariable:
            self.fail("Resource", "Policy has invalid resource", text)

    def _resource(self, text: str) -> Pattern:
        if text == "*" and self._kind != "bucket":
            return Pattern("*")
        if not text.startswith(RESOURCE) or len(text) == len(RESOURCE):
            self.fail("Resource", "Policy has invalid resource", text)
        rest = text[len(RESOURCE) :]
        try:
            pattern = Pattern(rest, variables=self._variables)
            bucket = tokens_of(rest.partition("/")[0], wildcards=True, variables=self._variables)
        except BadVariable:
            self.fail("Resource", "Policy has invalid resource", text)
        if self._bucket is not None:
            # A variable cannot stand for the bucket: nobody could say whose policy it is.
            known = [token for token in bucket if not isinstance(token, Variable)]
            if len(known) < len(bucket) or not Glob(known).matches(self._bucket):
                self.fail("Resource", "Policy has invalid resource", text)
        return pattern

    # -- when

    def _is_of_sts(self, key: str) -> bool:
        """Whether it is a key that only sessions, and requests for them, have."""
        if self._kind == "bucket":
            return False
        return key.lower() in _STS_KEYS or _CLAIM.fullmatch(key) is not None

    def _conditions(self) -> tuple[Condition, ...]:
        block = self._entry.get("Condition", {})
        if not isinstance(block, dict):
            self.fail("Condition", "Condition must be an object")
        found: list[Condition] = []
        for name, keys in block.items():
            if not isinstance(keys, dict) or not keys:
                self.fail("Condition", "An operator must have keys", name)
            for key, value in keys.items():
                key = key.removeprefix("https://")
                if not is_condition_key(key) and not self._is_of_sts(key):
                    self.fail("Condition", "Policy has an invalid condition key", key)
                texts = [_text(each) for each in (value if isinstance(value, list) else [value])]
                if not texts or None in texts:
                    self.fail("Condition", "A condition's value must be a text or a list", key)
                wanted = [text for text in texts if text is not None]
                key = normal_key(key)
                if key == "s3:x-amz-copy-source":
                    # Both spellings are in Amazon's own examples.
                    wanted = [text.removeprefix("/") for text in wanted]
                try:
                    found.append(condition(name, key, wanted, variables=self._variables))
                except BadCondition as bad:
                    self.fail("Condition", str(bad), f"{name}: {key}")
        return tuple(found)


def provider_name(issuer: str) -> str:
    """What policies call an identity provider: its URL without the scheme."""
    return issuer.partition("://")[2] or issuer


def _text(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    return value if isinstance(value, str) else None
