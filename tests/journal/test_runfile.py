"""run.json of somebody else: whatever stands in it, there is one clear message."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epochal.errors import EpochalError
from epochal.journal import runfile

GOOD = {"format": 1, "id": "20260101-000000-cvae-digits-model-1-s0-aaaa", "recipe": "cvae-digits"}

SPOILT: dict[str, tuple[Any, str]] = {
    "no-json": (b"{", "is not JSON"),
    "not-utf-8": (b"\xff\xfe\x00", "is not JSON"),
    "empty": (b"", "is not JSON"),
    "deep": (b"[" * 100_000, "is not JSON"),
    "endless-number": (b'{"seed": ' + b"9" * 10_000 + b"}", "is not JSON"),
    "list": ([], "holds a list, not an object"),
    "newer": ({**GOOD, "format": 2}, "written by a newer Epochal"),
    "seed": ({**GOOD, "seed": "3"}, "has seed = '3', which must be int"),
    "flag-for-number": ({**GOOD, "epochs_done": True}, "has epochs_done = True, which must be int"),
    "settings": ({**GOOD, "settings": [1]}, "has settings = [1], which must be dict"),
    "git": ({**GOOD, "git": "main"}, "has git = 'main', which must be dict or null"),
    "path-as-id": ({**GOOD, "id": "../../etc"}, "has id = '../../etc', which is no run id"),
    "no-id": ({"recipe": "x"}, "has id = None, which is no run id"),
    "no-recipe": ({"id": "a"}, "names no recipe"),
    "status": ({**GOOD, "status": "done"}, "has status = 'done', which must be one of draft, running"),
    "patch": ({**GOOD, "patch": {"lr": 3}}, "has patch 'lr' = 3, which must be [old, new]"),
    "terminal-codes": ({**GOOD, "name": "\x1b[2J"}, "has control characters in name"),
}


@pytest.mark.parametrize("case", SPOILT)
def test_a_spoilt_file_is_told_in_one_message(tmp_path: Path, case: str) -> None:
    """The message names the folder, the field, its value and what is allowed, and what to do."""
    content, message = SPOILT[case]
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    with pytest.raises(EpochalError) as caught:
        runfile.parse(data, tmp_path)
    assert message in caught.value.what and str(tmp_path) in caught.value.what
    assert caught.value.hint and len(caught.value.what) < 400


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(sorted(runfile.FIELDS)), values))
def test_any_fields_are_read_or_refused(fields: dict[str, Any]) -> None:
    """Random values of random kinds never end in another error, and what is read has every field."""
    try:
        meta = runfile.parse(json.dumps({**GOOD, **fields}), Path("run"))
    except EpochalError:
        return
    assert runfile.FIELDS.keys() <= meta.keys()


def test_a_folder_without_the_file_is_no_run(tmp_path: Path) -> None:
    """A wrong folder and a missing one are told alike; so is a file in its place."""
    (tmp_path / "file").touch()
    for folder in (tmp_path, tmp_path / "missing", tmp_path / "file"):
        with pytest.raises(EpochalError, match=r"is no run: it holds no run\.json"):
            runfile.read(folder)


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    """A file of terabytes (sparse here) must not fill the memory."""
    with (tmp_path / "run.json").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(EpochalError, match="more than any run's"):
        runfile.read(tmp_path)


def test_defaults_are_fresh_each_time() -> None:
    """Two runs must not share a dict."""
    runfile.defaults()["final"]["loss"] = 1.0
    assert runfile.defaults()["final"] == {}
    assert runfile.fault({**runfile.defaults(), **GOOD}) is None


def test_fields_of_a_later_version_are_kept() -> None:
    """A field that this Epochal does not know survives reading."""
    assert runfile.parse(json.dumps({**GOOD, "energy_joules": 5}), Path("run"))["energy_joules"] == 5
