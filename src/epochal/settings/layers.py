"""Layers of settings: defaults, a version's chain of patches, a file, options; later ones win."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

from epochal.errors import UsageError
from epochal.settings.check import NONE
from epochal.settings.patch import Patch, apply

Settings = TypeVar("Settings")


def layered(settings: Settings, layers: Iterable[tuple[str, Patch]]) -> Settings:
    """Settings after all patches, in order. Each layer is (where it comes from, patch).

    Raises:
        UsageError: as `apply`, naming where the faulty value comes from.
    """
    for origin, patch in layers:
        try:
            settings = apply(settings, patch)
        except UsageError as problem:
            what = f"{origin}: {problem.what}" if origin else problem.what
            raise UsageError(what, hint=problem.hint) from None
    return settings


def read_file(path: str | Path) -> dict[str, Any]:
    """A patch from a TOML file, or the settings saved in a run's `run.json` (the run folder works too).

    TOML has no null: there `"none"` stands for it.

    Raises:
        UsageError: when the file is missing, unreadable, or holds no settings.
    """
    file = Path(path)
    if file.is_dir():
        file = file / "run.json"
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        reason = getattr(problem, "strerror", None) or "not a text file"
        raise UsageError(f"Cannot read the settings file {file}: {reason}.") from None
    return _from_json(file, text) if file.suffix == ".json" else _from_toml(file, text)


def _from_toml(file: Path, text: str) -> dict[str, Any]:
    import tomllib

    try:
        return _without_none(tomllib.loads(text))
    except tomllib.TOMLDecodeError as problem:
        raise UsageError(
            f"{file} is not valid TOML: {problem}.",
            hint='Write lines like `epochs = 4` and `loss.grey_weight = 0.1`, and text in "quotes".',
        ) from None


def _from_json(file: Path, text: str) -> dict[str, Any]:
    import json

    try:
        content = json.loads(text)
    except json.JSONDecodeError as problem:
        raise UsageError(f"{file} is not valid JSON: {problem}.") from None
    settings = content.get("settings") if isinstance(content, dict) else None
    if not isinstance(settings, dict):
        raise UsageError(
            f"{file} holds no settings.", hint="Give a TOML file, a run folder, or the run.json of a run."
        )
    return settings


def _without_none(table: dict[str, Any]) -> dict[str, Any]:
    cleaned: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, dict):
            value = _without_none(value)
        cleaned[key] = None if isinstance(value, str) and value.lower() == NONE else value
    return cleaned
