# SPDX-License-Identifier: Apache-2.0
"""Container images written straight into a docker archive: no engine, no Containerfile, the same bytes every time."""

import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

_PATH: Final = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class Image:
    """One image of an archive."""

    tag: str
    files: Mapping[str, Path]
    """What lies in it: paths without a leading slash, to the files they are copies of."""
    entrypoint: Sequence[str] = ()
    base: Path | None = None
    """A tar file with the root file system under the files."""
    links: Mapping[str, str] = field(default_factory=dict)
    """Symbolic links: paths without a leading slash, to their targets."""


def write_archive(path: Path, images: Iterable[Image], *, architecture: str) -> None:
    """Write a docker archive with these images.

    Raises:
        OSError: a file cannot be read or the archive cannot be written.
    """
    written: set[str] = set()
    manifest = []
    scratch = path.with_suffix(".layer")
    with tarfile.open(path, "w") as archive:
        for image in images:
            names = []
            for layer in _layers(image, scratch):
                digest = _sha256(layer)
                name = f"{digest}.tar"
                if name not in written:
                    written.add(name)
                    archive.add(layer, arcname=name, filter=_plain)
                names.append(name)
            config = _config(image, names, architecture)
            _add_bytes(archive, f"{hashlib.sha256(config).hexdigest()}.json", config)
            manifest.append(
                {"Config": f"{hashlib.sha256(config).hexdigest()}.json", "RepoTags": [image.tag], "Layers": names}
            )
        _add_bytes(archive, "manifest.json", json.dumps(manifest).encode())
    scratch.unlink(missing_ok=True)


def architecture() -> str:
    """Return the architecture of this machine, as images name it."""
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


def _layers(image: Image, scratch: Path) -> Iterable[Path]:
    if image.base is not None:
        yield image.base
    with tarfile.open(scratch, "w") as layer:
        for name, source in sorted(image.files.items()):
            layer.add(source, arcname=name, filter=_plain)
        for name, target in sorted(image.links.items()):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            layer.addfile(info)
    yield scratch


def _config(image: Image, layers: Sequence[str], architecture: str) -> bytes:
    return json.dumps(
        {
            "architecture": architecture,
            "os": "linux",
            "config": {"Env": [_PATH], "Entrypoint": list(image.entrypoint), "WorkingDir": "/"},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{name.removesuffix('.tar')}" for name in layers]},
            "history": [{"created_by": "kindnode"} for _ in layers],
        },
        sort_keys=True,
    ).encode()


def _plain(info: tarfile.TarInfo) -> tarfile.TarInfo:
    """Forget owner and time, so that the same content gives the same layer."""
    info.uid = info.gid = info.mtime = 0
    info.uname = info.gname = ""
    return info


def _add_bytes(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    archive.addfile(info, io.BytesIO(content))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
