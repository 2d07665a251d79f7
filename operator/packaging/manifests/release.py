# SPDX-License-Identifier: Apache-2.0
"""`make release VERSION=x.y.z`: everything in the repository that a version number touches, in one reviewable diff.

It writes the version and the date into `values.yaml` and the operator, dates the changelog, renders everything anew, so
that the CSV replaces the version before and the catalog's channels go on, and keeps the bundle as it is published in
`releases/`. A bundle that the validator refuses, such as one with a CRD that OLM would not upgrade to, is not released.
Committing, tagging, building and pushing remain to be done; the command says how.
"""

from __future__ import annotations

import datetime as dt
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from bundlecheck.running import check_bundle
from bundlecheck.semver import precedence
from manifests.errors import ReleaseError
from manifests.overrides import Overrides
from manifests.render import MARK, render
from manifests.sources import SEMVER, VALUES_FILE, load_values
from manifests.tree import update

RELEASES: Final = "releases"
_CODE: Final = "operator/podtracker/__init__.py"
_CHANGELOG: Final = "CHANGELOG.md"
_UNRELEASED: Final = "## [Unreleased]\n"
_MARKED: Final = re.compile(rf"^{re.escape(MARK)}.*$", re.MULTILINE)


def release(root: Path, version: str, *, date: str, channels: Sequence[str] | None = None) -> tuple[str, ...]:
    """Make the working tree that of a version; returns the paths that changed.

    Nothing is written unless everything can be.

    Args:
        root: the repository; everything in it has to be committed.
        version: the version, newer than all that were released.
        date: when it is released, as 2026-11-22.
        channels: the channels that get it; those of values.yaml where absent.

    Raises:
        ReleaseError: the version, the repository's state or the changelog does not allow it; says what to do.
        ManifestsError: the templates cannot be rendered.
    """
    _check_version(root, version)
    _check_clean(root)
    templates = root / "templates"
    overrides = Overrides(version=version, release_date=date, channels=tuple(channels) if channels else None)
    changes = {
        f"templates/{VALUES_FILE}": _values(templates, overrides),
        _CODE: _replace_line(root / _CODE, r'__version__ = ".*"', f'__version__ = "{version}"'),
        _CHANGELOG: _changelog(root / _CHANGELOG, version, date),
    }
    rendered = render(templates, overrides, releases=root / RELEASES)
    _check_bundle(root, rendered)
    kept = _published(rendered, version)
    changed = [path for path, text in changes.items() if (root / path).read_text(encoding="utf-8") != text]
    for path, text in (*changes.items(), *kept.items()):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(text.encode())
    return tuple(sorted({*changed, *kept, *(path for path, _ in update(rendered, root))}))


def next_steps(version: str) -> str:
    """What remains to be done, as commands."""
    return (
        "Look at the diff. Then:\n"
        f"  git add -A && git commit -m 'Release {version}' && git tag v{version}\n"
        "  make docker-buildx bundle-build bundle-push catalog-build catalog-push\n"
        "For OperatorHub: make community-export COMMUNITY_DIR=... (a clone of its repository).\n"
    )


def _check_version(root: Path, version: str) -> None:
    if not re.fullmatch(SEMVER, version):
        raise ReleaseError(f"{version!r} is no semantic version: write VERSION=1.2.3 or VERSION=1.2.3-rc.1, without v")
    folder = root / RELEASES
    released = sorted((path.name for path in folder.iterdir()), key=precedence) if folder.is_dir() else []
    if version in released:
        raise ReleaseError(f"{version} is released already; what is published is never changed: choose a newer version")
    current = load_values(root / "templates").version
    newest = max((*released, current), key=precedence)
    if precedence(version) < precedence(newest):
        raise ReleaseError(f"{version} is older than {newest}: choose a newer version")


def _check_clean(root: Path) -> None:
    dirty = _git(root, "status", "--porcelain").splitlines()
    if dirty:
        shown = "\n".join(dirty[:10] + (["…"] if dirty[10:] else []))
        raise ReleaseError(f"commit or put away these changes first, so that the release is one diff:\n{shown}")


def _check_bundle(root: Path, rendered: Mapping[str, str]) -> None:
    """Refuse what our own checks refuse, among them those against the releases before."""
    with tempfile.TemporaryDirectory(prefix="release-") as folder:
        made = Path(folder)
        for path, text in rendered.items():
            (made / path).parent.mkdir(parents=True, exist_ok=True)
            (made / path).write_bytes(text.encode())
        (made / RELEASES).symlink_to((root / RELEASES).resolve())
        findings = check_bundle(made / "bundle", catalog=made / "catalog")
    if findings:
        told = (f"{each.file}: {each.path}: {each.message}\n    {each.remedy} [{each.check}]" for each in findings)
        raise ReleaseError("the bundle of this version has faults; mend them first:\n" + "\n".join(told))


def _git(root: Path, *arguments: str) -> str:
    git = shutil.which("git")
    if git is None:
        raise ReleaseError("git is not on PATH; install it")
    done = subprocess.run([git, "-C", str(root), *arguments], capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise ReleaseError(f"git {arguments[0]} failed: {done.stderr.strip()}")
    return done.stdout


def _values(templates: Path, overrides: Overrides) -> str:
    """values.yaml with the release in it; its comments stay."""
    file = templates / VALUES_FILE
    text = _replace_line(file, r"version: \S+", f"version: {overrides.version}")
    text = _replace_in(text, r'releaseDate: "[^"]*"', f'releaseDate: "{overrides.release_date}"', file)
    if overrides.channels:
        text = _replace_in(text, r"channels: \[.*\]", f"channels: [{', '.join(overrides.channels)}]", file)
    return text


def _replace_line(file: Path, pattern: str, line: str) -> str:
    return _replace_in(file.read_text(encoding="utf-8"), pattern, line, file)


def _replace_in(text: str, pattern: str, line: str, file: Path) -> str:
    result, count = re.subn(rf"^{pattern}", line, text, flags=re.MULTILINE)
    if count != 1:
        raise ReleaseError(f"{file} must have exactly one line like {line!r}; restore it")
    return result


def _changelog(file: Path, version: str, date: str) -> str:
    """The changelog, what is unreleased made that version's."""
    text = file.read_text(encoding="utf-8")
    before, heading, after = text.partition(_UNRELEASED)
    news = re.split(r"^## ", after, maxsplit=1, flags=re.MULTILINE)[0]
    if not heading or not news.strip():
        raise ReleaseError(f"{file.name} has nothing under [Unreleased]: write what users notice in this version")
    return f"{before}{heading}\n## [{version}] - {date}\n{after}"


def _published(rendered: dict[str, str], version: str) -> dict[str, str]:
    """The bundle's files, as they are kept: never rendered again."""
    said = f"# As published in version {version}; never changed."
    return {
        path.replace("bundle/", f"{RELEASES}/{version}/", 1): _MARKED.sub(said, text, count=1)
        for path, text in rendered.items()
        if path.startswith("bundle/")
    }


def today() -> str:
    """The date, in UTC."""
    return dt.datetime.now(dt.UTC).date().isoformat()
