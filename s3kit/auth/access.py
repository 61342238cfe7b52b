"""May this caller do this? The Access seam, and the answer by owner, policies, ACLs and switches.

Source of the order: IAM User Guide, "Policy evaluation logic"; Amazon S3 User Guide, "How Amazon
S3 authorizes a request".
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import replace
from functools import lru_cache
from typing import Final
from typing import Literal
from typing import Protocol

from ..model import Acl
from ..model import Bucket
from ..model import Decision
from ..model import Grant
from ..model import ObjectVersion
from ..model import Permission
from ..model import Question
from ..model import Ruling
from ..model import Setting
from ..model import Step
from ..profile import AWS
from ..profile import Profile
from .acl import find_grant
from .acl import permits
from .policy import Policy
from .public_access import NO_BLOCK
from .public_access import PublicAccessBlock
from .trace import in_words
from .trace import note_acl
from .trace import note_owner
from .trace import note_policy
from .trace import note_rules


class Access(Protocol):
    """Decides every request, and every key of a multi-delete."""

    def decide(self, question: Question) -> Decision:
        """Allow or refuse, with the reason that an owner may be shown."""
        ...


# Which permission of which ACL allows an action. What is not named here is its owner's alone.
# Source: S3 user guide, "Mapping of ACL permissions and access policy permissions"; a multipart
# upload's steps are writes like the PutObject that they stand for.
OBJECT_ACTIONS: Final = {
    "s3:GetObject": Permission.READ,
    "s3:GetObjectVersion": Permission.READ,
    "s3:GetObjectAcl": Permission.READ_ACP,
    "s3:GetObjectVersionAcl": Permission.READ_ACP,
    "s3:PutObjectAcl": Permission.WRITE_ACP,
    "s3:PutObjectVersionAcl": Permission.WRITE_ACP,
}
BUCKET_ACTIONS: Final = {
    "s3:ListBucket": Permission.READ,
    "s3:ListBucketVersions": Permission.READ,
    "s3:ListBucketMultipartUploads": Permission.READ,
    "s3:PutObject": Permission.WRITE,
    "s3:DeleteObject": Permission.WRITE,
    "s3:AbortMultipartUpload": Permission.WRITE,
    "s3:ListMultipartUploadParts": Permission.WRITE,
    "s3:GetBucketAcl": Permission.READ_ACP,
    "s3:PutBucketAcl": Permission.WRITE_ACP,
}
# What an action is called that names a version.
# Source: Service Authorization Reference, "Actions defined by Amazon S3".
VERSION_ACTIONS: Final = {
    "s3:DeleteObject": "s3:DeleteObjectVersion",
    "s3:DeleteObjectAnnotation": "s3:DeleteObjectVersionAnnotation",
    "s3:DeleteObjectTagging": "s3:DeleteObjectVersionTagging",
    "s3:GetObject": "s3:GetObjectVersion",
    "s3:GetObjectAcl": "s3:GetObjectVersionAcl",
    "s3:GetObjectAnnotation": "s3:GetObjectVersionAnnotation",
    "s3:GetObjectAttributes": "s3:GetObjectVersionAttributes",
    "s3:GetObjectTagging": "s3:GetObjectVersionTagging",
    "s3:ListObjectAnnotations": "s3:ListObjectVersionAnnotations",
    "s3:PutObjectAcl": "s3:PutObjectVersionAcl",
    "s3:PutObjectAnnotation": "s3:PutObjectVersionAnnotation",
    "s3:PutObjectTagging": "s3:PutObjectVersionTagging",
}
# Actions without a bucket of their own: any signed caller may, on its own behalf.
ACCOUNT_ACTIONS: Final = frozenset(
    ("s3:ListAllMyBuckets", "s3:CreateBucket", "s3express:ListAllMyDirectoryBuckets")
)
# What CreateBucket asks for besides, about a bucket that is not there yet and will be the caller's.
# Source: API reference, CreateBucket, "Permissions".
NEW_BUCKET_ACTIONS: Final = frozenset(
    (
        "s3:PutBucketAcl",
        "s3:PutBucketObjectLockConfiguration",
        "s3:PutBucketOwnershipControls",
        "s3:PutBucketVersioning",
        "s3:TagResource",
    )
)
# What no policy can take from the bucket owner's account itself: or a slip would lock it out.
# Source: API reference, PutBucketPolicy, GetBucketPolicy and DeleteBucketPolicy.
ROOT_ACTIONS: Final = frozenset(
    ("s3:GetBucketPolicy", "s3:PutBucketPolicy", "s3:DeleteBucketPolicy")
)

RULED: Final = Setting.POLICY | Setting.PUBLIC_ACCESS_BLOCK
BLOCK_ALONE: Final = Setting.PUBLIC_ACCESS_BLOCK
_POLICY: Final = Setting.POLICY


def versioned(action: str, version_id: str | None) -> str:
    """What ``action`` is called when the request names a version; some have no other name."""
    return action if version_id is None else VERSION_ACTIONS.get(action, action)


@dataclass(frozen=True, slots=True)
class BucketRules:
    """What a bucket's documents say of access."""

    policy: Policy | None = None
    block: PublicAccessBlock = NO_BLOCK


NO_RULES: Final = BucketRules()

_OWNER: Final = Decision(True, "the caller's account owns the bucket", by="owner")
_OWNER_SO_FAR: Final = replace(_OWNER, provisional=True)
_SIGNED: Final = Decision(True, "any account may do this", by="account")
_OBJECT_OWNER: Final = Decision(True, "the caller's account owns the object", by="object owner")
_NOTHING_THERE: Final = Decision(
    True, "the caller may list the bucket, and the key is not there", by="absence"
)
_NOT_TO_KNOW: Final = Decision(
    False, "the key is not there, and the caller may not list the bucket", by="absence"
)
_ANONYMOUS: Final = Decision(False, "the request is anonymous", by="account", final=True)
_NO_GRANT: Final = Decision(
    False, "the bucket belongs to another account and no ACL grants it", by="owner"
)
_NO_ACLS: Final = Decision(
    False, "the bucket belongs to another account, which has switched ACLs off", by="ownership"
)
_NO_BUCKET: Final = Decision(
    False, "there is no bucket whose owner could allow it", by="owner", final=True
)
_ANOTHERS_OBJECT: Final = Decision(
    False, "the object belongs to another account and no ACL grants it", by="object owner"
)
_RESTRICTED: Final = Decision(
    False,
    "RestrictPublicBuckets: the bucket's policy is public, the caller of another account",
    by="public access block",
    final=True,
)
_PUBLIC_IGNORED: Final = Decision(
    False,
    "IgnorePublicAcls: an ACL grants it to everybody, which does not count",
    by="public access block",
)
_NOT_LISTED: Final = Decision(
    False, "a public bucket's objects may be read here, but not listed", by="profile"
)
_PUBLIC_OBJECT: Final = Decision(
    True, "whoever knows an object's URL may read it here", by="profile"
)
_NO_USER_POLICY: Final = Decision(
    False, "no policy of the user allows it", by="user policy", final=True
)
_NO_SESSION_POLICY: Final = Decision(
    False, "the session's policy does not allow it", by="session policy", final=True
)


class BucketAccess:
    """Policies first, a Deny before all; then the bucket's owner, then ACLs; no one else.

    :param rules_of: what a bucket's documents say; asked only where it has any of them.
    :param profile: whose ACLs are objects' own or their buckets', and what is public.
    """

    __slots__ = ("_of_bucket", "_public_listing", "_public_objects", "_rules_of")

    def __init__(
        self,
        rules_of: Callable[[Bucket], BucketRules] | None = None,
        *,
        profile: Profile = AWS,
    ) -> None:
        self._rules_of = rules_of
        self._of_bucket = profile.bucket_acl_is_objects
        self._public_listing = profile.public_listing
        self._public_objects = profile.public_objects

    def decide(self, question: Question) -> Decision:
        """Allow or refuse."""
        caller = question.caller
        bucket = question.bucket
        if bucket is None:
            return self._without_bucket(question)
        account = caller.account
        owner = account is not None and account.id == bucket.account
        traced = question.trace is not None
        narrowed_caller = caller.policies is not None or caller.session_policy is not None
        if owner and not (narrowed_caller or traced or bucket.present & _POLICY):
            # The switches are against others: its own account is spared the look at them.
            if question.key is None or question.action not in OBJECT_ACTIONS:
                return _OWNER
            if not question.settle and question.load is not None:
                return _OWNER_SO_FAR
        if traced:
            note_owner(question, bucket)
        present = bucket.present & RULED
        rules = NO_RULES
        # Without a policy they are about ACLs alone.
        rules_of = self._rules_of
        if present and rules_of is not None:
            block_counts = question.acls or traced or self._public_objects
            if block_counts or present != BLOCK_ALONE:
                rules = rules_of(bucket)
        if rules is NO_RULES and not narrowed_caller:
            if not owner:
                return self._by_grant(question, bucket, NO_RULES)
            return self._of_object(question, bucket, NO_RULES, _OWNER, _OWNER_SO_FAR)
        return self._by_rules(question, bucket, rules, owner=owner)

    def _without_bucket(self, question: Question) -> Decision:
        caller = question.caller
        if question.action not in ACCOUNT_ACTIONS and question.action not in NEW_BUCKET_ACTIONS:
            return _NO_BUCKET
        if caller.account is None:
            return _ANONYMOUS
        refusal, _ = narrowed(question)
        return refusal or _SIGNED

    def _by_rules(
        self, question: Question, bucket: Bucket, rules: BucketRules, *, owner: bool
    ) -> Decision:
        caller = question.caller
        policy = rules.policy
        ruling = None if policy is None else policy.decide(question)
        if question.trace is not None:
            note_rules(question, rules)
        if ruling is not None and ruling.deny:
            root = owner and not caller.principal and caller.session_policy is None
            if not (root and question.action in ROOT_ACTIONS):
                return Decision(
                    False,
                    f"the bucket's policy, {ruling.label}",
                    by_policy=True,
                    by="bucket policy",
                    final=True,
                )
            ruling = None
            if question.trace is not None:
                text = "but no policy keeps the owner's account from the bucket's policy"
                question.trace.append(Step("bucket policy", "", text))
        outside = not owner and not caller.service
        if (
            outside
            and rules.block.restrict_public_buckets
            and policy is not None
            and policy.is_public
        ):
            return _RESTRICTED
        refusal, own = narrowed(question)
        if refusal is not None:
            if refusal is not _NO_USER_POLICY or not owner or ruling is None or policy is None:
                return refusal
            # In its own account a user may what the bucket's policy allows it, without more.
            ruling = policy.directly(question)
            if ruling is None:
                return refusal
        if owner and caller.policies is None:
            return self._of_object(question, bucket, rules, _OWNER, _OWNER_SO_FAR)
        if owner and own is not None:
            allowed, so_far = _allowed_by("user policy", "a policy of the user", own.label)
        elif ruling is not None:
            allowed, so_far = _allowed_by("bucket policy", "the bucket's policy", ruling.label)
        else:
            return self._by_grant(question, bucket, rules)
        return self._of_object(question, bucket, rules, allowed, so_far)

    def _of_object(
        self,
        question: Question,
        bucket: Bucket,
        rules: BucketRules,
        allowed: Decision,
        so_far: Decision,
    ) -> Decision:
        """What is the bucket owner's to give: its own objects, and word of their absence."""
        action = question.action
        if question.key is None or question.load is None or action not in OBJECT_ACTIONS:
            return allowed
        if not question.settle:
            return so_far
        version = question.load()
        if version is None or version.delete_marker:
            return self._of_absence(question)
        if not question.acls or version.owner == bucket.account or self._of_bucket:
            return allowed
        return self._by_object_acl(question, version, OBJECT_ACTIONS[action], rules)

    def _of_absence(self, question: Question) -> Decision:
        # Only who may list the bucket may learn that a key is not there.
        listing = replace(
            question,
            action="s3:ListBucket",
            key=None,
            version_id=None,
            load=None,
            conditions=_Listing(question),
        )
        if question.trace is not None:
            text = "the key is not there; who may list the bucket is told so, by s3:ListBucket:"
            question.trace.append(Step("absence", "", text))
        return _NOTHING_THERE if self.decide(listing).allowed else _NOT_TO_KNOW

    def _by_grant(self, question: Question, bucket: Bucket, rules: BucketRules) -> Decision:
        action = question.action
        permission = OBJECT_ACTIONS.get(action)
        if permission is None:
            permission = BUCKET_ACTIONS.get(action)
            if permission is None:
                return _NO_GRANT
            if not question.acls:
                return _NO_ACLS
            decision = _by_acl(question, "bucket", bucket.acl, permission, rules)
            if (
                decision is not None
                and permission is Permission.READ
                and not self._public_listing
                and find_grant(bucket.acl, question.caller, permission, public=False) is None
            ):
                return _NOT_LISTED
            return decision or _NO_GRANT
        version = None if question.load is None else question.load()
        if version is None or version.delete_marker:
            return self._of_absence(question)
        shut = rules.block.restrict_public_buckets
        if self._public_objects and action == "s3:GetObject" and not shut:
            return _PUBLIC_OBJECT
        if not question.acls:
            return _NO_ACLS
        if self._of_bucket:
            return _by_acl(question, "bucket", bucket.acl, permission, rules) or _NO_GRANT
        decision = self._by_object_acl(question, version, permission, rules)
        return _NO_GRANT if decision is _ANOTHERS_OBJECT else decision

    def _by_object_acl(
        self, question: Question, version: ObjectVersion, permission: Permission, rules: BucketRules
    ) -> Decision:
        account = question.caller.account
        if question.trace is not None:
            question.trace.append(
                Step("object owner", "", f"the object belongs to {version.owner}")
            )
        if account is not None and account.id == version.owner:
            return _OBJECT_OWNER
        return _by_acl(question, "object", version.acl, permission, rules) or _ANOTHERS_OBJECT


def _by_acl(
    question: Question,
    noun: Literal["bucket", "object"],
    acl: Acl | None,
    permission: Permission,
    rules: BucketRules,
) -> Decision | None:
    """What an ACL says, None where it says nothing of this."""
    caller = question.caller
    if question.trace is not None:
        note_acl(question.trace, noun, acl, permission)
    if not rules.block.ignore_public_acls:
        grant = find_grant(acl, caller, permission)
        return None if grant is None else _granted(noun, grant)
    grant = find_grant(acl, caller, permission, public=False)
    if grant is not None:
        return _granted(noun, grant)
    return _PUBLIC_IGNORED if permits(acl, caller, permission) else None


# Few: a statement's Sid may be long.
@lru_cache(maxsize=128)
def _allowed_by(rule: str, whose: str, label: str) -> tuple[Decision, Decision]:
    """That a policy's statement allows it, for good and provisionally."""
    allowed = Decision(True, f"{whose}, {label}", by_policy=True, by=rule)
    return allowed, replace(allowed, provisional=True)


@lru_cache(maxsize=256)
def _granted(noun: str, grant: Grant) -> Decision:
    reason = f"the {noun}'s ACL grants {in_words(grant)}"
    return Decision(True, reason, by_acl=True, by=f"{noun} acl")


def narrowed(question: Question) -> tuple[Decision | None, Ruling | None]:
    """What the caller's own policies refuse, else None; and the statement that allows it.

    A session can do only what its policy allows besides; it never widens anything.
    """
    caller = question.caller
    session = caller.session_policy
    if session is not None:
        if question.trace is not None:
            note_policy(question, "session policy", "", session)
        ruling = session.decide(question)
        if ruling is None:
            return _NO_SESSION_POLICY, None
        if ruling.deny:
            reason = f"the session's policy, {ruling.label}"
            return Decision(False, reason, by_policy=True, by="session policy", final=True), None
    if caller.policies is None:
        return None, None
    allowing: Ruling | None = None
    for number, policy in enumerate(caller.policies, 1):
        if question.trace is not None:
            note_policy(question, "user policy", f"policy {number}", policy)
        ruling = policy.decide(question)
        if ruling is None:
            continue
        if ruling.deny:
            reason = f"a policy of the user, {ruling.label}"
            return Decision(False, reason, by_policy=True, by="user policy", final=True), None
        allowing = ruling
    return (_NO_USER_POLICY if allowing is None else None), allowing


class _Listing(Mapping[str, str | tuple[str, ...]]):
    """The conditions of a listing that would show whether a key is there."""

    __slots__ = ("_conditions", "_prefix")

    def __init__(self, question: Question) -> None:
        self._conditions = question.conditions
        self._prefix = (question.key or b"").decode("utf-8", "surrogateescape")

    def __getitem__(self, name: str) -> str | tuple[str, ...]:
        return self._prefix if name == "s3:prefix" else self._conditions[name]

    def __iter__(self) -> Iterator[str]:
        yield "s3:prefix"
        yield from (name for name in self._conditions if name != "s3:prefix")

    def __len__(self) -> int:
        return len(list(iter(self)))
