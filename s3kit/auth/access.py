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
from typing import Final
from typing import Protocol

from ..model import Bucket
from ..model import Caller
from ..model import Decision
from ..model import ObjectVersion
from ..model import Permission
from ..model import Question
from ..model import Ruling
from ..model import Setting
from .acl import permits
from .policy import Policy
from .public_access import NO_BLOCK
from .public_access import PublicAccessBlock


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
# What an action is called when the request names a version.
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
# What no policy can take from the bucket owner's account itself: or a slip would lock it out.
# Source: API reference, PutBucketPolicy, GetBucketPolicy and DeleteBucketPolicy.
ROOT_ACTIONS: Final = frozenset(
    ("s3:GetBucketPolicy", "s3:PutBucketPolicy", "s3:DeleteBucketPolicy")
)

RULED: Final = Setting.POLICY | Setting.PUBLIC_ACCESS_BLOCK


@dataclass(frozen=True, slots=True)
class BucketRules:
    """What a bucket's documents say of access."""

    policy: Policy | None = None
    block: PublicAccessBlock = NO_BLOCK


NO_RULES: Final = BucketRules()

_OWNER: Final = Decision(True, "the caller's account owns the bucket")
_OWNER_SO_FAR: Final = replace(_OWNER, provisional=True)
_SIGNED: Final = Decision(True, "any account may do this")
_OBJECT_OWNER: Final = Decision(True, "the caller's account owns the object")
_BUCKET_ACL: Final = Decision(True, "the bucket's ACL grants it", by_acl=True)
_OBJECT_ACL: Final = Decision(True, "the object's ACL grants it", by_acl=True)
_NOTHING_THERE: Final = Decision(True, "the caller may list the bucket, and the key is not there")
_ANONYMOUS: Final = Decision(False, "the request is anonymous", final=True)
_NO_GRANT: Final = Decision(False, "the bucket belongs to another account and no ACL grants it")
_NO_ACLS: Final = Decision(False, "the bucket's owner has switched ACLs off")
_NO_BUCKET: Final = Decision(False, "there is no bucket whose owner could allow it", final=True)
_ANOTHERS_OBJECT: Final = Decision(
    False, "the object belongs to another account and no ACL grants it"
)
_RESTRICTED: Final = Decision(
    False,
    "RestrictPublicBuckets: the bucket's policy is public, the caller of another account",
    final=True,
)
_NO_USER_POLICY: Final = Decision(False, "no policy of the user allows it", final=True)
_NO_SESSION_POLICY: Final = Decision(False, "the session's policy does not allow it", final=True)


class BucketAccess:
    """Policies first, a Deny before all; then the bucket's owner, then ACLs; no one else.

    :param rules_of: what a bucket's documents say; asked only where it has any of them.
    """

    __slots__ = ("_rules_of",)

    def __init__(self, rules_of: Callable[[Bucket], BucketRules] | None = None) -> None:
        self._rules_of = rules_of

    def decide(self, question: Question) -> Decision:
        """Allow or refuse."""
        caller = question.caller
        bucket = question.bucket
        if bucket is None:
            return self._without_bucket(question)
        account = caller.account
        owner = account is not None and account.id == bucket.account
        ruled = bucket.present & RULED and self._rules_of is not None
        if not ruled and caller.policies is None and caller.session_policy is None:
            if not owner:
                return self._by_grant(question, bucket, NO_RULES)
            if question.key is None or question.action not in OBJECT_ACTIONS:
                return _OWNER
            if not question.settle and question.load is not None:
                return _OWNER_SO_FAR
            return self._of_object(question, bucket, NO_RULES, _OWNER, _OWNER_SO_FAR)
        rules = self._rules_of(bucket) if ruled and self._rules_of is not None else NO_RULES
        return self._by_rules(question, bucket, rules, owner=owner)

    def _without_bucket(self, question: Question) -> Decision:
        caller = question.caller
        if question.action not in ACCOUNT_ACTIONS:
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
        if ruling is not None and ruling.deny:
            root = owner and not caller.principal and caller.session_policy is None
            if not (root and question.action in ROOT_ACTIONS):
                return Decision(
                    False, f"the bucket's policy, {ruling.label}", by_policy=True, final=True
                )
            ruling = None
        outside = not owner and not caller.service
        if (
            outside
            and rules.block.restrict_public_buckets
            and policy is not None
            and policy.is_public
        ):
            return _RESTRICTED
        refusal, own = narrowed(question)
        if refusal is not None and not (
            # In its own account a user may what the bucket's policy allows it, without more.
            refusal is _NO_USER_POLICY and owner and ruling is not None
        ):
            return refusal
        if owner and caller.policies is None:
            return self._of_object(question, bucket, rules, _OWNER, _OWNER_SO_FAR)
        if owner and own is not None:
            allowed = Decision(True, f"a policy of the user, {own.label}", by_policy=True)
        elif ruling is not None:
            allowed = Decision(True, f"the bucket's policy, {ruling.label}", by_policy=True)
        else:
            return self._by_grant(question, bucket, rules)
        return self._of_object(question, bucket, rules, allowed, replace(allowed, provisional=True))

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
        if not question.acls or version.owner == bucket.account:
            return allowed
        return self._by_object_acl(question.caller, version, OBJECT_ACTIONS[action], rules)

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
        return _NOTHING_THERE if self.decide(listing).allowed else _NO_GRANT

    def _by_grant(self, question: Question, bucket: Bucket, rules: BucketRules) -> Decision:
        action = question.action
        caller = question.caller
        permission = OBJECT_ACTIONS.get(action)
        if permission is None:
            permission = BUCKET_ACTIONS.get(action)
            if permission is None:
                return _NO_GRANT
            if not question.acls:
                return _NO_ACLS
            public = not rules.block.ignore_public_acls
            return (
                _BUCKET_ACL if permits(bucket.acl, caller, permission, public=public) else _NO_GRANT
            )
        version = None if question.load is None else question.load()
        if version is None or version.delete_marker:
            return self._of_absence(question)
        if not question.acls:
            return _NO_ACLS
        decision = self._by_object_acl(caller, version, permission, rules)
        return _NO_GRANT if decision is _ANOTHERS_OBJECT else decision

    def _by_object_acl(
        self, caller: Caller, version: ObjectVersion, permission: Permission, rules: BucketRules
    ) -> Decision:
        if caller.account is not None and caller.account.id == version.owner:
            return _OBJECT_OWNER
        public = not rules.block.ignore_public_acls
        if permits(version.acl, caller, permission, public=public):
            return _OBJECT_ACL
        return _ANOTHERS_OBJECT


def narrowed(question: Question) -> tuple[Decision | None, Ruling | None]:
    """What the caller's own policies refuse, else None; and the statement that allows it.

    A session can do only what its policy allows besides; it never widens anything.
    """
    caller = question.caller
    session = caller.session_policy
    if session is not None:
        ruling = session.decide(question)
        if ruling is None or ruling.deny:
            return _NO_SESSION_POLICY, None
    if caller.policies is None:
        return None, None
    allowing: Ruling | None = None
    for policy in caller.policies:
        ruling = policy.decide(question)
        if ruling is None:
            continue
        if ruling.deny:
            reason = f"a policy of the user, {ruling.label}"
            return Decision(False, reason, by_policy=True, final=True), None
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
