"""Probes of what is put, read back and deleted as a document: most of S3's operations.

A put is right when the get then shows it, a get when it shows what was put, a delete when the get
shows it no longer, a list when it holds what was put.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from dataclasses import field

from .endpoint import Answer
from .endpoint import Broken
from .report import Verdict
from .trial import SENTINEL
from .trial import Judged
from .trial import Trial

Place = tuple[str, str]
"""A bucket, and a key or ""."""

Probe = Callable[[Trial], str]
"""Judges one operation: returns what there is to say of a right one, or raises Judged."""


@dataclass(frozen=True)
class Setting:
    """One kind of document and the operations around it.

    In queries, documents and headers ``BUCKET`` stands for the bucket, ``OTHER`` for a second one
    with versions, ``SOON`` for a moment two minutes from now.
    """

    put: str
    get: str
    query: str
    roots: tuple[str, ...]
    """What the root of the get's document may be called."""
    shows: Mapping[str, str]
    """Paths in the get's document and the text that one element at each has."""
    documents: tuple[str, ...]
    """Tried in this order until one is not refused."""
    delete: str = ""
    lister: str = ""
    list_query: str = ""
    object: bool = False
    """It belongs to an object, not to a bucket."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Sent with the put."""
    bucket_headers: Mapping[str, str] = field(default_factory=dict)
    """Sent when the bucket is made."""
    before: tuple[tuple[str, str, str, str], ...] = ()
    """Method, query, document and a header that prepare the bucket, whatever becomes of them."""
    other_before: tuple[tuple[str, str, str, str], ...] = ()
    """The same for the second bucket."""
    head_shows: tuple[str, str] = ("", "")
    """A header of HeadObject and its value, which show it as well."""
    method: str = "PUT"
    get_query: str = ""
    """Where the get's query is another one."""


def _filled(text: str, bucket: str, other: str) -> str:
    soon = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 120))
    return text.replace("BUCKET", bucket).replace("OTHER", other).replace("SOON", soon)


_VERSIONED = (
    "PUT",
    "versioning",
    "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>",
    "",
)
_LOCK = {"x_amz_bucket_object_lock_enabled": "true"}
# Amazon's own buckets have no ACLs unless they are made so.
_ACL = {"x_amz_object_ownership": "ObjectWriter"}
# Nor do they take public ones; who knows no such switches refuses this, which is no matter.
_UNBLOCKED = (("DELETE", "publicAccessBlock", "", ""),)
_LOG_DELIVERY = 'uri="http://acs.amazonaws.com/groups/s3/LogDelivery"'
_METADATA = (
    "<MetadataConfiguration><JournalTableConfiguration><RecordExpiration>"
    "<Expiration>ENABLED</Expiration><Days>30</Days></RecordExpiration>"
    "</JournalTableConfiguration></MetadataConfiguration>"
)
_ROLE = "arn:aws:iam::123456789012:role/s3kit-conformance"
_ALL_USERS = "http://acs.amazonaws.com/groups/global/AuthenticatedUsers"
_METADATA_ROOTS = ("GetBucketMetadataConfigurationResult", "MetadataConfigurationResult")


def _lifecycle(prefix: str) -> str:
    return (
        "<LifecycleConfiguration><Rule><ID>s3kit</ID>"
        + prefix
        + "<Status>Enabled</Status><Expiration><Days>4000</Days></Expiration>"
        "</Rule></LifecycleConfiguration>"
    )


_NOTIFICATIONS = (
    "<NotificationConfiguration><EventBridgeConfiguration/></NotificationConfiguration>",
    "<NotificationConfiguration><QueueConfiguration><Id>s3kit</Id>"
    "<Queue>arn:aws:sqs:us-east-1:123456789012:s3kit</Queue>"
    "<Event>s3:ObjectCreated:*</Event></QueueConfiguration></NotificationConfiguration>",
)
_LIFECYCLE = {
    "query": "lifecycle",
    "roots": ("LifecycleConfiguration",),
    "shows": {"Rule/Expiration/Days": "4000"},
}


def _metadata_table(put: str, query: str, name: str, state: str, path: str, value: str) -> Setting:
    return Setting(
        put,
        "",
        query,
        _METADATA_ROOTS,
        {f".//{path}": value},
        (f"<{name}>{state}</{name}>",),
        before=(("POST", "metadataConfiguration", _METADATA, ""),),
        get_query="metadataConfiguration",
    )


SETTINGS: tuple[Setting, ...] = (
    Setting(
        "PutBucketAbac",
        "GetBucketAbac",
        "abac",
        ("AbacStatus",),
        {"Status": "Enabled"},
        ("<AbacStatus><Status>Enabled</Status></AbacStatus>",),
    ),
    Setting(
        "PutBucketAccelerateConfiguration",
        "GetBucketAccelerateConfiguration",
        "accelerate",
        ("AccelerateConfiguration",),
        {"Status": "Enabled"},
        ("<AccelerateConfiguration><Status>Enabled</Status></AccelerateConfiguration>",),
    ),
    Setting(
        "PutBucketAcl",
        "GetBucketAcl",
        "acl",
        ("AccessControlPolicy",),
        {"AccessControlList/Grant/Grantee/URI": _ALL_USERS},
        ("",),
        headers={"x-amz-acl": "authenticated-read"},
        bucket_headers=_ACL,
        before=_UNBLOCKED,
    ),
    Setting(
        "PutBucketAnalyticsConfiguration",
        "GetBucketAnalyticsConfiguration",
        "analytics&id=s3kit",
        ("AnalyticsConfiguration",),
        {"Id": "s3kit"},
        ("<AnalyticsConfiguration><Id>s3kit</Id><StorageClassAnalysis/></AnalyticsConfiguration>",),
        delete="DeleteBucketAnalyticsConfiguration",
        lister="ListBucketAnalyticsConfigurations",
        list_query="analytics",
    ),
    Setting(
        "PutBucketCors",
        "GetBucketCors",
        "cors",
        ("CORSConfiguration",),
        {"CORSRule/AllowedOrigin": "http://s3kit.example"},
        (
            "<CORSConfiguration><CORSRule><AllowedMethod>GET</AllowedMethod>"
            "<AllowedOrigin>http://s3kit.example</AllowedOrigin></CORSRule></CORSConfiguration>",
        ),
        delete="DeleteBucketCors",
    ),
    Setting(
        "PutBucketEncryption",
        "GetBucketEncryption",
        "encryption",
        ("ServerSideEncryptionConfiguration",),
        # What no bucket has by itself.
        {"Rule/BucketKeyEnabled": "true"},
        (
            "<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault>"
            "<SSEAlgorithm>AES256</SSEAlgorithm></ApplyServerSideEncryptionByDefault>"
            "<BucketKeyEnabled>true</BucketKeyEnabled></Rule></ServerSideEncryptionConfiguration>",
            "<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault>"
            "<SSEAlgorithm>AES256</SSEAlgorithm></ApplyServerSideEncryptionByDefault></Rule>"
            "</ServerSideEncryptionConfiguration>",
        ),
        delete="DeleteBucketEncryption",
    ),
    Setting(
        "PutBucketIntelligentTieringConfiguration",
        "GetBucketIntelligentTieringConfiguration",
        "intelligent-tiering&id=s3kit",
        ("IntelligentTieringConfiguration",),
        {"Id": "s3kit"},
        (
            "<IntelligentTieringConfiguration><Id>s3kit</Id><Status>Enabled</Status><Tiering>"
            "<AccessTier>ARCHIVE_ACCESS</AccessTier><Days>90</Days></Tiering>"
            "</IntelligentTieringConfiguration>",
        ),
        delete="DeleteBucketIntelligentTieringConfiguration",
        lister="ListBucketIntelligentTieringConfigurations",
        list_query="intelligent-tiering",
    ),
    Setting(
        "PutBucketInventoryConfiguration",
        "GetBucketInventoryConfiguration",
        "inventory&id=s3kit",
        ("InventoryConfiguration",),
        {"Id": "s3kit"},
        (
            "<InventoryConfiguration><Destination><S3BucketDestination>"
            "<Bucket>arn:aws:s3:::OTHER</Bucket><Format>CSV</Format></S3BucketDestination>"
            "</Destination><IsEnabled>true</IsEnabled><Id>s3kit</Id>"
            "<IncludedObjectVersions>Current</IncludedObjectVersions>"
            "<Schedule><Frequency>Weekly</Frequency></Schedule></InventoryConfiguration>",
        ),
        delete="DeleteBucketInventoryConfiguration",
        lister="ListBucketInventoryConfigurations",
        list_query="inventory",
    ),
    Setting(
        "PutBucketLifecycleConfiguration",
        "GetBucketLifecycleConfiguration",
        documents=(_lifecycle("<Filter><Prefix>s3kit/</Prefix></Filter>"),),
        delete="DeleteBucketLifecycle",
        **_LIFECYCLE,  # type: ignore[arg-type]
    ),
    Setting(
        "PutBucketLifecycle",
        "GetBucketLifecycle",
        documents=(_lifecycle("<Prefix>s3kit/</Prefix>"),),
        **_LIFECYCLE,  # type: ignore[arg-type]
    ),
    Setting(
        "PutBucketLogging",
        "GetBucketLogging",
        "logging",
        ("BucketLoggingStatus",),
        {"LoggingEnabled/TargetPrefix": "s3kit-logs/"},
        (
            "<BucketLoggingStatus><LoggingEnabled><TargetBucket>OTHER</TargetBucket>"
            "<TargetPrefix>s3kit-logs/</TargetPrefix></LoggingEnabled></BucketLoggingStatus>",
        ),
        bucket_headers=_ACL,
        other_before=(
            (
                "PUT",
                "acl",
                "",
                f"x-amz-grant-write: {_LOG_DELIVERY}\nx-amz-grant-read-acp: {_LOG_DELIVERY}",
            ),
        ),
    ),
    Setting(
        "CreateBucketMetadataConfiguration",
        "GetBucketMetadataConfiguration",
        "metadataConfiguration",
        _METADATA_ROOTS,
        {".//RecordExpiration/Expiration": "ENABLED"},
        (_METADATA,),
        delete="DeleteBucketMetadataConfiguration",
        method="POST",
    ),
    Setting(
        "CreateBucketMetadataTableConfiguration",
        "GetBucketMetadataTableConfiguration",
        "metadataTable",
        ("GetBucketMetadataTableConfigurationResult",),
        {".//TableName": "s3kit"},
        (
            "<MetadataTableConfiguration><S3TablesDestination>"
            "<TableBucketArn>arn:aws:s3tables:us-east-1:123456789012:bucket/s3kit</TableBucketArn>"
            "<TableName>s3kit</TableName></S3TablesDestination></MetadataTableConfiguration>",
        ),
        delete="DeleteBucketMetadataTableConfiguration",
        method="POST",
    ),
    _metadata_table(
        "UpdateBucketMetadataAnnotationTableConfiguration",
        "metadataAnnotationTable",
        "AnnotationTableConfiguration",
        f"<ConfigurationState>ENABLED</ConfigurationState><Role>{_ROLE}</Role>",
        "AnnotationTableConfigurationResult/ConfigurationState",
        "ENABLED",
    ),
    _metadata_table(
        "UpdateBucketMetadataInventoryTableConfiguration",
        "metadataInventoryTable",
        "InventoryTableConfiguration",
        "<ConfigurationState>ENABLED</ConfigurationState>",
        "InventoryTableConfigurationResult/ConfigurationState",
        "ENABLED",
    ),
    _metadata_table(
        "UpdateBucketMetadataJournalTableConfiguration",
        "metadataJournalTable",
        "JournalTableConfiguration",
        "<RecordExpiration><Expiration>ENABLED</Expiration><Days>45</Days></RecordExpiration>",
        "JournalTableConfigurationResult/RecordExpiration/Days",
        "45",
    ),
    Setting(
        "PutBucketMetricsConfiguration",
        "GetBucketMetricsConfiguration",
        "metrics&id=s3kit",
        ("MetricsConfiguration",),
        {"Id": "s3kit"},
        ("<MetricsConfiguration><Id>s3kit</Id></MetricsConfiguration>",),
        delete="DeleteBucketMetricsConfiguration",
        lister="ListBucketMetricsConfigurations",
        list_query="metrics",
    ),
    Setting(
        "PutBucketNotificationConfiguration",
        "GetBucketNotificationConfiguration",
        "notification",
        ("NotificationConfiguration",),
        {"*": ""},
        _NOTIFICATIONS,
    ),
    Setting(
        "PutBucketNotification",
        "GetBucketNotification",
        "notification",
        ("NotificationConfiguration",),
        {"*": ""},
        _NOTIFICATIONS,
    ),
    Setting(
        "PutBucketOwnershipControls",
        "GetBucketOwnershipControls",
        "ownershipControls",
        ("OwnershipControls",),
        {"Rule/ObjectOwnership": "ObjectWriter"},
        (
            "<OwnershipControls><Rule><ObjectOwnership>ObjectWriter</ObjectOwnership></Rule>"
            "</OwnershipControls>",
        ),
        delete="DeleteBucketOwnershipControls",
    ),
    Setting(
        "PutBucketReplication",
        "GetBucketReplication",
        "replication",
        ("ReplicationConfiguration",),
        {"Rule/Destination/Bucket": "arn:aws:s3:::OTHER"},
        (
            f"<ReplicationConfiguration><Role>{_ROLE}</Role><Rule><ID>s3kit</ID>"
            "<Priority>1</Priority><Filter><Prefix>s3kit/</Prefix></Filter>"
            "<Status>Enabled</Status><Destination><Bucket>arn:aws:s3:::OTHER</Bucket>"
            "</Destination><DeleteMarkerReplication><Status>Disabled</Status>"
            "</DeleteMarkerReplication></Rule></ReplicationConfiguration>",
        ),
        delete="DeleteBucketReplication",
        before=(_VERSIONED,),
        other_before=(_VERSIONED,),
    ),
    Setting(
        "PutBucketRequestPayment",
        "GetBucketRequestPayment",
        "requestPayment",
        ("RequestPaymentConfiguration",),
        {"Payer": "Requester"},
        ("<RequestPaymentConfiguration><Payer>Requester</Payer></RequestPaymentConfiguration>",),
    ),
    Setting(
        "PutBucketTagging",
        "GetBucketTagging",
        "tagging",
        ("Tagging",),
        {"TagSet/Tag/Key": "s3kit", "TagSet/Tag/Value": "tried"},
        ("<Tagging><TagSet><Tag><Key>s3kit</Key><Value>tried</Value></Tag></TagSet></Tagging>",),
        delete="DeleteBucketTagging",
    ),
    Setting(
        "PutBucketVersioning",
        "GetBucketVersioning",
        "versioning",
        ("VersioningConfiguration",),
        {"Status": "Enabled"},
        (_VERSIONED[2],),
    ),
    Setting(
        "PutBucketWebsite",
        "GetBucketWebsite",
        "website",
        ("WebsiteConfiguration",),
        {"IndexDocument/Suffix": "s3kit.html"},
        (
            "<WebsiteConfiguration><IndexDocument><Suffix>s3kit.html</Suffix></IndexDocument>"
            "</WebsiteConfiguration>",
        ),
        delete="DeleteBucketWebsite",
    ),
    Setting(
        "PutPublicAccessBlock",
        "GetPublicAccessBlock",
        "publicAccessBlock",
        ("PublicAccessBlockConfiguration",),
        {"BlockPublicAcls": "true", "RestrictPublicBuckets": "false"},
        (
            "<PublicAccessBlockConfiguration><BlockPublicAcls>true</BlockPublicAcls>"
            "<IgnorePublicAcls>true</IgnorePublicAcls><BlockPublicPolicy>false</BlockPublicPolicy>"
            "<RestrictPublicBuckets>false</RestrictPublicBuckets>"
            "</PublicAccessBlockConfiguration>",
        ),
        delete="DeletePublicAccessBlock",
    ),
    Setting(
        "PutObjectLockConfiguration",
        "GetObjectLockConfiguration",
        "object-lock",
        ("ObjectLockConfiguration",),
        {"Rule/DefaultRetention/Days": "1"},
        (
            "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule>"
            "<DefaultRetention><Mode>GOVERNANCE</Mode><Days>1</Days></DefaultRetention></Rule>"
            "</ObjectLockConfiguration>",
        ),
        bucket_headers=_LOCK,
    ),
    Setting(
        "PutObjectAcl",
        "GetObjectAcl",
        "acl",
        ("AccessControlPolicy",),
        {"AccessControlList/Grant/Grantee/URI": _ALL_USERS},
        ("",),
        headers={"x-amz-acl": "authenticated-read"},
        bucket_headers=_ACL,
        before=_UNBLOCKED,
        object=True,
    ),
    Setting(
        "PutObjectTagging",
        "GetObjectTagging",
        "tagging",
        ("Tagging",),
        {"TagSet/Tag/Key": "s3kit", "TagSet/Tag/Value": "tried"},
        ("<Tagging><TagSet><Tag><Key>s3kit</Key><Value>tried</Value></Tag></TagSet></Tagging>",),
        delete="DeleteObjectTagging",
        object=True,
    ),
    Setting(
        "PutObjectLegalHold",
        "GetObjectLegalHold",
        "legal-hold",
        ("LegalHold",),
        {"Status": "ON"},
        ("<LegalHold><Status>ON</Status></LegalHold>",),
        bucket_headers=_LOCK,
        head_shows=("x-amz-object-lock-legal-hold", "ON"),
        object=True,
    ),
    Setting(
        "PutObjectRetention",
        "GetObjectRetention",
        "retention",
        ("Retention",),
        {"Mode": "GOVERNANCE"},
        ("<Retention><Mode>GOVERNANCE</Mode><RetainUntilDate>SOON</RetainUntilDate></Retention>",),
        bucket_headers=_LOCK,
        head_shows=("x-amz-object-lock-mode", "GOVERNANCE"),
        object=True,
    ),
)


class Scene:
    """A setting in a place of its own."""

    def __init__(self, trial: Trial, setting: Setting, *, empty: bool = False) -> None:
        self.trial = trial
        self.setting = setting
        headers = dict(setting.bucket_headers)
        self.other = ""
        if "OTHER" in "".join(setting.documents):
            self.other = trial.bucket(empty=True, **headers)
            # Logs come there when they will.
            trial.leave(self.other)
        # Where DELETE ?something is taken for DeleteBucket, only an empty bucket shows it.
        self.bucket = trial.bucket(empty=empty and not setting.object, **headers)
        self.key = SENTINEL if setting.object else ""
        steps = [(self.bucket, step) for step in setting.before]
        steps += [(self.other, step) for step in setting.other_before]
        for bucket, (method, query, document, lines) in steps:
            extra = dict(line.split(": ", 1) for line in lines.splitlines())
            body = self.filled(document)
            trial.send(method, bucket, query=query, headers=extra, body=body)
        if setting.before:
            trial.mend()
        self.document = setting.documents[0]

    def filled(self, document: str) -> bytes:
        """A document with the names of this place."""
        return _filled(document, self.bucket, self.other).encode()

    def prepare(self) -> bool:
        """Put the setting, unjudged; whether that was answered as done."""
        setting = self.setting
        done = False
        for document in setting.documents:
            body = self.filled(document)
            answer = self.trial.send(
                setting.method, self.bucket, self.key, setting.query, setting.headers, body
            )
            # Whoever takes a put for another operation must not spoil the get's and the delete's.
            if self.trial.mend() or not answer.good:
                continue
            done = True
            self.document = document
            # Where the get itself breaks, that is to be seen when it is asked.
            with suppress(Broken):
                if self.shown(self.read()):
                    break
        return done

    def read(self) -> Answer:
        """What the get says now."""
        query = self.setting.get_query or self.setting.query
        return self.trial.send("GET", self.bucket, self.key, query)

    def shown(self, answer: Answer) -> bool:
        """Whether an answer shows what was put."""
        if not answer.good or not self.trial.is_root(answer, *self.setting.roots):
            return False
        for path, text in self.setting.shows.items():
            wanted = _filled(text, self.bucket, self.other)
            if path.endswith("SSEAlgorithm") and wanted not in self.document:
                wanted = "AES256"
            found = answer.xml.findall(path) if answer.xml is not None else []
            if not found or (wanted and wanted not in answer.texts(path)):
                return False
        return True

    def head_shows(self) -> bool:
        """Whether the object's headers show it."""
        name, value = self.setting.head_shows
        if not name:
            return False
        return self.trial.send("HEAD", self.bucket, self.key).headers.get(name) == value


def describe(answer: Answer) -> str:
    """An answer to a question that was only a help, in a few words."""
    if answer.code:
        return f"answers {answer.status} {answer.code}"
    if answer.root:
        return f"answers {answer.status} <{answer.root}>"
    return f"answers {answer.status}"


def put_probe(setting: Setting) -> Probe:
    """Put, then see it in the get's answer."""

    def put(trial: Trial, document: str) -> str:
        scene = Scene(trial, setting)
        scene.document = document
        body = scene.filled(document)
        trial.ask(scene.bucket, scene.key, setting.query, setting.headers, body)
        answer = scene.read()
        if scene.shown(answer):
            return "read back"
        if not scene.head_shows():
            known = answer.root in setting.roots
            what = "does not show it" if known else describe(answer)
            trial.wrong(f"answered as done, but reading it back {what}")
        return "read back from the object's headers"

    def probe(trial: Trial) -> str:
        first: tuple[Judged, Answer | None] | None = None
        for document in setting.documents:
            try:
                detail = put(trial, document)
            except Judged as judged:
                first = first or (judged, trial.answer)
                refused = trial.answer is not None and trial.answer.status == 501
                if judged.verdict is Verdict.ERROR or refused:
                    break
            else:
                if first is not None and first[0].verdict is Verdict.WRONG:
                    trial.notes.append("another document was lost")
                return detail
        assert first is not None
        verdict, trial.answer = first
        raise verdict

    return probe


def get_probe(setting: Setting) -> Probe:
    """Get what was put; where nothing can be put, an answer of the right kind."""

    def probe(trial: Trial) -> str:
        scene = Scene(trial, setting)
        there = scene.prepare()
        answer = trial.ask(scene.bucket, scene.key, setting.query)
        trial.expect_root(answer, *setting.roots, holding=next(iter(setting.shows)))
        if not there:
            return "nothing could be put"
        if not scene.shown(answer):
            trial.wrong("does not show what was put")
        return "shows what was put"

    return probe


def delete_probe(setting: Setting) -> Probe:
    """Delete what was put, then see that the get shows it no longer."""

    def probe(trial: Trial) -> str:
        scene = Scene(trial, setting, empty=True)
        there = scene.prepare() and scene.shown(scene.read())
        trial.ask(scene.bucket, scene.key, setting.query)
        answer = scene.read()
        if there:
            if scene.shown(answer):
                trial.wrong("answered as done, but it is still there")
            return "gone"
        # Only an endpoint that knows the setting can say that there is none.
        known = answer.status == 404 and answer.code not in ("", "NoSuchBucket", "NoSuchKey")
        if not known and not (answer.good and answer.root in setting.roots):
            trial.wrong(f"answered as done, but a get {describe(answer)}")
        return "there was nothing to delete"

    return probe


def list_probe(setting: Setting) -> Probe:
    """List what was put; where nothing can be put, an answer of the right kind."""

    def probe(trial: Trial) -> str:
        scene = Scene(trial, setting)
        there = scene.prepare()
        answer = trial.ask(scene.bucket, scene.key, setting.list_query)
        # Manual and services do not agree on the whole name.
        if not (answer.root.startswith("List") and "Configuration" in answer.root):
            trial.expect_root(answer, f"{setting.lister}Result")
        if not there:
            return "nothing could be put"
        if "s3kit" not in answer.texts(f"{setting.roots[0]}/Id"):
            trial.wrong("does not list what was put")
        return "lists what was put"

    return probe


def setting_probes() -> dict[str, Probe]:
    """The probes of all settings by operation."""
    found: dict[str, Probe] = {}
    for setting in SETTINGS:
        found[setting.put] = put_probe(setting)
        if setting.get:
            found[setting.get] = get_probe(setting)
        if setting.delete:
            found[setting.delete] = delete_probe(setting)
        if setting.lister:
            found[setting.lister] = list_probe(setting)
    return found
