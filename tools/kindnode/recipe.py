# SPDX-License-Identifier: Apache-2.0
"""The files that turn a Debian root file system into a kind node."""

from typing import Final

CONTAINERFILE: Final = """\
ARG BASE
FROM ${BASE}
COPY root/ /
RUN /bin/sh -eux /kind/bin/finish.sh && rm /kind/bin/finish.sh
ENV container=docker
STOPSIGNAL SIGRTMIN+3
ENTRYPOINT ["/usr/local/bin/entrypoint", "/sbin/init"]
"""

FINISH: Final = """\
# What kind's own base image does after it copied its files, with Debian's programs instead of freshly built ones.
find /lib/systemd/system/sysinit.target.wants/ -name systemd-tmpfiles-setup.service -delete
rm -f /lib/systemd/system/multi-user.target.wants/* /etc/systemd/system/*.wants/* \\
  /lib/systemd/system/local-fs.target.wants/* /lib/systemd/system/sockets.target.wants/*udev* \\
  /lib/systemd/system/sockets.target.wants/*initctl* /lib/systemd/system/basic.target.wants/*
echo ReadKMsg=no >>/etc/systemd/journald.conf
systemctl enable kubelet.service containerd.service undo-mount-hacks.service
systemctl mask systemd-binfmt.service
mkdir -p /etc/kubernetes/manifests /opt/cni/bin /usr/local/sbin
ln -sf /usr/bin/containerd /usr/bin/containerd-shim-runc-v2 /usr/bin/ctr /usr/bin/kubelet /usr/local/bin/
ln -sf /usr/sbin/runc /usr/local/sbin/runc
ln -sf /usr/lib/cni/* /opt/cni/bin/
ctr oci spec \\
  | jq '.hooks.createContainer[.hooks.createContainer | length] |= . + {"path": "/kind/bin/mount-product-files.sh"}' \\
  | jq 'del(.process.rlimits)' >/etc/containerd/cri-base.json
"""

NETWORK: Final = """\
{
  "cniVersion": "0.3.1",
  "name": "pod-tracker",
  "plugins": [
    {
      "type": "bridge",
      "bridge": "cni0",
      "isGateway": true,
      "ipMasq": true,
      "hairpinMode": true,
      "ipam": {
        "type": "host-local",
        "ranges": [[{"subnet": "10.244.0.0/24"}]],
        "routes": [{"dst": "0.0.0.0/0"}]
      }
    },
    {"type": "portmap", "capabilities": {"portMappings": true}}
  ]
}
"""
"""Pod network of the one node; kind's own network plugin is an image of its own that nobody could pull."""

IMPORT: Final = """\
containerd >/tmp/containerd.log 2>&1 &
containerd=$!
until ctr version >/dev/null 2>&1; do
  kill -0 "$containerd" || { cat /tmp/containerd.log; exit 1; }
  sleep 0.2
done
ctr --namespace=k8s.io images import --no-unpack --digests /images.tar
kill "$containerd"
wait "$containerd" || true
rm -f /tmp/containerd.log
"""
"""Fills the node's image store; runs in a container of the node's image."""

CLUSTER: Final = """\
kind: Cluster
apiVersion: kind.x-k8s.io/v1alpha4
networking:
  disableDefaultCNI: true
  apiServerAddress: 127.0.0.1
nodes:
  - role: control-plane
kubeadmConfigPatches:
  - |
    kind: KubeletConfiguration
    failCgroupV1: false
"""
"""What kind is asked for: one node, which also works on machines that still have version 1 of cgroups."""


def containerd_config(original: str, pause: str) -> str:
    """Return kind's containerd configuration, made fit for Debian's containerd in a container.

    Args:
        original: kind's own.
        pause: the image of the pause container that kubeadm wants.

    Raises:
        ValueError: kind's own does not look as expected.
    """
    changed = []
    found = set()
    for line in original.splitlines():
        key = line.partition("=")[0].strip()
        if key == "restrict_oom_score_adj":  # lower than its own is not allowed here, and runc dies of trying
            changed.append(line.partition("=")[0] + "= true")
            found.add(key)
        elif key == "sandbox_image":
            changed.append(line.partition("=")[0] + f'= "{pause}"')
            found.add(key)
        else:
            changed.append(line)
    if len(found) != 2:  # noqa: PLR2004 - the two above
        raise ValueError("kind's containerd configuration has changed: adapt kindnode/recipe.py")
    return "\n".join(changed) + "\n"
