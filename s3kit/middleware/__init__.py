"""Plain WSGI wrappers, each usable alone, around any app."""

from __future__ import annotations
