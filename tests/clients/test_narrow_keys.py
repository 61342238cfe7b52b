"""A key that is bound to a path, in the AWS CLI over a socket."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from s3kit.testing import LiveServer
from tests.clients.conftest import program
from tests.clients.conftest import read_tree
from tests.narrow import Narrow


def test_the_aws_cli_works_inside_its_path(tmp_path: Path) -> None:
    """IU-05, IU-12, IU-17: the seed's own commands, without a region; the root is refused."""
    aws = program("aws", tmp_path)
    endpoint = Narrow()
    assert endpoint.owner.put("/iup-usa").status == 200
    signer = endpoint.keys.add({"paths": ["iup-usa/123/xxxxxxxx/"], "manage_buckets": False})
    local = tmp_path / "local_directory"
    (local / "2027").mkdir(parents=True)
    (local / "a.txt").write_bytes(b"a")
    (local / "2027" / "b c.txt").write_bytes(b"b")
    path = "s3://iup-usa/123/xxxxxxxx/"

    with LiveServer(endpoint.app) as server:

        def run(*arguments: str | Path, code: int = 0) -> str:
            done = subprocess.run(
                [aws.path, "s3", *map(str, arguments), f"--endpoint-url={server.url}"],
                cwd=tmp_path,
                env={
                    "HOME": str(tmp_path),
                    "PATH": os.environ.get("PATH", os.defpath),
                    "AWS_ACCESS_KEY_ID": signer.access_key,
                    "AWS_SECRET_ACCESS_KEY": signer.secret_key,
                    "AWS_EC2_METADATA_DISABLED": "true",
                },
                capture_output=True,
                text=True,
                check=False,
                timeout=120,
            )
            assert bool(done.returncode) is bool(code), f"{arguments}: {done.stdout}{done.stderr}"
            return done.stdout + done.stderr

        run("cp", local, path, "--recursive")
        assert [line.split()[-1] for line in run("ls", path).splitlines()] == ["2027/", "a.txt"]
        run("cp", path, tmp_path / "back", "--recursive")
        assert read_tree(tmp_path / "back") == read_tree(local)
        for refused in (
            ("ls",),
            ("ls", "s3://iup-usa/"),
            ("cp", local / "a.txt", "s3://iup-usa/123/xxxxxxxxEVIL/a.txt"),
        ):
            told = run(*refused, code=1)
            assert "AccessDenied" in told, refused
    endpoint.app.close()
