"""Trains cnn-digits over seeds and writes docs/results/cnn-digits.md from the run folders.

    EPOCHAL_DATA=… python benchmarks/cnn_digits_results.py --lab LAB [--seeds 3]

Runs that the lab has are not trained again; one that was killed is continued. Exits 1 when a version's mean test
accuracy is below the target.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import epochal
from epochal import settings as settings_room
from epochal.journal import Lab, Run
from epochal.systems import recipes

HERE = Path(__file__).parent
NAME = "cnn-digits"
TARGET = 0.992
PICTURES = ("confusion", "answers", "first_layer")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lab", required=True, help="lab that holds the runs")
    parser.add_argument("--seeds", type=int, default=3, help="runs a version, seeds 0, 1, …")
    parser.add_argument("--threads", type=int, help="CPU threads of a run (default: measured)")
    parser.add_argument("--out", default=str(HERE.parent / "docs" / "results"), help="folder to write to")
    options = parser.parse_args()
    lab, out = Lab(options.lab), Path(options.out)
    versions = [version.name for version in recipes.find(NAME).versions]
    by_version = {
        version: [trained(lab, version, seed, options.threads) for seed in range(options.seeds)]
        for version in versions
    }
    for run in (run for runs in by_version.values() for run in runs):
        for split in ("train", "test"):
            if split not in run.meta["evaluation"]:
                epochal.evaluate(run.id, split=split, lab=lab)
                run.reload()
    out.mkdir(parents=True, exist_ok=True)
    newest = by_version[versions[-1]][0]
    for picture in PICTURES:
        shutil.copyfile(
            newest.figures_dir / f"{picture}.png", out / f"{NAME}-{picture.replace('_', '-')}.png"
        )
    path = out / f"{NAME}.md"
    path.write_text("\n".join(page(by_version)) + "\n", encoding="utf-8")
    print(path)
    missed = [version for version, runs in by_version.items() if mean(tested(runs, "accuracy")) < TARGET]
    for version in missed:
        print(f"not met: {version}: test accuracy below {TARGET:.1%}", file=sys.stderr)
    return 1 if missed else 0


def trained(lab: Lab, version: str, seed: int, threads: int | None) -> Run:
    """The version's run with that seed: found in the lab, continued, or trained."""
    wanted = plain(settings_room.to_dict(recipes.settings_of(recipes.find(NAME), version)))
    for run in lab.runs():
        same = (run.recipe, run.version, run.seed) == (NAME, version, seed) and plain(run.settings) == wanted
        if same and run.meta["data"].get("name", "mnist") == "mnist" and not run.alive():
            return run if run.status == "finished" else epochal.resume(run.id, lab=lab)
    patch = {"data.source": "mnist"}
    (run,) = epochal.run(NAME, version, patch=patch, seed=seed, threads=threads, lab=lab)
    return run


def plain(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings without where the data lie."""
    data = {key: value for key, value in settings["data"].items() if key not in ("dir", "source")}
    return {**settings, "data": data}


def tested(runs: list[Run], metric: str, split: str = "test") -> list[float]:
    """A metric of all seeds."""
    return [run.meta["evaluation"][split][metric] for run in runs]


def spread(values: list[float], digits: int = 4) -> str:
    """Mean ± standard deviation over seeds."""
    deviation = f" ± {stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{mean(values):.{digits}f}{deviation}"


def seconds(runs: list[Run]) -> str:
    """Wall-clock seconds of the fastest training, validation included; none where other programs were busy."""
    quiet = [run for run in runs if "busy" not in run.meta["choices"]["how"]]
    return f"{min(run.metrics()[-1]['time'] for run in quiet):.0f}" if quiet else "not on an idle machine"


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    return [*lines, *("| " + " | ".join(row) + " |" for row in rows), ""]


def about(runs: list[Run]) -> list[str]:
    """What was run where."""
    machine, choices = runs[0].meta["environment"], runs[0].meta["choices"]
    commits = sorted({str((run.meta["git"] or {}).get("commit"))[:12] for run in runs} - {"None"})
    held_out = recipes.settings_of(recipes.find(NAME)).data.hold_out
    return [
        f"- seeds: {', '.join(str(seed) for seed in sorted({run.seed for run in runs}))} of each version",
        f"- data: 60,000 training images, of which the last {held_out:,} choose the best epoch and are not trained "
        "on; the 10,000 test images are read once, by the network of the best epoch",
        f"- machine: {machine['cpu']}, {machine['cores']} core(s); torch {machine['packages']['torch']}; "
        "{precision}, {layout}, {layers} layers, {threads} thread(s) a run".format(**choices),
        f"- code: {', '.join(f'commit {commit}' for commit in commits) or 'commit not recorded'}",
    ]


def page(by_version: dict[str, list[Run]]) -> list[str]:
    """The page, line by line."""
    runs = [run for group in by_version.values() for run in group]
    return [
        "# cnn-digits on MNIST",
        "",
        "Written by `python benchmarks/cnn_digits_results.py --lab LAB`, which trains what the lab lacks.",
        "",
        *about(runs),
        "",
        "## Both structures",
        "",
        *table(
            [
                "version",
                "structure",
                "train accuracy",
                "reported",
                "test accuracy",
                "reported",
                "training loss",
                "s a run",
                f"test >= {TARGET:.1%}",
            ],
            [summary(version, group) for version, group in by_version.items()],
        ),
        "Mean ± standard deviation over seeds. Train accuracy: on the images trained on, in eval mode. Training loss: "
        "cross-entropy over the last epoch, dropout on, nats. Seconds: wall clock, the fastest seed, of runs that "
        "began on an idle machine.",
        "",
        "## Every run, on the test images",
        "",
        *table(
            ["version", "seed", "accuracy", "95 % interval", "NLL, nats", "ECE", "Brier", "epochs", "s"],
            [one(run) for run in runs],
        ),
        "The interval (Wilson) covers the drawing of 10,000 test images, not the seed. ECE: 15 bins of confidence "
        "(Guo et al. 2017).",
        "",
        f"![What the test images are read as]({NAME}-confusion.png)",
        "",
        f"![The surest answers]({NAME}-answers.png)",
        "",
        f"![Kernels of the first layer]({NAME}-first-layer.png)",
    ]


def summary(version: str, runs: list[Run]) -> list[str]:
    """A version's row."""
    described = recipes.version_of(recipes.find(NAME), version)
    accuracy = tested(runs, "accuracy")
    return [
        version,
        described.change,
        spread(tested(runs, "accuracy", "train")),
        f"{described.reported['train/accuracy']:g}",
        spread(accuracy),
        f"{described.reported['accuracy']:g}",
        spread([run.meta["final"]["loss"] for run in runs]),
        seconds(runs),
        "yes" if mean(accuracy) >= TARGET else "**no**",
    ]


def one(run: Run) -> list[str]:
    """A run's row."""
    values = run.meta["evaluation"]["test"]
    return [
        str(run.version),
        str(run.seed),
        f"{values['accuracy']:.4f}",
        f"{values['accuracy_low']:.4f} to {values['accuracy_high']:.4f}",
        f"{values['nll']:.4f}",
        f"{values['ece']:.4f}",
        f"{values['brier']:.4f}",
        str(run.meta["epochs_done"]),
        seconds([run]),
    ]


if __name__ == "__main__":
    sys.exit(main())
