# SPDX-License-Identifier: Apache-2.0
"""Make the node image, in steps whose results are kept until what they come from changes."""

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from devcluster import pins as control_plane
from devcluster.binaries import ensure_programs
from devcluster.cache import Cache
from devcluster.errors import ClusterError
from devcluster.lock import exclusive
from devcluster.progress import Progress
from kindnode import actor, pieces, pins, recipe
from kindnode.archive import Image, architecture, write_archive
from kindnode.debian import root_file_system
from kindnode.engine import Engine

_MAKER: Final = "pod-tracker-node-maker"
_ASK_TIMEOUT: Final = 60.0


class NodeImage:
    """The node image of the pinned version, and the programs it is made of."""

    def __init__(self, cache: Cache, engine: Engine, progress: Progress) -> None:
        """Use the cache folder; lines about what goes on go to `progress`."""
        self._cache = cache
        self._engine = engine
        self._progress = progress
        self._folder = cache.root / "kindnode"
        self.name = pins.node_image()

    def exists(self) -> bool:
        """Tell whether the image of just these pins is there."""
        listed = self._engine.ask(
            "image", "inspect", pins.node_image(), "--format", '{{index .Labels "pod-tracker.digest"}}'
        )
        return (listed or "").strip() == pins.digest()

    @property
    def digest(self) -> str:
        """What changes whenever the image would."""
        return pins.digest()

    def ensure(self, *, install: bool) -> None:
        """Make the image unless it is there: 2 to 10 minutes on 2 cores, depending on what is in the cache.

        Args:
            install: install missing Debian packages.

        Raises:
            ClusterError: it cannot be made; the text says what to do.
        """
        if self.exists():
            return
        pieces.ensure(self._engine, install=install)
        programs = {
            **ensure_programs(control_plane.PROGRAMS, self._progress),
            **ensure_programs(pins.PROGRAMS, self._progress, family=pins.PROGRAMS),
            **ensure_programs(pins.OWN_PROGRAMS, self._progress, family=pins.OWN_PROGRAMS),
        }
        with exclusive(self._cache.root / "kindnode.lock", what="makes the node image", progress=self._progress):
            if not self.exists():
                self._make(programs)

    def _make(self, programs: Mapping[str, Path]) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        base = root_file_system(self._engine, self._folder, "node", "minbase", pins.NODE_PACKAGES)
        proxy = root_file_system(self._engine, self._folder, "proxy", "essential", pins.PROXY_PACKAGES)
        tags = _wanted_images(programs["kubeadm"])
        archive = self._folder / "images.tar"
        self._engine.narrator.say("writing the images that kubeadm wants")
        write_archive(archive, system_images(tags, programs, proxy), architecture=architecture())
        context = self._context(programs, pause=tags["pause"])
        podman = str(shutil.which("podman"))
        base_image = "localhost/pod-tracker/node-base:latest"
        self._engine.must([podman, "import", "--quiet", str(base), base_image], "importing the Debian packages")
        bare = "localhost/pod-tracker/node-bare:latest"
        build = ["build", "--isolation=chroot", "--pull=never", "--format=docker", "--layers=false"]
        self._engine.must(
            [podman, *build, f"--build-arg=BASE={base_image}", f"--tag={bare}", str(context)], "building the bare node"
        )
        self._fill(podman, bare, archive)
        for leftover in (bare, base_image):
            self._engine.ask("image", "rm", "--force", leftover)
        self._engine.ask("image", "prune", "--force")  # the former node image, unless a cluster still runs it
        shutil.rmtree(context)
        archive.unlink()

    def _context(self, programs: Mapping[str, Path], *, pause: str) -> Path:
        """Return a folder with the Containerfile of the bare node and all it copies."""
        context = self._folder / "context"
        shutil.rmtree(context, ignore_errors=True)
        root = context / "root"
        source = self._kind_sources() / "images" / "base" / "files"
        shutil.copytree(source, root, ignore=shutil.ignore_patterns("LICENSES"))
        for path in root.rglob("*"):
            executable = path.is_dir() or path.parent in (root / "usr/local/bin", root / "kind/bin")
            path.chmod(0o755 if executable else 0o644)
        config = root / "etc/containerd/config.toml"
        try:
            config.write_text(recipe.containerd_config(config.read_text(), pause))
        except ValueError as exc:
            raise ClusterError(f"{exc}.") from exc
        _write(root / "etc/cni/net.d/10-pod-tracker.conflist", recipe.NETWORK)
        _write(root / "kind/version", control_plane.kubernetes_version())
        _write(root / "kind/bin/finish.sh", recipe.FINISH)
        _write(context / "Containerfile", recipe.CONTAINERFILE)
        (root / "usr/bin").mkdir(parents=True)
        for name in ("kubeadm", "kubelet", "kubectl"):
            shutil.copy(programs[name], root / "usr/bin" / name)
        return context

    def _kind_sources(self) -> Path:
        """Return the folder of kind's module, which the build of kind left in the module cache."""
        program = next(program for program in pins.PROGRAMS if program.name == "kind")
        version = control_plane.module_version((program.source / "go.mod").read_text(), "sigs.k8s.io/kind")
        folder = self._cache.go_modules / "sigs.k8s.io" / f"kind@{version}"
        if not folder.is_dir():  # the cache was cleaned after kind was built
            go = shutil.which("go")
            if go is None:
                msg = f"kind's sources are not in {folder}: remove {self._cache.programs} and run it again."
                raise ClusterError(msg)
            self._engine.must(
                [go, "-C", str(program.source), "mod", "download", "sigs.k8s.io/kind"], "downloading kind's sources"
            )
        return folder

    def _fill(self, podman: str, bare: str, archive: Path) -> None:
        """Import the images into the bare node's store and keep the result as the node image."""
        self._engine.ask("rm", "--force", "--volumes", _MAKER)
        try:
            run = ["run", f"--name={_MAKER}", "--privileged", "--network=none", f"--volume={archive}:/images.tar:ro"]
            command = ["--entrypoint=/bin/sh", bare, "-eu", "-c", recipe.IMPORT]
            run += ["--tmpfs=/tmp", "--tmpfs=/run"]
            self._engine.must([podman, *run, *command], "filling the node's image store")
            changes = [
                'ENTRYPOINT ["/usr/local/bin/entrypoint", "/sbin/init"]',
                "CMD []",
                "STOPSIGNAL SIGRTMIN+3",
                "ENV container=docker",
                f"LABEL pod-tracker.digest={pins.digest()}",
            ]
            self._engine.must(
                [podman, "commit", "--quiet", *(f"--change={each}" for each in changes), _MAKER, pins.node_image()],
                f"keeping the node as {pins.node_image()}",
            )
        finally:
            self._engine.ask("rm", "--force", "--volumes", _MAKER)


def system_images(tags: Mapping[str, str], programs: Mapping[str, Path], proxy: Path) -> list[Image]:
    """Return the images to put on the node.

    Args:
        tags: what kubeadm wants, by the last part of its name, such as `etcd`.
        programs: the binaries.
        proxy: root file system for kube-proxy.
    """
    own = {name: f"usr/local/bin/{name}" for name in ("kube-apiserver", "kube-controller-manager", "kube-scheduler")}
    images = [Image(tags[name], {path: programs[name]}) for name, path in own.items()]
    return [
        *images,
        Image(tags["kube-proxy"], {"usr/local/bin/kube-proxy": programs["kube-proxy"]}, base=proxy),
        Image(tags["etcd"], {"usr/local/bin/etcd": programs["etcd"]}),
        Image(tags["coredns"], {"coredns": programs["coredns"]}, entrypoint=["/coredns"]),
        Image(tags["pause"], {"pause": programs["pause"]}, entrypoint=["/pause"]),
        actor.image(programs["actor"]),
    ]


def last_part(reference: str) -> str:
    """Return the last part of an image's name: `coredns` of `example.org/coredns/coredns:v1`."""
    return reference.rpartition(":")[0].rpartition("/")[2]


def _wanted_images(kubeadm: Path) -> dict[str, str]:
    command = [str(kubeadm), "config", "images", "list", f"--kubernetes-version={control_plane.kubernetes_version()}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_ASK_TIMEOUT)
    if done.returncode != 0:
        raise ClusterError(f"kubeadm does not tell which images it wants: {done.stderr.strip()}")
    return {last_part(reference): reference for reference in done.stdout.split()}


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o644)
