"""S3App: one request's way through the house, step by step, in one place.

Nothing else decides the order: address, operation, identity, bucket, access, handler, answer.
"""

from __future__ import annotations

import importlib
import logging
import random
import time
from collections.abc import Callable
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING
from typing import Any
from typing import TypeVar

from . import hosting
from . import operations
from .assembly import identity_providers
from .assembly import key_ring_of
from .assembly import let_decide
from .assembly import open_store_of
from .auth.access import Access
from .auth.access import BucketAccess
from .auth.access import versioned
from .auth.hook import Authorize
from .auth.hook import HookedAccess
from .auth.hook import Surroundings
from .auth.keyring import KeyRing
from .auth.keyring import SigningKeyRing
from .auth.scope import ScopedAccess
from .auth.session import SessionAccess
from .auth.session import Sessions
from .auth.sigv4 import Request
from .auth.sigv4 import identify
from .call import Call
from .call import Site
from .client import Client
from .config import DEFAULT_ACCOUNT
from .config import Config
from .config import load_function
from .context import RequestContext
from .errors import AccessDenied
from .errors import AccessForbidden
from .errors import BadRequest
from .errors import InternalError
from .errors import InternalFailure
from .errors import InvalidBucketName
from .errors import NoSuchBucket
from .errors import NoSuchKey
from .errors import NotImplemented as NotImplementedByS3
from .errors import S3Error
from .errors import SlowDown
from .index.identity import get as get_index_id
from .index.objects import ContentGone
from .middleware.audit import audit
from .middleware.audit import is_wanted as is_audited
from .middleware.audit import logger as audit_log
from .middleware.server_logs import Answered
from .middleware.server_logs import observed
from .model import ANONYMOUS
from .model import Bucket
from .model import Question
from .model import Scope
from .model import Setting
from .naming import claimed_caller
from .naming import find_bucket
from .operations import sts
from .operations.bucket_properties import PAID_BY_REQUESTER
from .operations.bucket_properties import agree_to_pay
from .operations.bucket_rules import RULE_DOCUMENTS
from .operations.bucket_rules import rules_of as access_rules_of
from .operations.cors import rules_of
from .operations.explaining import EXPLAIN
from .operations.explaining import decision_headers
from .signals import request_audited
from .store.key_provider import KeyProvider
from .wire.address import Address
from .wire.address import aws_quote
from .wire.address import bucket_of_website
from .wire.address import parse_address
from .wire.address import removed_prefix
from .wire.cors import METHODS
from .wire.cors import VARY
from .wire.cors import cors_headers
from .wire.cors import find_rule
from .wire.cors import may_be_of_another_site
from .wire.cors import requested_headers
from .wire.environ import Input
from .wire.environ import Target
from .wire.environ import TrustedProxies
from .wire.environ import header
from .wire.environ import open_input
from .wire.environ import public_url_parts
from .wire.environ import raw_target
from .wire.environ import take_hoisted_headers
from .wire.https import Https
from .wire.https import refuse_plain
from .wire.names import check_key
from .wire.names import is_bucket_name
from .wire.query import Query
from .wire.query import parse_query
from .wire.response import STATUS_LINES
from .wire.response import Response
from .wire.response import empty
from .wire.response import render_error
from .wire.routing import Operation
from .wire.routing import resolve
from .wire.server_log import PREFLIGHT
from .wire.server_log import operation_name
from .wire.service_model import Level
from .wire.sts import is_sts_request
from .wire.sts import sts_refusal

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse
    from _typeshed.wsgi import WSGIEnvironment

    from .middleware.record import RequestRecord

logger = logging.getLogger("s3kit")

Answer = TypeVar("Answer")

operations.load()

WEBSITE_BASE = "website"
"""Stands for whatever a website's host ends in: its bucket is known already."""

ATTEMPTS = 8
"""How often a read is begun anew because its object was overwritten under its hands."""


class S3App:
    """A WSGI application that speaks S3.

    :param config: everything that is set; see :class:`~s3kit.config.Config`.
    :param key_ring: where access keys come from; the configuration's keys, then those of
        ``store.accounts``, by default.
    :param host_keys: a host app's own keys, :class:`~s3kit.auth.loader.LoaderKeyRing` say, which
        are looked for after those. Of an account that lies in the index, too, they end with it.
    :param access: who may do what; owners, policies and ACLs by default.
    :param key_provider: where the keys of aws:kms come from; the configuration's by default.
    :param authorize: the host's own word beside ``access``; the configuration's by default. See
        :class:`~s3kit.auth.hook.AuthorizationRequest`.
    :raises ConfigError: the settings cannot work.
    """

    def __init__(
        self,
        config: Config | None = None,
        *,
        key_ring: KeyRing | None = None,
        host_keys: SigningKeyRing | None = None,
        access: Access | None = None,
        key_provider: KeyProvider | None = None,
        authorize: Authorize | None = None,
    ) -> None:
        config = Config() if config is None else config
        for plugin in config.plugins:
            importlib.import_module(plugin)
        if authorize is None and config.authorize:
            authorize = load_function("authorize", config.authorize)
        self.config = config
        self.store = open_store_of(config, key_provider)
        self._names_per_account = self.store.buckets.per_account
        if key_ring is None:
            others = () if host_keys is None else (self.store.ring_of(host_keys),)
            key_ring = key_ring_of(config, self.store, *others)
        self._key_ring = key_ring
        self._sql_keys = self.store.key_ring
        self._base_hosts = config.base_hosts
        self._website_hosts = config.website_hosts
        self._trusted = TrustedProxies(config.trusted_proxies)
        self._https: Https = config.https or self.store.profile.https
        self._public_prefix = config.public_prefix.rstrip("/")
        self._pinned_region = config.region if config.pin_region else None
        if access is None:
            access = BucketAccess(partial(access_rules_of, self.store), profile=self.store.profile)
        # Without the hook: what s3kit does by itself is part of no request.
        let_decide(self.store, access, self._key_ring.account)
        if authorize is not None:
            access = HookedAccess(access, authorize, self._surroundings)
        # For requests that nobody further out has audited.
        self._audited = audit(self, trusted_proxies=self._trusted)
        self._explain = config.explain
        self._host_id = f"{random.getrandbits(256):064x}"
        # Nobody but who can read the index knows its id.
        self._sessions = Sessions(
            lambda: self.store.index.read(get_index_id),
            self._key_ring,
            self.store.roles,
            self.store.encryptions.masters,
        )
        self._site = Site(
            store=self.store,
            key_ring=self._key_ring,
            access=SessionAccess(ScopedAccess(access)),
            profile=self.store.profile,
            region=config.region,
            pinned_region=self._pinned_region,
            base_hosts=self._base_hosts,
            trusted=self._trusted,
            sessions=self._sessions,
            public_prefix=self._public_prefix,
            host_id=self._host_id,
            customer_keys=config.customer_keys,
            hooked=authorize is not None,
            providers=identity_providers(config, self.store.encryptions.masters is not None),
            account_hosts=tuple(config.account_hosts.items()),
        )

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        # Only there when somebody asks what is known of this request.
        record: RequestRecord | None = environ.get("s3kit.request")
        if (
            (request_audited.receivers or audit_log.level)
            and is_audited()
            and (record is None or not record.audited)
        ):
            return self._audited(environ, start_response)
        if record is None or not record.request_id:
            request_id = f"{random.getrandbits(64):016X}"
        else:
            request_id = record.request_id
        method: str = environ["REQUEST_METHOD"]
        received: list[Input] = []
        calls: list[Call] = []
        code = ""
        began = time.time()
        try:
            response = self._answer(environ, method, request_id, received, calls, began)
        except S3Error as error:
            code = error.code
            response = self._refusal(environ, error, request_id)
        except Exception:
            logger.exception("Request %s failed.", request_id)
            code = InternalError.__name__
            response = self._refusal(environ, InternalError(), request_id)
        if self._sql_keys.in_use and calls:
            self._sql_keys.used(calls[0].identity.caller.access_key)
        if received and received[0].remaining != 0:
            received[0].drain()
        if record is not None:
            record.answered(request_id)
        headers = response.headers
        if "HTTP_ORIGIN" in environ and method != "OPTIONS":
            known = calls[0].maybe_bucket if calls and self._names_per_account else None
            headers += self._cors_headers(environ, method, known)
        headers.append(("x-amz-request-id", request_id))
        headers.append(("x-amz-id-2", self._host_id))
        if self._explain and EXPLAIN in environ and calls:
            headers += decision_headers(calls[0])
        start_response(STATUS_LINES[response.status], headers)
        body = response.body
        if method == "HEAD":
            # Several servers would send the bytes.
            close = getattr(body, "close", None)
            if close is not None:
                close()
            body = ()
        if not calls or calls[0].is_logged():
            body = self._logged(environ, method, calls, began, request_id, response, code, body)
        # A list is sent at once; granian streams anything else block by block through a thread.
        return list(body) if type(body) is tuple else body

    @property
    def site(self) -> Site:
        """What all requests share: store, key ring, access, profile."""
        return self._site

    def client(self, account: str = DEFAULT_ACCOUNT, *, scope: Scope | None = None) -> Client:
        """A client in this process that acts as one account, without HTTP or signatures.

        :param scope: what it is narrowed to; see :class:`~s3kit.model.Scope`.
        """
        return Client(self, account, scope=scope)

    def close(self) -> None:
        """Close the database connections and the storages."""
        self.store.close()

    def _surroundings(self, question: Question) -> Surroundings:
        """The request that a question is part of, for the authorize hook."""
        context = question.conditions
        if not isinstance(context, RequestContext):
            return Surroundings({}, "", cross_site=False)
        call = context.call
        environ = call.environ
        cross_site = question.caller.anonymous and may_be_of_another_site(
            environ, public_url_parts(environ, self._trusted)[1]
        )
        return Surroundings(environ, call.identity.kind, cross_site)

    # -- the steps, in their order

    def _answer(
        self,
        environ: WSGIEnvironment,
        method: str,
        request_id: str,
        received: list[Input],
        calls: list[Call],
        now: float,
    ) -> Response:
        body = open_input(environ)
        received.append(body)
        target = raw_target(environ)
        scheme, host, prefix, _client = public_url_parts(environ, self._trusted)
        if scheme != "https" and self._https != "off":
            if "s3kit.request" in environ:
                environ["s3kit.request"].decided_by = "https"
            return refuse_plain(self._https, method, host, prefix + target.path, target.query)
        if self._website_hosts:
            website = bucket_of_website(host, self._website_hosts, self._base_hosts)
            if website is not None:
                return self._visit(environ, website, request_id, body, target)
        address = self._address(environ, target, host, prefix)
        if method == "OPTIONS":
            return self._preflight(environ, address)
        query = parse_query(target.query)
        if address.bucket is None and is_sts_request(method, environ, query):
            asked = sts.Asked(
                environ, method, body, request_id, address.canonical, query, scheme, host, now
            )
            return self._answer_sts(asked, calls)
        # Where the path is not sure, nothing may be concluded from it before the signature is.
        sure = not target.alternatives
        operation = self._operation(method, address, query, environ) if sure else None
        record: RequestRecord | None = environ.get("s3kit.request")
        if record is not None:
            record.addressed(address.bucket, address.key, operation)
        identity = identify(
            Request(method, address.canonical, query, environ, scheme, host),
            self._key_ring,
            now=now,
            region=self._pinned_region,
            sessions=self._sessions,
        )
        if identity.canonical_path is not None:
            address = address.settle(identity.canonical_path)
        hoisted = identity.kind == "query" and take_hoisted_headers(environ, query)
        if operation is None or hoisted:
            operation = self._operation(method, address, query, environ)
        call = Call(
            environ,
            self._site,
            operation,
            query,
            body,
            request_id,
            identity,
            address.bucket,
            address.key,
        )
        calls.append(call)
        if "s3kit.request" in environ:
            environ["s3kit.request"].called(call)
        elif self._explain and EXPLAIN in environ:
            call.asked = []
        handler = operation.handler
        assert handler is not None, "resolve() refuses what is not built"
        response = self.perform(call, handler)
        if call.charged:
            response.headers.append(("x-amz-request-charged", "requester"))
        return response

    def _address(self, environ: WSGIEnvironment, target: Target, host: str, prefix: str) -> Address:
        """What a request names, and the path that its signature covers.

        :param host: the host that the client sees.
        :param prefix: what a trusted proxy has taken off the path; else the configured one counts.
        """
        return parse_address(
            target,
            host,
            script_name=environ.get("SCRIPT_NAME", ""),
            base_hosts=self._base_hosts,
            public_prefix=prefix or self._public_prefix,
        )

    def _answer_sts(self, asked: sts.Asked, calls: list[Call]) -> Response:
        """Answer a request for temporary keys, errors too in STS's own form."""

        def perform(call: Call, work: Callable[[Call], Response]) -> Response:
            calls.append(call)
            return self.perform(call, work)

        record: RequestRecord | None = asked.environ.get("s3kit.request")
        if record is not None:
            record.addressed(None, None, None)
        try:
            return sts.serve(self._site, asked, perform)
        except S3Error as error:
            if record is not None:
                record.refused(error)
            return sts_refusal(error, asked.request_id)
        except Exception:
            logger.exception("Request %s failed.", asked.request_id)
            failure = InternalFailure()
            if record is not None:
                record.refused(failure)
            return sts_refusal(failure, asked.request_id)

    def _visit(
        self, environ: WSGIEnvironment, name: str, request_id: str, body: Input, target: Target
    ) -> Response:
        """Answer a browser that came to a bucket's website."""
        scheme, host, prefix, _client = public_url_parts(environ, self._trusted)
        prefix = prefix or self._public_prefix
        mount: str = environ.get("SCRIPT_NAME", "")
        address = parse_address(
            target, f"{name}.{WEBSITE_BASE}", script_name=mount, base_hosts=(WEBSITE_BASE,)
        )
        key = address.key or b""
        record: RequestRecord | None = environ.get("s3kit.request")
        if record is not None:
            record.addressed(name, address.key, None)
        if environ["REQUEST_METHOD"] == "OPTIONS":
            return self._preflight(environ, address)
        shown = removed_prefix(prefix, mount) if prefix else ""
        shown += aws_quote(mount.encode("latin-1", "replace"))
        visit = hosting.Visit(
            environ, body, request_id, name, key, (scheme, host), shown, target.query
        )
        return hosting.serve(self._site, visit, self.perform)

    def _website_of(self, environ: WSGIEnvironment) -> str | None:
        """The bucket whose website was asked for, None where it was none."""
        if not self._website_hosts:
            return None
        host = public_url_parts(environ, self._trusted)[1]
        return bucket_of_website(host, self._website_hosts, self._base_hosts)

    def perform(self, call: Call, work: Callable[[Call], Answer]) -> Answer:
        """Do what is done for every request once its sender is known, ``work`` at the end of it.

        :raises S3Error: whatever a request would be refused with.
        """
        if call.key is not None:
            check_key(call.key)
        operation = call.operation
        if self._names_per_account and operation.name == "PostObject":
            # Whose bucket it is, is known when the form's signature is.
            call.load_bucket = partial(self._load_bucket, call)
        elif operation.level != "service" and operation.name != "CreateBucket":
            self._load_bucket(call)
            bucket = call.bucket
            account = call.identity.caller.account
            stranger = account is None or account.id != bucket.account
            if stranger and operation.name in PAID_BY_REQUESTER:
                agree_to_pay(call, bucket, call.header("x-amz-request-payer"))
        answer = self._handle(work, call)
        method = call.method
        if method != "GET" and method != "HEAD":
            self.store.janitor.nudge()
            self.store.outbox.nudge()
            self.store.lifecycle.nudge()
            self.store.closing.nudge()
        return answer

    def _handle(self, handler: Callable[[Call], Answer], call: Call) -> Answer:
        for _ in range(ATTEMPTS):
            try:
                try:
                    self._authorize(call)
                except AccessDenied:
                    if not self._ask_again(call):
                        raise
                    self._authorize(call)
                return handler(call)
            except ContentGone:
                # Overwritten or removed between two looks at it; nothing is sent or stored yet.
                # What is there now may be another's, so that Access is asked about it too.
                call.forget_judged()
            except NoSuchKey:
                if call.maybe_bucket is not None:
                    # The bucket may be gone for a moment already, removed by another process.
                    self.store.buckets.confirm(call.maybe_bucket)
                raise
        raise SlowDown

    def _ask_again(self, call: Call) -> bool:
        """After a refusal: whether another process has just changed who may act here."""
        bucket = call.maybe_bucket
        buckets = self.store.buckets
        if bucket is None or (
            buckets.confirm(bucket) == bucket and not buckets.changed(bucket, RULE_DOCUMENTS)
        ):
            if bucket is not None and call.operation.name == "HeadBucket":
                # Clients find a bucket's region by it, without any right on the bucket.
                region = bucket.region or self.config.region
                raise AccessDenied(headers={"x-amz-bucket-region": region}) from None
            return False
        self._load_bucket(call)
        call.forget_judged()
        return True

    def _operation(
        self, method: str, address: Address, query: Query, environ: WSGIEnvironment
    ) -> Operation:
        level: Level
        if address.bucket is None:
            level = "service"
        elif address.key is None:
            level = "bucket"
        else:
            level = "object"
        operation = resolve(method, level, query, environ)
        self.refuse_disabled(operation)
        return operation

    def refuse_disabled(self, operation: Operation) -> None:
        """Refuse what the profile has switched off (FB-07).

        :raises NotImplemented:
        """
        if operation.name in self._site.profile.disabled:
            raise NotImplementedByS3(f"The operation {operation.name} is switched off here.")

    def _preflight(self, environ: WSGIEnvironment, address: Address) -> Response:
        """Answer a browser that asks before it sends a page's request; nobody signs that.

        Source of the texts: recorded answers of Amazon S3, and Scality's and LocalStack's of them.
        """
        record: RequestRecord | None = environ.get("s3kit.request")
        if record is not None:
            record.addressed(address.bucket, address.key, None)
        origin = header(environ, "origin")
        if not origin:
            raise BadRequest("Insufficient information. Origin request header needed.")
        method = header(environ, "access-control-request-method")
        if method not in METHODS:
            raise BadRequest(f"Invalid Access-Control-Request-Method: {method or 'null'}")
        vary = {"Vary": VARY}
        try:
            bucket = self._bucket_meant(environ, address.bucket or "", None)
        except NoSuchBucket:
            raise AccessForbidden(
                "CORSResponse: Bucket not found",
                headers=vary,
                method=method,
                resource_type="BUCKET",
            ) from None
        rules = rules_of(self.store, bucket)
        if not rules:
            raise AccessForbidden(
                "CORSResponse: CORS is not enabled for this bucket.",
                headers=vary,
                method=method,
                resource_type="BUCKET",
            )
        asked = requested_headers(header(environ, "access-control-request-headers"))
        rule = find_rule(rules, origin, method, asked)
        if rule is None:
            raise AccessForbidden(headers=vary, method=method, resource_type="OBJECT")
        return empty(200, rule.answer(origin, asked))

    def _cors_headers(
        self, environ: WSGIEnvironment, method: str, bucket: Bucket | None
    ) -> list[tuple[str, str]]:
        """What a browser must be told to let a page see the answer, be it an error (FB-19).

        :param bucket: what the request turned out to be about, where names are not enough.
        """
        try:
            if bucket is None:
                website = self._website_of(environ)
                name = website
                if name is None:
                    _scheme, host, prefix, _client = public_url_parts(environ, self._trusted)
                    name = self._address(environ, raw_target(environ), host, prefix).bucket
                if name is None:
                    return []
                bucket = self._bucket_meant(environ, name, website)
            rules = rules_of(self.store, bucket)
        except S3Error:
            return []
        except Exception:
            # What was asked for may be done already, so that it is no failure any more.
            logger.exception("The CORS rules could not be read.")
            return []
        origin = header(environ, "origin")
        if not rules or not origin:
            return []
        return cors_headers(rules, origin, method, header(environ, "access-control-request-method"))

    def _logged(
        self,
        environ: WSGIEnvironment,
        method: str,
        calls: list[Call],
        began: float,
        request_id: str,
        response: Response,
        code: str,
        body: Iterable[bytes],
    ) -> Iterable[bytes]:
        """The answer's body, which tells the bucket's server access log when it has ended."""
        if calls:
            call: Call | None = calls[0]
            operation, bucket, key = calls[0].operation.name, calls[0].maybe_bucket, calls[0].key
            name = operation_name(calls[0].operation)
        else:
            # Refused before it was known whose it is, or a browser's question.
            call = None
            try:
                operation, name, bucket, key = self._meant(environ, method)
            except S3Error:
                return body
            except Exception:
                logger.exception("Request %s is in no server access log.", request_id)
                return body
            if not bucket.present & Setting.LOGGING:
                return body
        answered = Answered(
            self._site,
            environ,
            call,
            operation,
            name,
            bucket,
            key,
            began,
            request_id,
            self._host_id,
            response.status,
            response.headers,
            code,
        )
        return observed(answered, body)

    def _meant(
        self, environ: WSGIEnvironment, method: str
    ) -> tuple[str, str, Bucket, bytes | None]:
        """What a request without a Call seems to be about: operation, a log's word, bucket, key.

        :raises S3Error: no bucket that is there.
        """
        target = raw_target(environ)
        mount: str = environ.get("SCRIPT_NAME", "")
        _scheme, host, prefix, _client = public_url_parts(environ, self._trusted)
        website = self._website_of(environ)
        if website is not None:
            host = f"{website}.{WEBSITE_BASE}"
            address = parse_address(target, host, script_name=mount, base_hosts=(WEBSITE_BASE,))
        else:
            address = self._address(environ, target, host, prefix)
        if address.bucket is None:
            raise NoSuchBucket
        bucket = self._bucket_meant(environ, address.bucket, website)
        if method == "OPTIONS":
            return "", PREFLIGHT, bucket, address.key
        if website is not None:
            return "GetObject", f"WEBSITE.{method}.OBJECT", bucket, address.key
        try:
            operation = self._operation(method, address, parse_query(target.query), environ)
        except S3Error:
            return "", "-", bucket, address.key
        return operation.name, operation_name(operation), bucket, address.key

    def _bucket_meant(self, environ: WSGIEnvironment, name: str, website: str | None) -> Bucket:
        """The bucket that a request without a Call seems to be about.

        :param website: its name where it is one, which nobody signs for.
        :raises NoSuchBucket: none is there.
        """
        claimed = ANONYMOUS if website is not None else claimed_caller(self._site, environ)
        return find_bucket(self._site, environ, name, claimed)

    def _load_bucket(self, call: Call) -> None:
        name = call.bucket_name
        assert name is not None
        expected = call.environ.get("HTTP_X_AMZ_EXPECTED_BUCKET_OWNER")
        try:
            # Only the object path is so hot that a second-old bucket is worth having.
            if self._names_per_account:
                bucket = call.find_bucket(name, expected=expected, fresh=call.key is None)
            else:
                bucket = self.store.buckets.get(name, fresh=call.key is None)
        except NoSuchBucket:
            if not is_bucket_name(name):
                raise InvalidBucketName(bucket_name=name) from None
            raise
        if expected is not None and not call.owns(expected, bucket):
            raise AccessDenied()
        call.maybe_bucket = bucket

    def _authorize(self, call: Call) -> None:
        """Ask Access for every action of the operation; an empty action: the handler asks."""
        actions = call.operation.actions
        bucket = call.maybe_bucket
        if isinstance(actions, str):
            if actions:
                # The version that is asked about is the one whose ACL counts.
                version_id = call.version_id if call.query.names else None
                call.require(versioned(actions, version_id), bucket, call.key, version_id)
            return
        for action, level in actions(call):
            if level == "object":
                version_id = call.version_id
                call.require(versioned(action, version_id), bucket, call.key, version_id)
            else:
                call.require(action, bucket)

    # -- refusals

    def _refusal(self, environ: WSGIEnvironment, error: S3Error, request_id: str) -> Response:
        record: RequestRecord | None = environ.get("s3kit.request")
        if record is not None:
            record.refused(error)
        if self._website_of(environ) is not None:
            status, headers, body = hosting.error_page(error, request_id, self._host_id)
            return Response(status, headers, (body,) if body else ())
        resource = resource_of(environ)
        status, headers, body = render_error(error, request_id, self._host_id, resource)
        return Response(status, headers, (body,) if body else ())


def resource_of(environ: WSGIEnvironment) -> str:
    """The decoded path below the mount, as errors show it."""
    path: Any = environ.get("PATH_INFO", "")
    try:
        return str(path.encode("latin-1").decode("utf-8", "replace"))
    except UnicodeEncodeError:
        return str(path)
