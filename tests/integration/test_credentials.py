# SPDX-License-Identifier: Apache-2.0
"""Where the token comes from: a Secret that may be missing, incomplete, forbidden or changed, or the tracker itself."""

from __future__ import annotations

import re
import shlex

from fakeslack.server import FakeSlack
from support.install import OPERATOR_ACCOUNT, OPERATOR_NAMESPACE
from support.manifests import OTHER_SECRET, REPORTER_SECRET
from support.scene import Scene

MESSAGE = "Pod nginx was created"


async def test_secret_that_comes_later(scene: Scene) -> None:
    """A missing Secret shows at once; made later, what waited arrives, once."""
    await scene.kube.delete("Secret", REPORTER_SECRET, scene.namespace)
    await scene.operate()
    await scene.track()
    condition = await scene.condition("ReporterReady", "False", "SecretNotFound")
    assert REPORTER_SECRET in condition["message"]
    await scene.condition("Ready", "False", "SecretNotFound")
    await scene.run("nginx")
    await scene.put_secret(token=scene.token)
    await scene.delivered(MESSAGE)
    await scene.condition("ReporterReady", "True", "Delivered")
    await scene.condition("CredentialsSecure", "True", "SecretRef")
    await scene.fence()
    assert len(scene.posts()) == 1


async def test_key_that_comes_later(scene: Scene) -> None:
    """A Secret without the key, or with an empty one, says which key is missing."""
    await scene.put_secret("pod-tracker-reporter", other="x")
    await scene.kube.patch("Secret", REPORTER_SECRET, scene.namespace, {"data": {"token": ""}})
    await scene.operate()
    await scene.track("default-key")
    await scene.track("own-key", secret_key="bot")
    assert (
        "token"
        in (await scene.condition("ReporterReady", "False", "SecretKeyMissing", tracker="default-key"))["message"]
    )
    assert "bot" in (await scene.condition("ReporterReady", "False", "SecretKeyMissing", tracker="own-key"))["message"]
    await scene.run("nginx")
    await scene.put_secret(bot=scene.token)
    await scene.delivered(MESSAGE)
    await scene.condition("ReporterReady", "True", "Delivered", tracker="own-key")
    await scene.condition("ReporterReady", "False", "SecretKeyMissing", tracker="default-key")


async def test_forbidden_secrets_and_the_way_out(scene: Scene) -> None:
    """Other Secrets are forbidden; the two commands of each condition, run as they stand, allow just that one."""
    await scene.operate()
    for secret in (OTHER_SECRET, "another"):
        await scene.put_secret(secret, token=scene.token)
        await scene.track(secret, secret=secret, pod=secret)
        await scene.run(secret)
    for secret in (OTHER_SECRET, "another"):
        message = (await scene.condition("ReporterReady", "False", "SecretForbidden", tracker=secret))["message"]
        commands = [command.strip() for command in re.findall(r"kubectl -n .*?(?= && |$)", message)]
        kubectl, role = f"kubectl -n {scene.namespace}", f"pod-tracker-secret-reader-{secret}"
        account = f"{OPERATOR_NAMESPACE}:{OPERATOR_ACCOUNT}"
        assert commands == [
            f"{kubectl} create role {role} --verb=get --resource=secrets --resource-name={secret}",
            f"{kubectl} create rolebinding {role} --role={role} --serviceaccount={account}",
        ]
        for command in commands:
            await scene.kubectl(*shlex.split(command)[1:])
        await scene.condition("ReporterReady", "True", "Delivered", tracker=secret)
    await scene.delivered(*(f"Pod {secret} was created" for secret in (OTHER_SECRET, "another")))


async def test_rotated_secret(scene: Scene, slack: FakeSlack) -> None:
    """A new token in the Secret is used from the next read on, although the old one still works."""
    await scene.operate()
    await scene.track()
    await scene.run("nginx")
    await scene.delivered(MESSAGE)
    rotated = scene.new_token("any-string-")
    slack.tokens.add(rotated)
    await scene.put_secret(token=rotated)
    await scene.secret_reads()
    await scene.remove("nginx")
    await scene.run("nginx")
    messages = await scene.delivered(MESSAGE, MESSAGE)
    assert [message.token for message in messages] == [scene.token, rotated]


async def test_revoked_and_rotated(scene: Scene, slack: FakeSlack) -> None:
    """Rotated and revoked just before a pod: the refusal makes the Secret be read at once, not by SECRET_REFRESH."""
    await scene.operate(SECRET_REFRESH="3600")
    await scene.track()
    await scene.handled()
    rotated = scene.new_token()
    slack.tokens.add(rotated)
    slack.revoked.add(scene.token)
    await scene.put_secret(token=rotated)
    await scene.run("nginx")
    [message] = await scene.delivered(MESSAGE)
    assert message.token == rotated
    assert len(scene.posts()) == 2


async def test_secret_that_goes_away(scene: Scene) -> None:
    """A Secret deleted under a working tracker shows; made again, the tracker works again."""
    await scene.operate()
    await scene.track()
    await scene.condition("ReporterReady", "True", "TokenAccepted")
    await scene.kube.delete("Secret", REPORTER_SECRET, scene.namespace)
    await scene.condition("ReporterReady", "False", "SecretNotFound")
    await scene.put_secret(token=scene.token)
    await scene.condition("ReporterReady", "True", "TokenAccepted")


async def test_secret_with_a_newline_at_its_end(scene: Scene) -> None:
    """`echo token | base64` leaves a newline that nobody meant."""
    await scene.put_secret(token=scene.token + "\n")
    await scene.operate()
    await scene.track()
    await scene.run("nginx")
    [message] = await scene.delivered(MESSAGE)
    assert message.token == scene.token


async def test_spec_moves_between_inline_and_secret(scene: Scene, slack: FakeSlack) -> None:
    """CredentialsSecure tells where the token stands, whichever way it goes."""
    inline = scene.new_token()
    slack.tokens.add(inline)
    await scene.operate()
    await scene.track(key=inline)
    condition = await scene.condition("CredentialsSecure", "False", "InlineKey")
    assert "keySecretRef" in condition["message"]
    await scene.condition("Ready", "True", "Active")
    await scene.edit({"reporter": {"key": None, "keySecretRef": {"name": REPORTER_SECRET}}})
    await scene.condition("CredentialsSecure", "True", "SecretRef")
    await scene.run("nginx")
    [message] = await scene.delivered(MESSAGE)
    assert message.token == scene.token
