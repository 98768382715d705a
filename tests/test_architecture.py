"""The house's rules that no single room can keep: what may import what, what stays light, what stays safe."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "epochal"
MODULES = sorted(SOURCE.rglob("*.py"))
HEAVY = ("torch", "numpy", "scipy", "sklearn", "tyro", "rich", "matplotlib", "PIL", "pandas", "pooch")


def imported_after(program: str) -> set[str]:
    """Top-level names of the modules that a fresh Python has imported after running a program."""
    tail = "\nimport json, sys; print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    done = subprocess.run(
        [sys.executable, "-c", program + tail], capture_output=True, text=True, check=True, timeout=60
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


def tree_of(path: Path) -> ast.Module:
    """The syntax tree of a module."""
    return ast.parse(path.read_text(encoding="utf-8"))


def name_of(path: Path) -> str:
    """How a test is called after a module."""
    return path.relative_to(SOURCE).as_posix()


def test_importing_the_package_and_every_recipe_is_light() -> None:
    """`epochal list` answers at once because recipes import torch rooms only inside functions."""
    program = (
        "import epochal\nfrom epochal.systems import recipes\nfor name in recipes.names(): recipes.find(name)"
    )
    assert not imported_after(program) & set(HEAVY)


@pytest.mark.parametrize("words", [["--help"], ["list"], ["run", "--help"], ["log", "--help"]], ids=" ".join)
def test_quick_commands_import_nothing_heavy(words: list[str], tmp_path: Path) -> None:
    """Commands that only tell something never pay for torch, NumPy or matplotlib."""
    program = (
        f"import os; os.environ['EPOCHAL_LAB'] = {str(tmp_path)!r}\n"
        "from epochal.cli import main\n"
        f"try: main({words!r})\nexcept SystemExit: pass"
    )
    assert not imported_after(program) & set(HEAVY)


def test_room_directions_hold() -> None:
    """The import-linter contract of pyproject.toml is kept."""
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports; raise SystemExit(lint_imports())"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_contract_covers_every_room() -> None:
    """A new room cannot stay outside: each folder and module under src/epochal is named in the contract."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    named = {room for contract in contracts["contracts"] for room in contract["source_modules"]}
    rooms = {
        path.stem for path in SOURCE.iterdir() if (path / "__init__.py").exists() or path.suffix == ".py"
    }
    covered = {name.split(".")[1] for name in named}
    assert rooms - {"__init__", "__main__"} <= covered


def public_definitions(
    body: list[ast.stmt],
) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
    """Public functions, classes and methods of a module."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            if node.name.startswith("_") or any("overload" in ast.unparse(d) for d in node.decorator_list):
                continue
            yield node
            if isinstance(node, ast.ClassDef):
                yield from public_definitions(node.body)


def says_enough_by_itself(node: ast.AST, parents: set[str]) -> bool:
    """A method that keeps a contract written down in a base class or protocol need not repeat it."""
    return isinstance(node, ast.FunctionDef) and node.name in parents


def contract_methods() -> set[str]:
    """Methods that a class of the package promises with a docstring, or that torch defines."""
    found = {"forward"}
    for path in MODULES:
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.ClassDef) and any("Protocol" in ast.unparse(base) for base in node.bases):
                found |= {
                    m.name for m in node.body if isinstance(m, ast.FunctionDef) and ast.get_docstring(m)
                }
    return found


def test_everything_public_is_documented() -> None:
    """Every public function, class and method in src says what it is, in a docstring."""
    kept = contract_methods()
    bare = [
        f"{name_of(path)}:{node.lineno} {node.name}"
        for path in MODULES
        for node in public_definitions(tree_of(path).body)
        if not ast.get_docstring(node) and not says_enough_by_itself(node, kept)
    ]
    assert not bare, bare


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    """Calls in a module with the dotted name of what is called."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def test_nothing_read_from_disk_is_executed() -> None:
    """No pickle, NumPy files without it, `torch.load` only with weights_only=True, no eval or exec."""
    # torch-fidelity reads its weights from a file only: it is given tensors that were read safely and written anew.
    written_for_another = {("evidence/metrics/inception.py", "torch.save")}
    forbidden_imports = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
    wrong = []
    for path in MODULES:
        for node in ast.walk(tree_of(path)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            wrong += [f"{name_of(path)} imports {n}" for n in names if n.split(".")[0] in forbidden_imports]
        for called, call in calls(path):
            given: dict[str | None, Any] = {
                k.arg: k.value.value for k in call.keywords if isinstance(k.value, ast.Constant)
            }
            pickles = called in ("torch.load", "torch.save") and given.get("weights_only") is not True
            if pickles and (name_of(path), called) not in written_for_another:
                wrong.append(f"{name_of(path)}:{call.lineno} {called}")
            if called.endswith(("np.load", "numpy.load")) and given.get("allow_pickle", False) is not False:
                wrong.append(f"{name_of(path)}:{call.lineno} {called}")
            if called in ("eval", "exec"):
                wrong.append(f"{name_of(path)}:{call.lineno} {called}")
    assert not wrong, wrong


def tracked_text() -> Iterator[tuple[str, str]]:
    """Text files of the repository as git knows them."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    for name in listed.stdout.decode().split("\0"):
        path = ROOT / name
        if name and path.is_file() and path.suffix not in (".png", ".npz", ".safetensors", ".gz"):
            yield name, path.read_text(encoding="utf-8", errors="replace")


def test_no_machine_path_is_written_down() -> None:
    """The repository is the same on every machine: no path or package host of one of them stands in it."""
    private = re.compile(r"/(?:work|opt/pypi|opt/wheels)(?:/|\b(?=['\"\s]))")
    here = Path(__file__).name
    wrong = [
        f"{name}: {line.strip()[:80]}"
        for name, text in tracked_text()
        if not name.endswith(here)
        for line in text.splitlines()
        if private.search(line)
    ]
    assert not wrong, wrong


def imports(path: Path) -> set[str]:
    """Top-level names of the packages that a module imports anywhere."""
    found: set[str] = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.split(".")[0])
    return found


def requirement_name(line: str) -> str:
    """The package that a requirement names, as package indexes write it."""
    return re.sub(r"[-_.]+", "-", re.split(r"[<>=!~\[; (]", line.strip())[0]).lower()


def closure(lines: list[str]) -> set[str]:
    """The packages that requirements name, and all that these need unconditionally."""
    found: set[str] = set()
    waiting = [requirement_name(line) for line in lines]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            needs = metadata.requires(name) or []
            waiting += [requirement_name(line) for line in needs if ";" not in line]
    return found


def test_every_import_is_a_declared_dependency() -> None:
    """What src imports is standard, declared, or brought by what is declared: an install lacks nothing."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [line for lines in project["optional-dependencies"].values() for line in lines]
    declared = {requirement_name(line) for line in extras} | closure(project["dependencies"])
    packages = metadata.packages_distributions()
    undeclared = {
        f"{name_of(path)}: {name}"
        for path in MODULES
        for name in imports(path) - set(sys.stdlib_module_names) - {"epochal"}
        if not {requirement_name(dist) for dist in packages.get(name, [name])} & declared
    }
    assert not undeclared


def test_constraints_pin_every_dependency() -> None:
    """constraints.txt holds a tested version of all that a plain install and the test tools ask for."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = closure([*project["dependencies"], *project["optional-dependencies"]["dev"]])
    lines = (ROOT / "constraints.txt").read_text(encoding="ascii").splitlines()
    pinned = {requirement_name(line) for line in lines if "==" in line}
    assert wanted <= pinned
    assert not [line for line in lines if "+" in line], "a local version can be installed from one index only"
