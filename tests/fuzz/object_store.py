"""An S3 server in a thread of this process, whose address is in the environment."""

from __future__ import annotations

from contextlib import contextmanager
from unittest.mock import patch
from uuid import uuid4

import fsspec
from moto.server import ThreadedMotoServer

__all__ = ["bucket"]


@contextmanager
def bucket():
    """The URL of an empty bucket, as long as the block lasts."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        environment = {
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_SECRET_ACCESS_KEY": "test",
        }
        with patch.dict("os.environ", environment):
            # Nothing of an earlier server, at another address.
            fsspec.get_filesystem_class("s3").clear_instance_cache()
            name = uuid4().hex
            fsspec.filesystem("s3").mkdir(name)
            yield f"s3://{name}"
    finally:
        server.stop()
