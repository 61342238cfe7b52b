"""Alembic's environment: how a database of an older s3kit gets the tables of this one.

A revision: add ``versions/NNNN_what.py`` (``script.py.mako`` shows its shape), change
:mod:`s3kit.index.schema` alike, and add the number to ``REVISIONS`` there. A test upgrades an empty
database by the revisions and compares it with the tables.
"""
