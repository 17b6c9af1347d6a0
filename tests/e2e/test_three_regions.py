"""Everything that needs three regions, as one file: pytest-xdist gives a file to one process, so one stack starts.

The tests stand by topic in the modules that `conftest.SCENARIOS` names. One of them alone runs with
`pytest tests/e2e/main_job.py`.
"""

from __future__ import annotations

import importlib

import pytest
from tests.e2e.conftest import SCENARIOS

pytestmark = pytest.mark.timeout(180)  # the first test starts the stack

for _scenario in SCENARIOS:
    for _name, _test in vars(importlib.import_module(f"tests.e2e.{_scenario}")).items():
        if _name.startswith("test_"):
            assert _name not in globals(), f"two tests are called {_name}"
            globals()[_name] = _test
