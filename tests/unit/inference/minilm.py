"""The modules that Triton's models share. They lie beside the model repository, outside of the import roots."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any, Final

_TRITON: Final = str(Path(__file__).resolve().parents[3] / "deploy" / "triton")
if _TRITON not in sys.path:
    sys.path.append(_TRITON)

encoder: Final[Any] = import_module("minilm.encoder")
late_interaction: Final[Any] = import_module("minilm.late_interaction")
token_cache: Final[Any] = import_module("minilm.token_cache")
