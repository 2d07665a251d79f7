# SPDX-License-Identifier: Apache-2.0
"""The certificates and keys of one local cluster, made anew for each."""

import datetime as dt
import ipaddress
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

SERVICE_IP: Final = "10.96.0.1"
"""Address of the Service `kubernetes`: the first of the service range."""

_VALID: Final = dt.timedelta(days=365)
_CLOCK_SKEW: Final = dt.timedelta(hours=1)
_SERVER_NAMES: Final = (
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
)
_SERVER_ADDRESSES: Final = ("127.0.0.1", SERVICE_IP)
_RSA_BITS: Final = 2048


@dataclass(frozen=True, slots=True)
class KeyPair:
    """Files of a certificate and its private key."""

    cert: Path
    key: Path


@dataclass(frozen=True, slots=True)
class Pki:
    """Files of all certificates and keys of a cluster."""

    ca: Path
    server: KeyPair
    """What the API server shows to its clients."""
    etcd: KeyPair
    """etcd's and the API server's towards each other; signed by `etcd_ca`, so no client of the cluster gets in."""
    etcd_ca: Path
    admin: KeyPair
    controller_manager: KeyPair
    scheduler: KeyPair
    service_account_key: Path


def create(folder: Path) -> Pki:
    """Make the certificates and keys of a new cluster in `folder`; private keys are readable by their owner only.

    Raises:
        OSError: `folder` cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    cluster = _Authority("pod-tracker-local", folder / "ca.crt")
    storage = _Authority("pod-tracker-local-etcd", folder / "etcd-ca.crt")
    service_account = rsa.generate_private_key(public_exponent=65537, key_size=_RSA_BITS)
    service_account_key = folder / "service-account.key"
    _write_private(service_account_key, service_account)
    return Pki(
        ca=cluster.cert_file,
        server=cluster.issue(folder, "kube-apiserver", server=True),
        etcd=storage.issue(folder, "etcd", server=True, client=True),
        etcd_ca=storage.cert_file,
        admin=cluster.issue(folder, "admin", group="system:masters", client=True),
        controller_manager=cluster.issue(folder, "system:kube-controller-manager", client=True),
        scheduler=cluster.issue(folder, "system:kube-scheduler", client=True),
        service_account_key=service_account_key,
    )


class _Authority:
    """A certificate authority whose key never reaches the disk."""

    def __init__(self, name: str, cert_file: Path) -> None:
        self.cert_file = cert_file
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        public = self._key.public_key()
        self._cert = (
            _builder(self._subject, self._subject, public)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(signs_certificates=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        cert_file.write_bytes(self._cert.public_bytes(serialization.Encoding.PEM))

    def issue(
        self, folder: Path, user: str, *, group: str | None = None, server: bool = False, client: bool = False
    ) -> KeyPair:
        """Issue a certificate for `user`, the common name, in `group`, the organisation, as Kubernetes reads them."""
        key = ec.generate_private_key(ec.SECP256R1())
        attributes = [x509.NameAttribute(NameOID.COMMON_NAME, user)]
        if group is not None:
            attributes.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, group))
        usages = [ExtendedKeyUsageOID.SERVER_AUTH] * server + [ExtendedKeyUsageOID.CLIENT_AUTH] * client
        builder = (
            _builder(x509.Name(attributes), self._subject, key.public_key())
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        if server:
            builder = builder.add_extension(x509.SubjectAlternativeName(_server_names()), critical=False)
        name = user.removeprefix("system:")
        pair = KeyPair(cert=folder / f"{name}.crt", key=folder / f"{name}.key")
        pair.cert.write_bytes(builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        _write_private(pair.key, key)
        return pair


def _builder(subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + _VALID)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _server_names() -> Sequence[x509.GeneralName]:
    return [
        *(x509.DNSName(name) for name in _SERVER_NAMES),
        *(x509.IPAddress(ipaddress.ip_address(address)) for address in _SERVER_ADDRESSES),
    ]


def _write_private(path: Path, key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> None:
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    write_private(path, pem)


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner may read, whatever the umask or an earlier file of that name allowed."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(content)
