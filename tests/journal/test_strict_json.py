"""Strict JSON: what goes in comes out, and other readers accept the text."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from epochal.journal import strict_json

# The texts that stand for floats cannot be told from them: documented, and no setting is called so.
texts = st.text().filter(lambda text: text not in ("NaN", "Infinity", "-Infinity"))
leaves = st.none() | st.booleans() | st.integers() | st.floats() | texts
values = st.recursive(
    leaves, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=10
)


def refuse(token: str) -> None:
    """What strict JSON does with NaN."""
    raise AssertionError(f"{token} is no JSON")


def same(a: object, b: object) -> bool:
    """Equality in which NaN equals NaN."""
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, float) and isinstance(b, float) and math.isnan(a):
        return math.isnan(b)
    return a == b


@given(values)
def test_values_survive_the_round_trip_as_strict_json(value: object) -> None:
    """Any JSON value with any floats is written without Python's NaN tokens and read back equal."""
    text = strict_json.encode(value).decode()
    assert same(strict_json.restore(json.loads(text, parse_constant=refuse)), value)


def test_scalars_of_numpy_and_paths_are_plain_values() -> None:
    """Metrics often come as NumPy scalars; settings hold paths."""
    text = strict_json.dumps(
        {"loss": np.float32(0.5), "n": np.int64(3), "bad": np.float32("nan"), "at": Path("a")}
    )
    assert json.loads(text) == {"loss": 0.5, "n": 3, "bad": "NaN", "at": "a"}


def test_undecodable_file_names_are_escaped() -> None:
    """A command line may hold bytes that are no UTF-8; run.json must still be written."""
    name = b"caf\xe9".decode("utf-8", "surrogateescape")
    assert json.loads(strict_json.encode([name, "é"])) == [name, "é"]


def test_other_objects_are_refused() -> None:
    """Nothing is pickled or turned into text unasked."""
    with pytest.raises(TypeError, match="object cannot be written as JSON"):
        strict_json.dumps({"x": object()})
