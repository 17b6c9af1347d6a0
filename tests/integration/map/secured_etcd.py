"""A real etcd that asks for TLS, a client certificate and a user's token."""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from aetcd import rpc
from aetcd.rpc import rpc_pb2_grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from trunkline_local.child import Child
from trunkline_local.etcd import EtcdMember, etcd_command
from trunkline_local.host import ProcessHost
from trunkline_local.ports import PortAllocator
from trunkline_local.readiness import wait_ready
from trunkline_map.etcd import EtcdStore, open_etcd
from trunkline_map.etcd_access import EtcdAccess
from trunkline_map.etcd_channel import open_channel
from trunkline_map.keys import PREFIX, prefix_end

READER: Final = "reader"
ROOT: Final = "root"
_MAY_READ: Final = rpc.Permission(permType=rpc.Permission.READ, key=PREFIX, range_end=prefix_end(PREFIX))


class Authority:
    """Signs certificates and writes them as files."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.path = folder / f"{name}.pem"
        self.path.write_bytes(self._sign(self._name, self._key, ca=True).public_bytes(serialization.Encoding.PEM))

    def issue(self, name: str) -> tuple[Path, Path]:
        """Return the files of a certificate for loopback and of its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        cert_path, key_path = self.folder / f"{name}.crt", self.folder / f"{name}.key"
        cert_path.write_bytes(self._sign(subject, key, ca=False).public_bytes(serialization.Encoding.PEM))
        key_path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return cert_path, key_path

    def _sign(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, *, ca: bool) -> x509.Certificate:
        now = dt.datetime.now(dt.UTC)
        names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(hours=1))
            .not_valid_after(now + dt.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .sign(self._key, hashes.SHA256())
        )


class SecuredEtcd:
    """One member with TLS and client certificates; `enable_auth` makes it ask for tokens, too."""

    def __init__(self, host: ProcessHost, ports: PortAllocator, folder: Path) -> None:
        self.authority = Authority(folder, "ca")
        self._folder = folder
        self._host = host
        self._member = EtcdMember("etcd", folder / "data", ports.take(), ports.take())
        self._child: Child | None = None
        cert_path, key_path = self.authority.issue("client")
        self.plain_access = EtcdAccess(
            (f"localhost:{self._member.client_port}",), self.authority.path, cert_path, key_path
        )
        """By name, with TLS and our certificate, as nobody."""

    def access(self, user: str, password: str | None = None) -> EtcdAccess:
        """Return the access of a user; the password is the right one unless given."""
        path = self._folder / f"{user}.password"
        path.write_text(f"{password or password_of(user)}\n")
        return replace(self.plain_access, username=user, password_path=path)

    async def start(self) -> None:
        """Start it and wait until it answers."""
        command = etcd_command(self._member, [self._member], self._folder / "etcd.log")
        cert_path, key_path = self.authority.issue("server")
        url = f"https://{self._member.endpoint}"
        secured = (
            *(f"--listen-client-urls={url}", f"--advertise-client-urls={url}", "--client-cert-auth"),
            *(f"--cert-file={cert_path}", f"--key-file={key_path}", f"--trusted-ca-file={self.authority.path}"),
        )
        self._child = self._host.spawn(replace(command, argv=[*command.argv, *secured]))
        async with open_etcd(self.plain_access) as store:
            await wait_ready(self._child, partial(_has_leader, store), within_s=30)

    async def kill(self) -> None:
        """End it as `kill -9` would; the tokens that it gave are forgotten with it."""
        if self._child is not None and self._child.poll() is None:
            self._child.kill()
            await self._child.wait()

    async def enable_auth(self) -> None:
        """Make two users, root and one who may read the map, and ask everybody who they are."""
        async with open_channel(self.plain_access.endpoints[0], self.plain_access.credentials()) as channel:
            auth = rpc_pb2_grpc.AuthStub(channel)
            await auth.RoleAdd(rpc.AuthRoleAddRequest(name=READER))
            await auth.RoleGrantPermission(rpc.AuthRoleGrantPermissionRequest(name=READER, perm=_MAY_READ))
            for user in (ROOT, READER):
                await auth.UserAdd(rpc.AuthUserAddRequest(name=user, password=password_of(user)))
                await auth.UserGrantRole(rpc.AuthUserGrantRoleRequest(user=user, role=user))
            await auth.AuthEnable(rpc.AuthEnableRequest())


def password_of(user: str) -> str:
    """Return the user's password."""
    return f"pass-of-{user}"


async def _has_leader(store: EtcdStore) -> bool:
    return all(member.has_leader for member in await store.member_statuses(timeout_s=1))


@asynccontextmanager
async def secured_etcd(folder: Path) -> AsyncIterator[SecuredEtcd]:
    """Start one; it ends with the context, and with this process whatever happens."""
    ports = PortAllocator()
    async with ProcessHost() as host:
        server = SecuredEtcd(host, ports, folder)
        try:
            await server.start()
            yield server
        finally:
            await server.kill()
            ports.close()
