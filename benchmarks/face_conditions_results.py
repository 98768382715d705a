"""Writes docs/results/face-conditions.md: the four readers of faces on 2,000 labelled drawn faces, beside the log's.

    python benchmarks/face_conditions_results.py --lab LAB             # trains what is missing, evaluates, writes
    python benchmarks/face_conditions_results.py --lab LAB --found     # from the runs that are there

Killed, it goes on where it stopped. Exits 1 when a network does not beat the mean predictor.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import records
from results_page import RESULTS, Page, evaluated, origin, seconds, spread, trained

from epochal.evidence.metrics.regression import COLLAPSED
from epochal.journal import Lab, Run
from epochal.systems import recipes
from epochal.systems.recipes.face_conditions import NAMES

NAME = "face-conditions"
SEEDS = (0, 1, 2)
PICTURES = ("faces", *NAMES)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lab", required=True, help="lab that holds the runs")
    parser.add_argument("--found", action="store_true", help="train nothing")
    parser.add_argument("--out", default=str(RESULTS), help="folder to write to")
    options = parser.parse_args()
    lab, out = Lab(options.lab), Path(options.out)
    patch = {"data.source": "drawn-faces"}
    runs = trained(lab, NAME, "v1", SEEDS, only_found=options.found, patch=patch)
    page = Page("Conditions read off faces", "python benchmarks/face_conditions_results.py --lab LAB")
    page.say(
        "Four small networks read sex, hair darkness, mouth and eye openness off 120x120 faces; `face-conditions` "
        "trains them on the first 2,000 drawn faces (of which every tenth is held out), `evaluate` measures them on "
        "the 2,000 drawn test faces, whose conditions are known exactly. The gain is how many times smaller the "
        "squared error is than that of always answering the mean of the training labels: a network below "
        f"{COLLAPSED} has collapsed to the mean and has failed.",
        "",
    )
    missing = [str(seed) for seed in SEEDS if seed not in {run.seed for run in runs}]
    if missing:
        page.say(f"Not trained yet: seed {', '.join(missing)}.", "")
        page.misses.append(f"seeds {', '.join(missing)} are missing")
    if runs:
        page.say(*origin(runs))
        results(page, runs, lab)
        each_run(page, runs, lab)
        pictures(page, runs[0], out)
        records.keep(runs, out / "records")
    return page.write(out / f"{NAME}.md")


def results(page: Page, runs: Sequence[Run], lab: Lab) -> None:
    """Means over the seeds beside what the log reports."""
    page.section("Errors on the test faces, beside the log's")
    reported = recipes.version_of(recipes.find(NAME)).reported
    measured = [evaluated(run, lab) for run in runs]

    def over_seeds(name: str, digits: int) -> str:
        return spread([numbers[name] for numbers in measured], lambda value: f"{value:.{digits}f}")

    rows = [
        [
            "sex",
            f"{over_seeds('sex_accuracy', 4)} right",
            "–",
            "–",
            "–",
            f"{reported['sex_accuracy']:.2%} right",
        ]
    ]
    for what, name in NAMES.items():
        gains = [numbers[f"{what}_gain"] for numbers in measured]
        page.target(f"{name}: gain {min(gains):.2f}", min(gains) >= COLLAPSED)
        rows.append(
            [
                name,
                over_seeds(f"{what}_mse", 4),
                over_seeds(f"{what}_mae", 3),
                over_seeds(f"{what}_r2", 3),
                over_seeds(f"{what}_gain", 2),
                f"MSE {reported[f'{what}_mse']:g}, gain {reported[f'{what}_gain']:g}",
            ]
        )
    page.table(["condition", "MSE", "MAE", "R²", "gain over the mean", "log"], rows)
    page.say(
        "",
        "The log's numbers are of photographs labelled by hand, on its validation split; drawn faces are easier, and "
        "their labels have no error. They show that the networks learn, not that they would do as well on photographs.",
    )


def each_run(page: Page, runs: Sequence[Run], lab: Lab) -> None:
    """What each run says of itself."""
    page.section("Each run")
    rows = []
    for run in runs:
        evaluated(run, lab)
        said = run.reload().meta["measured_with"]["test"]
        best = run.epoch_values("validation")["relative"]
        chosen = min(dict(best), key=dict(best).__getitem__)
        rows.append(
            [
                f"seed {run.seed}",
                f"{run.meta['epochs_done']} epochs, best {chosen}",
                f"{seconds(run) / 60:.1f} min",
                said["sex"],
                *(said[what] for what in NAMES),
            ]
        )
    page.table(["run", "trained", "time", "sex", *NAMES.values()], rows)


def pictures(page: Page, run: Run, out: Path) -> None:
    """The first run's figures."""
    page.section(f"Figures of seed {run.seed}")
    for stem in PICTURES:
        drawn = run.figures_dir / f"{stem}.png"
        if drawn.is_file():
            kept = out / f"{NAME}-{stem}.png"
            shutil.copyfile(drawn, kept)
            page.say(f"![{stem}]({kept.name})", "")


if __name__ == "__main__":
    sys.exit(main())
