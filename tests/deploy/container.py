"""Runs a Dockerfile where there is no Docker: its own instructions, in namespaces of the kernel.

Each stage is an overlay over this machine's root, which stands in for the base image; whatever the
steps write stays in the overlay. RUN, ENTRYPOINT, CMD and HEALTHCHECK run as they stand, in a root
of their own, as process 1 of their own processes, as the image's USER. What this cannot show is
what differs between this machine and the base image: its Python and what else is installed.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path

INSTRUCTIONS = """ARG CMD COPY ENTRYPOINT ENV EXPOSE FROM HEALTHCHECK RUN STOPSIGNAL USER VOLUME
WORKDIR"""


@dataclass(frozen=True)
class Instruction:
    """One line of a Dockerfile, its continuations joined."""

    name: str
    text: str

    def words(self) -> list[str]:
        """The words of a list in JSON, or those between blanks."""
        if self.text.startswith("["):
            return [str(word) for word in json.loads(self.text)]
        return self.text.split()


def parse(text: str) -> list[Instruction]:
    """The instructions of a Dockerfile."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    found = []
    for line in joined.splitlines():
        if line.strip():
            name, _, rest = line.strip().partition(" ")
            assert name in INSTRUCTIONS.split(), f"{name} is not understood here"
            found.append(Instruction(name, rest.strip()))
    return found


@dataclass
class Image:
    """What a Dockerfile's last stage leaves: a folder over the machine's root, and its settings."""

    upper: Path
    environment: dict[str, str] = field(
        default_factory=lambda: {
            "PATH": "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
        }
    )
    user: str = "0:0"
    folder: str = "/"
    volumes: list[str] = field(default_factory=list)
    ports: list[str] = field(default_factory=list)
    stop_signal: str = "SIGTERM"
    healthcheck: list[str] = field(default_factory=list)
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)


def reason_against() -> str:
    """Why containers cannot be made here; "" when they can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "needs Linux and root, to mount overlays"
    if not all(shutil.which(each) for each in ("unshare", "nsenter", "chroot", "setpriv")):
        return "needs unshare, nsenter, chroot and setpriv"
    tried = subprocess.run(
        ["unshare", "--mount", "--pid", "--fork", "mount", "-t", "tmpfs", "none", "/mnt"],
        capture_output=True,
        check=False,
    )
    return "" if tried.returncode == 0 else f"no mounts here: {tried.stderr.decode()}"


# Nothing of these mounts is seen by anybody else, and they end with the last process.
_MOUNT = """
set -e
merged=$1; upper=$2; shift 2
mount --make-rprivate /
mount -t overlay overlay -o "lowerdir=/,upperdir=$upper,workdir=$upper.work" "$merged"
mount -t proc proc "$merged/proc"
mount --rbind /dev "$merged/dev"
mount -t tmpfs tmpfs "$merged/tmp" -o mode=1777
"""

_ALONE = ("unshare", "--mount", "--pid", "--fork", "--kill-child")


def overlay(upper: Path) -> Path:
    """The folders of an overlay that is written to ``upper``; where it is to be mounted."""
    merged = Path(f"{upper}.merged")
    for folder in (merged, upper, Path(f"{upper}.work")):
        folder.mkdir(parents=True, exist_ok=True)
    return merged


def run_step(image: Image, script: str, environment: Mapping[str, str]) -> None:
    """A RUN instruction: a shell script in the image, as its user."""
    merged = overlay(image.upper)
    done = subprocess.run(
        [
            *_ALONE,
            *("sh", "-c", _MOUNT + 'exec chroot "$merged" "$@"'),
            *("sh", str(merged), str(image.upper)),
            *("env", "-i", *(f"{name}={value}" for name, value in environment.items())),
            *("sh", "-c", f"cd {image.folder} && {script}"),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert done.returncode == 0, f"RUN {script}\n{done.stdout}\n{done.stderr}"


def build(dockerfile: Path, context: Path, folder: Path, machine: Mapping[str, str]) -> Image:
    """Carry out a Dockerfile.

    :param folder: where the overlays may lie.
    :param machine: variables that steps need here and the base image does not name, such as
        where this machine finds packages.
    """
    stages: dict[str, Image] = {}
    arguments: dict[str, str] = {}
    image: Image | None = None
    for step in parse(dockerfile.read_text()):
        if step.name == "FROM":
            image = Image(folder / f"stage{len(stages)}")
            _stand_in_for_the_base(image)
            name = step.text.partition(" AS ")[2] or str(len(stages))
            stages[name] = image
            continue
        assert image is not None
        text = os.path.expandvars(step.text) if step.name == "COPY" else step.text
        if step.name == "ARG":
            name, _, value = text.partition("=")
            arguments[name] = value
        elif step.name == "ENV":
            for name, quoted, bare in re.findall(r'(\w+)=(?:"([^"]*)"|(\S+))', text):
                value = (quoted or bare).replace("$PATH", image.environment["PATH"])
                image.environment[name] = value
        elif step.name == "WORKDIR":
            image.folder = text
            (image.upper / text.lstrip("/")).mkdir(parents=True, exist_ok=True)
        elif step.name == "COPY":
            _copy(image, Instruction("COPY", text).words(), context, stages)
        elif step.name == "RUN":
            run_step(image, text, {**machine, **arguments, **image.environment, "HOME": "/root"})
        elif step.name == "USER":
            image.user = text
        elif step.name == "VOLUME":
            image.volumes += Instruction("VOLUME", text).words()
        elif step.name == "EXPOSE":
            image.ports += text.split()
        elif step.name == "STOPSIGNAL":
            image.stop_signal = text
        elif step.name == "HEALTHCHECK":
            image.healthcheck = json.loads(text[text.index("CMD ") + 4 :])
        elif step.name == "ENTRYPOINT":
            image.entrypoint = step.words()
        elif step.name == "CMD":
            image.command = step.words()
    assert image is not None
    return image


def _stand_in_for_the_base(image: Image) -> None:
    """``python`` on the path, and readable for a user who is not root."""
    base = Path(sys._base_executable).resolve()  # type: ignore[attr-defined]
    local = image.upper / str(base.parent).lstrip("/")
    local.mkdir(parents=True)
    if not (base.parent / "python").exists():
        (local / "python").symlink_to(base.name)
    image.environment["PATH"] = f"{base.parent}:{image.environment['PATH']}"
    for parent in base.parents:
        if not parent.stat().st_mode & 0o001:
            mine = image.upper / str(parent).lstrip("/")
            mine.mkdir(parents=True, exist_ok=True)
            mine.chmod(parent.stat().st_mode | 0o011)


def _copy(image: Image, words: Sequence[str], context: Path, stages: Mapping[str, Image]) -> None:
    root = context
    if words[0].startswith("--from="):
        root, words = stages[words[0].removeprefix("--from=")].upper, words[1:]
    *sources, target = words
    whole = Path(os.path.join(image.folder, target))
    for source in sources:
        found = root / source.lstrip("/")
        into = image.upper / str(whole).lstrip("/")
        if found.is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
            shutil.copytree(found, into, symlinks=True, ignore=ignored, dirs_exist_ok=True)
        else:
            if target.endswith(("/", ".")):
                into = into / found.name
            into.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(found, into)


class Container:
    """A process 1 in an image.

    :param volumes: folders of this machine by where they are seen.
    :param read_only: nothing but the volumes and /tmp can be written.
    :param before: a command that runs the command, e.g. strace.
    """

    def __init__(
        self,
        image: Image,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        volumes: Mapping[str, Path],
        read_only: bool = False,
        before: Sequence[str] = (),
    ) -> None:
        self.image = image
        self._environment = {**image.environment, **environment}
        self._user, _, self._group = image.user.partition(":")
        # One overlay cannot lie on another of the same machine, so the image is copied, by links:
        # its files are root's, and nobody else can change them.
        upper = Path(tempfile.mkdtemp(dir=image.upper.parent)) / "container"
        subprocess.run(["cp", "-al", str(image.upper), str(upper)], check=True)
        merged = self._merged = str(overlay(upper))
        binds = "".join(
            f'mkdir -p "$merged{seen}"\nmount --bind "{ours}" "$merged{seen}"\n'
            for seen, ours in volumes.items()
        )
        ending = 'mount -o remount,ro,bind "$merged"\n' if read_only else ""
        self.process = subprocess.Popen(
            [
                *_ALONE,
                *("sh", "-c", _MOUNT + binds + ending + 'exec "$@"'),
                *("sh", merged, str(upper)),
                *before,
                *self._as_user(merged),
                *self._with_environment(command),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def _as_user(self, merged: str) -> list[str]:
        # Docker's own order: the root, then the user without any rights.
        return [
            *("chroot", merged, "setpriv", "--no-new-privs", "--bounding-set=-all"),
            *("--inh-caps=-all", f"--reuid={self._user}", f"--regid={self._group}"),
            "--clear-groups",
        ]

    def _with_environment(self, command: Sequence[str]) -> list[str]:
        pairs = [f"{name}={value}" for name, value in self._environment.items()]
        inside = ["sh", "-c", f'cd {self.image.folder} && exec "$@"', "sh", *command]
        return ["env", "-i", *pairs, *inside]

    @property
    def pid(self) -> int:
        """The number that process 1 has outside."""
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        if not children:
            raise ProcessLookupError("not begun yet, or ended")
        return int(children[0])

    def execute(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Another command in the same container, as `docker exec` and HEALTHCHECK do."""
        return subprocess.run(
            [
                *("nsenter", "--target", str(self.pid), "--mount", "--pid"),
                *self._as_user(self._merged),
                *self._with_environment(command),
            ],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def is_healthy(self) -> bool:
        try:
            return self.execute(self.image.healthcheck).returncode == 0
        except (ProcessLookupError, FileNotFoundError):
            return False

    def wait_until_healthy(self) -> None:
        limit = time.monotonic() + 120
        while not self.is_healthy():
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < limit, "never healthy"
            time.sleep(0.2)

    def stop(self) -> tuple[int, str, str]:
        """As `docker stop`: exit code, standard output and error."""
        os.kill(self.pid, getattr(signal, self.image.stop_signal))
        out, errors = self.process.communicate(timeout=120)
        return self.process.returncode, out, errors

    def close(self) -> None:
        # A change of the user undoes --kill-child: with process 1 all others end.
        with contextlib.suppress(ProcessLookupError, FileNotFoundError):
            os.kill(self.pid, signal.SIGKILL)
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()


__all__ = ["Container", "Image", "build", "parse", "reason_against"]
