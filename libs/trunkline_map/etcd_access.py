"""Who and what is needed to reach an etcd cluster: its members, how they prove themselves, and how we do."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

import grpc

MAX_ENDPOINTS: Final = 9
"""Members of one cluster that are named; etcd advises against more than seven."""


@dataclass(frozen=True, slots=True)
class EtcdAccess:
    """An etcd cluster and our way in. Paths are read when they are used, so none of it holds a secret."""

    endpoints: tuple[str, ...]
    """`host:port` of members, names or addresses, 1 to MAX_ENDPOINTS."""
    ca_path: Path | None = None
    """PEM file of the authorities that sign members' certificates; with it, connections use TLS."""
    cert_path: Path | None = None
    """PEM file of our certificate, for mutual TLS."""
    key_path: Path | None = field(default=None, repr=False)
    """PEM file of its key."""
    username: str = ""
    """etcd user; empty for none."""
    password_path: Path | None = field(default=None, repr=False)
    """File with that user's password."""

    def __post_init__(self) -> None:
        """Raise ValueError for an access that cannot work."""
        if not 1 <= len(self.endpoints) <= MAX_ENDPOINTS:
            raise ValueError(f"1 to {MAX_ENDPOINTS} etcd endpoints are needed")
        for endpoint in self.endpoints:
            check_endpoint(endpoint)
        if (self.cert_path is None) != (self.key_path is None):
            raise ValueError("a client certificate for etcd needs its key, and a key its certificate")
        if self.cert_path is not None and self.ca_path is None:
            raise ValueError("a client certificate for etcd needs the CA of etcd's own certificates")
        if bool(self.username) != (self.password_path is not None):
            raise ValueError("an etcd user needs a password file, and a password file its user")

    @classmethod
    def of(cls, endpoints: Self | Sequence[str]) -> Self:
        """Return an access as it is, or one to plain endpoints. Raises ValueError for none."""
        return endpoints if isinstance(endpoints, cls) else cls(tuple(endpoints))  # type: ignore[arg-type]  # narrowed

    def credentials(self) -> grpc.ChannelCredentials | None:
        """Read the files and return what TLS needs; None for plaintext. Raises OSError if one cannot be read.

        Certificates are read once, when the store is opened: a renewed one takes effect with the next start.
        """
        if self.ca_path is None:
            return None
        return grpc.ssl_channel_credentials(
            root_certificates=self.ca_path.read_bytes(),
            private_key=self.key_path.read_bytes() if self.key_path else None,
            certificate_chain=self.cert_path.read_bytes() if self.cert_path else None,
        )


def check_endpoint(endpoint: str) -> None:
    """Raise ValueError unless it is `host:port`, the host a name, an IPv4 address, or an IPv6 address in brackets."""
    host, colon, port = endpoint.rpartition(":")
    if not colon or not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError("an etcd endpoint must be host:port")
    if host.startswith("["):
        ipaddress.IPv6Address(host.strip("[]"))
    elif set(host) & set(":/ "):
        raise ValueError("an etcd endpoint must be host:port, an IPv6 address in brackets")
