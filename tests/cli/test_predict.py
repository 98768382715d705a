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
    told = {"path": str(out), "pictures": [], "numbers": 2, "kind": "line"}
    assert json.loads(capsys.readouterr().out) == told
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
        (["predict"], "RUN, DATA is missing"),
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


def test_a_file_is_named_after_the_data(
    run: Run, numbers: Path, monkeypatch: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without --out the answers lie in the present folder under the data's name; they are not written over either."""
    (numbers.parent / "here").mkdir()
    monkeypatch.chdir(numbers.parent / "here")
    assert main(["predict", "last", str(numbers)]) == 0
    assert capsys.readouterr().out.endswith("\nnumbers-answers.csv\n")
    assert Path("numbers-answers.csv").read_text() == expected(run)
    assert main(["predict", "last", str(numbers)]) == 2
    assert "numbers-answers.csv exists" in capsys.readouterr().err
    assert [file.name for file in Path().iterdir()] == ["numbers-answers.csv"]


@pytest.fixture(scope="module")
def drawing(tmp_path_factory: pytest.TempPathFactory, run: Run) -> Any:
    """Runs of two recipes that draw one and two pictures of their answers."""
    home = tmp_path_factory.mktemp("drawing")
    runs = []
    for names in (["curve"], ["curve", "other"]):
        figures = "".join(f', "{name}": Curves({{"y": ([0, 1], [2, 3])}}, "t", "x", "y")' for name in names)
        text = Path(TINY).read_text("utf-8").replace("    Batch,\n", "    Batch,\n    Curves,\n")
        text = text.replace('"kind": "line"}', f'"kind": "line"{figures}}}')
        (home / f"{len(names)}.py").write_text(
            text.replace('name="line"', f'name="line{len(names)}"'), "utf-8"
        )
        how = {"precision": "float32", "device": "cpu", "lab": home / "lab", "show": False}
        runs += epochal.run(home / f"{len(names)}.py", patch={"epochs": 1}, **how)
    return runs


def test_a_picture_lies_beside_the_answers(
    drawing: list[Run], numbers: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One has the answers' name, several their own too; the command tells their paths, not what is in them."""
    from PIL import Image

    out, lab = numbers.parent / "a.csv", str(drawing[0].path.parent)
    assert main(["predict", drawing[0].id, str(numbers), "-o", str(out), "--lab", lab]) == 0
    assert capsys.readouterr().out == f"numbers: 2\nkind: line\n{out}\n{out.with_suffix('.png')}\n"
    with Image.open(out.with_suffix(".png")) as picture:
        assert picture.size[0] == 960
    both = epochal.predict(drawing[1], numbers, out=numbers.parent / "b.csv", lab=lab)
    assert [picture.name for picture in both.pictures] == ["b-curve.png", "b-other.png"]
    assert both.told == {"numbers": 2, "kind": "line"} and all(path.is_file() for path in both.pictures)


def test_answers_and_picture_appear_together(
    drawing: list[Run], numbers: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a picture is there already, or cannot be drawn, neither of both is written, and what was there stays."""
    from epochal.report import figures

    folder, lab = numbers.parent, drawing[0].path.parent
    (folder / "a.png").write_text("mine")
    with pytest.raises(UsageError, match=r"a\.png exists"):
        epochal.predict(drawing[0], numbers, out=folder / "a.csv", lab=lab)
    with pytest.raises(UsageError, match="name of the picture"):
        epochal.predict(drawing[0], numbers, out=folder / "a.png", overwrite=True, lab=lab)
    with monkeypatch.context() as patch:
        patch.setattr(figures, "save", lambda *args: (_ for _ in ()).throw(EpochalError("no ink")))
        with pytest.raises(EpochalError, match="no ink"):
            epochal.predict(drawing[0], numbers, out=folder / "a.csv", overwrite=True, lab=lab)
    assert (folder / "a.png").read_text() == "mine"
    assert {file.name for file in folder.iterdir()} == {"numbers.txt", "a.png"}
    epochal.predict(drawing[0], numbers, out=folder / "a.csv", overwrite=True, lab=lab)
    assert (folder / "a.png").read_bytes().startswith(b"\x89PNG") and (folder / "a.csv").is_file()


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
