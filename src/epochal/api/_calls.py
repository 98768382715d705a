"""Checks how a verb is called from Python: what the command line's parser does for what is typed."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping
from functools import wraps
from numbers import Integral
from typing import Any, ParamSpec, TypeVar

from epochal.errors import UsageError
from epochal.journal import Lab, Run

Called = ParamSpec("Called")
Answer = TypeVar("Answer")

_RUN = ((str, Run), 'a run: its id, the beginning of one, "last", "recipe:version@seed", a folder, or a Run')
_TEXT = ((str,), "a text")
_RECIPE = ((str, os.PathLike), "a recipe's name, or the path of a recipe file")
_FILE = ((str, os.PathLike), "a path")
_SWITCH = ((bool,), "True or False")
_COUNT = ((Integral,), "a whole number")

_ARGUMENTS: Mapping[str, tuple[tuple[type, ...], str]] = {
    "ref": _RUN,
    "refs": _RUN,
    "a": ((str, Run), "a run, or a version whose runs are meant"),
    "b": ((str, Run), "a run, or a version whose runs are meant"),
    "recipe": _RECIPE,
    "version": ((str,), "the name of a version"),
    "patch": ((Mapping,), 'a mapping of settings to values, like {"epochs": 4}'),
    "grid": ((Mapping,), 'a mapping of settings to lists of values, like {"optim.lr": [0.5, 0.1]}'),
    "settings_file": _FILE,
    "seed": _COUNT,
    "seeds": ((Integral,), "a whole number: how many, beginning with `seed`"),
    "threads": _COUNT,
    "epochs": _COUNT,
    **dict.fromkeys(("channels", "classes", "dims"), _COUNT),
    "lab": ((str, os.PathLike, Lab), "the folder of the runs, or a Lab"),
    "out": _FILE,
    "path": _FILE,
    **dict.fromkeys(("name", "note", "text", "split", "device", "precision", "lang", "net"), _TEXT),
    **dict.fromkeys(
        ("one_by_one", "show", "keep_going", "warm_start", "draft", "prune", "dry", "members", "overwrite"),
        _SWITCH,
    ),
}
_CHOICES = {"which": ("best", "last")}


def verb(function: Callable[Called, Answer]) -> Callable[Called, Answer]:
    """Makes a verb refuse arguments that it does not take before it does anything, each in one clear message.

    NumPy's whole numbers and paths are handed on as Python's own.
    """
    signature = inspect.signature(function)

    @wraps(function)
    def called(*args: Called.args, **kwargs: Called.kwargs) -> Answer:
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError as problem:
            raise _misfit(function.__name__, signature, kwargs, problem) from None
        for name, value in bound.arguments.items():
            if name == "refs":
                bound.arguments[name] = tuple(_checked(name, one, None) for one in value)
            else:
                bound.arguments[name] = _checked(name, value, signature.parameters[name])
        return function(*bound.args, **bound.kwargs)

    return called


def _checked(name: str, value: Any, parameter: inspect.Parameter | None) -> Any:
    """The value as the verb takes it."""
    if parameter is not None and value is None and parameter.default is None:
        return None
    if name in _CHOICES and value not in _CHOICES[name]:
        raise UsageError(
            f"{name} = {value!r} is not allowed.", hint=f"Choose one of {', '.join(_CHOICES[name])}."
        )
    allowed, words = _ARGUMENTS.get(name, ((object,), ""))
    whole, kept = Integral in allowed, value
    if not isinstance(value, allowed) or (whole and isinstance(value, bool)):
        raise UsageError(f"{name} = {_short(value)} is not allowed.", hint=f"{name} must be {words}.")
    if whole:
        return int(kept)
    return os.fspath(kept) if name == "recipe" else kept


def _misfit(
    verb: str, signature: inspect.Signature, given: Mapping[str, Any], problem: TypeError
) -> UsageError:
    """What is wrong with the arguments' names or number."""
    from difflib import get_close_matches

    unknown = [name for name in given if name not in signature.parameters]
    if not unknown:
        return UsageError(f"epochal.{verb}: {problem}.", hint=f"help(epochal.{verb}) shows its arguments.")
    near = get_close_matches(unknown[0], signature.parameters, n=1, cutoff=0.75)
    hint = f"Did you mean {near[0]}?" if near else f"Arguments: {', '.join(signature.parameters)}."
    if not near and "patch" in signature.parameters:
        hint = f'Settings stand in the patch: patch={{"{unknown[0]}": {_short(given[unknown[0]])}}}'
    return UsageError(f"epochal.{verb} has no argument {unknown[0]!r}.", hint=hint)


def _short(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:59]}…"
