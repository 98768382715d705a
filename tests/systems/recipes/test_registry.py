"""Finding recipes by name and by file, their versions, and what is said when there is none."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from epochal.errors import EpochalError, UsageError
from epochal.settings.common import RecipeSettings
from epochal.systems import recipes
from epochal.training.task import Recipe, Version

TINY = """
from __future__ import annotations
from dataclasses import dataclass, field
from epochal.settings.common import RecipeSettings
from epochal.training.task import Recipe, Version

@dataclass(frozen=True)
class Settings(RecipeSettings):
    width: int = 4

RECIPE = Recipe(
    name="tiny", summary="A tiny recipe.", settings=Settings,
    versions=(Version("one", "first"), Version("two", "wider", parent="one", patch={"width": 8})),
    nets=lambda settings: {}, build=lambda settings, nets: None,
)
"""


def recipe_of(*versions: Version) -> Recipe:
    """A recipe that only has versions."""
    return Recipe("r", "", RecipeSettings, versions, nets=lambda s: {}, build=lambda s, n: None)  # type: ignore[arg-type, return-value]


def test_a_file_is_a_recipe(tmp_path: Path) -> None:
    """A user's own file needs no registration; its dataclass resolves its own annotations."""
    file = tmp_path / "my_recipe.py"
    file.write_text(TINY)
    recipe = recipes.find(str(file))
    assert recipe.name == "tiny"
    assert recipes.settings_of(recipe).width == 8
    assert recipes.settings_of(recipe, "one").width == 4


def test_an_edited_file_is_read_again(tmp_path: Path) -> None:
    """In a notebook the file is edited between two runs."""
    file = tmp_path / "my_recipe.py"
    file.write_text(TINY)
    recipes.find(str(file))
    file.write_text(TINY.replace('"width": 8', '"width": 16'))
    assert recipes.settings_of(recipes.find(str(file))).width == 16


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "x = 1\ny = nothing_here\n",
            r"my\.py fails when it is loaded: line 2: NameError: name 'nothing_here'",
        ),
        ("def broken(:\n", r"my\.py fails when it is loaded: line 1: SyntaxError"),
        ("import no_such_package_at_all\n", r"my\.py fails when it is loaded: line 1: ModuleNotFoundError"),
        ("raise SystemExit(3)\n", r"my\.py fails when it is loaded: line 1: SystemExit"),
        ("import json\njson.loads('{')\n", r"my\.py fails when it is loaded: line 2: JSONDecodeError"),
        ("x = 1\n", "defines no RECIPE"),
        ("RECIPE = 3\n", "defines a RECIPE of type int"),
        (TINY.replace("settings=Settings", "settings=int"), "is not complete"),
    ],
)
def test_a_faulty_file_is_explained_with_its_line(tmp_path: Path, content: str, message: str) -> None:
    """File, line and reason: what the author needs to mend it, and no traceback."""
    file = tmp_path / "my.py"
    file.write_text(content)
    with pytest.raises(UsageError, match=message):
        recipes.find(str(file))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """The full path shows in which folder it was looked for."""
    with pytest.raises(UsageError, match=r"no recipe file .*nowhere\.py"):
        recipes.find(str(tmp_path / "nowhere.py"))


def test_a_forgotten_path_is_suggested(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`epochal run my_recipe` where my_recipe.py lies in the folder."""
    (tmp_path / "zzzqq.py").write_text(TINY)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"\./zzzqq\.py"):
        recipes.find("zzzqq")


def test_an_installed_package_may_bring_recipes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry point of the group is enough; a broken package is named instead of breaking every command."""
    (tmp_path / "pack_of_recipes.py").write_text(TINY)
    info = tmp_path / "pack-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: pack\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[epochal.recipes]\ntiny = pack_of_recipes\nbroken = pack_not_there:RECIPE\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert {"tiny", "broken"} <= set(recipes.names())
    assert recipes.find("tiny").name == "tiny"
    with pytest.raises(EpochalError, match=r"installed recipe broken .*cannot be loaded"):
        recipes.find("broken")
    with pytest.raises(UsageError, match="Did you mean tiny"):
        recipes.find("tinny")


def test_nothing_is_looked_for_where_no_package_brings_recipes(tmp_path: Path) -> None:
    """Without such a package importlib.metadata stays unimported: it would cost a listing as much as all recipes."""
    code = "import sys; sys.path.insert(0, {0!r}); from epochal.systems import recipes; recipes.names(); "
    code += "print('importlib.metadata' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code.format(str(tmp_path))], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


def test_an_unknown_version_is_answered_with_the_nearest() -> None:
    """Or with all of them when none is near."""
    recipe = recipe_of(Version("model-1", ""), Version("baseline", ""))
    with pytest.raises(UsageError, match="Did you mean model-1"):
        recipes.version_of(recipe, "model1")
    with pytest.raises(UsageError, match="Versions: model-1, baseline"):
        recipes.version_of(recipe, "zz")


def test_a_version_inherits_along_its_own_line_only() -> None:
    """A tree: two children of one parent do not see each other's patch."""
    recipe = recipe_of(
        Version("a", "", patch={"epochs": 2}),
        Version("b", "", parent="a", patch={"batch_size": 7}),
        Version("c", "", parent="a", patch={"data.limit": 9}),
    )
    assert recipes.settings_of(recipe, "b") == RecipeSettings(epochs=2, batch_size=7)
    newest = recipes.settings_of(recipe)
    assert (newest.epochs, newest.batch_size, newest.data.limit) == (2, 32, 9)


@pytest.mark.parametrize("parent", ["nobody", "a"])
def test_a_broken_lineage_is_refused(parent: str) -> None:
    """A parent that does not exist, or a version that descends from itself, is the recipe's mistake."""
    recipe = recipe_of(Version("a", "", parent=parent))
    with pytest.raises(EpochalError, match="Version a of recipe r has the parent"):
        recipes.settings_of(recipe)


def test_a_faulty_patch_names_its_version() -> None:
    """The author of the recipe finds the line."""
    recipe = recipe_of(Version("a", "", patch={"epoch": 2}))
    with pytest.raises(UsageError, match=r"^r a: There is no setting 'epoch'"):
        recipes.settings_of(recipe)


def test_only_files_that_were_run_are_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path in somebody's run folder is no reason to execute what lies there."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert not recipes.is_remembered(tmp_path / "mine.py")
    recipes.remember(tmp_path / "mine.py")
    recipes.remember(tmp_path / "mine.py")
    assert recipes.is_remembered(tmp_path / "mine.py")
    assert not recipes.is_remembered(tmp_path / "other.py")


def test_importing_every_recipe_leaves_heavy_libraries_unimported() -> None:
    """`epochal list` imports them all and must answer at once."""
    program = (
        "import sys\nfrom epochal.systems import recipes\n"
        "[recipes.settings_of(recipes.find(name)) for name in recipes.names()]\n"
        "print([name for name in ('torch', 'numpy', 'tyro', 'rich', 'matplotlib', 'scipy', 'pooch')"
        " if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
