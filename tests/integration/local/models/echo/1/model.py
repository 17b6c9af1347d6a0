"""Answers with what it was given."""

from __future__ import annotations

import os
import sys
from typing import Any

# Triton's stub leaves PYTHONPATH out and would take whatever NumPy lies beside the bare interpreter.
sys.path[:0] = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))

# ruff: noqa: E402 - found only now
import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests: list[Any]) -> list[Any]:
        inputs = [pb_utils.get_input_tensor_by_name(request, "X").as_numpy() for request in requests]
        return [pb_utils.InferenceResponse([pb_utils.Tensor("Y", np.asarray(values))]) for values in inputs]
