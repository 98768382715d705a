"""Fixtures that tests of several rooms share."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data files, named by EPOCHAL_DATA."""
    folder = os.environ.get("EPOCHAL_DATA")
    if not folder:
        pytest.skip("EPOCHAL_DATA is not set: no real data to test with")
    return Path(folder)
