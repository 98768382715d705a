"""What a run says: plain lines without a terminal, a bar with one, and all of it in console.log."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import pytest

from epochal.training.progress import Progress


def speak(progress: Progress) -> None:
    """One epoch of two, as the engine tells it."""
    progress.line("run: cpu (float32)")
    progress.begin(1, 0)
    progress.advance(1, 500, {"loss": 2.0})
    progress.epoch(1, 1000, {"loss": 1.25, "kl": 0.5}, {"loss": 1.5})
    progress.close()


def test_plain_lines_without_a_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line an epoch, to standard error, none for the steps; console.log holds the same."""
    speak(Progress(tmp_path / "console.log", show=True, epochs=2, items=1000))
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert out == "" and lines[0] == "run: cpu (float32)" and len(lines) == 2
    assert (
        lines[1].startswith("epoch 1/2  ")
        and "/s  loss 1.2500  kl 0.5000  |  validation loss 1.5000" in lines[1]
    )
    assert (tmp_path / "console.log").read_text() == err


def test_short_epochs_have_few_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """About twenty over the run, the first and the last among them, also where it ended early; long epochs all do."""
    from epochal.training import progress as module

    clock = [0.0]
    monkeypatch.setattr(module.time, "perf_counter", lambda: clock[0])

    def told(seconds: float, ends: int) -> list[int]:
        log = tmp_path / f"{seconds}-{ends}.log"
        progress = Progress(log, show=False, epochs=1000, items=10)
        for epoch in range(1, ends + 1):
            progress.begin(epoch, 0)
            clock[0] += seconds
            progress.epoch(epoch, 10, {"loss": 1.0}, {})
        progress.close()
        return [int(line.split()[1].partition("/")[0]) for line in log.read_text().splitlines()]

    assert told(0.01, 1000) == [1, *range(50, 1001, 50)]
    assert told(0.01, 130) == [1, 50, 100, 130]
    assert told(1.0, 60) == [*range(1, 61)]
    waits = [b - a for a, b in itertools.pairwise(told(0.2, 1000))]
    assert max(waits) * 0.2 <= 30  # nobody waits for a word for longer


def test_a_quiet_run_still_writes_its_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`show=False` prints nothing; the next life of a run adds to the log of the first."""
    for _ in range(2):
        speak(Progress(tmp_path / "console.log", show=False, epochs=2, items=1000))
    assert capsys.readouterr() == ("", "")
    assert (tmp_path / "console.log").read_text().count("epoch 1/2") == 2


def test_a_bar_on_a_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loss parts, items a second and time left; markup in a name is printed as it is."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    progress = Progress(tmp_path / "console.log", show=True, epochs=2, items=1000)
    speak(progress)
    progress.line("[bold]kept[/bold]")
    err = capsys.readouterr().err
    assert "epoch 1/2" in err and "loss 2.0000" in err and "left" in err
    assert "[bold]kept[/bold]" in (tmp_path / "console.log").read_text()


def test_the_rate_counts_from_where_the_epoch_was_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Items of an earlier life are not this one's speed."""
    from epochal.training import progress as module

    now = iter([0.0, 10.0, 12.0])
    monkeypatch.setattr(module.time, "perf_counter", lambda: next(now))
    progress = Progress(tmp_path / "console.log", show=False, epochs=1, items=1000)
    progress.begin(1, 600)
    assert progress.rate(1000) == 200.0


def test_a_listener_that_left_does_not_stop_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`epochal run … 2>&1 | head`: console.log goes on, nothing is raised, nothing is printed again."""

    class Gone:
        def write(self, text: str) -> int:
            raise BrokenPipeError(32, "Broken pipe")

        def flush(self) -> None:
            pass

        def isatty(self) -> bool:
            return False

    monkeypatch.setattr("sys.stderr", Gone())
    progress = Progress(tmp_path / "console.log", show=True, epochs=1, items=1)
    progress.line("one")
    progress.line("two")
    assert (tmp_path / "console.log").read_text() == "one\ntwo\n" and not progress.show
