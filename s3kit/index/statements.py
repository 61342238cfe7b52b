"""SQL statements: SQLAlchemy Core, compiled once per kind of database, run as text by a driver.

A point read takes 6 microseconds so, where Core with a pool checkout takes 31.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from collections.abc import Mapping
from typing import Any
from typing import ClassVar
from typing import Literal

from sqlalchemy import make_url
from sqlalchemy.engine import Dialect
from sqlalchemy.sql import ClauseElement
from sqlalchemy.sql.compiler import SQLCompiler

Family = Literal["sqlite", "postgresql", "mysql"]
"""How a database speaks. MariaDB belongs to ``mysql``, CockroachDB and its like to PostgreSQL."""

Row = tuple[Any, ...]
Parameters = Mapping[str, Any]


class Statement:
    """One SQL statement, written in Core and compiled to text once per kind of database.

    :param core: the statement; every value that changes is a ``bindparam``.
    :param variants: the same for one family where its SQL must differ.
    """

    __slots__ = ("_core", "_variants", "texts")

    _dialects: ClassVar[dict[Family, Dialect]] = {}

    def __init__(self, core: ClauseElement, **variants: ClauseElement) -> None:
        self._core = core
        self._variants = variants
        self.texts: dict[Family, str] = {}

    def compile(self, family: Family) -> str:
        """The statement's text with named parameters, remembered for the next time."""
        dialect = self._dialects.get(family)
        if dialect is None:
            dialect = self._dialects[family] = _compiling_dialect(family)
        compiled = self._variants.get(family, self._core).compile(dialect=dialect)
        assert isinstance(compiled, SQLCompiler)
        text = str(compiled)
        for name, bind in compiled.binds.items():
            if not bind.required:
                # A constant of the statement, which Core would send with every call.
                place = f":{name}" if family == "sqlite" else f"%({name})s"
                text = re.sub(rf"{re.escape(place)}(?!\w)", _literal(bind.value), text)
        self.texts[family] = text
        return text


def _compiling_dialect(family: Family) -> Dialect:
    # MariaDB quotes a few words more than MySQL.
    url, paramstyle = {
        "sqlite": ("sqlite+pysqlite://", "named"),
        "postgresql": ("postgresql+psycopg://", "pyformat"),
        "mysql": ("mariadb+pymysql://", "pyformat"),
    }[family]
    dialect: Callable[..., Dialect] = make_url(url).get_dialect()
    return dialect(paramstyle=paramstyle)


def _literal(value: object) -> str:
    if isinstance(value, int):
        return str(value)
    if value == "":
        return "''"
    raise TypeError(f"a statement's constant must be a number or '', not {value!r}")
