# SPDX-License-Identifier: Apache-2.0
"""What the node image is made of, and in which version."""

import hashlib
import platform
from typing import Final

from devcluster import pins
from devcluster.pins import Program
from kindnode import recipe

_KUBERNETES: Final = "k8s.io/kubernetes/cmd"
_OWN: Final = "pod-tracker.lost.backend/tools/images"

PROGRAMS: Final = (
    Program("kind", "sigs.k8s.io/kind", "kind", 15),
    Program("kubelet", f"{_KUBERNETES}/kubelet", "node", 60),
    Program("kube-proxy", f"{_KUBERNETES}/kube-proxy", "node", 15),
    Program("kubeadm", f"{_KUBERNETES}/kubeadm", "node", 20),
    Program("coredns", "github.com/coredns/coredns", "coredns", 120),
)
"""Built besides those of devcluster; the times hold where those are built already."""

OWN_PROGRAMS: Final = (
    Program("pause", f"{_OWN}/pause", "images", 2),
    Program("actor", f"{_OWN}/actor", "images", 5),
)
"""Our own, for containers."""

SUITE: Final = "bookworm"
"""The Debian release of the node."""

NODE_PACKAGES: Final = (
    "systemd", "systemd-sysv", "dbus", "containerd", "runc", "containernetworking-plugins", "iptables", "iproute2",
    "conntrack", "kmod", "ethtool", "socat", "procps", "ca-certificates", "jq", "curl", "rsync", "hostname", "mount",
    "util-linux", "libseccomp2",
)  # fmt: skip
"""Debian packages of the node."""

PROXY_PACKAGES: Final = ("iptables", "conntrack", "kmod")
"""Debian packages that kube-proxy calls."""

ACTOR_IMAGE: Final = "pod-tracker.test/actor:1"
"""The image of the program that plays containers; it is on every node."""

_RECIPE: Final = 1
"""To be raised when the steps of the build change what comes out of them."""


def node_image() -> str:
    """Return the name of the node image, such as `localhost/kindest/node:v1.36.3-local`."""
    return f"localhost/kindest/node:{pins.kubernetes_version()}-local"


def digest_of(*parts: object) -> str:
    """Return what changes whenever one of these parts does, or the kind of machine."""
    return hashlib.sha256(repr((platform.machine(), *parts)).encode()).hexdigest()[:16]


def digest() -> str:
    """Return what changes whenever the node image would."""
    programs = [pins.digest(), pins.digest(PROGRAMS), pins.digest(OWN_PROGRAMS)]
    files = [recipe.CONTAINERFILE, recipe.FINISH, recipe.NETWORK, recipe.IMPORT]
    return digest_of(_RECIPE, SUITE, NODE_PACKAGES, PROXY_PACKAGES, programs, files)
