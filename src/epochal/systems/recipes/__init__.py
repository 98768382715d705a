"""Finds recipes: the built-in ones (one module each, here), those of installed packages, and a user's file.

Every recipe module has an attribute `RECIPE`. Nothing is registered by hand: a module in this folder, an
entry point of the group `epochal.recipes`, or a path to a Python file is enough.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from epochal.errors import EpochalError, UsageError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint
    from types import ModuleType

    from epochal.training.task import Recipe, Version

GROUP = "epochal.recipes"


def names() -> list[str]:
    """Names of all recipes that are built in or installed, without importing any."""
    return sorted({*_modules(), *_entry_points()})


def find(name_or_path: str) -> Recipe:
    """The recipe of that name, or the one that a Python file (`./my_recipe.py`) defines.

    Raises:
        UsageError: no such recipe (with the nearest name) or file, or the file defines no recipe.
    """
    path = recipe_path(name_or_path)
    if path is not None:
        return _from_file(path)
    modules = _modules()
    if name_or_path in modules:
        from importlib import import_module

        return _checked(import_module(modules[name_or_path]))
    installed = _entry_points()
    if name_or_path in installed:
        return _from_entry_point(installed[name_or_path])
    raise _unknown(name_or_path)


def recipe_path(name_or_path: str) -> Path | None:
    """The absolute path when a recipe is given as a file, None when it is given by name."""
    looks_like_path = name_or_path.endswith(".py") or "/" in name_or_path or os.sep in name_or_path
    return Path(name_or_path).expanduser().resolve() if looks_like_path else None


def remember(path: Path) -> None:
    """Notes that the user ran this recipe file, so that its runs may load it again by themselves."""
    if not is_remembered(path):
        record = _record()
        record.parent.mkdir(parents=True, exist_ok=True)
        with record.open("a", encoding="utf-8") as file:
            file.write(f"{path}\n")


def is_remembered(path: Path) -> bool:
    """Whether the user ran this recipe file on this machine.

    A run folder names the file that made it. Loading a file executes it, so a path that merely stands in
    somebody's run folder is not enough.
    """
    try:
        return str(path) in _record().read_text(encoding="utf-8").splitlines()
    except OSError:
        return False


def version_of(recipe: Recipe, name: str | None = None) -> Version:
    """The version of that name; the newest when no name is given.

    Raises:
        UsageError: no such version, with the nearest name.
    """
    if name is None:
        return recipe.versions[-1]
    for version in recipe.versions:
        if version.name == name:
            return version
    known = [version.name for version in recipe.versions]
    raise UsageError(
        f"{recipe.name} has no version {name!r}.",
        hint=_nearest(name, known) or f"Versions: {', '.join(known)}.",
    )


def chain(recipe: Recipe, version: Version) -> list[Version]:
    """The version and its ancestors, the root first.

    Raises:
        EpochalError: the recipe names a parent that it does not have, or a version descends from itself.
    """
    by_name = {candidate.name: candidate for candidate in recipe.versions}
    line = [version]
    while line[0].parent is not None:
        parent = by_name.get(line[0].parent)
        if parent is None or parent in line:
            raise EpochalError(
                f"Version {line[0].name} of recipe {recipe.name} has the parent {line[0].parent!r}, which is "
                + ("its own descendant." if parent else "no version of it."),
                hint=f"Versions: {', '.join(by_name)}.",
            )
        line.insert(0, parent)
    return line


def settings_of(recipe: Recipe, version: str | None = None) -> Any:
    """Settings of a version (default: the newest): defaults, then the patches from root to version.

    Raises:
        UsageError: no such version, or a patch that the settings refuse.
    """
    from epochal.settings import layered

    line = chain(recipe, version_of(recipe, version))
    return layered(recipe.settings(), [(f"{recipe.name} {one.name}", one.patch) for one in line])


def _record() -> Path:
    state = os.environ.get("XDG_STATE_HOME")
    return (Path(state) if state else Path.home() / ".local" / "state") / "epochal" / "recipe_files.txt"


def _modules() -> dict[str, str]:
    """Module of each built-in recipe by name; a module `cvae_digits` holds the recipe `cvae-digits`."""
    from pkgutil import iter_modules

    return {
        module.name.replace("_", "-"): f"{__name__}.{module.name}"
        for module in iter_modules(__path__)
        if not module.name.startswith("_")
    }


def _entry_points() -> dict[str, EntryPoint]:
    if not _may_be_installed():
        return {}  # importing importlib.metadata takes as long as importing all built-in recipes
    from importlib.metadata import entry_points

    return {point.name: point for point in entry_points(group=GROUP)}


def _may_be_installed() -> bool:
    """Whether a package on the path names the group in its entry_points.txt, or may do so inside an archive."""
    for place in sys.path:
        if os.path.isfile(place):
            return True
        try:
            with os.scandir(place or ".") as entries:
                packages = [one.path for one in entries if one.name.endswith((".dist-info", ".egg-info"))]
        except OSError:
            continue
        for package in packages:
            try:
                with open(os.path.join(package, "entry_points.txt"), "rb") as file:
                    if GROUP.encode() in file.read():
                        return True
            except OSError:
                continue  # most packages have none
    return False


def _from_entry_point(point: EntryPoint) -> Recipe:
    try:
        loaded = point.load()
    except Exception as problem:
        raise EpochalError(
            f"The installed recipe {point.name} ({point.value}) cannot be loaded: {_last_line(problem)}",
            hint="Update or uninstall the package that provides it.",
        ) from problem
    return _checked(loaded, origin=point.value)


def _from_file(path: Path) -> Recipe:
    from importlib.util import module_from_spec, spec_from_file_location

    if not path.is_file():
        raise UsageError(
            f"There is no recipe file {path}.", hint="`epochal list` shows the recipes that need no file."
        )
    name = f"epochal_recipe_{path.stem}"
    spec = spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path} is not a Python file.", hint="A recipe file ends in .py.")
    module = module_from_spec(spec)
    # Dataclasses resolve their annotations through sys.modules; a second load replaces the first.
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as problem:
        raise UsageError(
            f"The recipe file {path} fails when it is loaded: {_last_line(problem, within=path)}",
            hint="--debug shows the traceback.",
        ) from problem
    return _checked(module, origin=str(path))


def _checked(module: ModuleType | Any, origin: str = "") -> Recipe:
    """The recipe of a module (or an object that is one itself)."""
    from dataclasses import is_dataclass

    from epochal.training.task import Recipe

    origin = origin or module.__name__
    recipe = module if isinstance(module, Recipe) else getattr(module, "RECIPE", None)
    if not isinstance(recipe, Recipe):
        found = "no RECIPE" if recipe is None else f"a RECIPE of type {type(recipe).__name__}"
        raise UsageError(
            f"{origin} defines {found}.",
            hint="Write `RECIPE = epochal.training.task.Recipe(name=…, …)` at the top level of the file.",
        )
    if not is_dataclass(recipe.settings) or not recipe.versions:
        raise UsageError(
            f"The recipe {recipe.name} in {origin} is not complete.",
            hint="It needs a frozen dataclass as `settings` and at least one version.",
        )
    return recipe


def _last_line(problem: BaseException, within: Path | None = None) -> str:
    """Where and what: `line 12: NameError: name 'x' is not defined`."""
    from traceback import extract_tb

    text = f"{type(problem).__name__}: {problem}"
    if isinstance(problem, SyntaxError):
        return f"{_place(problem.filename, problem.lineno, within)}: {type(problem).__name__}: {problem.msg}"
    frames = extract_tb(problem.__traceback__)
    # The user's own last line says more than the library line that raised.
    own = [frame for frame in frames if within is not None and frame.filename == str(within)] or frames
    return f"{_place(own[-1].filename, own[-1].lineno, within)}: {text}" if own else text


def _place(file: str | None, line: int | None, within: Path | None) -> str:
    return f"line {line}" if file == str(within) else f"{file}, line {line}"


def _unknown(name: str) -> UsageError:
    known = names()
    near = _nearest(name, known)
    if near is None and Path(f"{name}.py").is_file():
        near = f"A file is given by its path: ./{name}.py"
    return UsageError(f"There is no recipe {name!r}.", hint=near or f"Recipes: {', '.join(known)}.")


def _nearest(name: str, known: list[str]) -> str | None:
    from difflib import get_close_matches

    near = get_close_matches(name, known, n=2, cutoff=0.6)
    return f"Did you mean {' or '.join(near)}?" if near else None
