# SPDX-License-Identifier: Apache-2.0
"""A way to the API server on which watches can be made deaf: its certificate, its pod, and its switch."""

from __future__ import annotations

import base64
import datetime as dt
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from e2e import deaf_pod, programs
from e2e.api import Api, Kubectl
from e2e.programs import NAMESPACE, Program
from kindnode.cluster import Cluster

_NAME: Final = "deaf"
HOST: Final = f"{_NAME}.{NAMESPACE}.svc"
PORT: Final = 443
_CONTROL: Final = 80
_LIFE: Final = dt.timedelta(days=1)
_PKI: Final = "/etc/kubernetes/pki/ca"


def start(kubectl: Kubectl, image: str, cluster: Cluster) -> None:
    """Run the pod, with a certificate of the cluster's own authority, which the operator trusts."""
    certificate, key = _certificate(cluster)
    data = {"tls.crt": base64.b64encode(certificate).decode(), "tls.key": base64.b64encode(key).decode()}
    metadata = {"name": f"{_NAME}-tls", "namespace": NAMESPACE}
    kubectl.apply(
        {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "kubernetes.io/tls", "data": data}
    )
    main = Path(deaf_pod.__file__)
    mounts = {
        str(deaf_pod.CERTIFICATE): {"secret": {"secretName": f"{_NAME}-tls"}},
        str(deaf_pod.TRUST): {"configMap": {"name": "kube-root-ca.crt"}},
    }
    ports = {PORT: deaf_pod.PORT, _CONTROL: deaf_pod.CONTROL_PORT}
    programs.start(kubectl, image, Program(_NAME, main.name, {main.name: main}, ports, mounts))


async def switch(api: Api, *, deaf: bool) -> None:
    """Make the watches of pods deaf, or let them hear again."""
    answer = await api.through_service(NAMESPACE, f"{_NAME}:{_CONTROL}", "deaf" if deaf else "hearing", {})
    assert answer == {"hearing": not deaf}


def _certificate(cluster: Cluster) -> tuple[bytes, bytes]:
    """Return a certificate for the pod and its key, as PEM, signed by the cluster's authority."""
    files = [cluster.on_node("cat", f"{_PKI}.{suffix}") for suffix in ("crt", "key")]
    authority = x509.load_pem_x509_certificate((files[0] or "").encode())
    signer = serialization.load_pem_private_key((files[1] or "").encode(), None)
    key = ec.generate_private_key(ec.SECP256R1())
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, _NAME)]))
        .issuer_name(authority.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _LIFE)
        .not_valid_after(now + _LIFE)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), critical=False)
        .sign(signer, hashes.SHA256())  # type: ignore[arg-type] # the key may be of any kind that signs
    )
    pem = serialization.Encoding.PEM
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return certificate.public_bytes(pem), key.private_bytes(pem, *plain)
