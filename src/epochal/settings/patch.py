"""Patches: changes of settings as values, by dotted key; applying, finding and describing them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields
from difflib import get_close_matches
from typing import Any, TypeVar

from epochal.errors import UsageError
from epochal.settings.check import check, shown
from epochal.settings.fields import flatten, groups, kinds

Patch = Mapping[str, Any]
Diff = dict[str, tuple[Any, Any]]
Settings = TypeVar("Settings")


def apply(settings: Settings, patch: Patch) -> Settings:
    """Settings with the patch's values in place; every value is validated.

    Args:
        settings: a frozen settings dataclass.
        patch: values by dotted key, `-` for `_` allowed; nested mappings work too.

    Raises:
        UsageError: unknown key (with the nearest name), ill-typed value or one out of range.
    """
    values = checked(type(settings), patch)
    rebuilt: Settings = _rebuilt(type(settings), settings, values)
    return rebuilt


def from_dict(cls: type[Settings], nested: Mapping[str, Any]) -> Settings:
    """Settings from nested JSON values, as `to_dict` gives them; what is missing takes its default.

    Raises:
        UsageError: as `apply`, and for a missing setting that has no default.
    """
    built: Settings = _rebuilt(cls, None, checked(cls, nested))
    return built


def checked(cls: type, patch: Patch) -> dict[str, Any]:
    """The patch with full, known keys and validated values.

    Raises:
        UsageError: as `apply`.
    """
    known = kinds(cls)
    values: dict[str, Any] = {}
    for typed, value in flatten(patch).items():
        key = typed.replace("-", "_")
        if key not in known:
            raise unknown_key(typed, known)
        values[key] = check(key, value, known[key])
    return values


def diff(old: Any, new: Any) -> Diff:
    """What differs, as `{key: (old, new)}`; a key that only one side has counts as None on the other.

    `old` and `new` are settings dataclasses or their nested dictionaries.
    """
    before, after = flatten(old), flatten(new)
    keys = [*before, *(key for key in after if key not in before)]
    pairs = {key: (before.get(key), after.get(key)) for key in keys}
    return {key: pair for key, pair in pairs.items() if _differ(*pair)}


def new_values(difference: Mapping[str, tuple[Any, Any]]) -> dict[str, Any]:
    """The patch that leads from a diff's old side to its new one."""
    return {key: new for key, (_, new) in difference.items()}


def describe(difference: Mapping[str, Any]) -> list[str]:
    """One line a change: `loss.grey_weight: 0 → 0.32`."""
    return [f"{key}: {shown(old)} → {shown(new)}" for key, (old, new) in difference.items()]


def unknown_key(typed: str, known: Iterable[str]) -> UsageError:
    """The error for a setting that does not exist, with the nearest names or else all of them."""
    names = list(known)
    key = typed.replace("-", "_")
    inside = [name for name in names if name.startswith(f"{key}.")]
    if inside:
        return UsageError(f"{key} is a group of settings, not one.", hint="In it: " + ", ".join(inside) + ".")
    near = nearest(key, names)
    hint = f"Did you mean {' or '.join(near)}?" if near else "Settings: " + ", ".join(names) + "."
    return UsageError(f"There is no setting {typed!r}.", hint=hint)


def nearest(typed: str, known: Iterable[str]) -> list[str]:
    """The settings that a mistyped name may mean; a group's name means all that it holds."""
    names = list(known)
    key = typed.replace("-", "_")
    near = get_close_matches(key, names, n=3, cutoff=0.75)
    # People leave out the group: `--lr` for `--optim.lr`.
    last = {name: name.rpartition(".")[2] for name in names}
    ends = get_close_matches(key.rpartition(".")[2], set(last.values()), n=1, cutoff=0.75)
    near += [name for name in names if last[name] in ends and name not in near]
    # And they know a setting by another name: `--learning-rate` for `--optim.lr`, `--hidden-units` for `--net.hidden`.
    words = key.replace(".", "_").split("_")
    alike = {*words, "".join(word[:1] for word in words)} if not near else set()
    near += [name for name in names if alike & {last[name], *last[name].split("_")}][:3]
    return near or [name for name in names if name.startswith(f"{key}.")]


def _differ(old: Any, new: Any) -> bool:
    # Lists of a JSON file and tuples of a dataclass are the same setting; True and 1 are not.
    if isinstance(old, (tuple, list)) and isinstance(new, (tuple, list)):
        return len(old) != len(new) or any(map(_differ, old, new))
    return bool(isinstance(old, bool) != isinstance(new, bool) or old != new)


def _rebuilt(cls: type, base: Any, values: Mapping[str, Any]) -> Any:
    """A dataclass like `base` (None: its defaults) with validated values by dotted key."""
    arguments: dict[str, Any] = {}
    nested = groups(cls)
    for entry in fields(cls):
        if not entry.init:
            continue
        name = entry.name
        old = getattr(base, name) if base is not None else _default(entry)
        if name in nested:
            start = f"{name}."
            inside = {key[len(start) :]: value for key, value in values.items() if key.startswith(start)}
            arguments[name] = _rebuilt(nested[name], None if old is MISSING else old, inside)
        elif name in values or old is not MISSING:
            arguments[name] = values.get(name, old)
        else:
            raise UsageError(f"The setting {name!r} of {cls.__name__} is missing and has no default.")
    try:
        return cls(**arguments)
    except ValueError as reason:  # a rule between settings, checked by the recipe's own __post_init__
        raise UsageError(f"{reason}") from None


def _default(entry: Any) -> Any:
    return entry.default if entry.default_factory is MISSING else entry.default_factory()
