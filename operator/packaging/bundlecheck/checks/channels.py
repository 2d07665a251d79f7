# SPDX-License-Identifier: Apache-2.0
"""§1h, §1i and §6: the channels of a catalog, which are its graphs of upgrades."""

from __future__ import annotations

from collections import Counter
from typing import Final

from bundlecheck import semver
from bundlecheck.checks.catalogs import CHANNEL, blobs, channels
from bundlecheck.node import Node
from bundlecheck.registry import ERROR, WARNING, Problems, check
from bundlecheck.subject import Subject

_OPM: Final = "§1i; opm validate"


@check(
    "catalog-channel-entries",
    ERROR,
    _OPM,
    "Write at least one entry, each name once.",
    needs_csv=False,
)
def entries(subject: Subject) -> Problems:
    """Each channel has a name of its own, and entries, each once."""
    counts = Counter((node.at("package").text, node.at("name").text) for node in blobs(subject, CHANNEL))
    for channel, known in channels(subject):
        name = channel.at("name")
        if not name.text or counts[channel.at("package").text, name.text] > 1:
            yield name, f"the channel `{name.value}` has no name, or is there twice"
        if not channel.at("entries").items():
            yield channel.at("entries"), "there are no entries"
        elif len(known) < len(channel.at("entries").items()) or "" in known:
            yield channel.at("entries"), "an entry has no name, or is there twice"


def _incoming(known: dict[str, Node]) -> set[str]:
    """What entries replace or skip."""
    return {name for each in known.values() for name in [each.at("replaces").text, *each.at("skips").texts()] if name}


def _chain(known: dict[str, Node], head: str) -> tuple[list[str], bool]:
    """The entries from the head through `replaces`, and whether they come back to one of them."""
    skipped = {name for each in known.values() for name in each.at("skips").texts()}
    chain = [head]
    while chain[-1] in known:
        below = known[chain[-1]].at("replaces").text
        if not below or below in skipped:
            break
        if below in chain:
            return chain, True
        chain.append(below)
    return chain, False


@check(
    "catalog-channel-head",
    ERROR,
    f"{_OPM}, model",
    "Let each release replace the one before it, so that only the newest is replaced by none.",
    needs_csv=False,
)
def head(subject: Subject) -> Problems:
    """Each channel has exactly one head: an entry that none replaces or skips."""
    for channel, known in channels(subject):
        heads = sorted(known.keys() - _incoming(known))
        if known and len(heads) != 1:
            yield channel.at("entries"), f"there are {len(heads)} heads{': ' if heads else ''}{', '.join(heads)}"


@check(
    "catalog-channel-cycle",
    ERROR,
    f"{_OPM}, model; OperatorHub pipeline, check_upgrade_graph_loop",
    "Correct `replaces`.",
    needs_csv=False,
)
def cycle(subject: Subject) -> Problems:
    """No entry replaces, through others, itself."""
    for channel, known in channels(subject):
        heads = known.keys() - _incoming(known)
        if len(heads) == 1:
            chain, circular = _chain(known, next(iter(heads)))
            if circular:
                yield channel.at("entries"), f"{chain[-1]} leads back into {' -> '.join(chain)}"


@check(
    "catalog-channel-stranded",
    ERROR,
    f"{_OPM}, model; OperatorHub pipeline, check_dangling_bundles",
    "Reach it by `replaces` from the head, or skip it.",
    needs_csv=False,
)
def stranded(subject: Subject) -> Problems:
    """Every entry is reached from the head, or skipped."""
    for channel, known in channels(subject):
        heads = known.keys() - _incoming(known)
        if len(heads) != 1:
            continue
        chain, circular = _chain(known, next(iter(heads)))
        skipped = {name for each in known.values() for name in each.at("skips").texts()}
        lost = sorted(known.keys() - set(chain) - skipped)
        if lost and not circular:
            yield channel.at("entries"), f"no upgrade leads from {', '.join(lost)} to the head"


@check(
    "catalog-replaces-exists",
    WARNING,
    "§1h; OperatorHub pipeline, check_replaces_availability; §6: never prune a published bundle",
    "Keep the older releases in the catalog.",
    needs_csv=False,
)
def replaces_exists(subject: Subject) -> Problems:
    """What an entry replaces is in the channel too."""
    for _, known in channels(subject):
        for each in known.values():
            if each.at("replaces").text and each.at("replaces").text not in known:
                yield each.at("replaces"), f"`{each.at('replaces').text}` is not in the channel"


@check(
    "catalog-skips",
    ERROR,
    f"{_OPM}, model",
    "Write names into skips, and a range such as `>=0.1.0 <0.2.0` into skipRange.",
    needs_csv=False,
)
def skips(subject: Subject) -> Problems:
    """Skips have names, skipRange is a range."""
    for _, known in channels(subject):
        for each in known.values():
            for node in each.at("skips").items():
                if not node.text:
                    yield node, "it is empty"
            span = each.at("skipRange")
            if span.exists and not semver.is_range(span.text):
                yield span, f"`{span.value}` is no range of versions"


@check(
    "catalog-channel-names",
    WARNING,
    "§6; OLM's naming of channels",
    "Name channels candidate, fast or stable, with `-v1` or such behind it where wanted.",
    needs_csv=False,
)
def channel_names(subject: Subject) -> Problems:
    """Channels have the names that administrators know."""
    for node in (channel.at("name") for channel in blobs(subject, CHANNEL)):
        if node.text and not node.text.startswith(("candidate", "fast", "stable")):
            yield node, f"`{node.text}` begins with none of candidate, fast, stable"
