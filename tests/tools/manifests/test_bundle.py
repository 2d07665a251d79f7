# SPDX-License-Identifier: Apache-2.0
"""The OLM bundle: what its CSV says is what the operator, `config/` and the API say."""

from __future__ import annotations

import base64
import json
import re
import shutil
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import yaml

from manifests.cli import FAILED, REPOSITORY, main
from manifests.render import render
from podtracker import api, settings, trackers

TEMPLATES = REPOSITORY / "templates"
RENDERED = render(TEMPLATES)
CSV_PATH = "bundle/manifests/pod-tracker.clusterserviceversion.yaml"


def parsed(path: str) -> Any:
    return yaml.safe_load(RENDERED[path])


CSV = parsed(CSV_PATH)
ANNOTATIONS = CSV["metadata"]["annotations"]
SPEC = CSV["spec"]
(OWNED,) = SPEC["customresourcedefinitions"]["owned"]
(DEPLOYED,) = SPEC["install"]["spec"]["deployments"]
CONTAINER = DEPLOYED["spec"]["template"]["spec"]["containers"][0]
CRD_PATH = f"config/crd/bases/{api.GROUP}_{api.PLURAL}.yaml"
SCHEMA = parsed(CRD_PATH)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
BUNDLE = {path.removeprefix("bundle/"): text for path, text in RENDERED.items() if path.startswith("bundle/")}


def test_the_bundle_holds_these_files() -> None:
    assert sorted(BUNDLE) == [
        "manifests/pod-tracker-controller-manager-metrics-service_v1_service.yaml",
        "manifests/pod-tracker-controller-manager_policy_v1_poddisruptionbudget.yaml",
        "manifests/pod-tracker-metrics-reader_rbac.authorization.k8s.io_v1_clusterrole.yaml",
        "manifests/pod-tracker-podtracker-admin-role_rbac.authorization.k8s.io_v1_clusterrole.yaml",
        "manifests/pod-tracker-podtracker-editor-role_rbac.authorization.k8s.io_v1_clusterrole.yaml",
        "manifests/pod-tracker-podtracker-viewer-role_rbac.authorization.k8s.io_v1_clusterrole.yaml",
        "manifests/pod-tracker-secret-reader_rbac.authorization.k8s.io_v1_clusterrole.yaml",
        "manifests/pod-tracker.clusterserviceversion.yaml",
        "manifests/pod-tracker.lost.backend_podtrackers.yaml",
        "metadata/annotations.yaml",
        "tests/scorecard/config.yaml",
    ]


def test_the_deployment_is_that_of_config() -> None:
    deployment = parsed("config/manager/manager.yaml")
    assert DEPLOYED["name"] == deployment["metadata"]["name"]
    assert DEPLOYED["spec"] == deployment["spec"]
    assert DEPLOYED["label"] == deployment["metadata"]["labels"]


def test_permissions_are_the_rules_of_config() -> None:
    (granted,) = SPEC["install"]["spec"]["permissions"]
    assert granted["serviceAccountName"] == DEPLOYED["spec"]["template"]["spec"]["serviceAccountName"]
    assert granted["rules"] == [
        *parsed("config/rbac/role.yaml")["rules"],
        *parsed("config/rbac/leader_role.yaml")["rules"],
    ]
    assert "clusterPermissions" not in SPEC["install"]["spec"]


def test_every_rule_has_its_reason() -> None:
    lines = RENDERED[CSV_PATH].splitlines()
    rules = [number for number, line in enumerate(lines) if re.match(r" +- apiGroups: ", line)]
    assert rules
    assert all(lines[number - 1].lstrip().startswith("# ") for number in rules)


def test_the_environment_is_what_the_operator_knows() -> None:
    known = {setting.variable for setting in settings._SETTINGS}
    fields = {
        variable["name"]: variable["valueFrom"]["fieldRef"]["fieldPath"]
        for variable in CONTAINER["env"]
        if "valueFrom" in variable
    }
    assert fields == {
        "WATCH_NAMESPACE": "metadata.annotations['olm.targetNamespaces']",
        "POD_NAME": "metadata.name",
        "POD_NAMESPACE": "metadata.namespace",
        "POD_UID": "metadata.uid",
        "POD_SERVICE_ACCOUNT": "spec.serviceAccountName",
    }
    others = {variable["name"] for variable in CONTAINER["env"]} - fields.keys() - {"RELATED_IMAGE_MANAGER"}
    assert fields.keys() | others <= known


@pytest.mark.parametrize("value", ["", "a", "a,b"])
def test_the_operator_takes_what_olm_writes(value: str) -> None:
    given = {variable["name"]: variable["value"] for variable in CONTAINER["env"] if "value" in variable}
    loaded = settings.load({}, given | {"WATCH_NAMESPACE": value, "POD_NAMESPACE": "ns"})
    assert loaded.watch_namespaces == tuple(part for part in value.split(",") if part)


def test_one_image_everywhere() -> None:
    (related,) = SPEC["relatedImages"]
    from_environment = {variable["value"] for variable in CONTAINER["env"] if variable["name"].startswith("RELATED_")}
    assert {related["image"], CONTAINER["image"], ANNOTATIONS["containerImage"], *from_environment} == {
        related["image"]
    }
    assert related["image"].endswith(f":v{SPEC['version']}")


def test_names_and_versions_agree() -> None:
    assert CSV["metadata"]["name"] == f"pod-tracker.v{SPEC['version']}"
    assert (
        parsed("bundle/metadata/annotations.yaml")["annotations"]["operators.operatorframework.io.bundle.package.v1"]
        == CSV["metadata"]["name"].partition(".v")[0]
    )
    assert "replaces" not in SPEC
    assert "olm.skipRange" not in ANNOTATIONS


def test_examples_are_the_samples() -> None:
    listed = parsed("config/samples/kustomization.yaml")["resources"]
    samples = {sample["metadata"]["name"]: sample for sample in (parsed(f"config/samples/{name}") for name in listed)}
    examples = json.loads(ANNOTATIONS["alm-examples"])
    assert {example["metadata"]["name"]: example for example in examples} == samples
    assert len(examples) == len(samples)
    described = json.loads(ANNOTATIONS["alm-examples-metadata"])
    assert described.keys() == samples.keys()
    assert all(entry["description"].endswith(".") for entry in described.values())
    assert "key" not in examples[0]["spec"]["reporter"]


@pytest.mark.parametrize("part", ["spec", "status"])
def test_every_top_level_field_has_a_descriptor(part: str) -> None:
    descriptors = OWNED[f"{part}Descriptors"]
    paths = [descriptor["path"] for descriptor in descriptors]
    assert len(set(paths)) == len(paths)
    assert {path for path in paths if "." not in path} == SCHEMA[part]["properties"].keys()
    for descriptor in descriptors:
        assert descriptor["description"]
        assert descriptor["displayName"]
        assert all(x.startswith("urn:alm:descriptor:") for x in descriptor["x-descriptors"])


def test_choices_of_descriptors_are_the_choices_of_the_schema() -> None:
    for descriptor in OWNED["specDescriptors"]:
        chosen = [x.rpartition("ui:select:")[2] for x in descriptor["x-descriptors"] if "ui:select:" in x]
        field = SCHEMA["spec"]
        for name in descriptor["path"].split("."):
            field = field["properties"][name]
        assert sorted(chosen) == sorted(field.get("enum", []))


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        pytest.param("path: suspend", "path: suspended", "spec.suspended: the API has no such field", id="unknown"),
        pytest.param(
            '  - {path: podCount, displayName: Pods, x: ["com.tectonic.ui:text"]}\n',
            "",
            "status: no line for podCount",
            id="missing",
        ),
    ],
)
def test_wrong_descriptors(
    old: str, new: str, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    templates = Path(shutil.copytree(TEMPLATES, tmp_path / "templates"))
    file = templates / "bundle/descriptors.yaml"
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")
    assert main(["render", "--templates", str(templates), "--output", str(tmp_path / "none")]) == FAILED
    assert sentence in capsys.readouterr().err


def test_owned_resources_name_every_kind_that_the_operator_touches() -> None:
    (granted,) = SPEC["install"]["spec"]["permissions"]
    plurals = {resource.partition("/")[0] for rule in granted["rules"] for resource in rule["resources"]}
    ours = {f"{resource['kind'].lower()}s" for resource in OWNED["resources"]} | {api.PLURAL, "replicasets", "jobs"}
    assert plurals <= ours
    assert {"kind": "Event", "version": "v1", "name": ""} in OWNED["resources"]


def test_all_install_modes_once() -> None:
    assert [mode["type"] for mode in SPEC["installModes"]] == [
        "OwnNamespace",
        "SingleNamespace",
        "MultiNamespace",
        "AllNamespaces",
    ]
    assert all(mode["supported"] is True for mode in SPEC["installModes"])


def test_annotations_and_labels_are_strings_and_small() -> None:
    texts = [*BUNDLE.values(), RENDERED["config/manifests/bases/pod-tracker.clusterserviceversion.yaml"]]
    for manifest in map(yaml.safe_load, texts):
        metadata = manifest.get("metadata", {})
        for strings in (metadata.get("annotations", {}), metadata.get("labels", {})):
            assert all(isinstance(value, str) for value in strings.values())
    assert sum(len(key) + len(value) for key, value in ANNOTATIONS.items()) < 60_000


def test_the_icon_is_ours_and_small() -> None:
    (icon,) = SPEC["icon"]
    assert icon["mediatype"] == "image/svg+xml"
    content = base64.b64decode(icon["base64data"], validate=True)
    assert len(content) < 10_000
    assert ET.fromstring(content).tag == "{http://www.w3.org/2000/svg}svg"  # noqa: S314 - our own file
    package = parsed("catalog/pod-tracker/package.yaml")
    assert package["icon"] == icon


def test_objects_of_the_bundle_are_those_of_config_without_namespace() -> None:
    config = {
        (manifest["kind"], manifest["metadata"]["name"]): manifest
        for path, text in RENDERED.items()
        if re.match(r"config/(rbac|manager|default|crd)/", path) and "metadata" in (manifest := yaml.safe_load(text))
    }
    for path, text in BUNDLE.items():
        manifest = yaml.safe_load(text)
        if not path.startswith("manifests/") or manifest["kind"] == "ClusterServiceVersion":
            continue
        source = config[manifest["kind"], manifest["metadata"]["name"]]
        source["metadata"].pop("namespace", None)
        assert manifest == source


def test_kinds_that_olm_cannot_take_stay_outside() -> None:
    kinds = {yaml.safe_load(text).get("kind") for path, text in BUNDLE.items() if path.startswith("manifests/")}
    assert kinds == {
        "ClusterServiceVersion",
        "CustomResourceDefinition",
        "ClusterRole",
        "Service",
        "PodDisruptionBudget",
    }


def test_the_scorecards_configuration_is_what_kustomize_would_make() -> None:
    made = parsed("config/scorecard/bases/config.yaml")
    for name in ("basic", "olm"):
        patch = parsed(f"config/scorecard/patches/{name}.config.yaml")
        assert {(line["op"], line["path"]) for line in patch} == {("add", "/stages/0/tests/-")}
        made["stages"][0]["tests"] += [line["value"] for line in patch]
    assert parsed("bundle/tests/scorecard/config.yaml") == made


def test_the_description_says_what_holds() -> None:
    description = SPEC["description"]
    assert len(api.Event) == 13
    assert "**Thirteen events**" in description
    example = re.search(r"```yaml\n(.*?)```", description, re.DOTALL)
    assert example is not None
    trackers.parse(
        yaml.safe_load(example[1])
        | {"metadata": {"name": "x", "namespace": "n", "uid": "u", "creationTimestamp": "2027-01-01T00:00:00Z"}}
    )


def test_links_to_the_repository_lead_somewhere() -> None:
    base = f"{ANNOTATIONS['repository']}/blob/main/"
    links = {link["url"] for link in SPEC["links"]} | set(re.findall(r"\((https://[^)]+)\)", SPEC["description"]))
    for url in links:
        if url.startswith(base):
            assert (REPOSITORY / url.removeprefix(base)).is_file(), url
