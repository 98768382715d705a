"""One run: fields, logs, notes, sources, whether it lives, and failing disks."""

from __future__ import annotations

import errno
import json
import math
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from epochal.errors import EpochalError, UsageError
from epochal.journal import Lab, Run, process


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A fresh run."""
    return Lab(tmp_path / "lab").create_run(recipe="cvae-digits", version="model-2", seed=3)


def line(step: int, epoch: int, scope: str, split: str = "train", **values: float) -> dict[str, object]:
    """A metrics line."""
    return {"time": 0.5, "step": step, "epoch": epoch, "scope": scope, "split": split, "values": values}


def test_update_changes_fields_and_keeps_the_others(run: Run) -> None:
    """What is written is read back by another reader, floats that are not finite included."""
    run.update(final={"loss": math.inf}, patch={"loss.grey_weight": (0, 0.32)}, epochs_done=2)
    other = Run(run.path)
    assert other.meta["final"] == {"loss": math.inf} and other.meta["epochs_done"] == 2
    assert other.patch == {"loss.grey_weight": (0, 0.32)}
    assert (other.recipe, other.version, other.seed, other.status) == ("cvae-digits", "model-2", 3, "draft")


def test_update_sees_what_others_changed_meanwhile(run: Run) -> None:
    """An evaluation beside the training must not be overwritten by stale fields."""
    run.meta  # noqa: B018 - read before the other writer
    Run(run.path).update(evaluation={"test": {"psnr": 20.0}})
    run.update(epochs_done=1)
    assert run.meta["evaluation"] == {"test": {"psnr": 20.0}} and run.meta["epochs_done"] == 1


def test_updates_from_many_threads_are_all_kept(run: Run) -> None:
    """Reading, changing and writing is one step under the write lock."""

    def write(number: int) -> None:
        Run(run.path).update(**{f"extra_{number}": number})

    threads = [threading.Thread(target=write, args=(n,)) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [run.reload().meta[f"extra_{n}"] for n in range(12)] == list(range(12))


def test_update_refuses_a_field_of_the_wrong_kind(run: Run) -> None:
    """A run.json that could not be read again is never written."""
    before = (run.path / "run.json").read_bytes()
    with pytest.raises(EpochalError, match="has status = 'done', which must be one of draft, running"):
        run.update(status="done")
    assert (run.path / "run.json").read_bytes() == before and run.status == "draft"


@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS])
def test_a_failing_disk_leaves_the_run_as_it_was(
    run: Run, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    """Update and truncate fail with a message, and the run reads as before."""
    run.append("metrics", [line(1, 1, "step"), line(2, 1, "step")])

    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with pytest.raises(EpochalError, match=r"cannot write .*run\.json"):
            run.update(epochs_done=7)
        with pytest.raises(EpochalError, match=r"cannot write .*metrics\.jsonl"):
            run.truncate("metrics", after_step=1)
    assert run.reload().meta["epochs_done"] == 0 and len(run.metrics()) == 2
    run.update(epochs_done=7)


def test_logs_are_appended_and_truncated_for_resuming(run: Run) -> None:
    """After a resume at a step, exactly the lines up to it are left, and the other log is untouched."""
    run.append("metrics", [line(n, 1, "step", loss=1.0 / n) for n in range(1, 6)])
    run.append("metrics", [line(5, 1, "epoch", loss=0.5)])
    run.append("probes", [line(5, 1, "step", ratio=1e-3)])
    run.sync()
    run.truncate("metrics", after_step=3)
    assert [record["step"] for record in run.metrics()] == [1, 2, 3]
    assert run.probes() == [line(5, 1, "step", ratio=1e-3)]


def test_epoch_values_are_the_curves_of_one_split(run: Run) -> None:
    """Step lines, other splits, torn ends and lines of a wrong shape are passed over."""
    run.append("metrics", [line(1, 1, "step", loss=9.0), line(2, 1, "epoch", loss=3.0, kl=1.0)])
    run.append("metrics", [line(2, 1, "epoch", "validation", psnr=20.0), line(4, 2, "epoch", loss=math.nan)])
    run.append("metrics", [{"scope": "epoch", "split": "train", "epoch": "x", "values": 3}])
    with (run.path / "metrics.jsonl").open("a") as file:
        file.write("rubbish\n" + json.dumps(line(6, 3, "epoch", loss=1.0))[:-1])
    curves = run.epoch_values()
    assert curves["kl"] == [(1, 1.0)] and curves["loss"][0] == (1, 3.0)
    assert curves["loss"][1][0] == 2 and math.isnan(curves["loss"][1][1]) and len(curves["loss"]) == 2
    assert run.epoch_values("validation") == {"psnr": [(1, 20.0)]}
    assert run.problems() == ["metrics.jsonl, line 6: not a JSON object, left out"]


def test_an_unknown_log_is_a_programming_error(run: Run) -> None:
    """A typo must not make a new file."""
    with pytest.raises(ValueError, match="metrics and probes"):
        run.append("metric", [])  # type: ignore[arg-type]


def test_notes_are_kept_in_the_persons_words(run: Run) -> None:
    """Two remarks stand one after the other, in any script; nothing at all is no remark."""
    assert run.notes() == ""
    run.note("less grey\nthan before")
    run.note("획이 더 선명하다")
    text = run.notes()
    assert "less grey\nthan before\n" in text and text.endswith("획이 더 선명하다\n")
    with pytest.raises(UsageError, match="the note is empty"):
        run.note("  \n")


def test_sources_are_kept_as_text(run: Run) -> None:
    """A recipe file comes back letter by letter; its name cannot lead out of the folder."""
    text = "import os\nprint('한')\r\n"
    run.save_source("my_recipe.py", text)
    assert run.source() == {"my_recipe.py": text}
    assert [p.name for p in (run.path / "source").iterdir()] == ["my_recipe.py.txt"]
    for name in ("", "../x", "/etc/x", "a\\b", ".hidden", "a\0b", "c:d"):
        with pytest.raises(UsageError, match="is no plain file name"):
            run.save_source(name, text)


TRAINER = """
import sys, time
from epochal.journal import Run
run = Run(sys.argv[1])
with run.lock():
    run.update(status="running")
    print("running", flush=True)
    time.sleep(60)
"""


def test_a_killed_run_is_recognised_and_can_be_taken_over(run: Run) -> None:
    """While it trains: alive, not to be resumed nor deleted. After kill -9: interrupted, free to resume."""
    trainer = subprocess.Popen([sys.executable, "-c", TRAINER, str(run.path)], stdout=subprocess.PIPE)
    try:
        assert trainer.stdout and trainer.stdout.readline() == b"running\n"
        assert run.reload().alive() and not run.interrupted
        with pytest.raises(EpochalError, match=rf"is being trained by process {trainer.pid}"), run.lock():
            pass
        with pytest.raises(EpochalError, match="is being trained"):
            run.delete()
    finally:
        trainer.kill()
        trainer.communicate()
    assert not run.reload().alive() and run.interrupted and run.status == "running"
    with run.lock():
        run.update(status="running")
        assert run.meta["process"] == process.identity() and run.alive()
        run.update(status="finished")
    assert run.meta["process"] is None and not run.alive() and not run.interrupted


def test_a_run_of_another_machine_lives_until_it_is_silent(run: Run) -> None:
    """Its process cannot be asked; an hour without a written line counts as death."""
    run.update(status="running")
    run.update(process={**process.identity(), "host": "elsewhere"})
    assert run.alive()
    os.utime(run.path / "run.json", (0, 0))
    assert not run.alive()


def test_taking_the_lock_clears_what_killed_writers_left(run: Run) -> None:
    """Half-written checkpoints of a killed training do not pile up."""
    leftover = run.checkpoints_dir / ".last.safetensors.1-ab.tmp"
    leftover.touch()
    with run.lock():
        assert not leftover.exists()


def test_deleting_removes_the_folder_only(run: Run, tmp_path: Path) -> None:
    """A link inside the folder is removed, not what it points to; a folder that is no run stays."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").touch()
    (run.samples_dir / "link").symlink_to(outside)
    run.delete()
    assert not run.path.exists() and (outside / "precious").exists()
    with pytest.raises(EpochalError, match="is no run"):
        Run(outside).delete()
    assert (outside / "precious").exists()


def test_the_size_counts_every_file_once(run: Run, tmp_path: Path) -> None:
    """The sum of the files, folders inside included, links not followed."""
    before = run.size_bytes()
    (run.checkpoints_dir / "last.safetensors").write_bytes(bytes(1000))
    big = tmp_path / "big"
    big.mkdir()
    (big / "file").write_bytes(bytes(5000))
    (run.samples_dir / "link").symlink_to(big)
    assert 1000 <= run.size_bytes() - before < 1200
