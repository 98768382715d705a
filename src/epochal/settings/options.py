"""Settings as dotted command-line options (`--loss.grey-weight 0.1`), parsed by tyro."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from typing import Any, TypeVar

from epochal.errors import UsageError
from epochal.settings.check import NONE, check
from epochal.settings.fields import Kind, flatten, kinds, to_dict
from epochal.settings.patch import apply, from_dict, unknown_key

Settings = TypeVar("Settings")


def parse(settings: Settings, arguments: Sequence[str]) -> dict[str, Any]:
    """The patch that the options make: `--group.field-name VALUE` for each setting they name.

    Args:
        settings: an instance of the settings that the options may name.
        arguments: the command line.

    Raises:
        UsageError: for an unknown, incomplete, ill-typed or out-of-range option.
    """
    if not arguments:
        return {}
    import tyro

    try:
        # tyro prints a boxed message of its own on stderr; `explain` says it in our words instead.
        with contextlib.redirect_stderr(io.StringIO()):
            parsed = tyro.cli(
                type(settings),
                default=settings,
                args=[_none_as_tyro_writes_it(word) for word in arguments],
                add_help=False,
            )
    except SystemExit:
        raise explain(settings, arguments) from None
    # Ranges are ours alone to check, so every value goes through our validator too.
    values = flatten(from_dict(type(settings), to_dict(parsed)))
    cls: type = type(settings)
    known = kinds(cls)
    named = [_key(word[2:].partition("=")[0], known) for word in arguments if word.startswith("--")]
    return {key: values[key] for key in named if key is not None}


def help_text(settings: Any, *, prog: str) -> str:
    """All options of the settings with their docstrings, and `settings`' values as defaults."""
    import tyro

    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
        tyro.cli(type(settings), default=settings, args=["--help"], prog=prog)
    return out.getvalue()


def explain(settings: Any, arguments: Sequence[str]) -> UsageError:
    """The first mistake in the options, found by our own validator; else the rule between settings that they break."""
    cls: type = type(settings)
    known = kinds(cls)
    given: dict[str, Any] = {}
    position = 0
    while position < len(arguments):
        word = arguments[position]
        if not word.startswith("--"):
            return UsageError(
                f"Did not expect {word!r}.", hint="Write settings as --name VALUE; a switch takes none."
            )
        name, has_value, text = word[2:].partition("=")
        key = _key(name, known)
        if key is None:
            return unknown_key(name, known)
        count = 0 if has_value else value_count(known[key], arguments[position + 1 :])
        values = [text] if has_value else list(arguments[position + 1 : position + 1 + count])
        position += 1 + count
        try:
            _check_option(key, values, known[key])
        except UsageError as problem:
            return problem
        switch = name.replace("-", "_") == key
        given[key] = switch if not values else values if known[key].base is tuple else values[0]
    try:
        apply(settings, given)
    except UsageError as problem:
        return problem
    return UsageError(f"Cannot read the options {' '.join(arguments)!r}.")


def value_count(kind: Kind, following: Sequence[str]) -> int:
    """How many of the words after an option are its values."""
    words = 0
    while words < len(following) and not following[words].startswith("--"):
        words += 1
    if kind.base is bool and not kind.optional:
        return 0
    if kind.base is tuple:
        return words if kind.variadic else min(words, len(kind.items))
    return min(words, 1)


def setting_key(name: str, cls: type) -> str | None:
    """The dotted key that an option's name (without `--`) stands for, None when there is none."""
    return _key(name, kinds(cls))


def _none_as_tyro_writes_it(word: str) -> str:
    return "None" if word.lower() == NONE else word


def _key(name: str, known: dict[str, Kind]) -> str | None:
    key = name.replace("-", "_")
    if key in known:
        return key
    # A switch `--loss.grey` has the twin `--loss.no-grey`.
    group, _, last = key.rpartition(".")
    positive = f"{group}.{last[3:]}" if group else last[3:]
    return positive if last.startswith("no_") and known.get(positive, Kind(str)).base is bool else None


def _check_option(key: str, values: Sequence[str], kind: Kind) -> None:
    if kind.base is bool and not kind.optional:
        if values:
            raise UsageError(
                f"--{key} takes no value.", hint=f"Switch it on with --{key}, off with its --no- twin."
            )
        return
    if not values:
        raise UsageError(f"--{key.replace('_', '-')} needs a value.", hint=f"{key} must be {kind}.")
    check(key, list(values) if kind.base is tuple else values[0], kind)
