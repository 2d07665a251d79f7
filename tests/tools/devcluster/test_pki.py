# SPDX-License-Identifier: Apache-2.0
"""Certificates, keys and kubeconfigs of a local cluster."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import pytest
import yaml
from cryptography import x509
from cryptography.x509.oid import NameOID

from devcluster import kubeconfig, pki


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> pki.Pki:
    return pki.create(tmp_path_factory.mktemp("cluster") / "pki")


def test_private_keys_are_private(made: pki.Pki) -> None:
    keys = list(made.ca.parent.glob("*.key"))
    assert len(keys) == 6
    assert all(key.stat().st_mode & 0o777 == 0o600 for key in keys)
    assert not list(made.ca.parent.glob("*ca.key")), "the authorities' keys are not kept"


@pytest.mark.parametrize(
    ("name", "user", "groups"),
    [
        ("admin", "admin", ["system:masters"]),
        ("controller_manager", "system:kube-controller-manager", []),
        ("scheduler", "system:kube-scheduler", []),
    ],
)
def test_users_and_groups(made: pki.Pki, name: str, user: str, groups: list[str]) -> None:
    cert = _load(getattr(made, name).cert)
    assert _values(cert, NameOID.COMMON_NAME) == [user]
    assert _values(cert, NameOID.ORGANIZATION_NAME) == groups
    cert.verify_directly_issued_by(_load(made.ca))


def test_server_is_valid_on_loopback_and_inside(made: pki.Pki) -> None:
    names = _load(made.server.cert).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert ipaddress.ip_address("127.0.0.1") in names.get_values_for_type(x509.IPAddress)
    assert {"localhost", "kubernetes.default.svc"} <= set(names.get_values_for_type(x509.DNSName))


def test_etcd_trusts_an_authority_of_its_own(made: pki.Pki) -> None:
    _load(made.etcd.cert).verify_directly_issued_by(_load(made.etcd_ca))
    with pytest.raises(ValueError, match="does not match"):
        _load(made.etcd.cert).verify_directly_issued_by(_load(made.ca))


def test_kubeconfig_of_a_token_is_private_even_over_a_public_file(made: pki.Pki, tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    path.touch(mode=0o644)
    kubeconfig.write_for_token(path, server="https://127.0.0.1:1", ca=made.ca, token="secret")
    assert path.stat().st_mode & 0o777 == 0o600
    content = yaml.safe_load(path.read_text())
    assert content["users"][0]["user"] == {"token": "secret"}
    assert content["clusters"][0]["cluster"]["server"] == "https://127.0.0.1:1"


def _load(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def _values(cert: x509.Certificate, kind: x509.ObjectIdentifier) -> list[str | bytes]:
    return [attribute.value for attribute in cert.subject.get_attributes_for_oid(kind)]
