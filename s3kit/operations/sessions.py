"""CreateSession: temporary keys for one bucket."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import replace

from ..auth.session import LIFE
from ..call import Call
from ..errors import AccessDenied
from ..errors import InvalidArgument
from ..errors import InvalidRequest
from ..model import Session
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
    now = int(call.now)
    caller = call.caller
    session = caller.session
    expires = now + LIFE
    if session is not None:
        expires = min(expires, session.expires)
    elif call.site.key_ring.lookup(caller.access_key or "") is None:
        raise AccessDenied()
    else:
        session = Session(caller.access_key or "")
    session = replace(
        session,
        bucket_id=call.bucket.id,
        read_only=mode == "ReadOnly",
        expires=expires,
        issued=now,
    )
    made = call.site.sessions.open(session)
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
