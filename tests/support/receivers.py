# SPDX-License-Identifier: Apache-2.0
"""What tests of reporters need: destinations with secrets to look for, messages, and servers that misbehave."""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
import ipaddress
import ssl
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from devcluster import ports
from podtracker.delivery import Credential, Destination, Message
from podtracker.egress import Guard, Networks
from podtracker.ledger import PLAIN, Detail, Notification
from podtracker.redact import Token
from podtracker.trackers import TrackerIdentity

NOW: Final = 1_798_761_600
"""2027-01-01T00:00:00Z, in whole seconds since 1970: when everything happens."""
TOKEN: Final = "t0ken-s3cr3t"
URL_PART: Final = "url-s3cr3t"
"""Stands in every URL of a receiver."""
HMAC_KEY: Final = "hmac-s3cr3t"
SECRETS: Final = (TOKEN, URL_PART, HMAC_KEY)
LOOPBACK: Final = Guard(Networks.parse("127.0.0.0/8"))
"""Lets pass what tests listen on."""


def notification(event: str = "Created", *, pod: str = "nginx", at: int = NOW, detail: Detail = PLAIN) -> Notification:
    return Notification(
        id=f"id-of-{event}-{pod}",
        order=1,
        tracker="t1",
        event=event,
        namespace="team",
        pod=pod,
        pod_uid=f"{pod}-uid",
        at=at,
        detail=detail,
    )


def message(
    text: str = "Pod nginx was created", *about: Notification, cluster: str = "", namespace: str = "team"
) -> Message:
    tracker = TrackerIdentity(uid="t1", namespace=namespace, name="pod-tracker", generation=1, created=NOW)
    return Message(text=text, notifications=about or (notification(),), tracker=tracker, cluster=cluster)


def to(url: str | None, *, kind: str, token: str | None = None, hmac_key: str | None = None) -> Destination:
    def secret(value: str | None) -> Token | None:
        return None if value is None else Token(value)

    credential = Credential(token=secret(token), url=secret(url), hmac_key=secret(hmac_key))
    return Destination(kind=kind, channel="", credential=credential)


def everything(error: BaseException) -> str:
    """All that could be printed of an error and of those behind it."""
    shown = ["".join(traceback.format_exception(error))]
    behind: BaseException | None = error
    while behind is not None:
        shown += [
            str(behind),
            repr(behind),
            repr(behind.args),
            "".join(traceback.format_exception(behind, chain=False)),
        ]
        behind = behind.__cause__ or behind.__context__
    return "\n".join(shown)


# servers


@dataclass
class Received:
    """One request."""

    line: str
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes


Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class RawServer:
    """Reads each request, and then does what it was told with the connection."""

    answer: Answer
    requests: list[Received] = field(default_factory=list)
    connections: int = 0
    port: int = 0

    async def wait_for(self, count: int, within: float = 10.0) -> None:
        async with asyncio.timeout(within):
            while len(self.requests) < count:  # noqa: ASYNC110 - nothing announces it
                await asyncio.sleep(0.01)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while not writer.is_closing():
                self.requests.append(await _request(reader))
                await self.answer(reader, writer)
        except (OSError, asyncio.IncompleteReadError, ssl.SSLError):
            pass
        finally:
            writer.close()


async def _request(reader: asyncio.StreamReader) -> Received:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Received(line=head[0], headers=headers, body=body)


@asynccontextmanager
async def raw_server(answer: Answer, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[RawServer]:
    """A server on loopback; it ends with everything that it is at."""
    raw = RawServer(answer)
    tasks: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(raw.serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(connected, ports.LOOPBACK, ports.choose(1)[0], ssl=tls, limit=1 << 20)
    raw.port = server.sockets[0].getsockname()[1]
    try:
        yield raw
    finally:
        server.close()
        pending = tuple(tasks)
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)


def says(head: str, body: bytes = b"") -> Answer:
    """Answers each request with this; `head` without the last empty line."""

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head.encode() + b"\r\n\r\n" + body)
        await writer.drain()

    return answer


def status(code: int, *headers: str, body: bytes = b"") -> Answer:
    """Answers with a status."""
    return says("\r\n".join((f"HTTP/1.1 {code} So", f"Content-Length: {len(body)}", *headers)), body)


def silent_until(ends: list[type[Exception] | None]) -> Answer:
    """Answers nothing, and keeps how the other side ended the connection: None for properly, else the error."""

    async def answer(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        try:
            await reader.read()
        except OSError as error:
            ends.append(type(error))
            raise
        ends.append(None)

    return answer


OK: Final = status(200, "Content-Type: application/json", body=b'{"ok": true}')
"""What every kind of receiver says when it is content, Slack too."""


# certificates


class Authority:
    """A certificate authority of one's own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "an authority of tests")])
        self.certificate = self._sign(self._name, self._key.public_key(), authority=True)
        self.file = folder / "ca.crt"
        self.file.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    @property
    def hashed_name(self) -> str:
        """What OpenSSL calls the file of this certificate in a folder of certificates."""
        # X509_NAME_hash: SHA-1 of the canonical encoding, of which the first four bytes count, in reverse order.
        canonical = self._name.public_bytes()[2:]  # of our name that is its content, without the outer SEQUENCE
        return f"{int.from_bytes(hashlib.sha1(canonical, usedforsecurity=False).digest()[:4], 'little'):08x}"

    def context(self, *, address: str = "127.0.0.1", expired: bool = False) -> ssl.SSLContext:
        """For a server at an address."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._sign(x509.Name([]), key.public_key(), address=address, expired=expired)
        file = self._folder / f"server-{address}-{expired}.pem"
        file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context

    def _sign(
        self, name: x509.Name, key: Any, *, authority: bool = False, address: str = "", expired: bool = False
    ) -> x509.Certificate:
        now = dt.datetime.now(tz=dt.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=2))
            .not_valid_after(now + dt.timedelta(days=-1 if expired else 1))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        if authority:
            usage = x509.KeyUsage(
                digital_signature=True,
                key_cert_sign=True,
                crl_sign=True,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                encipher_only=False,
                decipher_only=False,
            )
            builder = builder.add_extension(usage, critical=True)
        if address:
            names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
            builder = builder.add_extension(names, critical=True)
        return builder.sign(self._key, hashes.SHA256())
