"""Keys and buckets of the programs, by the very script that the cluster runs, on a real gateway."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from deploy_manifests import KUBERNETES, workloads

from s3_servers import ACCESS_KEY, SECRET_KEY, client_required
from servers import required

pytestmark = pytest.mark.server

SCRIPT = KUBERNETES / "base" / "scripts" / "s3-setup.sh"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run the gateway with the arguments of the manifest, its folders and port but for these."""
    client_required()
    required("s3")
    folder = tmp_path_factory.mktemp("s3-setup")
    for name in ("data", "iam", "metadata"):
        (folder / name).mkdir()
    port = free_port()
    (gateway,) = (one.main for one in workloads("small") if one.name == "s3")
    line = [part.replace("/srv/s3", str(folder)) for part in gateway["command"][1:]]
    line[line.index("--port") + 1] = f"127.0.0.1:{port}"
    keys = {"ROOT_ACCESS_KEY": ACCESS_KEY, "ROOT_SECRET_KEY": SECRET_KEY}
    process = subprocess.Popen([str(program()), *line], env={**os.environ, **keys})
    try:
        found = f"http://127.0.0.1:{port}"
        wait_until(lambda: healthy(f"{found}/health"), process)
        yield found
    finally:
        process.terminate()
        process.wait(30)


def test_each_program_owns_its_bucket_and_cannot_read_the_other(address: str) -> None:
    setup(address)

    for own, other in (("tickloop", "mlflow"), ("mlflow", "tickloop")):
        with client(address, f"key-of-{own}", f"secret-of-{own}") as theirs:
            theirs.put_object(Bucket=own, Key="a", Body=b"x")
            assert theirs.get_object(Bucket=own, Key="a")["Body"].read() == b"x"
            theirs.delete_object(Bucket=own, Key="a")
            with pytest.raises(Exception, match="AccessDenied"):
                theirs.list_objects_v2(Bucket=other)


def test_run_again_it_leaves_what_is_there_and_takes_a_new_secret(address: str) -> None:
    setup(address)
    with client(address, "key-of-tickloop", "secret-of-tickloop") as theirs:
        theirs.put_object(Bucket="tickloop", Key="kept", Body=b"x")

    setup(address, TICKLOOP_SECRET_KEY="another-secret")

    with client(address, "key-of-tickloop", "another-secret") as theirs:
        assert theirs.get_object(Bucket="tickloop", Key="kept")["Body"].read() == b"x"
    with (
        client(address, "key-of-tickloop", "secret-of-tickloop") as theirs,
        pytest.raises(Exception, match="SignatureDoesNotMatch"),
    ):
        theirs.list_objects_v2(Bucket="tickloop")
    setup(address)


def setup(address: str, **changes: str) -> None:
    variables = {
        "VERSITYGW": str(program()),
        "ADMIN_ENDPOINT_URL": address,
        "ADMIN_REGION": "us-east-1",
        "ADMIN_ACCESS_KEY": ACCESS_KEY,
        "ADMIN_SECRET_KEY": SECRET_KEY,
        "TICKLOOP_ACCESS_KEY": "key-of-tickloop",
        "TICKLOOP_SECRET_KEY": "secret-of-tickloop",
        "MLFLOW_ACCESS_KEY": "key-of-mlflow",
        "MLFLOW_SECRET_KEY": "secret-of-mlflow",
    }
    done = subprocess.run(
        ["sh", str(SCRIPT)], env={**os.environ, **variables, **changes}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def healthy(address: str) -> bool:
    with suppress(httpx.HTTPError):
        return httpx.get(address, trust_env=False).is_success
    return False


def wait_until(is_so: Callable[[], bool], process: subprocess.Popen[bytes], deadline_s: float = 30.0) -> None:
    end = time.monotonic() + deadline_s
    while not is_so():
        assert process.poll() is None, "the gateway ended"
        assert time.monotonic() < end, "the gateway is not healthy in time"
        time.sleep(0.05)


def program() -> Path:
    """Give the gateway's own program, where scripts/servers/s3.sh keeps it."""
    caches = os.environ.get("XDG_CACHE_HOME", str(Path("~/.cache").expanduser()))
    folder = Path(os.environ.get("TICKLOOP_SERVERS", f"{caches}/tickloop/servers"))
    return max(folder.glob("versitygw-*/versitygw"))


@contextmanager
def client(address: str, access_key: str, secret_key: str) -> Iterator[Any]:
    import boto3
    from botocore.config import Config

    found = boto3.session.Session().client(
        "s3",
        endpoint_url=address,
        region_name="us-east-1",
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1}),
    )
    try:
        yield found
    finally:
        found.close()
