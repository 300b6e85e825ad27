"""A real S3 server on this machine, in a process of its own; nothing of it is on the disk."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing-too",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@dataclass(frozen=True)
class S3Server:
    """A running server.

    Attributes:
        address: Its URL, as `AWS_ENDPOINT_URL` has it.
        process: The server.
    """

    address: str
    process: subprocess.Popen[bytes]

    @property
    def environment(self) -> dict[str, str]:
        """What a program needs to reach it."""
        return CREDENTIALS | {"AWS_ENDPOINT_URL": self.address}

    def make_bucket(self, name: str) -> str:
        """A new bucket; its URL."""
        import s3fs

        system = s3fs.S3FileSystem(
            key="testing", secret="testing-too", endpoint_url=self.address, skip_instance_cache=True
        )
        system.mkdir(name)
        return f"s3://{name}"

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


def start_s3(**environment: str) -> S3Server:
    """Start a server, and wait until it answers."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        env=_without_aws(os.environ) | {"PYTHONWARNINGS": "ignore"} | environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    server = S3Server(f"http://127.0.0.1:{port}", process)
    until = time.monotonic() + 120
    while time.monotonic() < until and process.poll() is None:
        try:
            urllib.request.urlopen(server.address, timeout=5).close()
        except urllib.error.HTTPError:  # it refuses us, so it answers
            return server
        except OSError:
            time.sleep(0.1)
        else:
            return server
    server.stop()
    raise AssertionError("the S3 server did not start")


def _without_aws(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if not name.startswith("AWS_")}
