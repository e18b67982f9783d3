"""Chromium without a window, driven by the DevTools protocol over a socket that it inherits.

The protocol is JSON messages, each ended by a NUL: commands go in at descriptor 3, answers and events come
out at descriptor 4. Nothing listens on the network.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)
_TIMEOUT = 60.0
_INHERIT = """
import os, sys
for descriptor in (3, 4):
    os.dup2(int(sys.argv[1]), descriptor)
os.execv(sys.argv[2], sys.argv[2:])
"""


class Browser:
    """One running Chromium and the page that it shows."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._buffer = b""
        self._last_id = 0
        self._session = ""
        self.requests: list[str] = []
        self.complaints: list[str] = []
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log", "Audits"):
            self._call(f"{domain}.enable")

    def open(self, url: str, *, width: int, height: int = 900, scheme: str = "light") -> None:
        """Load a page in a viewport of ``width`` CSS pixels; requests and complaints are counted anew."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self._call("Emulation.setDeviceMetricsOverride", **metrics)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self._call("Emulation.setEmulatedMedia", features=features)
        self._load("about:blank")
        self.requests.clear()
        self.complaints.clear()
        self._load(url)

    def _load(self, url: str) -> None:
        self._call("Page.navigate", url=url)
        self.evaluate(
            "document.readyState == 'complete' || new Promise(done => { window.onload = () => done() })"
        )
        assert self.evaluate("location.href") == url
        self.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done())))")

    def evaluate(self, expression: str) -> Any:
        """The JSON value of a JavaScript expression in the page; a promise is awaited."""
        answer = self._call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def press(self, key: str, code: int) -> None:
        """Press and release a key, as a person would."""
        for kind in ("rawKeyDown", "keyUp"):
            self._call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)

    def emulate_print(self) -> None:
        """Lay the page out as for print."""
        self._call("Emulation.setEmulatedMedia", media="print")

    def _call(self, method: str, **params: object) -> dict[str, Any]:
        self._last_id += 1
        message: dict[str, Any] = {"id": self._last_id, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        self._channel.sendall(json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._last_id:
                assert "error" not in answer, (method, answer["error"])
                return dict(answer["result"])

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            data = self._channel.recv(1 << 20)
            assert data, "Chromium has gone"
            self._buffer += data
        raw, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(raw)
        self._note(message.get("method", ""), message.get("params", {}))
        return message

    def _note(self, method: str, params: dict[str, Any]) -> None:
        if method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif method == "Log.entryAdded":
            self.complaints.append(params["entry"]["text"])
        elif method in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown"):
            self.complaints.append(json.dumps(params))
        elif method == "Audits.issueAdded":
            self.complaints.append(params["issue"]["code"])


@contextmanager
def chromium() -> Iterator[Browser]:
    """A Chromium with a profile of its own; the test is skipped where none is installed."""
    program = next(filter(None, map(shutil.which, _NAMES)), None)
    if program is None:
        pytest.skip("no Chromium: install the Debian package chromium")
    ours, theirs = socket.socketpair()
    ours.settimeout(_TIMEOUT)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [sys.executable, "-c", _INHERIT, str(theirs.fileno()), program, *_OPTIONS]
        process = subprocess.Popen(
            [*command, f"--user-data-dir={profile}"],
            pass_fds=(theirs.fileno(),),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            process_group=0,
        )
        theirs.close()
        try:
            yield Browser(ours)
        finally:
            ours.close()
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(_TIMEOUT)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
