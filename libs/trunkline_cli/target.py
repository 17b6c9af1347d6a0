"""Which routers to ask and with which credential: from options, the environment, or the local stack's record."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from trunkline_cli.exits import START, CliError, Exit, not_running
from trunkline_client import ControlClient, LearningClient, RouterAddress, TrunklineClient, UsageClient

if TYPE_CHECKING:
    from trunkline_local import StackState

RUN_DIR_NAME: Final = ".trunkline"
DEFAULT_TENANT: Final = "dev"
"""Tenant that `trunkline up` creates."""

TokenSource = str | Callable[[], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetOptions:
    """What the user said about where to go."""

    run_dir: Path | None = None
    routers: Sequence[str] = ()
    control: str | None = None
    token: str | None = None
    token_file: Path | None = None
    tenant: str | None = None
    near: str | None = None


class Target:
    """Finds routers and credentials; the local stack is looked at only if something was not named."""

    def __init__(self, options: TargetOptions) -> None:
        self._options = options
        self.run_dir = find_run_dir(options.run_dir)
        self._state: StackState | None = None

    @property
    def tenant(self) -> str:
        """The tenant for which development tokens are minted."""
        return self._options.tenant or DEFAULT_TENANT

    @property
    def is_local(self) -> bool:
        """True if the routers are those of the local stack."""
        return not self._named_routers()

    def stack(self) -> StackState:
        """Return the running local stack. Raises CliError if there is none."""
        if self._state is None:
            self._state = running_stack(
                self.run_dir, advice=f"{START}, or name routers with --router or TRUNKLINE_ROUTERS"
            )
        return self._state

    def routers(self) -> list[RouterAddress]:
        """Return the routers, nearest first. Raises CliError."""
        named = self._named_routers()
        try:
            found = [RouterAddress.parse(item) for item in named]
        except ValueError as exc:
            raise CliError(str(exc), code=Exit.USAGE) from None
        if not found:
            found = [
                RouterAddress(region.region_id, endpoint)
                for region in self.stack().regions
                for service, endpoint in region.endpoints.items()
                if service == "routing"
            ]
        near = self._options.near
        if near is not None and near not in {address.region for address in found}:
            raise CliError(f"no router of region {near} is known", code=Exit.USAGE)
        return sorted(found, key=lambda address: address.region != near)  # stable: the others keep their order

    def client(self, roles: Sequence[str] = ()) -> TrunklineClient:
        """Return a client of the tenant; a development token gets these roles. Raises CliError."""
        return TrunklineClient(self.routers(), self._token(lambda: self._tenant_token(roles)))

    def learning(self, learners: Sequence[RouterAddress]) -> LearningClient:
        """Return a client of these learners; a development token is an admin's of the tenant. Raises CliError."""
        return LearningClient(learners, self._token(lambda: self._tenant_token(["admin"])))

    def control(self) -> ControlClient:
        """Return a client of the control role, as operator. Raises CliError."""
        endpoint = self._options.control
        if endpoint is None:
            if not self.is_local:
                raise CliError("routers were named, but none of role control", advice="add --control host:port")
            endpoint = self.stack().control_endpoint
        return ControlClient([endpoint], self._token(self._operator_token))

    def usage(self, endpoints: Sequence[str]) -> UsageClient:
        """Return a client of one region's admission, as operator. Raises CliError."""
        return UsageClient(endpoints, self._token(self._operator_token))

    def _named_routers(self) -> list[str]:
        if self._options.routers:
            return list(self._options.routers)
        return [item.strip() for item in os.environ.get("TRUNKLINE_ROUTERS", "").split(",") if item.strip()]

    def _token(self, local: Callable[[], TokenSource]) -> TokenSource:
        options = self._options
        if options.token:
            return options.token
        if options.token_file is not None:
            path = options.token_file
            if not path.is_file():
                raise CliError(f"{path} is no file", code=Exit.USAGE)
            return path.read_text  # read again for each call: whoever renews the token writes the file
        if not self.is_local:
            raise CliError("no credential", advice="give --token, --token-file or TRUNKLINE_TOKEN", code=Exit.USAGE)
        return local()

    def _tenant_token(self, roles: Sequence[str]) -> TokenSource:
        from trunkline_local import DevIdentity

        return DevIdentity.load(self.stack().identity_dir).mint("cli", tenant=self.tenant, roles=roles)

    def _operator_token(self) -> TokenSource:
        return self.stack().tokens["operator"].read_text


def find_run_dir(given: Path | None) -> Path:
    """Return the stack's folder: the one named, else `.trunkline` here or in the nearest folder above that has one."""
    if given is not None:
        return given.absolute()
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / RUN_DIR_NAME / "stack.json").is_file():
            return folder / RUN_DIR_NAME
    return here / RUN_DIR_NAME


def running_stack(run_dir: Path, *, advice: str = START) -> StackState:
    """Return the record of a stack that runs. Raises CliError, with advice, if there is none."""
    if not (run_dir / "stack.json").is_file():
        raise not_running(run_dir, advice=advice)
    from trunkline_local import read_status

    status = read_status(run_dir)
    if not status.running or status.state is None:
        raise not_running(run_dir, advice=advice)
    return status.state
