"""S3 endpoints for the storages that write to one."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator

import pytest

import s3kit
from s3kit.testing import LiveServer
from scripts.processes import free_port

ACCESS_KEY = "AKIAEXAMPLE"
SECRET_KEY = "secret-of-the-second-endpoint"


@pytest.fixture(scope="session")
def second_s3kit() -> Iterator[dict[str, str]]:
    """Options of s3fs for another s3kit, in threads of this process."""
    app = s3kit.S3App(s3kit.Config(keys={ACCESS_KEY: SECRET_KEY}))
    with LiveServer(app) as server:
        yield {"endpoint_url": server.url, "key": ACCESS_KEY, "secret": SECRET_KEY}
    app.close()


@pytest.fixture(scope="session")
def moto() -> Iterator[dict[str, str]]:
    """Options of s3fs for a moto server, somebody else's idea of S3."""
    program = shutil.which("moto_server")
    if program is None or importlib.util.find_spec("s3fs") is None:
        pytest.skip("needs moto_server on the PATH, and s3fs")
    port = free_port()
    process = subprocess.Popen(
        [program, "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(300):
            if process.poll() is not None:
                pytest.skip("moto_server is on the PATH, but does not start")
            try:
                urllib.request.urlopen(f"{url}/moto-api/", timeout=5).close()
                break
            except OSError:
                time.sleep(0.1)
        else:
            pytest.fail("moto_server does not answer.")
        yield {"endpoint_url": url, "key": ACCESS_KEY, "secret": SECRET_KEY}
    finally:
        process.terminate()
        process.wait(30)
