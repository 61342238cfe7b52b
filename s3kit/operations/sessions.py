"""CreateSession: temporary keys for one bucket."""

from __future__ import annotations

from dataclasses import dataclass

from ..call import Call
from ..errors import AccessDenied
from ..errors import InvalidArgument
from ..errors import InvalidRequest
from ..wire.headers import iso8601
from ..wire.response import Response
from ..wire.response import xml_response
from ..wire.routing import operation
from ..wire.xml import document

MODES = ("ReadOnly", "ReadWrite")


@dataclass
class SessionCredentials:
    """A temporary key."""

    session_token: str
    secret_access_key: str
    access_key_id: str
    expiration: str


@document("CreateSessionResult")
@dataclass
class CreateSessionResult:
    """The answer to CreateSession."""

    credentials: SessionCredentials


@operation("CreateSession", "GET", "bucket", "session", action="s3express:CreateSession")
def create_session(call: Call) -> Response:
    """A key for this bucket alone, for five minutes, which ends with the key that asked for it."""
    if any(name.startswith("HTTP_X_AMZ_SERVER_SIDE_ENCRYPTION") for name in call.environ):
        # Not remembered in a session: what the bucket does by default counts.
        raise InvalidRequest("A session cannot say how objects are encrypted; the bucket can.")
    mode = call.header("x-amz-create-session-mode") or "ReadWrite"
    if mode not in MODES:
        raise InvalidArgument(
            "The session mode is not valid.",
            argument_name="x-amz-create-session-mode",
            argument_value=mode,
        )
    parent = call.site.key_ring.lookup(call.caller.access_key or "")
    if parent is None:
        raise AccessDenied()
    made = call.site.sessions.open(
        parent, call.bucket.id, read_only=mode == "ReadOnly", now=call.now
    )
    session = made.session
    assert session is not None
    assert made.session_token is not None
    return xml_response(
        CreateSessionResult(
            SessionCredentials(
                made.session_token,
                made.secret_key,
                made.access_key,
                iso8601(session.expires * 1000),
            )
        )
    )
