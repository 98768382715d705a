"""run.json: its fields, their types, and reading one that somebody else may have spoilt."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any, Final

from epochal.errors import EpochalError
from epochal.journal import atomic, strict_json

NAME: Final = "run.json"
FORMAT: Final = 1
STATUSES: Final = ("draft", "running", "finished", "stopped", "failed")

# Anything larger was not written by Epochal; reading it could fill the memory.
MAX_BYTES: Final = 16 * 2**20

_TEXT = (str,)
_TEXT_OR_NONE = (str, type(None))
_NUMBER = (int, float)

# field: (allowed types, what a run starts with)
FIELDS: Final[dict[str, tuple[tuple[type, ...], Any]]] = {
    "format": ((int,), FORMAT),
    "id": (_TEXT, ""),
    "recipe": (_TEXT, ""),
    "recipe_file": (_TEXT_OR_NONE, None),
    "version": (_TEXT_OR_NONE, None),
    "name": (_TEXT_OR_NONE, None),
    "parent": (_TEXT_OR_NONE, None),
    "parent_version": (_TEXT_OR_NONE, None),
    "patch": ((dict,), {}),
    "settings": ((dict,), {}),
    "seed": ((int,), 0),
    "seeds_of": ((list,), []),
    "members": ((int,), 0),
    "device": (_TEXT_OR_NONE, None),
    "precision": (_TEXT_OR_NONE, None),
    "choices": ((dict,), {}),
    "loss_definition": ((dict,), {}),
    "data": ((dict,), {}),
    "environment": ((dict,), {}),
    "git": ((dict, type(None)), None),
    "command": ((list,), []),
    "status": (_TEXT, "draft"),
    "reason": (_TEXT_OR_NONE, None),
    "created": (_TEXT, ""),
    "started": (_TEXT_OR_NONE, None),
    "finished": (_TEXT_OR_NONE, None),
    "epochs_done": ((int,), 0),
    "steps_done": ((int,), 0),
    "final": ((dict,), {}),
    "evaluation": ((dict,), {}),
    "measured_with": ((dict,), {}),
    "process": ((dict, type(None)), None),
}

# Fields of text that reach file names, tables and terminals: no control characters in them, and no halves of
# characters (lone surrogates), which no terminal and no database takes.
_SHOWN = ("id", "recipe", "version", "name", "parent", "parent_version", "status", "created")
# Fields that may hold floats that are not finite.
_MEASURED = ("settings", "patch", "final", "evaluation")
_ID = re.compile(r"[\w][\w.\-]{0,199}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def defaults() -> dict[str, Any]:
    """A fresh run.json: every field with the value a run starts with."""
    return {name: default.copy() if default in ({}, []) else default for name, (_, default) in FIELDS.items()}


def fault(meta: Any) -> str | None:
    """What is wrong with the content of a run.json, in words; None when it can be used."""
    if not isinstance(meta, dict):
        return f"holds a {type(meta).__name__}, not an object"
    if isinstance(meta.get("format"), int) and meta["format"] > FORMAT:
        return f"has format {meta['format']}, written by a newer Epochal (this one reads {FORMAT}): upgrade"
    for name, (types, _) in FIELDS.items():
        if name in meta and (not isinstance(meta[name], types) or isinstance(meta[name], bool)):
            allowed = " or ".join("null" if kind is type(None) else kind.__name__ for kind in types)
            return f"has {name} = {_short(meta[name])}, which must be {allowed}"
        if types == (int,) and not abs(meta.get(name, 0)) < 2**63:
            return f"has {name} = {_short(meta[name])}, a number too large"
    if meta.get("members", 0) < 0:
        return f"has members = {meta['members']}, which must be at least 0"
    for name in _SHOWN:
        if _CONTROL.search(meta.get(name) or ""):
            return f"has control characters in {name} = {_short(meta[name])}"
    if not _ID.fullmatch(meta.get("id", "")):
        return f"has id = {_short(meta.get('id'))}, which is no run id"
    if not meta.get("recipe"):
        return "names no recipe"
    if meta.get("status", "draft") not in STATUSES:
        return f"has status = {_short(meta['status'])}, which must be one of {', '.join(STATUSES)}"
    for key, pair in meta.get("patch", {}).items():
        if not isinstance(pair, list) or len(pair) != 2:
            return f"has patch {_short(key)} = {_short(pair)}, which must be [old, new]"
    return _inner_fault(meta)


def _inner_fault(meta: dict[str, Any]) -> str | None:
    """What is wrong inside the fields that listings and logs compute with: one such run must not spoil a lab."""
    evaluation = meta.get("evaluation", {})
    for split, values in evaluation.items():
        if not isinstance(values, dict):
            return f"has evaluation {_short(split)} = {_short(values)}, which must be numbers by name"
    for values in (meta.get("final", {}), *evaluation.values()):
        for key, value in values.items():
            if not _is_number(value):
                return f"has {_short(key)} = {_short(value)} among its numbers"
            if isinstance(value, int) and not abs(value) < 2**63:
                return f"has {_short(key)} = {_short(value)}, a number too large"
    measured_with = meta.get("measured_with", {})
    for split, texts in measured_with.items():
        if not isinstance(texts, dict):
            return f"has measured_with {_short(split)} = {_short(texts)}, which must be texts by name"
    for name, texts in (
        ("command", meta.get("command", [])),
        ("loss_definition", meta.get("loss_definition", {})),
        *(("measured_with", texts) for texts in measured_with.values()),
    ):
        for text in texts.values() if isinstance(texts, dict) else texts:
            if not isinstance(text, str):
                return f"has {_short(text)} in its {name}, which holds texts"
    return None


def _is_number(value: Any) -> bool:
    plain = isinstance(value, _NUMBER) and not isinstance(value, bool)
    # Written as JSON, scalars of NumPy and torch become plain ones, and what is not finite a text.
    return plain or value is None or hasattr(value, "item") or isinstance(strict_json.restore(value), float)


def parse(text: str | bytes, folder: Path) -> dict[str, Any]:
    """The content of a run.json, missing fields filled in.

    Raises:
        EpochalError: it is no JSON or its fields are of the wrong kind; names the folder.
    """
    try:
        meta = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _unreadable(folder, f"is not JSON ({error})") from error
    wrong = fault(meta)
    if wrong is not None:
        raise _unreadable(folder, wrong)
    for name in _MEASURED:
        if name in meta:
            meta[name] = strict_json.restore(meta[name])
    return {**defaults(), **meta}


def read(folder: Path) -> bytes:
    """The bytes of a folder's run.json.

    Raises:
        EpochalError: there is none, or it cannot be read, or it is far too large; names the folder.
    """
    path = folder / NAME
    try:
        size = os.stat(path).st_size
        if size > MAX_BYTES:
            raise _unreadable(folder, f"has {size:,} bytes, more than any run's ({MAX_BYTES:,})")
        return atomic.read_bytes(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        hint = "Name a run's folder or id; `epochal list` shows them."
        raise EpochalError(f"{folder} is no run: it holds no {NAME}.", hint=hint) from error
    except OSError as error:
        raise _unreadable(folder, f"cannot be read ({error.strerror or error})") from error


def _unreadable(folder: Path, wrong: str) -> EpochalError:
    hint = "Put back a copy of that file, or delete the folder; other runs are not affected."
    return EpochalError(f"the run in {folder} cannot be read: its {NAME} {wrong}.", hint=hint)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
