"""Labs: making runs whole or not at all, and listing them whatever stands beside."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from epochal.errors import EpochalError, UsageError
from epochal.journal import Lab


def test_the_folder_is_chosen_by_argument_then_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--lab` wins over EPOCHAL_LAB, which wins over ./lab; looking makes nothing."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EPOCHAL_LAB", raising=False)
    assert Lab().path == tmp_path / "lab"
    monkeypatch.setenv("EPOCHAL_LAB", str(tmp_path / "other"))
    assert Lab().path == tmp_path / "other"
    assert Lab("third").path == tmp_path / "third"
    assert Lab().runs() == [] and Lab().summaries() == [] and not list(tmp_path.iterdir())


def test_a_file_is_no_lab(tmp_path: Path) -> None:
    """A wrong --lab is told at once."""
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="is a file, not a folder"):
        Lab(tmp_path / "file")


def test_a_run_has_its_id_and_folders(tmp_path: Path) -> None:
    """The id says when, what and which seed; a user's name takes the version's place."""
    lab = Lab(tmp_path)
    run = lab.create_run(recipe="cvae-digits", version="model-2", seed=7, settings={"lr": 1e-3})
    assert re.fullmatch(r"\d{8}-\d{6}-cvae-digits-model-2-s7-[a-z2-7]{4}", run.id)
    assert run.path == tmp_path / run.id and run.settings == {"lr": 1e-3} and run.meta["format"] == 1
    assert run.checkpoints_dir.is_dir() and run.samples_dir.is_dir() and run.figures_dir.is_dir()
    named = lab.create_run(recipe="../my recipe", version="v", name="덜 회색: <1>")
    assert re.fullmatch(r"\d{8}-\d{6}-my-recipe-덜-회색-1-s0-[a-z2-7]{4}", named.id)
    assert {r.id for r in lab.runs()} == {run.id, named.id}


def test_ids_are_unique_even_when_the_draw_repeats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs made in the same second by a random source that repeats itself still get folders of their own."""
    draws = iter([b"\0" * 4] * 12 + [bytes([n] * 4) for n in range(256)])
    urandom = os.urandom
    monkeypatch.setattr(os, "urandom", lambda n: next(draws, None) or urandom(n))
    lab = Lab(tmp_path)
    assert len({lab.create_run(recipe="r", version="v").id for _ in range(8)}) == 8


def test_many_threads_make_runs_at_once(tmp_path: Path) -> None:
    """Nothing is lost and nothing half-made is left."""
    with ThreadPoolExecutor(16) as pool:
        made = list(
            pool.map(lambda n: Lab(tmp_path).create_run(recipe="r", version="v", seed=n % 2), range(64))
        )
    assert {run.id for run in Lab(tmp_path).runs()} == {run.id for run in made} and len(made) == 64
    assert not list(tmp_path.glob(".new-*"))


@pytest.mark.parametrize("call", ["mkdir", "write", "fsync", "replace", "rename"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS, errno.EACCES])
def test_a_failing_disk_leaves_no_half_made_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    """Whatever call fails: one message, and the lab as before."""

    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with pytest.raises(EpochalError, match="cannot write"):
            Lab(tmp_path).create_run(recipe="r")
    assert not list(tmp_path.iterdir())


def test_fields_of_the_wrong_kind_make_no_run(tmp_path: Path) -> None:
    """A run that could not be read again is not made."""
    with pytest.raises(EpochalError, match="has seed = '1', which must be int"):
        Lab(tmp_path / "lab").create_run(recipe="r", seed="1")
    assert not list((tmp_path / "lab").iterdir()) if (tmp_path / "lab").exists() else True


def test_runs_are_listed_newest_first_beside_anything(tmp_path: Path) -> None:
    """Spoilt runs, foreign files and folders never break the list; the spoilt are told apart."""
    lab = Lab(tmp_path)
    made = [lab.create_run(recipe="r", version=f"v{n}") for n in range(4)]
    (made[1].path / "run.json").write_text("{")
    (tmp_path / "pictures").mkdir()
    (tmp_path / "notes.txt").touch()
    (tmp_path / ".new-half").mkdir()
    (tmp_path / "pipe").mkdir()
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe" / "run.json")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert lab.runs() == [made[3], made[2], made[0]]
    assert [row["version"] for row in lab.summaries()] == ["v3", "v2", "v0"]
    broken = lab.broken()
    assert "is not JSON" in broken[made[1].path] and broken.keys() - {tmp_path / "pipe"} == {made[1].path}


def test_importing_is_light() -> None:
    """`epochal list` must answer at once: nothing heavy is imported by the journal, listing included."""
    code = """
import sys, tempfile
from epochal.journal import Lab
assert "sqlite3" not in sys.modules and "subprocess" not in sys.modules and "inspect" not in sys.modules
lab = Lab(tempfile.mkdtemp())
lab.create_run(recipe="r")
lab.runs()
print(*{"torch", "numpy", "tyro", "rich", "matplotlib", "pandas"} & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
