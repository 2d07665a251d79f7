# SPDX-License-Identifier: Apache-2.0
"""What a tracker sends with, and whether the receiver takes it.

Reads and checks are shared: a thousand trackers with one Secret cost one GET and one auth.test, not a thousand.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping
from typing import Final, Generic, Protocol, TypeVar

import msgspec

from podtracker.api import DEFAULT_SECRET_KEY, SecretRef
from podtracker.delivery import Credential, Destination, Reporter
from podtracker.errors import CredentialsError, DeliveryError, Failure, KubeError
from podtracker.redact import Redactor, Token
from podtracker.trackers import Tracker

URL_KEY, TOKEN_KEY, HMAC_KEY = "url", "token", "hmacKey"
"""The keys of a webhook's Secret, of which Apprise has only the first. They are fixed: URL and credential live in one
Secret, so that nobody who can only write trackers can send a credential elsewhere."""
LONGEST: Final = 4096
"""Bytes of one of these values, as the CRD has it for an inline token: a Secret could hold a mebibyte."""
MOST_ANSWERS: Final = 10_000
"""Secrets that are remembered, and verdicts of receivers."""
TOGETHER = 2.0
"""Seconds; who asks within this time of another is given the same answer, so that a thousand trackers share one."""

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class SecretSource(Protocol):
    """Where Secrets are read."""

    async def get_secret(self, namespace: str, name: str) -> Mapping[str, bytes]:
        """The data of a Secret, by key.

        Raises:
            KubeError: not_found, forbidden, or the API server does not answer.
        """
        ...


class Account(msgspec.Struct, frozen=True):
    """The operator's own ServiceAccount, for the commands that would grant it more."""

    namespace: str
    name: str


class _Slot(Generic[V]):
    """The answer to one question, and who is about to use it."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.users = 0
        self.answers: list[V] = []
        self.at = 0.0


class _Shared(Generic[K, V]):
    """Answers that several ask for: one question at a time per key, and a recent answer serves all."""

    _KEPT = 3600.0
    """Seconds after which an answer that nobody wants is dropped."""
    _FEW = 100
    """Answers that are not worth a look at their age."""

    def __init__(self, ask: Callable[[K], Awaitable[V]], clock: Callable[[], float]) -> None:
        self._ask = ask
        self._clock = clock
        self._slots: dict[K, _Slot[V]] = {}
        self._prune_at = self._FEW

    async def get(self, key: K, max_age: float) -> V:
        """An answer at most `max_age` seconds old; raises what `ask` raises, to everybody who asks then."""
        self._prune()
        slot = self._slots.setdefault(key, _Slot())
        slot.users += 1
        try:
            async with slot.lock:
                if not slot.answers or self._clock() - slot.at > max_age:
                    slot.answers = [await self._ask(key)]
                    slot.at = self._clock()
                return slot.answers[0]
        finally:
            slot.users -= 1

    def _prune(self) -> None:
        if len(self._slots) < self._prune_at:
            return
        oldest = self._clock() - self._KEPT
        if len(self._slots) > MOST_ANSWERS:
            # Whoever edits a tracker again and again makes one each time.
            oldest = max(oldest, sorted(slot.at for slot in self._slots.values())[len(self._slots) // 2])
        self._slots = {key: slot for key, slot in self._slots.items() if slot.at > oldest or slot.users}
        self._prune_at = max(len(self._slots), min(2 * len(self._slots), MOST_ANSWERS)) + self._FEW


class Credentials:
    """Finds the credential of a tracker."""

    def __init__(
        self,
        source: SecretSource,
        *,
        account: Account,
        redactor: Redactor,
        clock: Callable[[], float],
        allow_inline: bool = True,
    ) -> None:
        """Args: allow_inline: whether a token may stand in a tracker."""
        self._source = source
        self._account = account
        self._redactor = redactor
        self._allow_inline = allow_inline
        self._secrets = _Shared(self._read, clock)

    async def credential(self, tracker: Tracker, *, max_age: float) -> Credential:
        """The credential, from the spec or from a Secret read at most `max_age` seconds ago.

        Raises:
            CredentialsError: there is none to be had; the message says what would change that.
            KubeError: the API server did not answer; nothing is known.
        """
        found = await self._find(tracker, max_age)
        for secret in (found.token, found.url, found.hmac_key):
            if secret is not None:
                self._redactor.learn(secret)
        return found

    async def _find(self, tracker: Tracker, max_age: float) -> Credential:
        reporter, ref = tracker.spec.reporter, tracker.spec.reporter.key_secret_ref
        if reporter.key is not None:
            if not self._allow_inline:
                raise CredentialsError(
                    "InlineKeyForbidden",
                    "spec.reporter.key is switched off in this cluster: put the token into a Secret, and write"
                    " keySecretRef",
                )
            return Credential(token=reporter.key)
        if ref is None:
            raise CredentialsError("InvalidSpec", "spec.reporter has neither keySecretRef nor key")
        key = (ref.key or DEFAULT_SECRET_KEY) if reporter.kind == "slack" else URL_KEY
        data = await self._secret(tracker.namespace, ref.name, key, max_age)
        if reporter.kind == "slack":
            return Credential(token=_demanded(data, ref, key))
        return Credential(
            url=_demanded(data, ref, URL_KEY),
            token=_value(data, ref, TOKEN_KEY) if reporter.kind == "webhook" else None,
            hmac_key=_value(data, ref, HMAC_KEY) if reporter.kind == "webhook" else None,
        )

    async def _secret(self, namespace: str, name: str, key: str, max_age: float) -> Mapping[str, bytes]:
        answer = await self._secrets.get((namespace, name), max_age)
        if not isinstance(answer, KubeError):
            return answer
        if answer.forbidden:
            raise CredentialsError("SecretForbidden", self._how_to_allow(namespace, name))
        raise CredentialsError(
            "SecretNotFound",
            f"Secret {name} does not exist in namespace {namespace}; make it: "
            f"kubectl -n {namespace} create secret generic {name} --from-literal={key}=YOUR-{key.upper()}",
        )

    async def _read(self, where: tuple[str, str]) -> Mapping[str, bytes] | KubeError:
        try:
            return await self._source.get_secret(*where)
        except KubeError as error:
            if error.not_found or error.forbidden:
                return error
            raise

    def _how_to_allow(self, namespace: str, name: str) -> str:
        # A role for each Secret: the commands have to work for the second one as well.
        role = f"pod-tracker-secret-reader-{name}"
        return (
            f"the operator may not read Secret {name} in namespace {namespace}; allow it: "
            f"kubectl -n {namespace} create role {role} --verb=get --resource=secrets --resource-name={name} && "
            f"kubectl -n {namespace} create rolebinding {role} --role={role} "
            f"--serviceaccount={self._account.namespace}:{self._account.name}"
        )


def _value(data: Mapping[str, bytes], ref: SecretRef, key: str) -> Token | None:
    value = data.get(key, b"").strip()
    if len(value) > LONGEST:
        raise CredentialsError(
            "SecretKeyTooLong",
            f"Secret {ref.name} has {len(value)} bytes under the key {key}: put at most {LONGEST} there",
        )
    # Bytes that are no text are kept as they are: an HMAC key may have them, everything else that does is refused.
    return Token(value.decode("utf-8", "surrogateescape")) if value else None


def _demanded(data: Mapping[str, bytes], ref: SecretRef, key: str) -> Token:
    found = _value(data, ref, key)
    if found is None:
        what = "URL there" if key == URL_KEY else "token there, or set keySecretRef.key"
        raise CredentialsError(
            "SecretKeyMissing", f"Secret {ref.name} has no value under the key {key}: put the {what}"
        )
    return found


class Verifier:
    """Asks receivers whether they take a token, once per token and a while."""

    def __init__(self, reporters: Mapping[str, Reporter], *, clock: Callable[[], float]) -> None:
        self._reporters = reporters
        self._verdicts = _Shared(self._ask, clock)

    async def check(
        self, destination: Destination, *, max_age: float, refusal_max_age: float = float("inf")
    ) -> DeliveryError | None:
        """What is wrong with a destination's token, or None; known for at most `max_age` seconds.

        A refusal is known for at most `refusal_max_age`. That a receiver could not be asked is no verdict to keep: it
        is shared by those who ask together, and no longer.
        """
        anywhere = msgspec.structs.replace(destination, channel="")
        problem = await self._verdicts.get(anywhere, max_age)
        if problem is not None:
            kept = refusal_max_age if problem.failure is Failure.REFUSED else TOGETHER
            problem = await self._verdicts.get(anywhere, min(max_age, kept))
        return problem

    async def _ask(self, destination: Destination) -> DeliveryError | None:
        try:
            await self._reporters[destination.kind].verify(destination)
        except DeliveryError as error:
            return error
        return None
