"""The command line: answers, messages, exit codes, and what it must not import."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from epochal.cli import VERBS, main
from epochal.journal import Lab, Run

RECIPE = str(Path(__file__).parents[1] / "tiny_recipe.py")
FAST = ["--precision", "float32", "--device", "cpu", "--quiet"]


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A lab with one run of each version, and folders for cache and state of these tests alone."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EPOCHAL_CACHE", str(home / "cache"))
        patch.setenv("XDG_STATE_HOME", str(home / "state"))
        patch.setenv("EPOCHAL_LAB", str(home / "lab"))
        for version in ("plain", "decayed"):
            assert main(["run", RECIPE, version, *FAST]) == 0
        yield Lab(home / "lab")


@pytest.fixture
def run(trained: Lab, tmp_path: Path) -> Run:
    """A run of its own for tests that change it."""
    lab = str(tmp_path / "lab")
    assert main(["run", RECIPE, "plain", "--epochs", "1", "--lab", lab, *FAST]) == 0
    return Lab(lab).find("last")


Answer = Callable[..., Any]


@pytest.fixture
def answer(trained: Lab, capsys: pytest.CaptureFixture[str]) -> Answer:
    """Runs a command with --json and returns what it printed."""

    def ask(*words: str, code: int = 0) -> Any:
        capsys.readouterr()
        assert main([*words, "--json"]) == code
        return json.loads(capsys.readouterr().out)

    return ask


@pytest.fixture
def told(trained: Lab, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs a command that is wrong and returns its one message."""

    def fail(*words: str, code: int = 2) -> str:
        capsys.readouterr()
        assert main([*words]) == code
        said = capsys.readouterr()
        assert said.out == "" and said.err.startswith("epochal: ") and "Traceback" not in said.err
        return said.err

    return fail


def test_help_names_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    """`epochal --help` is the map."""
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(f"\n  {verb} " in text for verb in VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_examples(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each example begins with the command itself, so that it can be copied."""
    assert main([verb, "--help"]) == 0
    text = capsys.readouterr().out
    assert f"usage: epochal {verb}" in text
    assert f"examples:\n  epochal {verb}" in text
    assert "--json" in text and "--lab" in text


def test_help_of_a_recipe_shows_its_settings(capsys: pytest.CaptureFixture[str]) -> None:
    """Docstrings as help, the version's values as defaults."""
    assert main(["run", RECIPE, "decayed", "--help"]) == 0
    text = capsys.readouterr().out
    assert "--loss.weight FLOAT" in text and "Weight of the squared slope. (default: 0.1)" in text
    assert "--data.limit" in text and "--seeds" in text


def test_help_of_a_recipe_names_its_versions(capsys: pytest.CaptureFixture[str]) -> None:
    """What may stand for VERSION, and whose values the defaults are, before the options."""
    for words, told in (
        (["decayed"], "those of decayed."),
        ([], "those of the newest, decayed; name another"),
    ):
        assert main(["run", RECIPE, *words, "--help"]) == 0
        top = " ".join(capsys.readouterr().out.partition("positional arguments:")[0].split())
        assert f"Versions of line, oldest first: plain, decayed. Defaults below are {told}" in top


@pytest.mark.parametrize("recipe", ["rnn-scratch", "two-layer", "xor-mlp"])
def test_help_says_what_a_recipe_refuses(recipe: str, capsys: pytest.CaptureFixture[str]) -> None:
    """An option that every recipe has, and this one cannot follow, is not offered as if it could."""
    assert main(["run", recipe, "--help"]) == 0
    text = capsys.readouterr().out
    assert "Refused:" in text and "Scale the gradient down" not in text


def test_help_of_fork_shows_the_parents_settings(trained: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    """What can be changed, and what the parent has; without a run only the verb's own options."""
    assert main(["fork", "line:decayed", "--help"]) == 0
    text = capsys.readouterr().out
    assert "--warm-start" in text and "--loss.weight" in text and "(default: 0.1)" in text
    assert main(["fork", "--help"]) == 0
    assert "--loss.weight FLOAT" not in capsys.readouterr().out


def test_both_spellings_of_a_setting_are_one(answer: Answer, tmp_path: Path) -> None:
    """As Python names it, and as options are written."""
    for option in ("--batch_size", "--batch-size"):
        words = ["run", RECIPE, option, "3", "--epochs", "1", "--lab", str(tmp_path), *FAST]
        (row,) = answer(*words)["runs"]
        assert Lab(tmp_path).find(row["run"]).settings["batch_size"] == 3


def test_a_recipe_file_may_stand_for_its_recipe(trained: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    """`compare ./my.py:v1 ./my.py:v2` means the versions that were run from that file."""
    assert main(["compare", f"{RECIPE}:plain", "decayed", "--recipe", RECIPE]) == 0
    assert "line-plain" in capsys.readouterr().out
    assert main(["show", f"{RECIPE}:plain@0"]) == 0


def test_a_number_without_a_better_side_has_none(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """A dash would look like something that is missing."""
    assert main(["evaluate", run.id, "--lab", str(run.path.parent)]) == 0
    assert "–" not in capsys.readouterr().out


def test_help_of_generate_shows_what_can_be_drawn(trained: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    """The recipe's own request fields, and no example that asks for another recipe's."""
    assert main(["generate", "line:plain@0", "--help"]) == 0
    text = capsys.readouterr().out
    assert "--shade INT" in text and "--digit" not in text


def test_run_answers_in_json_with_stable_keys(answer: Answer, tmp_path: Path) -> None:
    """Scripts and agents read `runs`, always a list."""
    lab = str(tmp_path)
    options = ["--epochs", "1", "--loss.weight", "0.5", "--seed", "4", "--seeds", "2", "--note", "a b"]
    found = answer("run", RECIPE, "plain", *options, "--lab", lab, *FAST)["runs"]
    assert [one["seed"] for one in found] == [4, 5]
    assert {"run", "folder", "status", "metrics", "recipe", "version", "seed", "parent"} <= set(found[0])
    assert found[0]["status"] == "finished" and found[0]["metrics"]["loss"] > 0
    kept = Run(found[1]["folder"])
    assert (kept.settings["epochs"], kept.settings["loss"]["weight"]) == (1, 0.5)
    assert "a b" in kept.notes()


def test_options_may_stand_anywhere(answer: Answer, tmp_path: Path) -> None:
    """Before the recipe, after it, with `=`, with `_` for `-`."""
    words = ["--epochs", "1", RECIPE, "--batch_size=16", "decayed", "--lab", str(tmp_path), *FAST]
    (one,) = answer("run", *words)["runs"]
    kept = Run(one["folder"])
    assert (kept.version, kept.settings["epochs"], kept.settings["batch_size"]) == ("decayed", 1, 16)


def test_a_failed_run_is_in_the_json_answer(answer: Answer, tmp_path: Path) -> None:
    """Exit code 1, the run with its status, and the reason."""
    said = answer("run", RECIPE, "--fault", "nan", "--lab", str(tmp_path), *FAST, code=1)
    assert said["runs"][0]["status"] == "failed" and said["exit_code"] == 1
    assert "no longer a number" in said["error"]


def test_a_wrong_call_is_json_too(answer: Answer) -> None:
    """So that a script need not read stderr."""
    said = answer("run", RECIPE, "--epochs", "0", code=2)
    assert said["exit_code"] == 2 and "epochs = 0" in said["error"] and ">= 1" in said["hint"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["rnu"], "Did you mean run"),
        (["frobnicate"], "Verbs: list, run"),
        (["run"], "Name the recipe"),
        (["run", "cvae-digit"], "Did you mean cvae-digits"),
        (["run", "./nowhere.py"], "no recipe file"),
        (["run", RECIPE, "plan"], "Did you mean plain"),
        (["run", RECIPE, "--epoch", "3"], "Did you mean --epochs"),
        (["run", RECIPE, "--epochs", "3.5"], "epochs must be a whole number >= 1"),
        (["run", RECIPE, "--epochs"], "needs a value"),
        (["run", RECIPE, "--loss.wieght", "1"], "Did you mean loss.weight"),
        (["run", RECIPE, "--loss.weight", "2"], "loss.weight must be a number from 0 to 1"),
        (["run", RECIPE, "--sede", "3"], "Did you mean --seed"),
        (["run", RECIPE, "--batch", "3"], "Did you mean --batch-size"),
        (["run", RECIPE, "--loss-of-something", "3"], "Did you mean --stop.loss"),
        (["run", "two-layer", "--learning-rate", "1"], "Did you mean --optim.lr?"),
        (["run", "two-layer", "--hidden_units", "1"], "Did you mean --net.hidden?"),
        (["run", "two-layer", "--colour", "1"], "`epochal run two-layer --help` lists the options"),
        (["run", RECIPE, "--seed", "x"], "--seed = 'x' is not allowed; it must be a whole number"),
        (["run", RECIPE, "--settings", "no.toml"], "Cannot read the settings file"),
        (["run", RECIPE, "plain", "extra"], "did not expect extra"),
        (["run", RECIPE, "--device", "tpu"], "tpu"),
        (["fork"], "Name the run to fork"),
        (["fork", "line:plain@0"], "would change nothing"),
        (["fork", "line:plain@0", "--los.weight", "1"], "Did you mean loss.weight"),
        (["fork", "line:plain@7", "--epochs", "3"], "line:plain@7"),
        (["resume", "line:plain@0"], "is finished"),
        (["resume", "line:plain@0", "--epochs", "1"], "has 2 epochs already"),
        (["show"], "RUN is missing"),
        (["show", "zzz"], "no run fits"),
        (["show", "last", "--jsn"], "Did you mean --json"),
        (["note", "line:plain@0", " "], "empty"),
        (["compare", "plain"], "B is missing"),
        (["compare", "plain", "zzz"], "no run fits"),
        (
            ["evaluate", "last", "--checkpoint", "worst"],
            "--checkpoint = 'worst' is not allowed; choose from 'best', 'last'",
        ),
        (["generate"], "Name the run"),
        (["generate", "line:plain@0", "--shade", "999"], "from 0 to 255"),
        (["generate", "line:plain@0", "--shaed", "9"], "Did you mean --shade"),
        (["compare", "./nowhere.py:plain", "last"], "no run of such a recipe file"),
        (["log", "nothing-like-it"], "no recipe"),
        (["rm"], "Name the runs"),
        (["data", "fetch"], "Name the source"),
        (["data", "fetch", "mnits"], "mnist"),
        (["data", "dance"], "choose from"),
        (["bench", "speed", "nothing"], "no speed benchmark"),
        (["list", "--lab", RECIPE], "is a file"),
    ],
)
def test_a_mistake_is_told_in_one_message(told: Callable[..., str], words: list[str], message: str) -> None:
    """What was wrong and what to do; exit code 2, nothing on stdout, no traceback."""
    assert message in told(*words)


def test_deleting_without_anybody_to_ask_deletes_nothing(
    run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A script has to say --yes."""
    monkeypatch.setattr(sys, "stdin", open(os.devnull))  # noqa: SIM115
    assert main(["rm", str(run.path)]) == 2
    assert "Add --yes" in capsys.readouterr().err
    assert run.path.exists()
    assert main(["rm", str(run.path), "--dry"]) == 0 and run.path.exists()
    assert main(["rm", str(run.path), "--yes"]) == 0
    assert not run.path.exists()


@pytest.mark.parametrize(("typed", "gone"), [("y", True), ("", False), ("n", False)])
def test_rm_asks_first(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], typed: str, gone: bool
) -> None:
    """Return alone keeps the run; the size is shown before the question."""
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda prompt: typed)
    assert main(["rm", str(run.path)]) == 0
    assert "kB in 1 run" in capsys.readouterr().out
    assert run.path.exists() is not gone


def test_an_unexpected_failure_is_one_line(
    trained: Lab, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 1; --debug shows the traceback."""
    words = ["run", RECIPE, "--fault", "build", "--lab", str(tmp_path), *FAST]
    capsys.readouterr()
    assert main(words) == 1
    said = capsys.readouterr().err
    assert said.startswith("epochal: OSError: the data file is truncated\n") and "--debug" in said
    with pytest.raises(OSError, match="truncated"):
        main([*words, "--debug"])


def test_debug_shows_where_a_usage_error_came_from(trained: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    """For the author of a recipe."""
    assert main(["show", "zzz", "--debug"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_list_shows_recipes_and_runs(answer: Answer, trained: Lab) -> None:
    """Both in one answer; a recipe's own listing has its version tree."""
    said = answer("list")
    assert "cvae-digits" in [one["recipe"] for one in said["recipes"]]
    assert [one["version"] for one in said["runs"]] == ["decayed", "plain"]
    (recipe,) = answer("list", RECIPE)["recipes"]
    assert recipe["versions"][1] == {
        "version": "decayed",
        "parent": "plain",
        "change": "a penalty on the slope",
        "patch": {"loss.weight": 0.1},
        "reported": {},
        "source": "",
    }


def test_list_is_plain_text_without_a_terminal(trained: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    """Aligned columns for pipes: no colours, no box drawing, one line a run."""
    capsys.readouterr()
    assert main(["list"]) == 0
    text = capsys.readouterr().out
    assert "\x1b" not in text and "│" not in text and "─" not in text
    assert sum("line-plain-s0" in line for line in text.splitlines()) == 1


def test_list_names_unreadable_runs(answer: Answer, run: Run) -> None:
    """A spoilt run.json hides neither itself nor the others."""
    (run.path / "run.json").write_text("{")
    said = answer("list", "--lab", str(run.path.parent))
    assert said["runs"] == [] and str(run.path) in said["broken"]


def test_show_prints_numbers_notes_and_nothing_that_steers_the_terminal(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    """Notes may come from somebody else's run: escape sequences are not passed on."""
    (run.path / "notes.md").write_text("crisp \x1b[2Jstrokes\n")
    capsys.readouterr()
    assert main(["show", str(run.path)]) == 0
    text = capsys.readouterr().out
    assert "crisp" in text and "strokes" in text and "\x1b" not in text
    assert "validation slope_error" in text and "epochs=1" in text


def test_note_is_kept(run: Run, answer: Answer) -> None:
    """Words need no quotes."""
    said = answer("note", str(run.path), "less", "grey")
    assert "less grey" in said["notes"] and "less grey" in run.notes()


def test_compare_says_why_losses_are_refused(trained: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    """Both formulas, and what compares instead."""
    capsys.readouterr()
    assert main(["compare", "plain", "decayed"]) == 0
    text = capsys.readouterr().out
    assert "not compared, because the loss is defined differently: loss" in text
    assert "mean (y - ŷ)² + 0.1·w²" in text
    assert "compare instead: training error, validation/slope_error" in text


def test_fork_resume_evaluate_generate_answer_in_json(run: Run, answer: Answer, tmp_path: Path) -> None:
    """The chain that a script walks, by the ids of the answers before."""
    lab = ["--lab", str(run.path.parent)]
    (fork,) = answer("fork", run.id, "--loss.weight", "0.25", "--draft", *lab)["runs"]
    assert (fork["status"], fork["parent"]) == ("draft", run.id)
    (resumed,) = answer("resume", fork["run"], "--quiet", *lab)["runs"]
    assert (resumed["run"], resumed["status"]) == (fork["run"], "finished")
    said = answer("evaluate", fork["run"], *lab)
    assert set(said) == {"run", "split", "metrics", "measured_with"} and "slope_error" in said["metrics"]
    out = tmp_path / "x.png"
    said = answer("generate", fork["run"], "--shade", "9", "--n", "2", "-o", str(out), *lab)
    assert said == {"picture": str(out)} and out.exists()
    said = answer("rm", fork["run"], "--yes", *lab)
    assert said["deleted"] and said["runs"][0]["run"] == fork["run"]


def test_data_is_listed(answer: Answer) -> None:
    """Every source with where it lies."""
    sources = {one["name"]: one for one in answer("data", "list")["sources"]}
    assert {"mnist", "fashion-mnist", "glyphs"} <= set(sources)
    assert sources["mnist"]["items"] == [60000, 10000]


def test_data_is_verified(answer: Answer, real_data: Path) -> None:
    """The real MNIST file passes every check."""
    said = answer("data", "verify", "mnist", "--dir", str(real_data))
    assert said["passed"] and all(check["passed"] for check in said["checks"])


def test_a_closed_pipe_is_no_error(trained: Lab) -> None:
    """`epochal list | head -1` ends quietly."""
    listing = subprocess.Popen(
        [sys.executable, "-m", "epochal", "list"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert listing.stdout is not None and listing.stderr is not None
    listing.stdout.close()
    complaint = listing.stderr.read()
    assert listing.wait() == 0 and complaint == b""


@pytest.mark.parametrize("words", [["--help"], ["list"], ["run", "--help"], ["show", "last"]])
def test_light_verbs_import_nothing_heavy(trained: Lab, words: list[str]) -> None:
    """They answer at once because they load neither torch nor anything like it."""
    program = (
        "import sys\nfrom epochal.cli import main\n"
        f"main({words!r})\n"
        "heavy = ('torch', 'numpy', 'tyro', 'rich', 'matplotlib', 'scipy', 'pooch', 'sklearn')\n"
        "print('heavy:', [name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "heavy: []"


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are POSIX")
def test_a_terminal_gets_a_table_with_whole_ids(trained: Lab) -> None:
    """Ids can be copied: they are neither cut nor wrapped even in a narrow terminal."""
    import pty

    (wanted,) = [run.id for run in trained.runs() if run.version == "plain"]
    ours, theirs = pty.openpty()
    listing = subprocess.Popen(
        [sys.executable, "-m", "epochal", "list"],
        stdout=theirs,
        env={**os.environ, "COLUMNS": "100", "TERM": "xterm"},
    )
    os.close(theirs)
    said = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # the terminal closes with its last writer
            break
        if not piece:
            break
        said += piece
    os.close(ours)
    assert listing.wait() == 0
    assert wanted in said.decode()


def test_closed_and_narrow_streams_can_be_printed_to(tmp_path: Path) -> None:
    """`epochal list >&-`, and an output that takes only ASCII (a pipe on Windows): no fault, every letter kept."""
    code = (
        "import sys, io; sys.stdout = {0}; from epochal.cli import main; code = main(['list', '--json']);"
        "sys.stderr.write(sys.stdout.buffer.getvalue().decode() if {1} else ''); sys.exit(code)"
    )
    (tmp_path / "läb→").mkdir()
    environment = {**os.environ, "EPOCHAL_LAB": str(tmp_path / "läb→")}
    for stream, shown in (("None", False), ("io.TextIOWrapper(io.BytesIO(), encoding='ascii')", True)):
        call = [sys.executable, "-c", code.format(stream, shown)]
        done = subprocess.run(call, capture_output=True, check=False, text=True, env=environment)
        assert done.returncode == 0, done.stderr
        assert not shown or "recipes" in json.loads(done.stderr)
