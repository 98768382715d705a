"""Where settings come from: version chain, file, options, and which of them wins."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from epochal import settings
from epochal.errors import UsageError
from epochal.settings.common import RecipeSettings


def test_later_layers_win_and_earlier_ones_stay() -> None:
    """Defaults < version < file < options."""
    layers = [("version", {"epochs": 3, "batch_size": 8}), ("file", {"epochs": 4}), ("", {"data.limit": 5})]
    assert settings.flatten(settings.layered(RecipeSettings(), layers)) == {
        **settings.flatten(RecipeSettings()),
        "epochs": 4,
        "batch_size": 8,
        "data.limit": 5,
    }


def test_an_error_names_the_layer_it_comes_from() -> None:
    """A wrong key in a file is looked for in that file."""
    with pytest.raises(UsageError, match=r"^my\.toml: There is no setting 'epoch'") as caught:
        settings.layered(RecipeSettings(), [("my.toml", {"epoch": 3})])
    assert caught.value.hint == "Did you mean epochs?"


def test_a_toml_file_is_a_patch(tmp_path: Path) -> None:
    """Tables are groups; "none" stands for the null that TOML lacks."""
    file = tmp_path / "my.toml"
    file.write_text('epochs = 4\nclip-grad-norm = "none"\n[data]\nlimit = 256\ndir = "None"\n')
    patch = settings.read_file(file)
    assert settings.flatten(patch) == {
        "epochs": 4,
        "clip-grad-norm": None,
        "data.limit": 256,
        "data.dir": None,
    }


def test_a_saved_run_is_a_settings_file(tmp_path: Path) -> None:
    """The resolved settings of an old run start the same run again, from run.json or its folder."""
    saved = settings.to_dict(RecipeSettings(epochs=5))
    (tmp_path / "run.json").write_text(json.dumps({"format": 1, "settings": saved}))
    for path in (tmp_path, tmp_path / "run.json"):
        restored = settings.from_dict(RecipeSettings, settings.read_file(path))
        assert restored == RecipeSettings(epochs=5)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.toml", b"epochs = = 4", "not valid TOML"),
        ("a.toml", b"\xff\xfe\x00", "not a text file"),
        ("a.json", b"{", "not valid JSON"),
        ("a.json", b"[1]", "holds no settings"),
        ("a.json", b'{"settings": 3}', "holds no settings"),
    ],
)
def test_a_broken_file_is_named_with_its_fault(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    """One message with path and reason, for every way a file can be wrong."""
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(UsageError, match=message) as caught:
        settings.read_file(file)
    assert str(file) in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """Exit code 2 and the path, not an exception of the operating system."""
    with pytest.raises(UsageError, match=r"nowhere\.toml: No such file"):
        settings.read_file(tmp_path / "nowhere.toml")
