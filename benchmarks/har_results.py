"""Trains and compares students of activity recognition on a real watch, and writes docs/results/har.md.

    EPOCHAL_DATA=… python benchmarks/har_results.py train --lab LAB [--rows alone16 kd16 …] [--seeds 0 1 2]
    EPOCHAL_DATA=… python benchmarks/har_results.py page --lab LAB              # from what is there, trains nothing

Seed by seed, so that stopped early it still compares. Killed, it goes on where it stopped; several calls may work on
one lab. The teachers are trained once (seed 0), by whichever student needs them first. Exits 1 when pairs are missing.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import records
from results_page import RESULTS, Page, evaluated, origin, seconds, spread, trained

from epochal.journal import Lab, Run
from epochal.training.probes import gradient_share

SOURCE = "wisdm-watch"
SEEDS = (0, 1, 2, 3, 4, 5)
DATA = {"data.source": SOURCE}
MEASURED = ("accuracy", "macro_f1", "worst_subject", "nll", "ece")


@dataclass(frozen=True)
class Row:
    """A way to train a network: a version of a recipe."""

    words: str
    recipe: str
    version: str


ROWS = {
    "teacher-a": Row("teacher A: WRN16-1 (2-D) on persistence images", "har-classifier", "persistence"),
    "teacher-b": Row("teacher B: WRN28-1 on the signal", "har-classifier", "wrn28-1"),
    "alone16": Row("WRN16-1 alone", "har-classifier", "wrn16-1"),
    "kd16": Row("WRN16-1 from WRN28-1", "har-distill", "wrn16-1"),
    "averaged": Row("WRN16-1 from WRN28-1, averaged KL (fault)", "har-distill", "averaged-kl"),
    "two": Row("WRN16-1 from both teachers", "har-distill-two-teachers", "wrn16-1"),
    "no-sp": Row("WRN16-1 from both teachers, without SP", "har-distill-two-teachers", "no-sp"),
    "alone8": Row("ResNet8 alone", "har-classifier", "resnet8"),
    "kd8": Row("ResNet8 from WRN28-1", "har-distill", "resnet8"),
}
NEEDED = ("alone16", "kd16", "averaged", "two", "alone8", "kd8")
PAIRS = (
    ("kd16", "alone16"),
    ("kd8", "alone8"),
    ("two", "alone16"),
    ("two", "kd16"),
    ("no-sp", "alone16"),
    ("averaged", "alone16"),
    ("kd16", "averaged"),
)
TERMS = {"kd16": "kl", "averaged": "kl", "two": "kl_a", "kd8": "kl"}
Runs = Mapping[str, Mapping[int, Run]]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["train", "page"], help="page: trains nothing")
    parser.add_argument("--lab", required=True, help="lab that holds the runs")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(NEEDED), help="what to train")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS), help="of each row")
    parser.add_argument("--fold", type=int, default=0, help="whose people test")
    parser.add_argument("--out", default=str(RESULTS), help="folder to write to")
    options = parser.parse_args()
    lab = Lab(options.lab)
    if options.what == "train":
        for seed, name in itertools.product(options.seeds, options.rows):
            row = ROWS[name]
            how: dict[str, Any] = {"threads": 1, "precision": "float32", "patch": DATA}
            if options.fold:
                how |= {"patch": {**DATA, "data.fold": options.fold}, "name": fold_name(options.fold)}
            for run in trained(lab, row.recipe, row.version, [seed], **how):
                print(f"{row.words}, seed {seed}: {evaluated(run, lab)['accuracy']:.4f}", flush=True)
    return page(lab, Path(options.out))


def fold_name(fold: int) -> str:
    """How the runs of another division of the people are told from the first one's."""
    return f"fold-{fold}"


def found(lab: Lab, fold: int = 0) -> dict[str, dict[int, Run]]:
    """The finished, evaluated runs of each row by seed."""
    runs = {}
    for name, row in ROWS.items():
        how: dict[str, Any] = {"patch": DATA} | ({"name": fold_name(fold)} if fold else {})
        group = trained(lab, row.recipe, row.version, range(20), only_found=True, **how)
        runs[name] = {run.seed: run for run in group if "test" in run.meta["evaluation"]}
    return runs


def page(lab: Lab, out: Path) -> int:
    """The page from the runs that are there."""
    text = Page(
        "Activity recognition on a watch, distilled", "python benchmarks/har_results.py page --lab LAB"
    )
    runs = found(lab)
    every = [run for group in runs.values() for run in group.values()]
    if not every:
        return text.nothing(out / "har.md", lab)
    introduce(text, every)
    quality(text, runs, lab)
    differences(text, runs, lab)
    fault(text, runs)
    folds(text, lab)
    pictures(text, runs, out)
    records.keep(every, out / "records")
    return text.write(out / "har.md")


def introduce(text: Page, every: Sequence[Run]) -> None:
    """What was trained on whom."""
    about = every[0].meta["data"]
    who = {split: len(people) for split, people in about["subjects"].items()}
    text.say(
        *origin(every),
        f"- windows of {about['window']} samples (5 s at {about['rate_hz']:g} Hz), none overlapping; {who['train']} "
        f"people train, {who['validation']} choose the best epoch, {who['test']} test, once; the same people in every "
        "run",
        "- 60 epochs of SGD (momentum 0.9, weight decay 1e-4) by the log's learning rates, batch 64; λ = 0.7, T = 4 "
        "with one teacher; λ = 0.99, T = 4, a = 0.7, γ = 700 with two: as the versions are, nothing was chosen by "
        "these numbers",
        "- each teacher is one network (seed 0): the seeds are the students' only, and the intervals say nothing of "
        "other teachers or other people",
        "",
    )


def quality(text: Page, runs: Runs, lab: Lab) -> None:
    """Everything measured of each row."""
    text.section("On people never seen")
    rows = []
    for name, row in ROWS.items():
        if not runs[name]:
            continue
        tests = [evaluated(run, lab) for run in runs[name].values()]
        minutes = mean(seconds(run) for run in runs[name].values()) / 60
        values = [spread([test[metric] for test in tests], "{:.4f}".format) for metric in MEASURED]
        rows.append([row.words, *values, f"{minutes:.1f}"])
    text.table(
        ["network", "accuracy", "macro-F1", "worst person", "NLL, nats", "ECE", "minutes"],
        rows,
    )
    text.say(
        "",
        "Mean ± standard deviation over seeds. Minutes: one core, shared with other work, pauses included.",
    )


def paired(runs: Runs, one: str, other: str) -> list[int]:
    """Seeds that both rows have."""
    return sorted(runs[one].keys() & runs[other].keys())


def interval(differences: Sequence[float]) -> tuple[float, float]:
    """Paired 95 % t interval of the mean: mean ± t·s / √n with n - 1 degrees of freedom."""
    from scipy.stats import t

    n = len(differences)
    half = float(t.ppf(0.975, n - 1)) * stdev(differences) / sqrt(n)
    return mean(differences) - half, mean(differences) + half


def sign_flip(differences: Sequence[float]) -> float:
    """Two-sided p of the exact sign-flip test of a mean of 0: the share of all 2ⁿ flips at least as far out."""
    signs = np.array(list(itertools.product((1, -1), repeat=len(differences))))
    means = np.abs(signs @ np.asarray(differences))
    return float((means >= means[0] * (1 - 1e-9)).mean())


def differences(text: Page, runs: Runs, lab: Lab) -> None:
    """Row against row over paired seeds."""
    text.section("What distillation changes, seed by seed")
    rows, tests = [], 0
    for metric in ("accuracy", "nll"):
        for one, other in PAIRS:
            seeds = paired(runs, one, other)
            if metric == "accuracy" and one in NEEDED and other in NEEDED:
                text.target(f"{len(SEEDS)} pairs of {one} and {other}", len(seeds) >= len(SEEDS))
            if len(seeds) < 2:
                continue
            apart = [
                evaluated(runs[one][s], lab)[metric] - evaluated(runs[other][s], lab)[metric] for s in seeds
            ]
            low, high = interval(apart)
            better = low > 0 if metric == "accuracy" else high < 0
            worse = high < 0 if metric == "accuracy" else low > 0
            said = "better" if better else "worse" if worse else "not decided"
            tests += 1
            rows.append(
                [
                    f"{ROWS[one].words} − {ROWS[other].words}",
                    metric.replace("nll", "NLL, nats"),
                    f"{mean(apart):+.4f}",
                    f"{low:+.4f} to {high:+.4f}",
                    f"{sign_flip(apart):.3f}",
                    str(len(seeds)),
                    said,
                ]
            )
    text.table(["difference", "metric", "mean", "95 % interval", "p", "pairs", "verdict"], rows)
    text.say(
        "",
        "The interval is the paired t interval of the differences; p is that of the exact sign-flip test (with 6 "
        f"pairs the smallest possible one is 0.031). The verdict follows the interval of its row alone: {tests} of "
        "them stand here and none is corrected for the others.",
    )


def course(run: Run) -> list[dict[str, float]]:
    """Shares of the gradient by term, measurement by measurement."""
    prefix = "gradient_share/network/"
    return [
        {k.removeprefix(prefix): v for k, v in line["values"].items() if k.startswith(prefix)}
        for line in run.probes()
    ]


def fault(text: Page, runs: Runs) -> None:
    """Whether the averaged divergence is seen to do nothing."""
    text.section("The fault: a divergence averaged over classes, without T²")
    rows = []
    for name in ("kd16", "averaged", "kd8", "two", "no-sp"):
        measured = [course(run) for run in runs[name].values()]
        if not measured:
            continue
        terms = list(measured[0][-1])
        shares = {term: mean(one[term] for seen in measured for one in seen if term in one) for term in terms}
        told = sum(bool(gradient_share.idle(seen[: i + 1])) for seen in measured for i in [len(seen) - 1])
        ever = sum(any(gradient_share.idle(seen[: i + 1]) for i in range(len(seen))) for seen in measured)
        rows.append(
            [
                ROWS[name].words,
                ", ".join(f"{term} {share:.2%}" for term, share in shares.items()),
                f"{ever} of {len(measured)}",
                f"{told} of {len(measured)}",
            ]
        )
    text.table(
        ["network", "mean share of the gradient", "runs that were warned", "… at the last measurement"], rows
    )
    text.say(
        "",
        f"The share of a term is the length of its weighted gradient beside the sum of all terms' lengths, every "
        f"{gradient_share.EVERY} steps. A run is warned when a share was below {gradient_share.NEGLIGIBLE:.0%} in "
        f"{gradient_share.IN_A_ROW} measurements in a row.",
    )


def folds(text: Page, lab: Lab) -> None:
    """The same on other people, where it was trained."""
    rows = []
    for fold in range(1, 5):
        runs = found(lab, fold)
        for one, other in PAIRS[:2]:
            for seed in paired(runs, one, other):
                a, b = (evaluated(runs[name][seed], lab)["accuracy"] for name in (one, other))
                rows.append([str(fold), ROWS[one].words, str(seed), f"{b:.4f}", f"{a:.4f}", f"{a - b:+.4f}"])
    if rows:
        text.section("Other people test")
        text.table(["fold", "network", "seed", "alone", "distilled", "difference"], rows)


def pictures(text: Page, runs: Runs, out: Path) -> None:
    """Confusion of one student, and the terms' shares with and without the fault."""
    text.section("Pictures")
    for name, stem, words in (
        ("kd16", "confusion", "What the windows of the people who test are read as"),
        ("kd16", "people", "Accuracy person by person"),
        ("kd16", "gradient_share", "Shares of the gradient"),
        ("averaged", "gradient_share", "Shares of the gradient with the averaged divergence"),
        ("two", "gradient_share", "Shares of the gradient with two teachers"),
    ):
        if not runs[name]:
            continue
        run = runs[name][min(runs[name])]
        made = run.figures_dir / f"{stem}.png"
        if made.is_file():
            target = out / f"har-{name}-{stem.replace('_', '-')}.png"
            target.write_bytes(made.read_bytes())
            text.say(f"![{words}: {ROWS[name].words}]({target.name})", "")


if __name__ == "__main__":
    sys.exit(main())
