"""A port for a server that must be told one, and that nobody else is given meanwhile."""

from __future__ import annotations

import socket


def keep_port() -> socket.socket:
    """A socket that is bound to a free port of the loopback and does not listen on it.

    While it is open, the kernel gives the port to no other socket, be it a client's. A server that
    sets ``SO_REUSEADDR``, as all do, can take it all the same.
    """
    keeping = socket.socket()
    keeping.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    keeping.bind(("127.0.0.1", 0))
    return keeping
