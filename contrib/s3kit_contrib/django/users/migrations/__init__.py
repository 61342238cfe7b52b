"""The tables of the users' access keys."""

from __future__ import annotations
