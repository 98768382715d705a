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

from epochal import settings as settings_room
from epochal.journal import Lab, Run
from epochal.report import figures, study
from epochal.report.shares import shares_figure
from epochal.systems import recipes
from epochal.systems.recipes import _distillation as distillation
from epochal.systems.recipes import _teachers
from epochal.systems.recipes import _wearables as wearables
from epochal.training import engine
from epochal.training.probes import gradient_share

SOURCE = "wisdm-watch"
SEEDS = (0, 1, 2, 3, 4, 5)
DATA = {"data.source": SOURCE}
LEVEL = 0.05
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
        group = trained(lab, row.recipe, row.version, SEEDS, only_found=True, **how)
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
    verdict(text, runs, lab)
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


def apart(runs: Runs, lab: Lab, one: str, other: str, metric: str) -> list[float]:
    """Differences of a metric over the seeds that both rows have."""
    return [
        evaluated(runs[one][seed], lab)[metric] - evaluated(runs[other][seed], lab)[metric]
        for seed in paired(runs, one, other)
    ]


def verdict(text: Page, runs: Runs, lab: Lab) -> None:
    """What was asked first: does the teacher help?"""
    text.section("Does a teacher help?")
    text.say(
        "Asked before anything was trained: is the distilled student better than the student alone, by accuracy? Six "
        "seeds of each were fixed beforehand.",
        "",
    )
    for one, other in PAIRS[:3]:
        found = apart(runs, lab, one, other, "accuracy")
        if len(found) < 2:
            continue
        low, high = interval(found)
        decided = sign_flip(found) <= LEVEL
        holds = text.target(f"{one} is more accurate than {other}", decided and mean(found) > 0) == "yes"
        answer = "yes" if holds else "no, it is worse" if decided else "not shown"
        nats = apart(runs, lab, one, other, "nll")
        text.say(
            f"- {ROWS[one].words}: **{answer}**: accuracy {mean(found):+.4f} (95 % interval {low:+.4f} to "
            f"{high:+.4f}), negative log-likelihood {mean(nats):+.4f} nats ({interval(nats)[0]:+.4f} to "
            f"{interval(nats)[1]:+.4f}; lower is better), {len(found)} pairs"
        )
    taught = {
        name: evaluated(runs[name][0], lab)["accuracy"]
        for name in ("teacher-a", "teacher-b")
        if 0 in runs[name]
    }
    if taught and runs["alone16"]:
        alone = mean(evaluated(run, lab)["accuracy"] for run in runs["alone16"].values())
        told = " and ".join(f"{ROWS[name].words} reads {value:.1%} right" for name, value in taught.items())
        text.say(
            "",
            f"{told}; the student alone reads {alone:.1%}. {same_teachers(runs)} A teacher that is no more accurate "
            "than its student can pass on how sure to be, not what is right.",
        )


def same_teachers(runs: Runs) -> str:
    """Whether the teachers' rows are the very networks that taught, by the hash of their weights."""
    rows = {role: runs[name][0] for role, name in (("a", "teacher-a"), ("b", "teacher-b")) if 0 in runs[name]}
    own = {
        role: _teachers.digest(engine.load(recipes.find(run.recipe), run).nets["network"])
        for role, run in rows.items()
    }
    taught: set[str] = set()
    for name in ("kd16", "kd8", "averaged", "two", "no-sp"):
        for run in runs[name].values():
            taught |= {about["sha256"] for about in run.meta["data"]["teachers"].values()}
    return (
        "These are the very networks that taught (equal SHA-256 of the weights)."
        if taught == set(own.values())
        else "These are not the very networks that taught, which were trained by the same settings."
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
            found = apart(runs, lab, one, other, metric)
            low, high = interval(found)
            p = sign_flip(found)
            upwards = (mean(found) > 0) == (metric == "accuracy")
            said = "not decided" if p > LEVEL else "better" if upwards else "worse"
            said = said if len(seeds) >= len(SEEDS) else f"hint: {said}"
            tests += 1
            rows.append(
                [
                    f"{ROWS[one].words} − {ROWS[other].words}",
                    metric.replace("nll", "NLL, nats"),
                    f"{mean(found):+.4f}",
                    f"{low:+.4f} to {high:+.4f}",
                    f"{p:.3f}",
                    str(len(seeds)),
                    said,
                ]
            )
    text.table(["difference", "metric", "mean", "95 % interval", "p", "pairs", "verdict"], rows)
    text.say(
        "",
        f"p is that of the exact sign-flip test, which decides (at {LEVEL:g}; with 6 pairs the smallest possible p is "
        f"0.031); the interval is the paired t interval of the differences. {tests} verdicts stand here and none is "
        "corrected for the others.",
    )


def course(run: Run) -> list[dict[str, float]]:
    """Shares of the gradient by term, measurement by measurement."""
    prefix = "gradient_share/network/"
    return [
        {k.removeprefix(prefix): v for k, v in line["values"].items() if k.startswith(prefix)}
        for line in run.probes()
    ]


def fault(text: Page, runs: Runs) -> None:
    """Whether the averaged divergence is seen: what the probe says of every run, as it does while a run trains."""
    text.section("The fault: a divergence averaged over classes, without T²")
    rows = []
    for name in ("kd16", "kd8", "two", "no-sp", "averaged"):
        measured = {seed: course(run) for seed, run in runs[name].items()}
        if not measured:
            continue
        meant = intended(next(iter(runs[name].values())))
        warned = sum(
            any(gradient_share.idle(seen[: i + 1], meant) for i in range(len(seen)))
            for seen in measured.values()
        )
        shares = {
            term: [one[term] for seen in measured.values() for one in seen if term in one]
            for term in next(iter(measured.values()))[-1]
        }
        wanted = len(measured) if name == "averaged" else 0
        met = text.target(f"{wanted} of {len(measured)} runs of {name} warned", warned == wanted)
        told = ", ".join(
            f"{term} {mean(found):.3f} ({meant.get(term, 0):.3g})" for term, found in shares.items()
        )
        told = told.replace(" (0)", "")
        rows.append([ROWS[name].words, told, f"{warned} of {len(measured)}", f"{wanted}", met])
    text.table(
        ["network", "mean share of the gradient (and what is meant)", "runs warned", "wanted", "met"], rows
    )
    text.say(
        "",
        "The share of a term is the length of its weighted gradient beside the sum of all terms' lengths, every "
        f"{gradient_share.EVERY} steps; λ and 1 - λ are what labels and teachers are meant to have beside each other. "
        f"A run is warned when a share was below {gradient_share.FAR_LESS:.0%} of that in {gradient_share.IN_A_ROW} "
        "measurements in a row. The limit was set after the first of these runs had been seen (right: 57 to 86 %, "
        "faulty: 2 to 9 %, where 70 % are meant); the 1 % that was tried before saw nothing.",
    )


def intended(run: Run) -> dict[str, float]:
    """What share of the gradient the terms of a run's loss are meant to have."""
    recipe = recipes.find(run.recipe)
    chosen: Any = settings_room.from_dict(recipe.settings, run.settings)
    roles = sys.modules[recipe.build.__module__].roles(chosen)
    return distillation.meant(chosen, roles, 1)


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
    if runs["kd16"]:
        run = runs["kd16"][min(runs["kd16"])]
        drawn = wearables.figures(engine.load(recipes.find(run.recipe), run))
        for stem, words in (
            ("confusion", "What windows of the people who test are read as"),
            ("people", "Accuracy person by person"),
        ):
            target = figures.draw(drawn[stem], out / f"har-{stem}.png", subtitle=study.run_title(run))
            text.say(f"![{words}: {ROWS['kd16'].words}]({target.name})", "")
    for name in ("kd16", "averaged", "two"):
        if runs[name]:
            target = out / f"har-{name}-shares.png"
            figures.save(shares(runs[name][min(runs[name])]), target)
            text.say(f"![Shares of the gradient: {ROWS[name].words}]({target.name})", "")


def shares(run: Run) -> Any:
    """The figure of a run's shares, beside what is meant, judged as it is today."""
    meant, seen = intended(run), []
    lines: dict[str, list[tuple[int, float]]] = {}
    for line, found in zip(run.probes(), course(run), strict=True):
        seen.append(found)
        idle = gradient_share.idle(seen, meant)
        for name, values in (("share", found), ("meant", meant), ("idle", dict.fromkeys(idle, 1.0))):
            for term, value in values.items():
                lines.setdefault(f"gradient_{name}/network/{term}", []).append((line["step"], value))
    figure = shares_figure(lines, across="step (67 an epoch)", subtitle=study.run_title(run))
    assert figure is not None
    return figure


if __name__ == "__main__":
    sys.exit(main())
