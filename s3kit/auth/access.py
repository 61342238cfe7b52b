"""May this caller do this? The Access seam, and the answer by owner and ACL."""

from __future__ import annotations

from typing import Final
from typing import Protocol

from ..model import Bucket
from ..model import Caller
from ..model import Decision
from ..model import Permission
from ..model import Question
from .acl import permits


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

_OWNER: Final = Decision(True, "the caller's account owns the bucket")
_SIGNED: Final = Decision(True, "any account may do this")
_OBJECT_OWNER: Final = Decision(True, "the caller's account owns the object")
_BUCKET_ACL: Final = Decision(True, "the bucket's ACL grants it", by_acl=True)
_OBJECT_ACL: Final = Decision(True, "the object's ACL grants it", by_acl=True)
_NOTHING_THERE: Final = Decision(True, "the caller may list the bucket, and the key is not there")
_ANONYMOUS: Final = Decision(False, "the request is anonymous")
_NO_GRANT: Final = Decision(False, "the bucket belongs to another account and no ACL grants it")
_NO_ACLS: Final = Decision(False, "the bucket's owner has switched ACLs off")
_NO_BUCKET: Final = Decision(False, "there is no bucket whose owner could allow it")


class OwnerAccess:
    """A bucket's owner may do everything on it; others what the ACLs grant; no one else."""

    __slots__ = ()

    def decide(self, question: Question) -> Decision:
        """Allow or refuse."""
        caller = question.caller
        account = caller.account
        bucket = question.bucket
        if bucket is None:
            if question.action not in ACCOUNT_ACTIONS:
                return _NO_BUCKET
            return _ANONYMOUS if account is None else _SIGNED
        if account is not None and account.id == bucket.account:
            return _OWNER
        return self._by_grant(question, caller, bucket)

    def _by_grant(self, question: Question, caller: Caller, bucket: Bucket) -> Decision:
        action = question.action
        permission = OBJECT_ACTIONS.get(action)
        if permission is None:
            permission = BUCKET_ACTIONS.get(action)
            if not question.acls:
                return _NO_ACLS
            if permission is not None and permits(bucket.acl, caller, permission):
                return _BUCKET_ACL
            return _NO_GRANT
        if not question.acls:
            return _NO_ACLS
        version = None if question.load is None else question.load()
        if version is None or version.delete_marker:
            # Only who may list the bucket may learn that a key is not there.
            if permits(bucket.acl, caller, Permission.READ):
                return _NOTHING_THERE
            return _NO_GRANT
        if caller.account is not None and caller.account.id == version.owner:
            return _OBJECT_OWNER
        return _OBJECT_ACL if permits(version.acl, caller, permission) else _NO_GRANT
