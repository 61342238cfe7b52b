"""Who is logged in at the site, for an ``authorize`` function."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user
from django.http import HttpRequest
from django.http import parse_cookie

from s3kit import AuthorizationRequest


def visitor_of(request: AuthorizationRequest) -> Any:
    """The user whose session's cookie came with the request; AnonymousUser without one.

    A user with ``is_active`` off is nobody, as Django's own backend has it. Nothing of the session
    is written: the answer could not tell the browser of a new one.
    """
    made = HttpRequest()
    made.COOKIES = parse_cookie(request.environ.get("HTTP_COOKIE", ""))
    engine = import_module(settings.SESSION_ENGINE)
    key = made.COOKIES.get(settings.SESSION_COOKIE_NAME)
    session: Any = engine.SessionStore(key)
    # What get_user() does where the session was opened under one of SECRET_KEY_FALLBACKS, or before
    # the password was changed; here it would log the visitor out.
    session.cycle_key = session.flush = lambda: None
    made.session = session
    return get_user(made)
