"""go.py: setting up on machines of all kinds, without installing anything here."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]


def load_go() -> Any:
    """go.py as a module of its own."""
    spec = importlib.util.spec_from_file_location("go", ROOT / "go.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["go"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def go(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """go.py pretending to stand in a folder with a space in its name."""
    module = load_go()
    root = tmp_path / "my folder"
    root.mkdir()
    (root / "pyproject.toml").write_text("[project]\n")
    (root / "constraints.txt").write_text("numpy==2.4.6\ntorch==2.13.0\n")
    monkeypatch.setattr(module, "ROOT", root)
    monkeypatch.setattr(module, "ENV", root / ".epochal-env")
    monkeypatch.delenv("EPOCHAL_TORCH_INDEX", raising=False)
    return module


class Shell:
    """Stands in for the set-up's commands: remembers them and makes what `venv` would make."""

    def __init__(
        self, go: Any, outcome: Callable[[Sequence[str]], tuple[int, str]] = lambda _: (0, "")
    ) -> None:
        self.go, self.outcome = go, outcome
        self.commands: list[list[str]] = []

    def run(self, steps: Any, title: str, command: Sequence[str], environ: Any) -> int:
        """Takes the place of `Steps.run`."""
        self.commands.append(list(command))
        if "venv" in command:
            python = self.go.env_python(self.go.ENV)
            python.parent.mkdir(parents=True, exist_ok=True)
            python.write_text("")
        status, said = self.outcome(command)
        with open(steps.log, "a") as log:
            log.write(said)
        return status

    def installs(self) -> list[list[str]]:
        """The pip commands."""
        return [command for command in self.commands if "pip" in command]


@pytest.fixture
def shell(go: Any, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """All commands succeed; the package index answers; no NVIDIA driver; Linux."""
    made = Shell(go)

    def run(steps: Any, title: str, command: Sequence[str], environ: Any) -> int:
        return made.run(steps, title, command, environ)

    monkeypatch.setattr(go.Steps, "run", run)
    monkeypatch.setattr(go, "answers", lambda url: True)
    monkeypatch.setattr(go, "has_nvidia_driver", lambda: False)
    monkeypatch.setattr(go.platform, "system", lambda: "Linux")
    monkeypatch.setattr(go, "made_by_this_python", lambda env: go.env_python(env).exists())
    return made


def test_second_set_up_runs_nothing(go: Any, shell: Shell) -> None:
    """Once set up, another start runs no command at all: that is what makes it instant."""
    go.set_up("dev")
    assert len(shell.installs()) == 2
    shell.commands.clear()
    assert go.set_up("dev") == go.env_python(go.ENV)
    assert go.set_up("") == go.env_python(go.ENV)
    assert shell.commands == []


def test_test_tools_are_added_to_a_finished_environment(go: Any, shell: Shell) -> None:
    """After `demo`, `test` installs the dev extra into the same environment instead of making it anew."""
    go.set_up("")
    shell.commands.clear()
    go.set_up("dev")
    assert not any("venv" in command for command in shell.commands)
    assert shell.installs()[-1][-1] == ".[dev]"


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt"])
def test_changed_requirements_are_installed(go: Any, shell: Shell, name: str) -> None:
    """The stamp depends on both files that say what to install."""
    go.set_up("")
    shell.commands.clear()
    (go.ROOT / name).write_text("[project]\n# another\n")
    assert not go.is_ready(go.ROOT, go.ENV, "")
    go.set_up("")
    assert shell.installs()


def test_interrupted_install_is_repeated(go: Any, shell: Shell) -> None:
    """The stamp is written last: a Ctrl-C inside pip leaves an environment that does not count as ready."""

    def interrupt(command: Sequence[str]) -> tuple[int, str]:
        if "-e" in command:
            raise KeyboardInterrupt
        return 0, ""

    shell.outcome = interrupt
    with pytest.raises(KeyboardInterrupt):
        go.set_up("")
    assert not go.is_ready(go.ROOT, go.ENV, "")
    shell.outcome = lambda _: (0, "")
    go.set_up("")
    assert go.is_ready(go.ROOT, go.ENV, "")


def test_vanished_interpreter_is_not_ready(go: Any, shell: Shell) -> None:
    """An environment whose Python was uninstalled is made anew, not started."""
    go.set_up("")
    go.env_python(go.ENV).unlink()
    assert not go.is_ready(go.ROOT, go.ENV, "")
    go.set_up("")
    assert any("venv" in command for command in shell.commands)


def test_broken_environment_is_made_anew_once(go: Any, shell: Shell) -> None:
    """When a step fails in an old environment, for no cause that we know, all is deleted and done again."""
    go.set_up("")
    (go.ROOT / "constraints.txt").write_text("torch==2.13.0\n# changed\n")
    (go.ENV / "leftover").mkdir()
    broken = [True]

    def fail_once(command: Sequence[str]) -> tuple[int, str]:
        return (1, "ImportError: torn") if "-e" in command and broken and broken.pop() else (0, "")

    shell.outcome = fail_once
    go.set_up("")
    assert go.is_ready(go.ROOT, go.ENV, "")
    assert not (go.ENV / "leftover").exists()


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (
            "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device",
            "disk is full",
        ),
        ("Failed to establish a new connection: [Errno -2] Name or service not known", "Check the network"),
        ("The virtual environment was not created because ensurepip is not available.", "python3-venv"),
        ("ERROR: No matching distribution found for torch==2.13.0", "no build for this machine"),
        ("PermissionError: [Errno 13] Permission denied: 'x'", "write access"),
        ("something nobody has seen", "Delete the folder .epochal-env"),
    ],
)
def test_failed_step_has_a_remedy(
    go: Any, shell: Shell, capsys: pytest.CaptureFixture[str], output: str, expected: str
) -> None:
    """Every cause of a failing pip that we know ends in what to do, the output's end, and status 1."""
    shell.outcome = lambda command: (1, output) if "-e" in command else (0, "")
    assert go.main(["test"]) == 1
    said = capsys.readouterr().out
    assert expected in said
    assert output in said
    assert "setup.log" in said
    assert "Traceback" not in said


def test_no_network_wins_over_no_matching_distribution(go: Any) -> None:
    """Without a network pip also says 'No matching distribution': the remedy names the network."""
    output = "NewConnectionError ...\nERROR: No matching distribution found for torch==2.13.0"
    assert "Check the network" in go.remedy_for(output)


def test_too_little_disk_is_said_before_the_download(
    go: Any, shell: Shell, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With 1 GB free nothing is started."""
    usage = type("Usage", (), {"free": 1e9})
    monkeypatch.setattr(go.shutil, "disk_usage", lambda _: usage)
    assert go.main(["test"]) == 1
    assert "1.0 GB are free" in capsys.readouterr().out
    assert shell.commands == []


@pytest.mark.parametrize(
    ("wish", "system", "nvidia", "url"),
    [
        ("", "Linux", False, "https://download.pytorch.org/whl/cpu"),
        ("", "Linux", True, None),
        ("", "Darwin", False, None),
        ("", "Windows", False, None),
        ("off", "Linux", False, None),
        ("OFF", "Linux", False, None),
        ("https://mirror.example/cpu", "Linux", True, "https://mirror.example/cpu"),
    ],
)
def test_where_pytorch_comes_from(go: Any, wish: str, system: str, nvidia: bool, url: str | None) -> None:
    """Only Linux without an NVIDIA driver asks PyTorch's CPU index by itself; the variable overrides."""
    assert go.choose_torch({"EPOCHAL_TORCH_INDEX": wish}, system, nvidia).url == url


def test_wrong_torch_index_is_explained(
    go: Any, shell: Shell, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A value that is neither off nor a URL stops with the value and what is allowed."""
    monkeypatch.setenv("EPOCHAL_TORCH_INDEX", "cpu")
    assert go.main(["test"]) == 1
    said = capsys.readouterr().out
    assert "'cpu'" in said and "Set it to off" in said


def test_pytorch_is_pinned_and_comes_first(go: Any, shell: Shell) -> None:
    """The CPU build is installed alone, in the tested version, before anything asks for another one."""
    go.set_up("")
    first, second = shell.installs()
    assert first[first.index("--index-url") + 1] == "https://download.pytorch.org/whl/cpu"
    assert "torch==2.13.0" in first and "--no-deps" in first
    assert second[-2:] == ["-e", "."] and "--index-url" not in second


def test_silent_index_falls_back_at_once(go: Any, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """When PyTorch's index does not answer, pip is asked only once, for everything."""
    monkeypatch.setattr(go, "answers", lambda url: False)
    go.set_up("")
    assert len(shell.installs()) == 1


def test_failing_index_falls_back(go: Any, shell: Shell) -> None:
    """When PyTorch's index answers but does not deliver, the set-up goes on with what pip finds."""
    shell.outcome = lambda command: (1, "404") if "--index-url" in command else (0, "")
    go.set_up("")
    assert go.is_ready(go.ROOT, go.ENV, "")


def test_failing_index_that_was_asked_for_stops(
    go: Any, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An index that the user named is not replaced behind their back."""
    monkeypatch.setenv("EPOCHAL_TORCH_INDEX", "https://mirror.example/cpu")
    shell.outcome = lambda command: (1, "404") if "--index-url" in command else (0, "")
    with pytest.raises(go.Trouble):
        go.set_up("")


def test_unanswering_address_costs_no_more_than_its_seconds(go: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look-up that hangs is given up: the probe waits in a thread."""
    forever = threading.Event()
    monkeypatch.setattr(go.urllib.request, "urlopen", lambda *_, **__: forever.wait())
    assert not go.answers("https://nowhere.example", seconds=0.05)
    forever.set()


def test_old_python_without_a_newer_one(
    go: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An old Python says which one is needed and how to get it, and changes nothing."""
    monkeypatch.setattr(go.sys, "version_info", (3, 8, 10, "final", 0))
    monkeypatch.setattr(go, "newer_python", lambda: None)
    assert go.main(["demo"]) == 1
    said = capsys.readouterr().out
    assert "needs Python 3.11 or newer" in said and "https://www.python.org/downloads/" in said
    assert not go.ENV.exists()


def test_old_python_goes_on_with_a_newer_one(go: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a newer Python is on the PATH, the same command runs with it and its status is passed on."""
    calls: list[list[str]] = []

    def run(command: list[str], environ: Any) -> int:
        calls.append(command)
        return 7

    monkeypatch.setattr(go.sys, "version_info", (3, 8, 10, "final", 0))
    monkeypatch.setattr(go, "newer_python", lambda: "/usr/bin/python3.12")
    monkeypatch.setattr(go, "run_in_foreground", run)
    with pytest.raises(SystemExit) as ended:
        go.main(["test", "-k", "x"])
    assert ended.value.code == 7
    assert calls[0][0] == "/usr/bin/python3.12" and calls[0][2:] == ["test", "-k", "x"]


def test_newer_python_is_asked_for_its_version(go: Any) -> None:
    """The search starts each candidate: this very Python, or another new one on the PATH, is found."""
    found = go.newer_python()
    if found is None:
        pytest.skip("no Python >= 3.11 under a usual name on the PATH")
    answer = subprocess.run(
        [found, "-c", "import sys; print(sys.version_info >= (3, 11))"], check=False, capture_output=True
    )
    assert answer.stdout.strip() == b"True"


def test_script_parses_on_old_pythons() -> None:
    """go.py must get as far as its own message on Python 3.8: its syntax is no newer than that."""
    compile((ROOT / "go.py").read_text(encoding="utf-8"), "go.py", "exec", dont_inherit=True)
    import ast

    ast.parse((ROOT / "go.py").read_text(encoding="utf-8"), feature_version=(3, 8))


def test_messages_survive_an_ascii_terminal() -> None:
    """Windows consoles may know only a code page: the script prints ASCII."""
    assert (ROOT / "go.py").read_text(encoding="utf-8").isascii()


def test_child_environment_is_clean(go: Any) -> None:
    """Another environment's variables do not reach ours; the user's proxies and mirrors do."""
    given = {
        "PYTHONPATH": "/x",
        "PYTHONHOME": "/y",
        "PIP_USER": "1",
        "HTTPS_PROXY": "p",
        "PIP_INDEX_URL": "u",
    }
    made = go.child_environ(given)
    assert not {"PYTHONPATH", "PYTHONHOME", "PIP_USER"} & set(made)
    assert made["HTTPS_PROXY"] == "p" and made["PIP_INDEX_URL"] == "u"


def test_lock_is_held_by_one(go: Any, tmp_path: Path) -> None:
    """Two go.py at once take turns; the second one goes on when the first has ended."""
    path, order = tmp_path / "lock", []

    def second() -> None:
        with go.alone(path):
            order.append("second")

    with go.alone(path):
        waiting = threading.Thread(target=second)
        waiting.start()
        time.sleep(0.1)
        order.append("first")
    waiting.join(10)
    assert order == ["first", "second"]


def test_failing_command_shows_the_end_of_its_output(go: Any, tmp_path: Path) -> None:
    """A real failing program: its last lines stand in the message, its status is noticed."""
    steps = go.Steps(tmp_path / "setup.log")
    script = "print('early'); print('\\n'.join(map(str, range(50)))); raise SystemExit(3)"
    with pytest.raises(go.Trouble) as trouble:
        steps.must("a step", [sys.executable, "-c", script], go.child_environ({}))
    assert "49" in trouble.value.what and "early" not in trouble.value.what


def test_exit_status_of_the_command_is_passed_on(go: Any) -> None:
    """`go.py test` ends with pytest's own status; a killed program counts as 128 + signal."""
    assert go.run_in_foreground([sys.executable, "-c", "raise SystemExit(5)"], {}) == 5
    if sys.platform != "win32":
        killed = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
        assert go.run_in_foreground([sys.executable, "-c", killed], {}) == 137


def test_unknown_command_shows_the_usage(go: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong call is answered with how to call it, and status 2."""
    with pytest.raises(SystemExit) as ended:
        go.main(["tset"])
    assert ended.value.code == 2
    assert "python go.py demo" in capsys.readouterr().out


def make_run(go: Any, lab: Path, name: str, version: str, epochs: int, status: str) -> None:
    """Writes the run.json of a demo run."""
    meta = {
        "id": name,
        "recipe": "cvae-digits",
        "version": version,
        "name": None,
        "seed": 0,
        "status": status,
    }
    meta["settings"] = {"epochs": epochs, "data": {"limit": go.DEMO_IMAGES}}
    (lab / name).mkdir(parents=True)
    (lab / name / "run.json").write_text(json.dumps(meta))


def test_demo_skips_what_is_finished_and_resumes_what_is_not(
    go: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """After a Ctrl-C the next demo trains only what is missing; it ends with the paths of log and picture."""
    calls: list[list[str]] = []

    def run(command: list[str], environ: Any) -> int:
        calls.append(command[3:])
        return 0

    monkeypatch.setattr(go, "set_up", lambda extra: Path("python"))
    monkeypatch.setattr(go, "run_in_foreground", run)
    lab = tmp_path / "lab"
    first, second, *_, last = go.DEMO
    make_run(go, lab, "a", *first, "finished")
    make_run(go, lab, "b", *second, "stopped")
    make_run(go, lab, "c", "model-3", 40, "finished")  # the user's own, longer run is not the demo's
    make_run(go, lab, "d", *last, "finished")
    (lab / "torn").mkdir()
    (lab / "torn" / "run.json").write_text("{")
    assert go.main(["demo", "--lab", str(lab)]) == 0
    assert [call[:3] for call in calls] == [
        ["resume", "b", "--lab"],
        ["run", "cvae-digits", "model-3"],
        ["log", "cvae-digits", "--lab"],
    ]
    said = capsys.readouterr().out
    assert str(lab / "cvae-digits.md") in said and str(lab / "d" / "figures" / "digits.png") in said


def test_demo_stops_with_the_status_of_a_failed_run(
    go: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When a training is interrupted, the demo ends there with its status."""
    monkeypatch.setattr(go, "set_up", lambda extra: Path("python"))
    monkeypatch.setattr(go, "run_in_foreground", lambda command, environ: 130)
    assert go.main(["demo", "--lab", str(tmp_path / "lab")]) == 130


def test_demo_versions_are_versions_of_the_recipe(go: Any) -> None:
    """The demo trains versions that exist, by settings that exist."""
    from epochal import settings
    from epochal.systems import recipes

    recipe = recipes.find("cvae-digits")
    for version, epochs in go.DEMO:
        patch = {"epochs": epochs, "data.limit": go.DEMO_IMAGES, "data.source": "glyphs"}
        settings.apply(recipes.settings_of(recipe, version), patch)
