"""`epochal predict`: answers in a file of the user's, whole or not at all, never over anything unasked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import epochal
from epochal.cli import main
from epochal.errors import EpochalError, UsageError
from epochal.journal import Lab, Run

TINY = str(Path(__file__).parents[1] / "tiny_recipe.py")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A trained line, and folders for cache and state of these tests alone."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EPOCHAL_CACHE", str(home / "cache"))
        patch.setenv("XDG_STATE_HOME", str(home / "state"))
        patch.setenv("EPOCHAL_LAB", str(home / "lab"))
        assert main(["run", TINY, "plain", "--precision", "float32", "--device", "cpu", "--quiet"]) == 0
        yield Lab(home / "lab").find("last")


@pytest.fixture
def numbers(tmp_path: Path) -> Path:
    """A file of two numbers."""
    file = tmp_path / "numbers.txt"
    file.write_text("0\n1\n")
    return file


def expected(run: Run) -> str:
    """What the line answers for 0 and 1."""
    weight, bias = (float(p) for p in epochal.load(run.id).line.parameters())
    return f"{bias:.3f}\n{weight + bias:.3f}\n"


def test_answers_go_to_the_file(run: Run, numbers: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The file holds the network's answers; the command tells what the recipe tells, and the path; so does --json."""
    out = numbers.parent / "answers.txt"
    assert main(["predict", "last", str(numbers), "--out", str(out)]) == 0
    assert out.read_text() == expected(run)
    assert capsys.readouterr().out == f"numbers: 2\nkind: line\n{out}\n"
    assert main(["predict", "last", str(numbers), "-o", str(out), "--overwrite", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"path": str(out), "numbers": 2, "kind": "line"}
    answer = epochal.predict(run, numbers, out=numbers.parent / "third.txt")
    assert answer.path.read_text() == expected(run) and answer.told["numbers"] == 2


def test_nothing_is_written_over_unasked(run: Run, numbers: Path) -> None:
    """Neither another file nor the data themselves; with `overwrite` the data themselves too."""
    with pytest.raises(UsageError, match=r"numbers\.txt exists") as error:
        epochal.predict(run, numbers, out=numbers)
    assert error.match("--overwrite") and numbers.read_text() == "0\n1\n"
    epochal.predict(run, numbers, out=numbers, overwrite=True)
    assert numbers.read_text() == expected(run)


def test_a_failure_leaves_what_was_there(run: Run, numbers: Path) -> None:
    """Half the answers are written when the recipe refuses a number: the file keeps what it held, nothing is left."""
    numbers.write_text("1\n-1\n")
    out = numbers.parent / "answers.txt"
    out.write_text("before")
    with pytest.raises(EpochalError, match="-1 is below 0"):
        epochal.predict(run, numbers, out=out, overwrite=True)
    assert out.read_text() == "before"
    assert {file.name for file in numbers.parent.iterdir()} == {"numbers.txt", "answers.txt"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["predict"], "RUN, DATA, --out/-o is missing"),
        (["predict", "last", "nowhere", "-o", "x"], "There is no nowhere to read"),
        (["predict", "last", TINY, "-o", "no/x"], "There is no folder no to write x to"),
        (["predict", "last", TINY, "-o", "x", "--overwrit"], "Did you mean --overwrite"),
    ],
)
def test_wrong_calls_get_one_message(
    run: Run,
    words: list[str],
    said: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: Any,
) -> None:
    """What is missing, misspelt or not there is named; exit code 2."""
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    assert said in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_a_recipe_that_predicts_nothing_says_so(tmp_path: Path, run: Run) -> None:
    """Most recipes have nothing to answer for a user's file."""
    text = (
        Path(TINY)
        .read_text("utf-8")
        .replace("    predict=predict,\n", "")
        .replace('name="line"', 'name="other"')
    )
    (tmp_path / "other.py").write_text(text, encoding="utf-8")
    how = {"precision": "float32", "device": "cpu", "lab": tmp_path / "lab", "show": False}
    other = epochal.run(tmp_path / "other.py", patch={"epochs": 1}, **how)[0]
    with pytest.raises(UsageError, match="The recipe other predicts nothing"):
        epochal.predict(other, TINY, out=tmp_path / "x", lab=tmp_path / "lab")
