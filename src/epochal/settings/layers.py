"""Layers of settings: defaults, a version's chain of patches, a file, options; later ones win."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

from epochal.errors import UsageError
from epochal.settings.check import NONE
from epochal.settings.patch import Patch, apply

Settings = TypeVar("Settings")

# Anything larger holds no settings.
_MOST_BYTES = 16 * 2**20


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
        with file.open("rb") as opened:  # a pipe will do; a device without end must not fill the memory
            content = opened.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise UsageError(f"Cannot read the settings file {file}: over {_MOST_BYTES:,} bytes.")
        text = content.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as problem:
        reason = getattr(problem, "strerror", None) or "not a text file"
        raise UsageError(f"Cannot read the settings file {file}: {reason}.") from None
    return _from_json(file, text) if file.suffix == ".json" else _from_toml(file, text)


def _from_toml(file: Path, text: str) -> dict[str, Any]:
    import tomllib

    try:
        return _without_none(tomllib.loads(text))
    except ValueError as problem:  # its own, and that of an integer of thousands of digits
        raise UsageError(
            f"{file} is not valid TOML: {problem}.",
            hint='Write lines like `epochs = 4` and `loss.grey_weight = 0.1`, and text in "quotes".',
        ) from None
    except RecursionError:
        raise UsageError(f"{file} is nested too deeply to hold settings.") from None


def _from_json(file: Path, text: str) -> dict[str, Any]:
    import json

    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as problem:
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
