# SPDX-License-Identifier: Apache-2.0
"""The process that Apprise runs in: `python -P -m podtracker.reporters.apprise_worker`, started by the reporter only.

Apprise is large and blocks, and its URLs come from tenants, so it gets a process that can do little. After it has
loaded its plugins an audit hook (PEP 578) refuses: connections that the guard refuses, other processes, writing files,
and reading any but Python's own (`?template=/var/run/secrets/...` is an option of several plugins). No code of a tenant
runs here; the hook is there for what plugins do with a tenant's data.

It speaks JSON lines. In: first the settings (`guard`, `schemes`, `proxies`, `limit` in seconds), then requests `{"id",
"op": "check"|"send", "url", "text"}`. Out: `{"ready": true}`, then for each request `{"id", "problem"}`: null, or one
of `Problem`'s as JSON. It ends when its input does. URLs are in these lines only.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import socket
import sys
import threading
import time
import zoneinfo
from pathlib import Path
from typing import IO, Any, Final

import requests
import urllib3
from apprise import Apprise, AppriseAsset
from apprise.common import NotifyFormat
from apprise.manager_attachment import AttachmentManager
from apprise.manager_plugins import NotificationManager
from apprise.plugins import NotifyBase
from requests.adapters import HTTPAdapter
from urllib3.util import parse_url

import podtracker
from podtracker.egress import ForbiddenError, Guard, Proxies

_MEMORY: Final = 64 * 1024 * 1024
"""Bytes of data beyond what the loaded plugins take; more ends in a MemoryError of one delivery."""
_STACK: Final = 1024 * 1024
"""Bytes of each thread's stack."""
_LONGEST_ANSWER: Final = 256 * 1024
"""Bytes of an answer that a plugin may look at."""
_PIECE: Final = 16 * 1024
_TOO_MANY: Final = 429
_ACCEPTED: Final = range(200, 300)
_WRITING: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_ALWAYS_REFUSED: Final = frozenset(
    {
        "subprocess.Popen",
        "os.system",
        "os.exec",
        "os.posix_spawn",
        "os.spawn",
        "os.fork",
        "os.forkpty",
        "pty.spawn",
        "os.chmod",
        "os.chown",
        "os.link",
        "os.mkdir",
        "os.remove",
        "os.rename",
        "os.rmdir",
        "os.symlink",
        "os.truncate",
        "os.utime",
        "tempfile.mkstemp",
        "tempfile.mkdtemp",
    }
)
"""Audit events of starting programs and of changing files."""


class Problem(Exception):  # noqa: N818 - it is told as an answer, and names no failure of this process
    """Why a request came to nothing; `wait` is in seconds, `perhaps` says that some of it may have arrived."""

    def __init__(self, word: str, sentence: str, *, wait: str = "", perhaps: bool = False) -> None:
        super().__init__(word)
        self.told = {"word": word, "sentence": sentence, "wait": wait, "perhaps": perhaps}


class _Seen(threading.local):
    """What happened in the request of this thread."""

    to_proxy = False
    forbidden = ""
    trouble = ""
    status = 0
    wait = ""
    perhaps = False


class Warden:
    """Decides what this process may do."""

    def __init__(self, guard: Guard, proxies: Proxies, limit: float) -> None:
        """Args: limit: seconds that a plugin may wait for one answer."""
        self._guard = guard
        self._proxies = proxies
        self._limit = limit
        self._readable = _readable()
        self.seen = _Seen()

    def install(self) -> None:
        """From now on."""
        socket.setdefaulttimeout(self._limit)
        send = HTTPAdapter.send

        def guarded(adapter: HTTPAdapter, request: requests.PreparedRequest, **options: Any) -> requests.Response:
            return self._send(lambda **changed: send(adapter, request, **options | changed), request, options)

        HTTPAdapter.send = guarded  # type: ignore[method-assign, assignment]
        # A redirect would be followed with all headers; and `redirect=yes` in a URL would switch it on again.
        requests.Session.get_redirect_target = lambda *_: None  # type: ignore[method-assign]
        sys.addaudithook(self._audit)

    def _audit(self, event: str, details: tuple[Any, ...]) -> None:
        if event in {"socket.connect", "socket.sendto", "socket.sendmsg"}:
            self._connect(details[0], details[1])
        elif event == "open":
            self._open(*details)
        elif event in _ALWAYS_REFUSED:
            raise PermissionError(f"{event} is not allowed here")

    def _connect(self, connection: socket.socket, address: Any) -> None:
        if address is None or (self.seen.to_proxy and connection.family in {socket.AF_INET, socket.AF_INET6}):
            return
        try:
            # Of what is no address on a network, such as a path, the guard says that it is none.
            host, port = address[:2] if isinstance(address, tuple) else ("", 0)
            self._guard.check(str(host), int(port))
        except ForbiddenError as error:
            self.seen.forbidden = error.sentence
            raise

    def _open(self, path: Any, _mode: Any, flags: int) -> None:
        if isinstance(path, int):
            return
        real = os.path.realpath(os.fsdecode(path))
        if flags & _WRITING or not real.startswith(self._readable):
            raise PermissionError("files are neither written nor read here")

    def _send(self, send: Any, request: requests.PreparedRequest, options: dict[str, Any]) -> requests.Response:
        """What HTTPAdapter.send does, bounded."""
        url = parse_url(str(request.url))
        host, port = (url.host or "").strip("[]"), url.port or (443 if url.scheme == "https" else 80)
        proxy = self._proxies.of(url.scheme or "", host, port)
        request.headers["Accept-Encoding"] = "identity"
        given = options.get("timeout")
        connect, read = given if isinstance(given, tuple) else (given, given)
        try:
            if proxy:
                self._guard.check_proxied(host, port)
            self.seen.to_proxy = proxy is not None
            answer: requests.Response = send(
                stream=True,
                timeout=(min(connect or self._limit, self._limit), min(read or self._limit, self._limit)),
                proxies={"http": proxy, "https": proxy} if proxy else {},
            )
        except ForbiddenError as error:
            self.seen.forbidden = error.sentence
            raise requests.ConnectionError from None
        except requests.RequestException as error:
            cause = error.args[0] if error.args else None
            broke = isinstance(error, requests.ReadTimeout) or isinstance(cause, urllib3.exceptions.ProtocolError)
            self.seen.perhaps, self.seen.trouble = broke, type(error).__name__
            raise
        finally:
            self.seen.to_proxy = False
        return self._bounded(answer)

    def _bounded(self, answer: requests.Response) -> requests.Response:
        if answer.status_code not in _ACCEPTED:
            self.seen.status, self.seen.trouble = answer.status_code, f"HTTP status {answer.status_code}"
        content, end = bytearray(), time.monotonic() + self._limit
        try:
            while len(content) < _LONGEST_ANSWER and time.monotonic() < end:
                piece = answer.raw.read1(_PIECE, decode_content=False)
                if not piece:
                    break
                content += piece
        except (urllib3.exceptions.HTTPError, OSError):
            pass  # the head of the answer is here, and says what the plugin needs
        answer.close()
        answer._content = bytes(content)  # noqa: SLF001 - requests has no other way to say that it was read
        answer._content_consumed = True  # noqa: SLF001
        if answer.status_code == _TOO_MANY:
            # Several plugins would now sleep for as long as they are told to.
            self.seen.wait = answer.headers.get("Retry-After", "")
            raise requests.RequestException
        return answer


class Worker:
    """Answers requests, each in a thread."""

    def __init__(self, warden: Warden, schemes: frozenset[str], replies: IO[str]) -> None:
        self._warden = warden
        self._schemes = schemes
        self._replies = replies
        self._writing = threading.Lock()
        # No retries (the URL could ask for them: see _plugin), no threads of its own, nothing stored.
        self._asset = AppriseAsset(
            async_mode=False, http_redirects=False, app_id="pod-tracker", app_desc="", app_url=""
        )

    def reply(self, answer: dict[str, Any]) -> None:
        """Write one line."""
        with self._writing:
            self._replies.write(json.dumps(answer) + "\n")
            self._replies.flush()

    def serve(self, lines: IO[bytes]) -> None:
        """Answer until the input ends."""
        for line in lines:
            threading.Thread(target=self._answer, args=(json.loads(line),), daemon=True).start()

    def _answer(self, request: dict[str, Any]) -> None:
        problem = None
        try:
            plugin = self._plugin(request["url"])
            if request["op"] == "send":
                self._notify(plugin, request["text"])
        except Problem as found:
            problem = found.told
        except Exception as error:  # noqa: BLE001 - plugins may raise anything, whose text may hold the URL
            problem = Problem("Rejected", f"Apprise failed: {type(error).__name__}").told
        self.reply({"id": request["id"], "problem": problem})

    def _plugin(self, url: str) -> NotifyBase:
        if url.partition("://")[0].lower() not in self._schemes:
            raise Problem("SchemeNotAllowed", "")
        plugin = Apprise.instantiate(url, asset=self._asset)
        if plugin is None:
            sentence = "Apprise cannot use the URL: it is incomplete, or its service needs what this image lacks"
            raise Problem("InvalidURL", self._warden.seen.forbidden or sentence)
        if plugin.schema not in self._schemes:
            raise Problem("SchemeNotAllowed", "")
        # All of these a URL can set, or a plugin: waiting and trying again is the dispatcher's business.
        plugin.retry, plugin.wait, plugin.request_rate_per_sec = 0, 0.0, 0.0
        plugin.optional, plugin.redirects = False, False
        return plugin

    def _notify(self, plugin: NotifyBase, text: str) -> None:
        service = Apprise(asset=self._asset)
        service.add(plugin)
        if service.notify(body=text, body_format=NotifyFormat.TEXT):
            return
        seen = self._warden.seen
        if seen.forbidden:
            raise Problem("EgressForbidden", seen.forbidden)
        if seen.status == _TOO_MANY:
            raise Problem("RateLimited", "", wait=seen.wait, perhaps=seen.perhaps)
        trouble = f" ({seen.trouble})" if seen.trouble else ""
        raise Problem("Rejected", f"Apprise could not deliver it to the URL's service{trouble}", perhaps=seen.perhaps)


def _readable() -> tuple[str, ...]:
    """Beginnings of the paths of Python's own files, of its packages, and of time zones."""
    folders = {Path(os.__file__).parent, Path(podtracker.__file__).parent, Path(requests.__file__).parent.parent}
    folders |= {Path(folder) for folder in zoneinfo.TZPATH}
    return tuple(f"{folder.resolve()}{os.sep}" for folder in folders)


def _limit_resources() -> None:
    threading.stack_size(_STACK)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    for line in Path("/proc/self/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "VmData":
            limit = int(value.split()[0]) * 1024 + _MEMORY
            resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def main() -> None:
    """Serve until the input ends."""
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, sys.stdout.fileno())
    os.dup2(silence, sys.stderr.fileno())
    logging.disable(logging.CRITICAL)
    settings = json.loads(sys.stdin.buffer.readline())
    NotificationManager().load_modules()  # type: ignore[no-untyped-call]
    attachments: Any = AttachmentManager()  # type: ignore[no-untyped-call]
    attachments.load_modules()
    attachments.remove(*attachments.schemas())
    _limit_resources()
    warden = Warden(Guard.restore(settings["guard"]), Proxies(**settings["proxies"]), settings["limit"])
    warden.install()
    worker = Worker(warden, frozenset(settings["schemes"]), replies)
    worker.reply({"ready": True})
    worker.serve(sys.stdin.buffer)
    # Threads that still wait for a receiver must not keep the process.
    os._exit(0)


if __name__ == "__main__":
    main()
