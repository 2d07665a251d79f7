# SPDX-License-Identifier: Apache-2.0
"""The operator's image, built with the Dockerfile; for a node made from packages on a base of Debian packages too.

`python -m kindnode.operator_image` builds it, loads it into the cluster and prints its name.
"""

import argparse
import configparser
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from devcluster.cache import cache_root
from devcluster.errors import ClusterError, sentence
from devcluster.lock import exclusive
from devcluster.progress import Progress, to_stderr
from kindnode import pieces
from kindnode.cluster import Cluster
from kindnode.debian import root_file_system
from kindnode.engine import Engine

IMAGE: Final = "localhost/pod-tracker/operator:e2e"
"""Name of the image, unless another is asked for."""

REPOSITORY: Final = Path(__file__).resolve().parents[2]

_BASE: Final = "localhost/pod-tracker/operator-base"
_PACKAGES: Final = ("python3", "python3-venv", "ca-certificates")
_PIP_OPTIONS: Final = ("index-url", "extra-index-url", "trusted-host", "timeout", "default-timeout", "retries", "proxy")
"""Of the machine's pip configuration, what also holds inside the build; its certificates do too."""

_PIP_CONF: Final = "/etc/pip.conf"
_CERTIFICATES: Final = "/run/pip-certificates.pem"


def build(cluster: Cluster, image: str = IMAGE, *, install: bool = False, build_args: Sequence[str] = ()) -> str:
    """Build the operator's image from this repository's Dockerfile; return its name. 1 min, without changes 3 s.

    Args:
        cluster: whose engine is used; it need not be up.
        image: the name that it gets.
        install: install missing Debian packages.
        build_args: arguments of the Dockerfile, such as `VERSION=0.2.0`.

    Raises:
        ClusterError: it cannot be built; the text says why.
    """
    engine = cluster.engine
    arguments = [f"--build-arg={each}" for each in build_args]
    arguments += [f"--file={REPOSITORY / 'Dockerfile'}", f"--tag={image}", str(REPOSITORY)]
    what = f"building {image}, usually 1 min"
    if not engine.own:
        engine.must([str(shutil.which(engine.program)), "build", *arguments], what)
        return image
    pieces.ensure(engine, install=install)
    folder = cache_root() / "kindnode"
    folder.mkdir(parents=True, exist_ok=True)
    with exclusive(cache_root() / "kindnode.lock", what="makes an image", progress=to_stderr):
        command = [str(shutil.which("podman")), "build", "--isolation=chroot", "--pull=never", "--format=docker"]
        command += ["--layers", f"--build-arg=BASE_IMAGE={_base_image(engine, folder)}"]
        command += [f"--volume={source}:{target}:ro" for source, target in _pip_files(folder)]
        engine.must([*command, *arguments], what)
    return image


def _base_image(engine: Engine, folder: Path) -> str:
    """Return the name of the base image of Debian packages, made when it is not there."""
    file = root_file_system(engine, folder, "operator", "minbase", _PACKAGES)
    base = f"{_BASE}:{file.stem.rpartition('-')[2]}"
    if engine.ask("image", "exists", base) is None:
        podman = str(shutil.which("podman"))
        engine.must([podman, "import", "--quiet", str(file), base], "importing the operator's base image")
    return base


def load(cluster: Cluster, image: str) -> None:
    """Put an image of the engine's store on the cluster's node.

    Raises:
        ClusterError: it is not there, or the cluster is not up.
    """
    image_id = (cluster.engine.ask("image", "inspect", "--format={{.Id}}", image) or "absent").strip()
    mark = f"/kind/loaded-{image.replace('/', '_')}-{image_id}"
    if cluster.on_node("test", "-e", mark) is not None:
        return
    archive = cache_root() / "kindnode" / "operator-image.tar"
    archive.unlink(missing_ok=True)
    podman = cluster.engine.program == "podman"
    save = [str(shutil.which(cluster.engine.program)), "save", *(["--format=docker-archive"] if podman else [])]
    cluster.engine.must([*save, f"--output={archive}", image], f"saving {image}")
    try:
        cluster.load(archive)
        cluster.on_node("sh", "-c", f"rm -f /kind/loaded-{image.replace('/', '_')}-* && touch {mark}")
    finally:
        archive.unlink(missing_ok=True)


def pip_configuration(configured: Mapping[str, str], environment: Mapping[str, str]) -> dict[str, str]:
    """Return the options that pip uses on this machine: those of its environment over those of its file."""
    options = dict(configured)
    for option in (*_PIP_OPTIONS, "cert"):
        value = environment.get("PIP_" + option.upper().replace("-", "_"))
        if value:
            options[option] = value
    if "cert" not in options and environment.get("SSL_CERT_FILE"):
        options["cert"] = environment["SSL_CERT_FILE"]
    return {key: value for key, value in options.items() if key in _PIP_OPTIONS or key == "cert"}


def _pip_files(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield the files that are mounted for the build only, and where: pip's configuration and its certificates."""
    parser = configparser.RawConfigParser()
    parser.read([_PIP_CONF, Path.home() / ".config/pip/pip.conf", os.environ.get("PIP_CONFIG_FILE", _PIP_CONF)])
    configured = dict(parser["global"]) if parser.has_section("global") else {}
    options = pip_configuration(configured, os.environ)
    certificates = Path(options.pop("cert", ""))
    if certificates.is_file():
        options["cert"] = _CERTIFICATES
        yield certificates, _CERTIFICATES
    conf = folder / "pip.conf"
    conf.write_text("[global]\n" + "".join(f"{key} = {value}\n" for key, value in options.items()))
    yield conf, _PIP_CONF


def main(argv: Sequence[str] | None = None, progress: Progress = to_stderr) -> int:
    """Build, load and print the name; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m kindnode.operator_image", description=__doc__)
    parser.add_argument("--image", default=IMAGE, help=f"its name (default {IMAGE})")
    parser.add_argument("--build-arg", action="append", default=[], help="NAME=VALUE for the Dockerfile; repeatable")
    parser.add_argument("--no-load", action="store_true", help="do not load it into the cluster")
    args = parser.parse_args(argv)
    try:
        cluster = Cluster(progress=progress)
        build(cluster, args.image, build_args=args.build_arg)
        if not args.no_load:
            load(cluster, args.image)
    except ClusterError as exc:
        progress(str(exc))
        return 1
    except OSError as exc:
        progress(sentence(exc, cache_root()))
        return 1
    sys.stdout.write(f"{args.image}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
