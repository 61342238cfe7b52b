"""A door in front of a door: it forwards every byte and keeps the clients' request headers."""

from __future__ import annotations

import re
import socket
import ssl
import threading
from pathlib import Path

from tests.clients.certificate import make_certificate
from tests.clients.doors import Door
from tests.clients.doors import ServeDoor

HEAD = re.compile(rb"(?:PUT|POST) \S+ HTTP/1\.1\r\n(?:[!-~]+: ?[^\r\n]*\r\n)+\r\n")


class Tap(Door):
    """A door before ``s3kit serve``; with ``tls`` it ends TLS itself, so that it sees all."""

    name = "tap"

    def __init__(self, folder: Path, *, tls: bool) -> None:
        super().__init__()
        self.behind = ServeDoor("bare", "gunicorn", folder, tls=False)
        self._context: ssl.SSLContext | None = None
        if tls:
            self.certfile, chain, keyfile = make_certificate(folder)
            self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            self._context.load_cert_chain(chain, keyfile)
        self._listening = socket.create_server(("127.0.0.1", 0))
        port = self._listening.getsockname()[1]
        self.url = self.root_url = f"http{'s' if tls else ''}://127.0.0.1:{port}"
        self._seen: list[bytearray] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        super().close()
        self._listening.close()
        self.behind.close()

    def uploads(self) -> list[dict[str, str]]:
        """The headers of all PUT and POST requests so far, in lower case."""
        heads = [head for seen in self._seen for head in HEAD.findall(bytes(seen))]
        return [
            {
                name.lower(): value.strip()
                for name, _, value in (
                    line.partition(":") for line in head.decode("latin-1").split("\r\n")[1:-2]
                )
            }
            for head in heads
        ]

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._forward, args=(client,), daemon=True).start()

    def _forward(self, client: socket.socket) -> None:
        try:
            if self._context is not None:
                client = self._context.wrap_socket(client, server_side=True)
            address = (self.behind.endpoint.host, self.behind.endpoint.port)
            server = socket.create_connection(address)
        except OSError:
            client.close()
            return
        seen = bytearray()
        self._seen.append(seen)
        back = threading.Thread(target=_pump, args=(server, client, None), daemon=True)
        back.start()
        _pump(client, server, seen)
        back.join()
        client.close()
        server.close()


def _pump(source: socket.socket, target: socket.socket, seen: bytearray | None) -> None:
    try:
        while block := source.recv(1 << 16):
            if seen is not None:
                seen += block
            target.sendall(block)
    except OSError:
        pass
    try:
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass
