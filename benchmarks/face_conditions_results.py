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

import numpy as np
import records
from results_page import RESULTS, Page, evaluated, origin, seconds, spread, trained
from scipy.ndimage import gaussian_filter

from epochal.evidence.metrics.regression import LEAST_GAIN
from epochal.journal import Lab, Run
from epochal.systems import data, recipes
from epochal.systems.recipes.cvae_faces import BLUR
from epochal.systems.recipes.face_conditions import NAMES, PLACES, conditions_of
from epochal.training import engine

NAME = "face-conditions"
SEEDS = (0, 1, 2)
PICTURES = ("faces", *NAMES)
BLURRED = "blurred"
"""Name of the run whose training images are blurred."""
DEVIATIONS = (0.0, 0.5, 1.0, 1.5, 2.0)
SEEN = 1000


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
        f"{LEAST_GAIN} has failed.",
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
        how = {"name": BLURRED, "patch": {**patch, "augment.blur": BLUR}}
        robust = trained(lab, NAME, "v1", SEEDS[:1], only_found=options.found, **how)
        blurred(page, runs[0], robust)
        pictures(page, runs[0], out)
        records.keep([*runs, *robust], out / "records")
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
            f"{spread([numbers['sex_accuracy'] for numbers in measured], '{:.2%}'.format)} right",
            "–",
            "–",
            "–",
            f"{reported['sex_accuracy']:.2%} right",
        ]
    ]
    for what, name in NAMES.items():
        gains = [numbers[f"{what}_gain"] for numbers in measured]
        page.target(f"{name}: gain {min(gains):.2f}", min(gains) >= LEAST_GAIN)
        rows.append(
            [
                name,
                over_seeds(f"{what}_mse", 4),
                over_seeds(f"{what}_mae", 3),
                over_seeds(f"{what}_r2", 3),
                f"{min(gains):,.0f} to {max(gains):,.0f}",
                f"MSE {reported[f'{what}_mse']:g}, gain {reported[f'{what}_gain']:g}",
            ]
        )
    page.table(["condition", "MSE", "MAE", "R²", "gain over the mean", "log"], rows)
    page.say(
        "",
        f"±: standard deviation over the seeds; gains: least to greatest of {len(gains)}. "
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


def blurred(page: Page, sharp: Run, robust: Sequence[Run]) -> None:
    """Whether what is read depends on how sharp a picture is."""
    page.section("Blurred faces")
    page.say(
        f"A conditional VAE draws blurred faces. R² of hair darkness / mouth / eyes on {SEEN:,} test faces, blurred by "
        f"a Gaussian; `--augment.blur {BLUR:g}` blurs every training image by one of up to {BLUR:g} pixels. "
        "`cvae-faces` measures what it draws by networks that were trained so.",
        "",
    )
    if not robust:
        page.say(f"Not trained yet: the run with `--augment.blur {BLUR:g}`.")
        page.misses.append("no run on blurred images")
        return
    faces = data.load("drawn-faces", limit=1).splits["test"]
    images, labels = faces["images"][:SEEN], faces["conditions"][:SEEN]
    places = [PLACES[what].start for what in NAMES]
    readers = [engine.load(recipes.find(NAME), run) for run in (sharp, robust[0])]
    rows = []
    for deviation in DEVIATIONS:
        shown = (
            gaussian_filter(images.astype(np.float32), (0, deviation, deviation, 0)).round().astype(np.uint8)
        )
        read = [conditions_of(reader, shown)[:, places] for reader in readers]
        errors = [((one - labels[:, places]) ** 2).mean(0) / labels[:, places].var(0) for one in read]
        cells = [" / ".join(f"{1 - share:.2f}" for share in of) for of in errors]
        rows.append([f"{deviation:g}", *cells])
    page.table(["standard deviation, pixels", "trained on sharp faces", "trained on blurred ones"], rows)


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
