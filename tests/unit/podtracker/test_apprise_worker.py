# SPDX-License-Identifier: Apache-2.0
"""What a process may still do once Apprise's warden stands in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from podtracker.reporters import apprise_worker

ATTEMPTS = {
    "subprocess.run(['true'])": "PermissionError",
    "os.system('true')": "PermissionError",
    "os.posix_spawn('/bin/true', ['true'], {})": "PermissionError",
    "os.fork() or os._exit(0)": "PermissionError",
    "os.execv('/bin/echo', ['echo', 'done'])": "PermissionError",
    "open('/etc/hostname').read()": "PermissionError",
    "os.open('/proc/self/environ', os.O_RDONLY)": "PermissionError",
    "open('/proc/self/root/etc/hostname').read()": "PermissionError",
    "open(os.path.join(os.path.dirname(os.__file__), '../../../../../../etc/hostname'))": "PermissionError",
    "open(b'/etc/hostname')": "PermissionError",
    "open(os.__file__).close()": "done",
    "open(os.__file__, 'a')": "PermissionError",
    "open('new', 'w')": "PermissionError",
    "os.mkdir('new')": "PermissionError",
    "os.remove('given')": "PermissionError",
    "os.rename('given', 'new')": "PermissionError",
    "socket.create_connection(('127.0.0.1', 9))": "ForbiddenError",
    "socket.create_connection(('127.0.0.2', 9))": "ConnectionRefusedError",
    "socket.socket().connect(('localhost', 9))": "ForbiddenError",
    "socket.socket().connect_ex(('127.0.0.1', 9))": "ForbiddenError",
    "udp.sendto(b'x', ('127.0.0.1', 9))": "ForbiddenError",
    "udp.sendto(b'x', 0, ('127.0.0.1', 9))": "ForbiddenError",
    "udp.sendmsg([b'x'], [], 0, ('127.0.0.1', 9))": "ForbiddenError",
    "udp.sendto(b'x', ('127.0.0.2', 9))": "done",
    "socket.socket(socket.AF_UNIX).connect('/dev/log')": "ForbiddenError",
    "socket.socket(socket.AF_UNIX).connect(b'\\0abstract')": "ForbiddenError",
    "socket.getaddrinfo('127.0.0.1', 80)": "done",
}
ATTEMPTING = """
import json, os, socket, subprocess, sys
from podtracker.egress import Guard, Networks, Proxies
from podtracker.reporters.apprise_worker import Warden
Warden(Guard(Networks.parse("127.0.0.2")), Proxies(), 1.0).install()
udp = socket.socket(type=socket.SOCK_DGRAM)
outcomes = {}
for attempt in json.loads(sys.argv[1]):
    try:
        exec(attempt)
    except OSError as error:
        outcomes[attempt] = type(error).__name__
    else:
        outcomes[attempt] = "done"
print(json.dumps(outcomes))
"""


def test_the_warden(tmp_path: Path) -> None:
    (tmp_path / "given").write_text("x")
    ran = subprocess.run(  # noqa: S603 - our own
        [sys.executable, "-P", "-c", ATTEMPTING, json.dumps(list(ATTEMPTS))],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(apprise_worker.__file__).parents[2])},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) == ATTEMPTS
    assert [path.name for path in tmp_path.iterdir()] == ["given"]
