"""Kills trainings at random instants, resumes them until they are done, and compares them with the uninterrupted run.

    python benchmarks/kill_and_resume.py --kills 100 [--out docs/results/kill-and-resume.md]

Every life is a process of its own (`epochal run`, then `epochal resume`), killed by SIGKILL at an instant drawn
uniformly over the time that the uninterrupted run took, from the start of the interpreter to its last checkpoint. When
a run ends in spite of that, the next one begins, until the recipe has had its share of kills; the last life is
left alone. Four recipes take turns: a conditional VAE, a GAN with two optimisers, a NumPy network, and forty of them
trained as one fleet, most of which leave it on the way.

Compared are the tensors of both checkpoints (weights, moments, random states) bit by bit, the checkpoint's state, every
line of metrics.jsonl, the table of members and the numbers in run.json; only clocks may differ. Exits 1 on any
difference.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from epochal.journal import Lab, Run, members

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Case:
    """A recipe with what `epochal run` gets, and the seconds between its checkpoints inside an epoch."""

    recipe: str
    options: tuple[str, ...] = ()
    checkpoint_s: float = 0.05

    @property
    def name(self) -> str:
        """The recipe's name."""
        return Path(self.recipe).stem.replace("_", "-")


CASES = (
    Case(
        "cvae-digits",
        ("model-4", "--epochs", "2", "--data.source", "glyphs", "--data.limit", "256"),
        checkpoint_s=0.5,  # each one is 45 MB
    ),
    Case(str(HERE / "recipes" / "ring_gan.py")),
    Case(str(HERE / "recipes" / "numpy_mlp.py")),
    Case("xor-mlp", ("until", "--epochs", "12", "--seeds", "20", "--grid", "optim.lr=0.5,0.1")),
)


@dataclass
class Tally:
    """What happened to one recipe's runs."""

    runs: int = 0
    lives: int = 0
    kills: dict[str, int] = field(default_factory=lambda: dict.fromkeys(INSTANTS, 0))
    inside_a_write: int = 0
    weights_differ: list[str] = field(default_factory=list)
    metrics_differ: list[str] = field(default_factory=list)


MOST_REFERENCES = 6
"""Uninterrupted runs of a recipe at most: runs are compared that computed in the same way."""
INSTANTS = ("before the run folder", "before a checkpoint", "after a checkpoint", "after the end")


class Workshop:
    """Runs one case's commands in labs under a folder of its own.

    Args:
        case: what to train.
        folder: an empty folder.
    """

    def __init__(self, case: Case, folder: Path) -> None:
        self.case, self.folder, self.references = case, folder, 0
        # A recipe file is remembered as run here; that must not reach the user's own record.
        self.environment = {
            **os.environ,
            "EPOCHAL_CHECKPOINT_S": str(case.checkpoint_s),
            "XDG_STATE_HOME": str(folder / "state"),
        }

    def live(self, lab: Lab, run: Run | None, seconds: float | None) -> bool:
        """Trains on for at most so long; returns whether the process was killed.

        Raises:
            SystemExit: it ended by itself, but not well.
        """
        verb = (
            ["resume", run.id]
            if run
            else ["run", self.case.recipe, *self.case.options, "--precision", "float32"]
        )
        device = [] if run else ["--device", "cpu"]
        command = [sys.executable, "-m", "epochal", *verb, *device, "--lab", str(lab.path), "--quiet"]
        life = subprocess.Popen(
            command, env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        try:
            _, said = life.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            life.kill()
            life.communicate()
            return True
        if life.returncode:
            sys.exit(f"{' '.join(command)}\nended with exit code {life.returncode}:\n{said}")
        return False

    def reference(self) -> tuple[Run, float]:
        """The uninterrupted run, and the seconds from the start of its process until it was finished."""
        self.references += 1
        lab = Lab(self.folder / f"reference-{self.references}")
        started = datetime.now(UTC)
        self.live(lab, None, None)
        run = lab.find("last")
        return run, (datetime.fromisoformat(run.meta["finished"]) - started).total_seconds()

    def survive(self, number: int, tally: Tally, kills: int, span: float, chance: random.Random) -> Run:
        """One run, killed until it is done or the recipe has had its kills."""
        lab = Lab(self.folder / f"lab-{number}")
        tally.runs += 1
        while True:
            run = next(iter(lab.runs()), None)
            if run is not None and run.status == "finished":
                return run
            enough = sum(tally.kills.values()) >= kills
            tally.lives += 1
            if self.live(lab, run, None if enough else chance.uniform(0, span)):
                _note(tally, lab)


def _note(tally: Tally, lab: Lab) -> None:
    run = next(iter(lab.runs()), None)
    if run is None:
        instant = INSTANTS[0]
    elif run.status == "finished":
        instant = INSTANTS[3]
    else:
        instant = INSTANTS[2 if (run.checkpoints_dir / "last.safetensors").exists() else 1]
    tally.kills[instant] += 1
    tally.inside_a_write += any(lab.path.rglob("*.tmp"))


def _choices(run: Run) -> dict[str, Any]:
    """How a run computed, without the sentence on how that was found."""
    return {name: value for name, value in run.meta["choices"].items() if name != "how"}


def differences(reference: Run, run: Run) -> tuple[list[str], list[str]]:
    """Names of the tensors that are not equal to the bit, and of the numbers that are not equal."""
    import torch

    from epochal.training import checkpoint

    weights, metrics = [], []
    files = {
        folder: {f.name for f in folder.iterdir()}
        for folder in (reference.checkpoints_dir, run.checkpoints_dir)
    }
    if len({frozenset(names) for names in files.values()}) > 1:
        weights.append("the list of checkpoints")
    for name in set.intersection(*files.values()):
        (a, a_state), (b, b_state) = (checkpoint.read(folder / name) for folder in files)
        weights += [f"{name}: {key}" for key in a.keys() ^ b.keys()]
        weights += [f"{name}: {key}" for key in a.keys() & b.keys() if not torch.equal(a[key], b[key])]
        if {**a_state, "elapsed": 0} != {**b_state, "elapsed": 0}:
            weights.append(f"{name}: state")
    if [{**line, "time": 0} for line in reference.metrics()] != [
        {**line, "time": 0} for line in run.metrics()
    ]:
        metrics.append("metrics.jsonl")
    for key in ("final", "epochs_done", "steps_done", "status", "choices", "loss_definition", "settings"):
        mine, theirs = (_choices(one) if key == "choices" else one.meta[key] for one in (run, reference))
        metrics += [f"run.json: {key}"] if mine != theirs else []
    if run.members and members.read(run) != members.read(reference):
        metrics.append(members.NAME)
    return weights, [*metrics, *run.problems()]


def torment(case: Case, kills: int, chance: random.Random) -> Tally:
    """Trains one case again and again until it was killed so often."""
    tally = Tally()
    with tempfile.TemporaryDirectory(prefix="kill-and-resume-") as folder:
        workshop = Workshop(case, Path(folder))
        reference, span = workshop.reference()
        print(f"{case.name}: {span:.1f} s uninterrupted, {reference.meta['steps_done']} steps", flush=True)
        while sum(tally.kills.values()) < kills:
            run = workshop.survive(tally.runs, tally, kills, span, chance)
            while _choices(run) != _choices(reference):
                # Killed before its choices were saved, it measured them anew, and the machine's load had changed.
                if workshop.references >= MOST_REFERENCES:
                    sys.exit(
                        f"{case.name}: other ways of computing win every time; let the machine do nothing else"
                    )
                print(
                    f"{case.name}: it chose another way of computing; an uninterrupted run by that way",
                    flush=True,
                )
                reference, span = workshop.reference()
            weights, metrics = differences(reference, run)
            tally.weights_differ += weights
            tally.metrics_differ += metrics
            print(
                f"{case.name}: run {tally.runs}, {sum(tally.kills.values())} of {kills} kills, "
                + (
                    f"DIFFERS in {', '.join([*weights, *metrics][:5])}" if weights or metrics else "identical"
                ),
                flush=True,
            )
    return tally


def shares(kills: int, cases: Sequence[Case]) -> Iterator[tuple[Case, int]]:
    """Every case with its share of the kills, as equal as whole numbers allow."""
    for index, case in enumerate(cases):
        share = (kills + index) // len(cases)
        if share:
            yield case, share


def table(tallies: dict[str, Tally]) -> str:
    """Markdown, one row a recipe."""
    head = ["recipe", "kills", *INSTANTS, "inside a write", "lives", "runs", "weights", "metrics"]
    rows = [[name, *_cells(tally)] for name, tally in tallies.items()]
    numbers = [[int(cell) for cell in row[1:-2]] for row in rows]
    total = ["all", *(str(sum(column)) for column in zip(*numbers, strict=True))]
    for column in (-2, -1):
        total.append("identical" if all(row[column] == "identical" for row in rows) else "**DIFFERENT**")
    lines = [head, ["---", *["---:"] * (len(head) - 3), "---", "---"], *rows, total]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cells(tally: Tally) -> list[str]:
    counts = [sum(tally.kills.values()), *tally.kills.values(), tally.inside_a_write, tally.lives, tally.runs]
    same = [
        "identical" if not found else "**DIFFERENT**"
        for found in (tally.weights_differ, tally.metrics_differ)
    ]
    return [*map(str, counts), *same]


def page(tallies: dict[str, Tally], kills: int, seed: int) -> str:
    """The results with the command that made them."""
    import torch

    import epochal

    return f"""# Kill and resume

`python benchmarks/kill_and_resume.py --kills {kills} --seed {seed}`, {date.today()}, Epochal {epochal.__version__},
torch {torch.__version__}, Python {platform.python_version()}, {platform.system()} {platform.machine()}.

Processes that train were killed by SIGKILL at random instants, uniformly over the length of the whole run from the
start of the interpreter on, and resumed until they were done. Compared with the uninterrupted run of the same seed: all
tensors of both checkpoints to the bit, every line of metrics.jsonl but for its clock, and the numbers in run.json.
A kill "inside a write" left a temporary file behind.

{table(tallies)}
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs all cases; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=100, help="in all, shared among the recipes")
    parser.add_argument("--seed", type=int, default=0, help="of the instants")
    parser.add_argument("--only", choices=[case.name for case in CASES], help="only this recipe")
    parser.add_argument("--out", type=Path, help="write the page of results there")
    typed: Any = parser.parse_args(arguments)
    if typed.kills < 1:
        parser.error("--kills must be at least 1")
    cases = [case for case in CASES if typed.only in (None, case.name)]
    if any("glyphs" in case.options for case in cases):
        from epochal.systems import data

        data.load("glyphs")  # draws them into the cache once, so that no life spends its time on that
    chance = random.Random(typed.seed)
    tallies = {case.name: torment(case, share, chance) for case, share in shares(typed.kills, cases)}
    print(f"\n{table(tallies)}")
    if typed.out:
        typed.out.parent.mkdir(parents=True, exist_ok=True)
        typed.out.write_text(page(tallies, typed.kills, typed.seed), encoding="utf-8")
    return int(any(tally.weights_differ or tally.metrics_differ for tally in tallies.values()))


if __name__ == "__main__":
    sys.exit(main())
