"""The settings by which a service reaches etcd: one mixin, so that they are the same in every service."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import BaseModel, Field, model_validator

from trunkline_map.etcd_access import EtcdAccess


class EtcdSettings(BaseModel):
    """Mixin for a service's settings; name it before `ServiceSettings` among the bases."""

    etcd_endpoints: str = Field(
        "127.0.0.1:2379", description="etcd members, `host:port` separated by commas; names or addresses."
    )
    etcd_ca_path: Path | None = Field(
        None, description="PEM file of the CA of etcd's certificates; with it, etcd is reached by TLS."
    )
    etcd_cert_path: Path | None = Field(None, description="PEM file of the client certificate for etcd.")
    etcd_key_path: Path | None = Field(None, description="PEM file of that certificate's key.")
    etcd_username: str = Field("", description="etcd user; empty for none.")
    etcd_password_path: Path | None = Field(None, description="File with that user's password.")

    @model_validator(mode="after")
    def _etcd_access_is_whole(self) -> Self:
        self.etcd_access()
        return self

    def etcd_access(self) -> EtcdAccess:
        """Return the way to etcd. Raises ValueError for settings that contradict each other."""
        return EtcdAccess(
            endpoints=tuple(text for part in self.etcd_endpoints.split(",") if (text := part.strip())),
            ca_path=self.etcd_ca_path,
            cert_path=self.etcd_cert_path,
            key_path=self.etcd_key_path,
            username=self.etcd_username,
            password_path=self.etcd_password_path,
        )
