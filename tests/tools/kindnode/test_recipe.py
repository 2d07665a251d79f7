# SPDX-License-Identifier: Apache-2.0
"""The files of a node."""

import json
import tomllib
from pathlib import Path

import pytest
import yaml

from devcluster import kind
from devcluster import pins as control_plane
from kindnode import pins, recipe
from kindnode.engine import containers_conf, storage_conf
from kindnode.image import last_part, system_images

_ORIGINAL = """\
version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "example.test/pause:1"
  restrict_oom_score_adj = false
  tolerate_missing_hugepages_controller = true
"""
_NAMES = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "etcd", "coredns", "pause")


def test_containerd_gets_the_pause_image_and_leaves_scores_alone() -> None:
    changed = tomllib.loads(recipe.containerd_config(_ORIGINAL, "example.test/pause:2"))
    assert changed["plugins"]["io.containerd.grpc.v1.cri"] == {
        "sandbox_image": "example.test/pause:2",
        "restrict_oom_score_adj": True,
        "tolerate_missing_hugepages_controller": True,
    }


def test_a_changed_configuration_of_kind_is_noticed() -> None:
    with pytest.raises(ValueError, match="adapt"):
        recipe.containerd_config("version = 3\n", "example.test/pause:2")


def test_the_engine_keeps_everything_in_its_folder() -> None:
    conf = tomllib.loads(containers_conf(Path("/cache/podman"), files=5, processes=7))
    assert conf["containers"]["default_ulimits"] == ["nofile=5:5", "nproc=7:7"]
    assert conf["engine"]["runtime"] == "runc"
    store = tomllib.loads(storage_conf(Path("/cache/podman")))["storage"]
    engine = conf["engine"]
    places = [
        engine["tmp_dir"],
        engine["static_dir"],
        engine["volume_path"],
        conf["network"]["network_config_dir"],
        store["graphroot"],
        store["runroot"],
    ]
    assert all(place.startswith("/cache/podman/") for place in places)


def test_the_cluster_and_its_network_are_well_formed() -> None:
    cluster = yaml.safe_load(recipe.CLUSTER)
    assert cluster["networking"]["disableDefaultCNI"] is True
    assert yaml.safe_load(cluster["kubeadmConfigPatches"][0])["failCgroupV1"] is False
    assert [plugin["type"] for plugin in json.loads(recipe.NETWORK)["plugins"]] == ["bridge", "portmap"]


def test_the_node_image_is_one_that_devcluster_takes_too() -> None:
    minor = ".".join(control_plane.kubernetes_version().split(".")[:2])
    assert kind.local_image([pins.node_image()], minor) == pins.node_image()


def test_every_program_is_pinned_by_a_go_mod() -> None:
    for program in pins.PROGRAMS:
        text = (program.source / "go.mod").read_text()
        assert control_plane.module_version(text, program.package.partition("/cmd/")[0])


def test_kubelet_and_api_server_are_of_one_version() -> None:
    versions = {
        control_plane.module_version((control_plane.SOURCES / folder / "go.mod").read_text(), "k8s.io/kubernetes")
        for folder in ("kubernetes", "node")
    }
    assert len(versions) == 1


def test_each_image_that_kubeadm_wants_is_made_under_its_name() -> None:
    tags = {name: f"example.test/{name}:v1" for name in _NAMES}
    programs = {name: Path(f"/bin/{name}") for name in (*_NAMES, "actor")}
    images = system_images(tags, programs, Path("/proxy.tar"))
    assert {image.tag for image in images} == {*tags.values(), pins.ACTOR_IMAGE}
    assert [image.tag for image in images if image.base] == [tags["kube-proxy"]]


def test_the_last_part_of_an_image_name() -> None:
    assert last_part("example.test:5000/coredns/coredns:v1") == "coredns"
    assert last_part("pause:3") == "pause"
