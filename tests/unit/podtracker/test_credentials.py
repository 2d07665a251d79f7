# SPDX-License-Identifier: Apache-2.0
"""Tokens from specs and Secrets, and whether receivers take them: asked for once, however many want to know."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Mapping
from typing import Any

import pytest

from podtracker.credentials import LONGEST, TOGETHER, Account, Credentials, Verifier, _Shared
from podtracker.delivery import Destination
from podtracker.errors import CredentialsError, DeliveryError, Failure, KubeError
from podtracker.redact import MASK, Redactor, Token
from unit.podtracker.builders import SECRET, by_secret, destination, refused, retry, throttled, tracker
from unit.podtracker.fakes import DOWN, FORBIDDEN, FakeReporter, FakeSecrets
from unit.podtracker.virtual import clock, in_virtual_time, passing, quiet

HERE = ("team", "pod-tracker-reporter")


class Safe:
    """Credentials with what stands around them."""

    def __init__(self, secret: Mapping[str, bytes] | KubeError | None = None) -> None:
        self.source = FakeSecrets({} if secret is None else {HERE: secret})
        self.redactor = Redactor()
        account = Account(namespace="pod-tracker-system", name="pod-tracker-controller-manager")
        self.credentials = Credentials(self.source, account=account, redactor=self.redactor, clock=clock)

    async def token(self, reporter: dict[str, Any] | None = None, max_age: float = 30.0, **fields: Any) -> Token:
        meant = tracker(reporter=reporter or by_secret(), **fields)
        found = await self.credentials.credential(meant, max_age=max_age)
        assert found.token is not None
        return found.token


# where the token is


@in_virtual_time
async def test_an_inline_token_needs_no_secret() -> None:
    safe = Safe()
    assert await safe.token({"kind": "slack", "channel": "C", "key": SECRET}) == Token(SECRET)
    assert safe.source.read == []


@pytest.mark.parametrize(
    ("data", "key"),
    [
        pytest.param({"token": SECRET.encode()}, None, id="the default key"),
        pytest.param({"token": b"other", "mine": SECRET.encode()}, "mine", id="a key of its own"),
        pytest.param({"token": SECRET.encode() + b"\n"}, None, id="a newline at the end"),
        pytest.param({"token": b"  " + SECRET.encode() + b"\r\n"}, None, id="blanks around"),
    ],
)
@in_virtual_time
async def test_a_token_is_read_from_its_secret(data: dict[str, bytes], key: str | None) -> None:
    safe = Safe(data)
    assert await safe.token(by_secret(key=key)) == Token(SECRET)
    assert safe.source.read == [HERE]


@in_virtual_time
async def test_every_token_that_was_found_is_masked_from_then_on() -> None:
    safe = Safe({"token": b"hunter2hunter2"})
    await safe.token()
    await safe.token({"kind": "slack", "channel": "C", "key": "inlined-inlined"})
    assert safe.redactor("hunter2hunter2 inlined-inlined") == f"{MASK} {MASK}"


@in_virtual_time
async def test_bytes_that_are_no_text_become_a_token_that_nobody_takes() -> None:
    assert isinstance(await Safe({"token": b"\xff\xfe\x00"}).token(), Token)


@in_virtual_time
async def test_the_key_of_a_signature_may_be_any_bytes() -> None:
    key = bytes(range(0x80, 0x100))
    safe = Safe({"url": b"https://example.org/", "hmacKey": key})
    meant = tracker(reporter={"kind": "webhook", "keySecretRef": {"name": HERE[1]}})
    found = await safe.credentials.credential(meant, max_age=0.0)
    assert found.hmac_key is not None
    assert found.hmac_key.reveal().encode("utf-8", "surrogateescape") == key


@pytest.mark.parametrize("key", ["url", "token", "hmacKey"])
@in_virtual_time
async def test_no_value_of_a_webhooks_secret_is_too_long(key: str) -> None:
    data = {"url": b"https://example.org/", "token": b"t", "hmacKey": b"k"} | {key: b"x" * (LONGEST + 1)}
    safe = Safe(data)
    with pytest.raises(CredentialsError) as caught:
        await safe.credentials.credential(
            tracker(reporter={"kind": "webhook", "keySecretRef": {"name": HERE[1]}}), max_age=0.0
        )
    assert caught.value.reason == "SecretKeyTooLong"
    assert f"under the key {key}" in caught.value.message
    assert safe.redactor._size == 0


# what is wrong with it


@pytest.mark.parametrize(
    ("secret", "reporter", "reason", "said"),
    [
        pytest.param(
            None,
            by_secret(),
            "SecretNotFound",
            "kubectl -n team create secret generic pod-tracker-reporter --from-literal=token=",
            id="none",
        ),
        pytest.param({}, by_secret(), "SecretKeyMissing", "under the key token", id="empty"),
        pytest.param({"other": b"x"}, by_secret(), "SecretKeyMissing", "under the key token", id="no default key"),
        pytest.param(
            {"token": b"x"}, by_secret(key="mine"), "SecretKeyMissing", "under the key mine", id="no such key"
        ),
        pytest.param({"token": b" \n"}, by_secret(), "SecretKeyMissing", "under the key token", id="a blank value"),
        pytest.param(
            {"token": b"x" * (LONGEST + 1)}, by_secret(), "SecretKeyTooLong", "put at most 4096 there", id="too long"
        ),
        pytest.param(FORBIDDEN, by_secret(), "SecretForbidden", "may not read", id="forbidden"),
    ],
)
@in_virtual_time
async def test_what_is_missing_is_said(
    secret: Mapping[str, bytes] | KubeError | None, reporter: dict[str, Any], reason: str, said: str
) -> None:
    with pytest.raises(CredentialsError) as caught:
        await Safe(secret).token(reporter)
    assert caught.value.reason == reason
    assert said in caught.value.message


@in_virtual_time
async def test_the_name_of_the_key_that_is_missing_in_a_new_secret_is_the_trackers() -> None:
    with pytest.raises(CredentialsError) as caught:
        await Safe().token(by_secret(key="mine"))
    assert "--from-literal=mine=" in caught.value.message


@in_virtual_time
async def test_a_forbidden_secret_comes_with_the_commands_that_allow_it() -> None:
    with pytest.raises(CredentialsError) as caught:
        await Safe(FORBIDDEN).token()
    name = "pod-tracker-secret-reader-pod-tracker-reporter"
    role = f"kubectl -n team create role {name} --verb=get --resource=secrets"
    binding = f"kubectl -n team create rolebinding {name} --role={name}"
    assert f"{role} --resource-name=pod-tracker-reporter" in caught.value.message
    account = "pod-tracker-system:pod-tracker-controller-manager"
    assert f"{binding} --serviceaccount={account}" in caught.value.message


@in_virtual_time
async def test_other_values_of_the_secret_are_not_shown() -> None:
    with pytest.raises(CredentialsError) as caught:
        await Safe({"old": SECRET.encode()}).token()
    assert SECRET not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("error", [DOWN, KubeError(500, "InternalError", "etcd"), KubeError(429, "TooMany", "slow")])
@in_virtual_time
async def test_an_api_server_that_does_not_answer_is_no_verdict(error: KubeError) -> None:
    safe = Safe(error)
    with pytest.raises(KubeError):
        await safe.token()
    safe.source.secrets[HERE] = {"token": SECRET.encode()}
    assert await safe.token() == Token(SECRET)


# how often it is read


@in_virtual_time
async def test_a_thousand_trackers_with_one_secret_cost_one_read() -> None:
    safe = Safe({"token": SECRET.encode()})
    safe.source.gate = asyncio.Event()
    asking = [asyncio.create_task(safe.token(uid=f"t{number}")) for number in range(1000)]
    await quiet()
    safe.source.gate.set()
    assert set(await asyncio.gather(*asking)) == {Token(SECRET)}
    assert safe.source.read == [HERE]


@in_virtual_time
async def test_secrets_of_several_namespaces_are_several_secrets() -> None:
    safe = Safe({"token": SECRET.encode()})
    safe.source.secrets["other", "pod-tracker-reporter"] = {"token": b"xoxb-other"}
    assert await safe.token() == Token(SECRET)
    assert await safe.token(namespace="other") == Token("xoxb-other")
    assert await safe.token(namespace="other") == Token("xoxb-other")
    assert len(safe.source.read) == 2


@pytest.mark.parametrize(("pause", "reads"), [(0.0, 1), (29.0, 1), (31.0, 2)])
@in_virtual_time
async def test_a_recent_answer_serves(pause: float, reads: int) -> None:
    safe = Safe({"token": SECRET.encode()})
    await safe.token()
    await passing(pause)
    await safe.token(max_age=30.0)
    assert len(safe.source.read) == reads


@in_virtual_time
async def test_a_changed_secret_is_seen() -> None:
    safe = Safe({"token": b"xoxb-old"})
    await safe.token()
    safe.source.secrets[HERE] = {"token": b"xoxb-new"}
    assert await safe.token(max_age=30.0) == Token("xoxb-old")
    await passing(5.0)
    assert await safe.token(max_age=TOGETHER) == Token("xoxb-new")


@in_virtual_time
async def test_a_secret_that_is_missing_is_asked_for_no_more_often_than_one_that_is_there() -> None:
    safe = Safe()
    for _ in range(5):
        with pytest.raises(CredentialsError):
            await safe.token()
    assert len(safe.source.read) == 1


# answers that several share


class Oracle:
    """Answers with a number, or with the error that is set for the key."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.errors: dict[str, Exception] = {}
        self.gates: dict[str, asyncio.Event] = {}
        self.shared: _Shared[str, int] = _Shared(self.ask, clock)

    async def ask(self, key: str) -> int:
        self.asked.append(key)
        if key in self.gates:
            await self.gates[key].wait()
        if key in self.errors:
            raise self.errors[key]
        return len(self.asked)


@in_virtual_time
async def test_questions_of_different_keys_do_not_wait_for_each_other() -> None:
    oracle = Oracle()
    oracle.gates["slow"] = asyncio.Event()
    slow = asyncio.create_task(oracle.shared.get("slow", 10.0))
    await quiet()
    assert await oracle.shared.get("fast", 10.0) == 2
    oracle.gates["slow"].set()
    assert await slow == 2


@in_virtual_time
async def test_a_failed_question_is_no_answer() -> None:
    oracle = Oracle()
    oracle.errors["a"] = DOWN
    with pytest.raises(KubeError):
        await oracle.shared.get("a", 10.0)
    oracle.errors.clear()
    assert await oracle.shared.get("a", 10.0) == 2


@in_virtual_time
async def test_who_waits_behind_a_failed_question_asks_again() -> None:
    oracle = Oracle()
    gate = oracle.gates["a"] = asyncio.Event()
    oracle.errors["a"] = DOWN
    asking = [asyncio.create_task(oracle.shared.get("a", 10.0)) for _ in range(3)]
    await quiet()
    gate.set()
    answers = await asyncio.gather(*asking, return_exceptions=True)
    assert all(isinstance(answer, KubeError) for answer in answers)


@in_virtual_time
async def test_who_gives_up_leaves_the_others_their_answer() -> None:
    oracle = Oracle()
    gate = oracle.gates["a"] = asyncio.Event()
    first = asyncio.create_task(oracle.shared.get("a", 10.0))
    second = asyncio.create_task(oracle.shared.get("a", 10.0))
    await quiet()
    first.cancel()
    await quiet()
    gate.set()
    assert await second == 2


@in_virtual_time
async def test_answers_that_nobody_wants_are_dropped() -> None:
    oracle = Oracle()
    for number in range(100):
        await oracle.shared.get(f"key-{number}", 10.0)
    await passing(7200.0)
    await oracle.shared.get("last", 10.0)
    assert set(oracle.shared._slots) == {"last"}


@in_virtual_time
async def test_answers_do_not_pile_up_however_fast_new_ones_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("podtracker.credentials.MOST_ANSWERS", 1000)
    oracle = Oracle()
    most = 0
    for number in range(10_000):
        await oracle.shared.get(f"key-{number}", 10.0)
        await oracle.shared.get("in use", 10.0)
        await asyncio.sleep(0.01)
        most = max(most, len(oracle.shared._slots))
    assert most <= 1200
    assert set(oracle.shared._slots) >= {"key-9999", "in use"}


@in_virtual_time
async def test_an_answer_dropped_while_somebody_was_about_to_ask_does_no_harm() -> None:
    # "old" is asked again after two hours; that fails, and while the next in line is about to take over, the end of
    # another question drops what is old.
    oracle = Oracle()
    await oracle.shared.get("old", 10.0)
    await passing(7200.0)
    old, other = asyncio.Event(), asyncio.Event()
    oracle.gates |= {"old": old, "other": other}
    oracle.errors["old"] = DOWN
    waiting = [asyncio.create_task(oracle.shared.get("old", 10.0)) for _ in range(2)]
    beside = asyncio.create_task(oracle.shared.get("other", 10.0))
    await quiet()
    old.set()
    other.set()
    await asyncio.sleep(0)
    oracle.errors.clear()
    await asyncio.gather(*waiting, beside, return_exceptions=True)
    await passing(7200.0)
    for key in ("new", "newer", "old", "other"):
        assert await oracle.shared.get(key, 10.0)


# verifying


class Desk:
    """A verifier and its receiver."""

    def __init__(self) -> None:
        self.reporter = FakeReporter()
        self.verifier = Verifier({"slack": self.reporter}, clock=clock)

    async def check(self, where: Destination | None = None, max_age: float = 600.0) -> DeliveryError | None:
        return await self.verifier.check(where or destination(), max_age=max_age)


@in_virtual_time
async def test_a_token_is_checked_once_for_all_its_channels() -> None:
    desk = Desk()
    for channel in ("C1", "C2", "C3"):
        assert await desk.check(destination(channel)) is None
    assert desk.reporter.verified == [destination("")]


@in_virtual_time
async def test_a_thousand_that_ask_at_once_cost_one_check() -> None:
    desk = Desk()
    gate = desk.reporter.gate = asyncio.Event()
    asking = [asyncio.create_task(desk.check(destination(f"C{number}"))) for number in range(1000)]
    await quiet()
    gate.set()
    assert set(await asyncio.gather(*asking)) == {None}
    assert len(desk.reporter.verified) == 1


@in_virtual_time
async def test_each_token_is_checked() -> None:
    desk = Desk()
    await desk.check(destination(token="xoxb-1"))
    await desk.check(destination(token="xoxb-2"))
    assert len(desk.reporter.verified) == 2


@in_virtual_time
async def test_a_refusal_is_kept_for_as_long_as_the_asker_allows() -> None:
    desk = Desk()
    desk.reporter.verdict = refused("InvalidAuth")
    for _ in range(5):
        problem = await desk.check()
        assert problem is not None
        assert problem.failure is Failure.REFUSED
    assert len(desk.reporter.verified) == 1
    await passing(601.0)
    desk.reporter.verdict = None
    assert await desk.check() is None


@pytest.mark.parametrize("error", [retry(), throttled()], ids=["unreachable", "throttled"])
@in_virtual_time
async def test_that_a_receiver_could_not_be_asked_is_not_kept(error: DeliveryError) -> None:
    desk = Desk()
    desk.reporter.verdict = error
    assert await desk.check() is error
    await passing(TOGETHER + 1)
    desk.reporter.verdict = None
    assert await desk.check() is None


@in_virtual_time
async def test_that_a_receiver_could_not_be_asked_is_shared_by_those_who_ask_together() -> None:
    desk = Desk()
    desk.reporter.verdict = retry()
    answers = await asyncio.gather(*(desk.check() for _ in range(100)))
    assert {answer is not None for answer in answers} == {True}
    assert len(desk.reporter.verified) == 1
