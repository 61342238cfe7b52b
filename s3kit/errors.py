"""Every S3 error, one class each; the class name is the code that the client sees.

Source of codes, statuses and texts: Amazon S3 API Reference, "Error responses".
Nothing is rendered here: :mod:`s3kit.wire.response` turns an error into XML.
"""

from __future__ import annotations

from collections.abc import Mapping


class S3Error(Exception):
    """An answer that S3 gives instead of the wanted one.

    :param message: replaces the class's default text.
    :param headers: extra response headers, e.g. ``{"Retry-After": "1"}``.
    :param details: extra XML elements, in order. Give snake_case names; they are
        written in PascalCase (``upload_id`` becomes ``UploadId``).
    """

    status: int = 500
    message: str = "We encountered an internal error. Please try again."

    def __init__(
        self,
        message: str | None = None,
        /,
        *,
        headers: Mapping[str, str] | None = None,
        **details: str | int | bytes,
    ) -> None:
        self.text = self.message if message is None else message
        self.headers: Mapping[str, str] = headers or {}
        self.details: dict[str, str | int | bytes] = details
        super().__init__(self.text)

    @property
    def code(self) -> str:
        """The S3 error code, e.g. ``NoSuchKey``."""
        return type(self).__name__


class AccessDenied(S3Error):
    status = 403
    message = "Access Denied"


class AccessForbidden(S3Error):
    status = 403
    message = (
        "CORSResponse: This CORS request is not allowed. This is usually because the evalution of "
        "Origin, request method / Access-Control-Request-Method or Access-Control-Request-Headers "
        "are not whitelisted by the resource's CORS spec."
    )


class AccessControlListNotSupported(S3Error):
    status = 400
    message = "The bucket does not allow ACLs"


class AnnotationLimitExceeded(S3Error):
    status = 400
    message = (
        "The request would exceed the maximum number of annotations that are allowed per object."
    )


class AnnotationNameTooLong(S3Error):
    status = 400
    message = "The annotation name exceeds 512 bytes."


class AuthorizationHeaderMalformed(S3Error):
    status = 400
    message = "The authorization header is malformed."


class AuthorizationQueryParametersError(S3Error):
    status = 400
    message = "The authorization query parameters that you provided are not valid."


class BadDigest(S3Error):
    status = 400
    message = "The Content-MD5 or checksum value that you specified did not match what we received."


class BadRequest(S3Error):
    status = 400
    message = "Bad Request"


class BucketAlreadyExists(S3Error):
    status = 409
    message = (
        "The requested bucket name is not available. The bucket namespace is shared by all users "
        "of the system. Please select a different name and try again."
    )


class BucketAlreadyOwnedByYou(S3Error):
    status = 409
    message = "Your previous request to create the named bucket succeeded and you already own it."


class BucketNotEmpty(S3Error):
    status = 409
    message = "The bucket you tried to delete is not empty"


class ConditionalRequestConflict(S3Error):
    status = 409
    message = "A conflicting operation occurred during the request. Please retry."


class DeleteConflict(S3Error):
    # IAM's, as the other errors about accounts, users and keys.
    status = 409
    message = "What is to be deleted still has something."


class EncryptionTypeMismatch(S3Error):
    status = 400
    message = "The existing object was created with a different encryption type."


# S3 spells it so.
class CrossLocationLoggingProhibitted(S3Error):
    status = 403
    message = (
        "Cross S3 location logging not allowed. Buckets in one geographic location cannot log "
        "information to a bucket in another location."
    )


class EntityAlreadyExists(S3Error):
    status = 409
    message = "There is one of this name already."


class EntityTooLarge(S3Error):
    status = 400
    message = "Your proposed upload exceeds the maximum allowed size"


class EntityTooSmall(S3Error):
    status = 400
    message = "Your proposed upload is smaller than the minimum allowed size"


class IdMismatch(S3Error):
    status = 400
    message = "Document ID does not match the specified configuration ID."


class IdempotencyParameterMismatch(S3Error):
    status = 400
    message = "The client token was used with other parameters before."


class IllegalLocationConstraintException(S3Error):
    status = 400
    message = "The specified location constraint is not valid for this endpoint."


class IllegalVersioningConfigurationException(S3Error):
    status = 400
    message = "The versioning configuration specified in the request is invalid."


class IncompleteBody(S3Error):
    status = 400
    message = "You did not provide the number of bytes specified by the Content-Length HTTP header"


class IncorrectNumberOfFilesInPostRequest(S3Error):
    status = 400
    message = "POST requires exactly one file upload per request."


class InternalError(S3Error):
    status = 500


class InvalidAccessKeyId(S3Error):
    status = 403
    message = "The AWS Access Key Id you provided does not exist in our records."


class InvalidAnnotationName(S3Error):
    status = 400
    message = "The annotation name you provided is invalid."


class InvalidArgument(S3Error):
    status = 400
    message = "Invalid Argument"


class InvalidBucketAclWithObjectOwnership(S3Error):
    status = 400
    message = "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting"


class InvalidBucketName(S3Error):
    status = 400
    message = "The specified bucket is not valid."


class InvalidBucketState(S3Error):
    status = 409
    message = "The request is not valid with the current state of the bucket."


class InvalidChunkSizeError(S3Error):
    status = 400
    message = "Only the last chunk is allowed to have a size less than 8192 bytes"


class InvalidDigest(S3Error):
    status = 400
    message = "The Content-MD5 or checksum value that you specified is not valid."


class InvalidEncryptionAlgorithmError(S3Error):
    status = 400
    message = "The encryption request that you specified is not valid. The valid value is AES256."


class InvalidLocationConstraint(S3Error):
    status = 400
    message = "The specified location constraint is not valid"


class InvalidObjectState(S3Error):
    status = 403
    message = "The operation is not valid for the object's storage class"


class InvalidPart(S3Error):
    status = 400
    message = (
        "One or more of the specified parts could not be found. The part might not have been "
        "uploaded, or the specified entity tag might not have matched the part's entity tag."
    )


class InvalidPartNumber(S3Error):
    status = 416
    message = "The requested partnumber is not satisfiable"


class InvalidPartOrder(S3Error):
    status = 400
    message = "The list of parts was not in ascending order. Parts must be ordered by part number."


class InvalidPolicyDocument(S3Error):
    status = 400
    message = (
        "The content of the form does not meet the conditions specified in the policy document."
    )


class InvalidPrefix(S3Error):
    status = 400
    message = "The prefix you provided is invalid."


class InvalidRange(S3Error):
    status = 416
    message = "The requested range is not satisfiable"


class InvalidRedirectLocation(S3Error):
    status = 400
    message = "The website redirect location must have a prefix of 'http://' or 'https://' or '/'."


class InvalidRequest(S3Error):
    status = 400
    message = "Invalid Request"


class InvalidS3DestinationBucket(S3Error):
    status = 400
    message = "Invalid bucket ARN."


class InvalidSecurity(S3Error):
    status = 403
    message = "The provided security credentials are not valid."


class InvalidStorageClass(S3Error):
    status = 400
    message = "The storage class you specified is not valid"


class InvalidTag(S3Error):
    status = 400
    message = "The tag provided was not a valid tag."


class InvalidWriteOffset(S3Error):
    status = 400
    message = "The write offset value that you specified does not match the current object size."


class InvalidTargetBucketForLogging(S3Error):
    status = 400
    message = (
        "The target bucket for logging does not exist, is not owned by you, or does not have the "
        "appropriate grants for the log-delivery group."
    )


class InvalidToken(S3Error):
    status = 400
    message = "The provided token is malformed or otherwise invalid."


class InvalidURI(S3Error):
    status = 400
    message = "Couldn't parse the specified URI."


class ExpiredToken(S3Error):
    status = 400
    message = "The provided token has expired."


class KeyTooLongError(S3Error):
    status = 400
    message = "Your key is too long"


class KMSNotFoundException(S3Error):
    """A key of aws:kms that the provider does not have."""

    status = 400
    message = "Invalid keyId"

    @property
    def code(self) -> str:
        """With the dot that no class name can have."""
        return "KMS.NotFoundException"


class LimitExceeded(S3Error):
    status = 409
    message = "The request would exceed what the account may have."


class MalformedACLError(S3Error):
    status = 400
    message = (
        "The XML you provided was not well-formed or did not validate against our published schema"
    )


class MalformedPOSTRequest(S3Error):
    status = 400
    message = "The body of your POST request is not well-formed multipart/form-data."


class MalformedPolicy(S3Error):
    status = 400
    message = "This policy contains invalid Json"


class MalformedTrailerError(S3Error):
    status = 400
    message = (
        "The request contained trailing data that was not well-formed or did not conform to our "
        "published schema."
    )


class MalformedXML(S3Error):
    status = 400
    message = (
        "The XML you provided was not well-formed or did not validate against our published schema"
    )


class MaxMessageLengthExceeded(S3Error):
    status = 400
    message = "Your request was too big."


class MaxPostPreDataLengthExceededError(S3Error):
    status = 400
    message = "Your POST request fields preceding the upload file were too large."


class MetadataTooLarge(S3Error):
    status = 400
    message = "Your metadata headers exceed the maximum allowed metadata size"


class MethodNotAllowed(S3Error):
    status = 405
    message = "The specified method is not allowed against this resource."


class MissingContentLength(S3Error):
    status = 411
    message = "You must provide the Content-Length HTTP header."


class MissingRequestBodyError(S3Error):
    status = 400
    message = "Request Body is empty"


class MissingSecurityHeader(S3Error):
    status = 400
    message = "Your request was missing a required header."


class NoSuchAnnotation(S3Error):
    status = 404
    message = "The specified annotation does not exist on this object."


class NoSuchBucket(S3Error):
    status = 404
    message = "The specified bucket does not exist"


class NoSuchBucketPolicy(S3Error):
    status = 404
    message = "The bucket policy does not exist"


class NoSuchCORSConfiguration(S3Error):
    status = 404
    message = "The CORS configuration does not exist"


class NoSuchConfiguration(S3Error):
    status = 404
    message = "The specified configuration does not exist."


class NoSuchEntity(S3Error):
    status = 404
    message = "There is no account, user or access key of this name."


class NoSuchKey(S3Error):
    status = 404
    message = "The specified key does not exist."


class NoSuchLifecycleConfiguration(S3Error):
    status = 404
    message = "The lifecycle configuration does not exist"


class NoSuchObjectLockConfiguration(S3Error):
    status = 404
    message = "The specified object does not have a ObjectLock configuration"


class NoSuchPublicAccessBlockConfiguration(S3Error):
    status = 404
    message = "The public access block configuration was not found"


class NoSuchTagSet(S3Error):
    status = 404
    message = "The TagSet does not exist"


class NoSuchUpload(S3Error):
    status = 404
    message = (
        "The specified upload does not exist. The upload ID may be invalid, or the upload may have "
        "been aborted or completed."
    )


class NoSuchVersion(S3Error):
    status = 404
    message = "The specified version does not exist."


class NoSuchWebsiteConfiguration(S3Error):
    status = 404
    message = "The specified bucket does not have a website configuration"


class NotImplemented(S3Error):
    status = 501
    message = "A header or query you provided implies functionality that is not implemented."


class NotModified(S3Error):
    """A conditional read whose condition says "not changed"; the answer has no body."""

    status = 304
    message = "Not Modified"


class ObjectLockConfigurationNotFoundError(S3Error):
    status = 404
    message = "Object Lock configuration does not exist for this bucket"


class OwnershipControlsNotFoundError(S3Error):
    status = 404
    message = "The bucket ownership controls were not found"


class OperationAborted(S3Error):
    status = 409
    message = (
        "A conflicting conditional operation is currently in progress against this resource. "
        "Try again."
    )


class PreconditionFailed(S3Error):
    status = 412
    message = "At least one of the pre-conditions you specified did not hold"


class QuotaExceeded(S3Error):
    # Not of AWS, which has no quotas: CloudStorage's code and text (CS-20).
    status = 403
    message = (
        "Upload would exceed your plan's storage quota. Upgrade your plan or delete existing data."
    )


class ReplicationConfigurationNotFoundError(S3Error):
    status = 404
    message = "The replication configuration was not found"


class RequestExpired(S3Error):
    status = 403
    message = "Request has expired"


class RequestTimeout(S3Error):
    status = 400
    message = (
        "Your socket connection to the server was not read from or written to within the timeout "
        "period."
    )


class RequestTimeTooSkewed(S3Error):
    status = 403
    message = "The difference between the request time and the current time is too large."


class RequestHeaderSectionTooLarge(S3Error):
    status = 400
    message = "Your request header section exceeds the maximum allowed size."


class ServiceUnavailable(S3Error):
    status = 503
    message = "Reduce your request rate."


class ServerSideEncryptionConfigurationNotFoundError(S3Error):
    status = 404
    message = "The server side encryption configuration was not found"


class SignatureDoesNotMatch(S3Error):
    status = 403
    message = (
        "The request signature we calculated does not match the signature you provided. "
        "Check your key and signing method."
    )


class SlowDown(S3Error):
    status = 503
    message = "Please reduce your request rate."


class TooManyBuckets(S3Error):
    status = 400
    message = "You have attempted to create more buckets than allowed"


class TooManyParts(S3Error):
    status = 400
    message = (
        "You have attempted to add more parts than the maximum of 10000 that are allowed for this "
        "object. You can use the CopyObject operation to copy this object to another and then add "
        "more data to the newly copied object."
    )


class TooManyConfigurations(S3Error):
    status = 400
    message = "You have attempted to create more configurations than allowed"


class UnexpectedContent(S3Error):
    status = 400
    message = "This request does not support content"


class UnresolvableGrantByEmailAddress(S3Error):
    status = 400
    message = "The email address you provided does not match any account on record."


class UnsupportedMediaType(S3Error):
    status = 415
    message = "The content of the request is not valid UTF-8."


class UserKeyMustBeSpecified(S3Error):
    status = 400
    message = (
        "The bucket POST must contain the specified field name. If it is specified, check the "
        "order of the fields."
    )


class XAmzContentSHA256Mismatch(S3Error):
    status = 400
    message = "The provided 'x-amz-content-sha256' header does not match what was computed."


# -- of the Security Token Service, whose codes are words of their own
# Source: AWS Security Token Service API Reference, "Common Error Types" and each action's errors.


class ExpiredTokenException(S3Error):
    status = 400
    message = "The web identity token that was passed is expired or is not valid."


class IDPCommunicationError(S3Error):
    status = 400
    message = "The identity provider cannot be reached. Try again later."


class IDPRejectedClaim(S3Error):
    status = 403
    message = "The identity provider reported that authentication failed."


class IncompleteSignature(S3Error):
    status = 400
    message = "The request signature does not conform to AWS standards."


class InternalFailure(S3Error):
    status = 500
    message = "The request processing has failed because of an unknown error."


class InvalidAction(S3Error):
    status = 400
    message = "Could not find operation for that name."


class InvalidClientTokenId(S3Error):
    status = 403
    message = "The security token included in the request is invalid."


class InvalidIdentityToken(S3Error):
    status = 400
    message = "The web identity token that was passed could not be validated."


class MalformedPolicyDocument(S3Error):
    status = 400
    message = "The policy document is not valid."


class MissingAction(S3Error):
    status = 400
    message = "The request is missing an action or a required parameter."


class MissingAuthenticationToken(S3Error):
    status = 403
    message = "Request is missing Authentication Token"


class PackedPolicyTooLarge(S3Error):
    status = 400
    message = "The session's policy and tags take more room than a session's token has."


class RequestEntityTooLarge(S3Error):
    status = 413
    message = "The request is too large."


class Throttling(S3Error):
    status = 400
    message = "Rate exceeded"


class ValidationError(S3Error):
    status = 400
    message = "The input fails to satisfy the constraints of the action."
