# SPDX-License-Identifier: Apache-2.0
"""Whatever Apprise speaks, through a process of its own (`apprise_worker`), which is started when first needed.

Only the URL schemes that the operator's configuration lists are used; without any, the kind is off. The URL goes to
the worker by its standard input, and nowhere else. A worker in which a delivery takes longer than its time is given no
more, and is killed when the others that it is at have ended; so a receiver that hangs costs other tenants nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import re
import ssl
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import podtracker
from podtracker.delivery import Destination, Message, Traits
from podtracker.egress import Guard, Proxies
from podtracker.errors import DeliveryError, Failure
from podtracker.outlet import LONGEST_URL, forbidden
from podtracker.reporters.turns import Turns

SETTING: Final = "APPRISE_SCHEMES"
_MODULE: Final = "podtracker.reporters.apprise_worker"
_EACH_NAMESPACE, _TOTAL = 2, 8
"""Deliveries at a time: of one namespace, and of all. Each takes a thread of the worker."""
_LONGEST_WAIT: Final = 3600.0
"""Seconds that a Retry-After is believed."""
_DEFAULT_RETRY_AFTER: Final = 30.0
"""Seconds, where a service throttles and does not say for how long in seconds."""
_KEPT: Final = ("PATH", "LANG", "LC_ALL", "TZ", "SYSTEMROOT", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR")
"""Of the operator's environment; the worker needs no more, and its plugins should not find more."""
_MARKUP: Final = re.compile(r"([@<])(?=\S)")


Problem = Mapping[str, Any]
"""What the worker says of a request that came to nothing: `word`, `sentence`, `wait`, `perhaps`."""


class AppriseReporter:
    """Delivers through Apprise."""

    traits = Traits(
        paced=True,
        digests=True,
        accepted=(
            "Configured",
            "Apprise knows what to do with the URL; the first delivery or a test shows whether it works",
        ),
    )

    def __init__(
        self,
        guard: Guard,
        *,
        schemes: frozenset[str],
        timeout: float,
        proxies: Proxies,
        idle: float = 60.0,
    ) -> None:
        """Args.

        schemes: of URLs, in lower case, that may be used; none switches the kind off.
        timeout: seconds for one delivery, everything included.
        idle: seconds without deliveries after which the worker is ended.
        """
        self._schemes = schemes
        self._timeout = timeout
        self._idle = idle
        self._settings = {
            "guard": guard.export(),
            "schemes": sorted(schemes),
            "proxies": proxies.export(),
            "limit": timeout / 2,
        }
        self._turns = Turns(_EACH_NAMESPACE, _TOTAL)
        self._worker: _Worker | None = None
        self._workers: set[_Worker] = set()
        self._ending: asyncio.TimerHandle | None = None
        self._closed = False

    def escape(self, text: str) -> str:
        """The text with an invisible blank after what begins a mention or a tag; Apprise itself escapes HTML."""
        return _MARKUP.sub("\\1\u200b", text)

    async def arrived(self, destination: Destination, *, since: float) -> None:  # noqa: ARG002 - the port's
        """Nothing can be asked through Apprise."""
        return

    async def verify(self, destination: Destination) -> None:
        """Let Apprise read the URL; nothing is sent.

        Raises:
            DeliveryError: it cannot be used, or the kind is off.
        """
        url = self._url(destination)
        await self._ask(url, {"op": "check", "url": url})

    async def deliver(self, destination: Destination, message: Message) -> None:
        """Deliver to all targets of the URL.

        Raises:
            DeliveryError: one of them has it not, or nobody knows.
        """
        request = {"op": "send", "url": self._url(destination), "text": message.text}
        await self._ask(message.tracker.namespace, request)

    async def close(self) -> None:
        """End the workers, and what they are at."""
        self._closed = True
        if self._ending is not None:
            self._ending.cancel()
        await asyncio.gather(*(worker.kill() for worker in self._workers))

    def _url(self, destination: Destination) -> str:
        if not self._schemes:
            problem = f"kind apprise is off: who runs the operator can allow URL schemes in {SETTING}"
            raise DeliveryError(Failure.REFUSED, "KindDisabled", problem)
        url = destination.credential.url.reveal() if destination.credential.url else ""
        if not url:
            problem = "there is no URL: put it into the Secret, under the key url"
        elif len(url) > LONGEST_URL:
            problem = f"the URL is longer than {LONGEST_URL} characters"
        elif not url.isprintable():
            problem = "the URL has control characters in it"
        else:
            if url.partition("://")[0].lower() not in self._schemes:
                raise self._scheme_not_allowed()
            return url
        raise DeliveryError(Failure.REFUSED, "InvalidURL", problem)

    async def _ask(self, whose: str, request: Mapping[str, Any]) -> None:
        deadline = asyncio.get_running_loop().time() + self._timeout
        async with self._turns.turn(whose, until=deadline - self._timeout / 2):
            worker = self._hire()
            try:
                async with asyncio.timeout_at(deadline):
                    problem = await worker.ask(request)
            except TimeoutError:
                worker.tired = True
                raise _lost(f"Apprise did not finish within {self._timeout:g} s", perhaps=worker.began) from None
            except _EndedError:
                raise _lost("Apprise's process ended", perhaps=worker.began) from None
            finally:
                await self._put_down(worker)
        if problem is not None:
            raise self._translated(problem)

    def _hire(self) -> _Worker:
        if self._closed:
            raise _lost("the operator ends", perhaps=False)
        if self._ending is not None:
            self._ending.cancel()
            self._ending = None
        if self._worker is None or self._worker.tired:
            self._worker = _Worker(self._settings, self._workers.discard)
            self._workers.add(self._worker)
        self._worker.users += 1
        return self._worker

    async def _put_down(self, worker: _Worker) -> None:
        worker.users -= 1
        if worker.users:
            return
        if worker.tired:
            await worker.kill()
        elif worker is self._worker:
            self._ending = asyncio.get_running_loop().call_later(self._idle, self._dismiss)

    def _dismiss(self) -> None:
        """Nothing to do for a while."""
        if self._worker is not None:
            self._worker.dismiss()
            self._worker = None

    def _translated(self, problem: Problem) -> DeliveryError:
        word, sentence, perhaps = problem["word"], problem["sentence"], problem["perhaps"]
        match word:
            case "EgressForbidden":
                return forbidden(sentence)
            case "InvalidURL":
                return DeliveryError(Failure.REFUSED, word, sentence)
            case "SchemeNotAllowed":
                return self._scheme_not_allowed()
            case "RateLimited":
                wait = _seconds(problem["wait"])
                sentence = f"the service asks to wait {wait:g} s"
                return DeliveryError(Failure.THROTTLED, word, sentence, retry_after=wait, arrived_perhaps=perhaps)
            case _:
                return DeliveryError(Failure.RETRY, word, sentence, arrived_perhaps=perhaps)

    def _scheme_not_allowed(self) -> DeliveryError:
        allowed = ", ".join(sorted(self._schemes))
        problem = f"the URL's scheme is none of those that {SETTING} of the operator allows: {allowed}"
        return DeliveryError(Failure.REFUSED, "SchemeNotAllowed", problem)


class _EndedError(Exception):
    """The worker ended before it answered."""


class _Worker:
    """One process, and the requests that it is at."""

    def __init__(self, settings: Mapping[str, Any], gone: Callable[[_Worker], None]) -> None:
        self.users = 0
        self.tired = False
        """Whether it gets no further requests."""
        self.began = False
        """Whether it was given any."""
        self._settings = settings
        self._gone = gone
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[Problem | None]] = {}
        self._ready = asyncio.Event()
        self._process: asyncio.subprocess.Process | None = None
        self._life = asyncio.create_task(self._live(), name="apprise worker")
        self._killed = False

    async def ask(self, request: Mapping[str, Any]) -> Problem | None:
        """Have a request done; gives the problem with it, or None.

        Raises:
            _EndedError: the worker ended.
        """
        await self._ready.wait()
        number = next(self._numbers)
        answer: asyncio.Future[Problem | None] = asyncio.get_running_loop().create_future()
        self._answers[number] = answer
        try:
            self._write({**request, "id": number})
            self.began = True
            return await answer
        finally:
            del self._answers[number]

    def dismiss(self) -> None:
        """Let it end by itself; nothing is asked of it any more."""
        self.tired = True
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()

    async def kill(self) -> None:
        """End it now."""
        self.tired = True
        if not self._killed:
            self._killed = True
            self._life.cancel()
        await asyncio.wait({self._life})

    async def _live(self) -> None:
        try:
            await self._start()
            self._write(self._settings)
            await self._listen()
        except (OSError, ValueError, KeyError, _EndedError):
            pass  # it cannot be started, or says what it should not
        finally:
            self._end()
            if self._process is not None:
                with contextlib.suppress(ProcessLookupError):
                    self._process.kill()
                await self._process.wait()
            self._gone(self)

    async def _start(self) -> None:
        starting = asyncio.ensure_future(
            asyncio.create_subprocess_exec(
                sys.executable,
                "-P",
                "-m",
                _MODULE,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                env=_environment(),
                # An interrupt from the terminal is for the operator, which drains.
                start_new_session=True,
            )
        )
        try:
            self._process = await asyncio.shield(starting)
        except asyncio.CancelledError:
            # asyncio forgets the pipes of a process whose start is cancelled.
            self._process = await starting
            raise

    async def _listen(self) -> None:
        stdout = None if self._process is None else self._process.stdout
        while stdout is not None and (line := await stdout.readline()):
            said = json.loads(line)
            if said.get("ready"):
                self._ready.set()
            elif (answer := self._answers.get(said["id"])) is not None and not answer.done():
                answer.set_result(said["problem"])

    def _write(self, message: Mapping[str, Any]) -> None:
        stdin = None if self._process is None else self._process.stdin
        if self._life.done() or stdin is None or stdin.is_closing():
            raise _EndedError
        stdin.write(json.dumps(message).encode() + b"\n")

    def _end(self) -> None:
        self.tired = True
        # Who waits for it to be ready finds that it can be written nothing.
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
        self._ready.set()
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(_EndedError())


def _environment() -> dict[str, str]:
    environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
    environment["PYTHONPATH"] = str(Path(podtracker.__file__).parent.parent)
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    # One heap for all threads, so that the limit on memory means something.
    environment["MALLOC_ARENA_MAX"] = "1"
    # `requests` does not know OpenSSL's variables.
    trusted = ssl.get_default_verify_paths()
    if bundle := trusted.cafile or trusted.capath:
        environment["REQUESTS_CA_BUNDLE"] = bundle
    return environment


def _seconds(text: str) -> float:
    return min(_LONGEST_WAIT, float(text)) if text.strip().isdigit() else _DEFAULT_RETRY_AFTER


def _lost(message: str, *, perhaps: bool) -> DeliveryError:
    return DeliveryError(Failure.RETRY, "Unreachable", message, arrived_perhaps=perhaps)
