# SPDX-License-Identifier: Apache-2.0
"""`podtracker check` and the API server say the same of the same manifests, in the same words."""

from __future__ import annotations

import re
from typing import Any, Final

from commands.wrong_trackers import KEY, REFUSED, TAKEN, TIMES, UNKNOWN, of
from podtracker.commands.schema import problems
from support.kube import ApiError, Kube
from support.scene import NewNamespace

_REPEATED: Final = r"(Invalid value: ((\"[^\"]*\"|\d+|null): )?)?"
"""What the API server puts before its sentence."""


async def refusal(kube: Kube, namespace: str, body: dict[str, Any]) -> str:
    """What the API server says against a tracker; nothing is made."""
    said = ""
    try:
        await kube.create(body, namespace, dryRun="All", fieldValidation="Strict")
    except ApiError as error:
        said = error.message
    assert KEY not in said
    return said


async def test_both_say_the_same_in_the_same_words(kube: Kube, new_namespace: NewNamespace) -> None:
    namespace = await new_namespace()
    for name, body in TAKEN.items():
        assert (name, await refusal(kube, namespace, body)) == (name, "")
        assert (name, problems(body)) == (name, [])
    for name, (body, _) in REFUSED.items():
        _, _, rest = (await refusal(kube, namespace, body)).partition(" is invalid: ")
        assert rest, name
        for problem in problems(body):
            sentence = f"{re.escape(problem.field) or '<nil>'}: {_REPEATED}{re.escape(problem.message)}"
            rest, count = re.subn(sentence, "", rest, count=1)
            assert count == 1, f"{name}: {problem} is not in {rest}"
        assert not rest.strip("[], "), f"{name}: {rest}"


async def test_both_know_the_same_times(kube: Kube, new_namespace: NewNamespace) -> None:
    namespace = await new_namespace()
    for time, good in TIMES.items():
        assert (time, await refusal(kube, namespace, of(muteUntil=time)) == "") == (time, good)


async def test_both_know_the_same_fields(kube: Kube, new_namespace: NewNamespace) -> None:
    namespace = await new_namespace()
    for field, body in UNKNOWN.items():
        assert f'unknown field "{field}"' in await refusal(kube, namespace, body)
