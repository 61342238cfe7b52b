"""A picture and the row about it in one transaction: both are stored, or neither is.

Run it:  python examples/joined_transaction.py FOLDER
"""

from __future__ import annotations

import sys

from sqlalchemy import create_engine
from sqlalchemy import event
from sqlalchemy import select
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.orm import Mapped
from sqlalchemy.orm import Session
from sqlalchemy.orm import mapped_column

from s3kit import Config
from s3kit import S3App

folder = sys.argv[1]
database = f"sqlite:///{folder}/app.db"
engine = create_engine(database)
# SQLite alone needs this; MariaDB needs isolation_level="READ COMMITTED" above, PostgreSQL nothing.
event.listen(engine, "connect", lambda raw, _: raw.execute("PRAGMA foreign_keys = ON"))
s3 = S3App(Config(storages={"default": f"{folder}/files"}, index=database)).client()


class Base(DeclarativeBase):
    """The app's own tables; s3kit's begin with s3kit_."""


class Picture(Base):
    """What the app knows of a picture."""

    __tablename__ = "pictures"
    title: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str]


def add_picture(title: str, key: str, data: bytes) -> None:
    """A title that there is already takes the stored bytes back with it."""
    with Session(engine) as session, s3.joined(session):
        s3.put("pictures", key, data)
        session.add(Picture(title=title, key=key))
        session.commit()


if __name__ == "__main__":
    Base.metadata.create_all(engine)
    s3.create_bucket("pictures")
    for number, title in enumerate(["Cat", "Dog", "Cat"]):
        try:
            add_picture(title, f"{number}.jpg", b"picture" * 100_000)
        except Exception as error:
            print(f"{title}: {type(error).__name__}")
    print("Stored:", *(entry.key for entry in s3.list("pictures")))
    print("Known:", *Session(engine).scalars(select(Picture.key).order_by(Picture.key)))
