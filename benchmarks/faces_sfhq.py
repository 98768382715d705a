"""Writes docs/results/faces-sfhq.md: photographs with weak labels, from a table with gaps to faces drawn to order.

    EPOCHAL_DATA=… python benchmarks/faces_sfhq.py folder conditions --lab LAB    # the readers, and the filled table
    EPOCHAL_DATA=… python benchmarks/faces_sfhq.py cvae --lab LAB [--epochs N]    # then the conditional VAE
    EPOCHAL_DATA=… python benchmarks/faces_sfhq.py --found --lab LAB              # writes from what is there

`faces_sfhq_64.npz` holds synthetic photographs of 64x64 (SFHQ and SFHQ-T2I, David Beniaguev; none shows a real
person), found by text search: their labels are weak, and most are missing. The page is what a user with a folder of
pictures does: write the table, train face-conditions, fill the gaps, train cvae-faces.
"""

from __future__ import annotations

import argparse
import math
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import records
from PIL import Image
from results_page import RESULTS, Page, evaluated, origin, seconds, spread, trained

import epochal
from epochal.errors import EpochalError
from epochal.evidence.metrics.regression import LEAST_GAIN
from epochal.journal import Lab, Run
from epochal.systems import recipes
from epochal.systems.data import faces_table, npz
from epochal.systems.recipes.face_conditions import NAMES

SECTIONS = ("folder", "conditions", "cvae")
SEEDS = (0, 1, 2)
NPZ = "faces_sfhq_64.npz"
NAME = "sfhq"
"""Of the runs, which tells them from those on drawn faces."""
SIDE = 120
TEST_EVERY = 4
"""Of the pictures with a label, one in so many is for testing: one in ten would leave a handful of eyes."""


@dataclass(frozen=True)
class Rule:
    """What a word in a picture's tags, or a weak label, is taken to say of a condition."""

    column: str
    label: str
    value: float

    def holds(self, tags: set[str]) -> bool:
        """Whether a picture with these tags is meant."""
        return self.label in tags


RULES = (
    Rule("p_male", "sex:male", 1.0),
    Rule("p_male", "sex:female", 0.0),
    Rule("hair", "hair_color:black", 1.0),
    Rule("hair", "hair_color:brown", 0.75),
    Rule("hair", "hair_color:red_orange", 0.5),
    Rule("hair", "hair_color:blond", 0.2),
    Rule("hair", "hair_color:white_gray", 0.1),
    Rule("mouth", "expression:surprised", 0.9),
    Rule("mouth", "expression:tongue_out", 0.9),
    Rule("mouth", "expression:neutral", 0.1),
    Rule("mouth", "expression:sad", 0.1),
    Rule("mouth", "expression:grim", 0.1),
    Rule("eyes", "gaze:eyes closed", 0.0),
    Rule("eyes", "physical:wide eyes", 1.0),
    Rule("eyes", "expression:surprised", 0.9),
)
"""Not used, because they do not say it: green, blue and pink hair and bald heads (darkness); smiling, angry, disgusted
and fearful faces (the mouth); all other tags (the eyes). Where two rules disagree nothing is known."""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "sections", nargs="*", metavar="SECTION", help=f"{', '.join(SECTIONS)} (default: all)"
    )
    parser.add_argument(
        "--lab", required=True, help="lab that holds the runs; the folder LAB-faces lies beside it"
    )
    parser.add_argument("--found", action="store_true", help="train nothing")
    parser.add_argument("--epochs", type=int, help="of cvae-faces (default: the version's)")
    parser.add_argument("--out", default=str(RESULTS), help="folder to write to")
    options = parser.parse_args()
    unknown = [section for section in options.sections if section not in SECTIONS]
    if unknown:
        parser.error(f"no section {unknown[0]}; choose from {', '.join(SECTIONS)}")
    chosen = [] if options.found else options.sections or list(SECTIONS)
    lab, out = Lab(options.lab), Path(options.out)
    folder = lab.path.with_name(f"{lab.path.name}-faces")
    if not (folder / "faces.csv").is_file():
        write_folder(folder)

    page = Page("Photographs with weak labels", "python benchmarks/faces_sfhq.py --lab LAB")
    page.say(
        "From a folder of pictures and a table with gaps to faces drawn to order: `face-conditions` learns from the "
        "labels that there are, `epochal predict` fills the others in, `cvae-faces` is trained on the filled folder. "
        "The pictures are synthetic photographs (SFHQ and SFHQ-T2I by David Beniaguev, MIT; none shows a real person), "
        "64x64, scaled to 120x120: there is no more detail in them than that.",
        "",
    )
    about_folder(page, folder)
    runs = conditions(page, lab, folder, train="conditions" in chosen)
    if runs:
        page_of_conditions(page, lab, runs, out)
        filled(page, lab, runs[0], folder)
    drawn = cvae(page, lab, folder, out, train="cvae" in chosen, epochs=options.epochs)
    records.keep([*runs, *drawn], out / "records")
    return page.write(out / "faces-sfhq.md")


# --- the folder
# --------------------------------------------------------------------------------------------------


def write_folder(folder: Path) -> None:
    """Writes pictures and table as a user would have them; the table last, so that a kill leaves no half folder."""
    place = os.environ.get("EPOCHAL_DATA")
    if not place:
        raise EpochalError("EPOCHAL_DATA is not set.", hint=f"It names the folder that holds {NPZ}.")
    keys = ("images", "detector", "tags", "sex", "hair_color", "expression")
    names = ("sex_names", "hair_color_names", "expression_names")
    found = npz.read(Path(place) / NPZ, (*keys, *names), hint="Get the file anew.")
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[list[str]] = []
    labelled = 0
    for index in np.flatnonzero(np.isin(found["detector"], (1, 2))):
        name = f"{index:04d}.png"
        picture = Image.fromarray(found["images"][index])
        picture.resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(folder / name)
        cells = labels(words_of(found, index))
        known = any(cells.values())
        labelled += known
        split = "test" if known and labelled % TEST_EVERY == 0 else "train"
        rows.append([name, *cells.values(), split])
    faces_table.write(folder / "faces.csv", ["path", "p_male", "hair", "mouth", "eyes", "split"], rows)


def words_of(found: dict[str, Any], index: int) -> set[str]:
    """The tags of a picture and its weak labels in the same form."""
    words = set(str(found["tags"][index]).split(";"))
    for group in ("sex", "hair_color", "expression"):
        label = int(found[group][index])
        # The weak labels are the tags, cleaned: theirs are the names that count.
        words = {word for word in words if not word.startswith(f"{group}:")}
        if label >= 0:
            words.add(f"{group}:{found[f'{group}_names'][label]}")
    return words


def labels(words: set[str]) -> dict[str, str]:
    """The cells of a row; empty where no rule holds, or two disagree."""
    cells = dict.fromkeys(("p_male", "hair", "mouth", "eyes"), "")
    for column in cells:
        values = {rule.value for rule in RULES if rule.column == column and rule.holds(words)}
        if len(values) == 1:
            cells[column] = f"{values.pop():g}"
    return cells


def about_folder(page: Page, folder: Path) -> None:
    """What the labels are taken from, and how many there are."""
    table = faces_table.read(folder)
    known = ~np.isnan(table.conditions) & ~table.predicted
    page.section("What is known")
    page.say(
        f"{len(table.rows):,} pictures: those of the 2,193 in which a frontal face was found. Their labels are the "
        "words of the text searches that found them: noisy, and most are missing. What a word is taken to say:",
        "",
    )
    shown = {"p_male": "p(male)", **NAMES}
    page.table(
        ["condition", "weak label → value", "training", "test"],
        [
            [
                name,
                ", ".join(f"{rule.label} → {rule.value:g}" for rule in RULES if rule.column == column),
                *(f"{int(known[table.test == test, place].sum()):,}" for test in (False, True)),
            ]
            for (column, name), place in zip(shown.items(), (0, 2, 3, 4), strict=True)
        ],
    )
    page.say(
        "",
        f"One in {TEST_EVERY} of the pictures with a label is for testing. Not used, because they do not say it: "
        "green, blue and pink hair and bald heads (darkness); smiling, angry, disgusted and fearful faces (the mouth). "
        "What is missing is left missing.",
    )


# --- face-conditions
# --------------------------------------------------------------------------------------------------


def finished(lab: Lab, recipe: str, seeds: Sequence[int], patch: dict[str, Any], *, train: bool) -> list[Run]:
    """The runs on this folder that are finished; where `train`, what is missing is trained or resumed first."""
    newest = recipes.find(recipe).versions[-1].name
    return trained(lab, recipe, newest, seeds, only_found=not train, name=NAME, patch=patch)


def conditions(page: Page, lab: Lab, folder: Path, *, train: bool) -> list[Run]:
    """Runs of face-conditions on the folder's labels; what is filled in is no label to them."""
    page.section("What the networks learn")
    patch = {"data.source": "faces-folder", "data.dir": str(folder.resolve())}
    runs = finished(lab, "face-conditions", SEEDS, patch, train=train)
    missing = [str(seed) for seed in SEEDS if seed not in {run.seed for run in runs}]
    if missing:
        page.say(f"Not trained yet: seed {', '.join(missing)}.", "")
        page.misses.append(f"face-conditions: seeds {', '.join(missing)} are missing")
    return runs


def page_of_conditions(page: Page, lab: Lab, runs: Sequence[Run], out: Path) -> None:
    """Errors beside the mean predictor's, and what each run says of itself."""
    page.say(*origin(runs), "")
    measured = [evaluated(run, lab) for run in runs]
    said = [run.reload().meta["measured_with"]["test"] for run in runs]

    def over_seeds(name: str) -> str:
        values = [numbers[name] for numbers in measured if name in numbers]
        return spread(values, "{:.3f}".format)

    rows = [["sex", f"{over_seeds('sex_accuracy')} right", "–", "–", "; ".join(one["sex"] for one in said)]]
    for what, name in NAMES.items():
        numbers = [over_seeds(f"{what}_{measure}") for measure in ("mse", "mae", "gain")]
        rows.append([name, *numbers, "; ".join(one[what] for one in said)])
    page.table(["condition", "MSE", "MAE", "gain over the mean", "in words, seed by seed"], rows)
    page.say(
        "",
        f"Trained for {', '.join(f'{seconds(run) / 60:.1f}' for run in runs)} minutes. The test labels are as weak as "
        "the training labels: a gain says that a network agrees with the text search, not that it is right.",
        "",
    )
    picture(page, runs[0], "faces", out, "Test faces in the order of what the first run reads")


def filled(page: Page, lab: Lab, run: Run, folder: Path) -> None:
    """Fills the table in place, and says what of it can be relied on."""
    page.section("The filled table")
    before = int(np.isnan(faces_table.read(folder).conditions).sum())
    if before:
        epochal.predict(run, folder, out=folder / "faces.csv", overwrite=True, lab=lab)
    table = faces_table.read(folder)
    words = evaluated(run, lab)
    rows = []
    for column, place in zip(("p_male", *NAMES), (0, 2, 3, 4), strict=True):
        what = "sex" if column == "p_male" else column
        values = table.conditions[table.predicted[:, place], place]
        gain = words.get(f"{what}_gain", math.nan)
        spread_of = f"{values.mean():.2f} ± {values.std():.2f}" if len(values) else "–"
        trust = "see above" if what == "sex" else f"{gain:.2f}"
        rows.append([column, f"{(~table.predicted[:, place]).sum():,}", f"{len(values):,}", spread_of, trust])
    page.table(["column", "labels kept", "filled in", "mean ± sd of what was filled in", "gain"], rows)
    page.say(
        "",
        f"`epochal predict RUN FOLDER --out FOLDER/faces.csv --overwrite`, seed {run.seed}; the column `predicted` "
        "names what was filled in. Where the gain is below 1.1, the mean would have filled the column as well: a "
        "column of little spread was filled with it, one of more spread with answers that are mostly wrong.",
    )


# --- cvae-faces
# --------------------------------------------------------------------------------------------------


def cvae(page: Page, lab: Lab, folder: Path, out: Path, *, train: bool, epochs: int | None) -> list[Run]:
    """The conditional VAE on the folder."""
    page.section("Faces drawn to order")
    if "cvae-faces" not in recipes.names():
        page.say("The recipe `cvae-faces` is not there yet.")
        return []
    patch: dict[str, Any] = {"data.source": "faces-folder", "data.dir": str(folder.resolve())}
    if epochs is not None:
        patch["epochs"] = epochs
    runs = finished(lab, "cvae-faces", [0], patch, train=train)
    if not runs:
        page.say("Not trained yet.")
        page.misses.append("cvae-faces: not trained")
        return []
    (run,) = runs
    items = run.meta["data"]["items"]
    page.say(
        f"`cvae-faces` {run.version}, {run.meta['epochs_done']} epochs on {items:,} pictures "
        f"({seconds(run) / 60:.0f} min). So few pictures, and so weak labels, are little to learn from: the grid shows "
        "what the decoder does with each condition, not how well a large collection would be drawn.",
        "",
    )
    numbers = evaluated(run, lab)
    said = run.reload().meta["measured_with"].get("test", {})
    rows, blind = [], []
    for axis, name in {"sex": "sex (p male)", **NAMES}.items():
        own = numbers.get(f"instrument_{axis}_r2", math.nan)
        values = (numbers[f"{axis}_r2"], numbers[f"{axis}_mae"], numbers[f"{axis}_moves_{axis}"])
        judges = own > 1 - 1 / LEAST_GAIN
        blind += [] if judges else [axis]
        rows.append([name, *(f"{value:.2f}" if judges else "–" for value in values), f"{own:.2f}"])
    crossing = "not judged" if blind else f"{numbers['cross_talk']:.2f}"
    page.table(["condition", "R²", "MAE", "moves by", "the readers' own R²"], rows)
    page.say(
        "",
        "R² and MAE of what the readers measure on 1,000 generated faces against what was asked for; *moves by*: the "
        "measured change where the condition alone goes from end to end, 1 being all of it. These readers are others "
        "than those above: generated faces are soft, so they learned the same few labels from pictures blurred by up "
        "to two pixels. Their own R² is that on the test pictures with a label that did not watch the training; where "
        "they do hardly better than the mean they cannot judge (–), and only the grid says what a condition does. "
        f"Cross-talk, the largest change of another condition: {crossing}.",
        "",
        f"- test pictures: MSE {numbers['mse']:.4f} (the mean face on training pictures: "
        f"{numbers['mean_face_mse']:.4f}), {numbers['psnr']:.1f} dB, KL {numbers['kl']:.0f} nats, "
        f"{numbers['active_units']:.0f} active units",
        *(f"- {name}: {text}" for name, text in said.items()),
        "",
    )
    picture(page, run, "conditions", out, "Faces by condition, at a fixed latent vector")
    picture(page, run, "reconstructions", out, "Test pictures and their reconstructions")
    return [run]


def picture(page: Page, run: Run, stem: str, out: Path, title: str) -> None:
    """Keeps a figure of a run beside the page."""
    drawn = run.figures_dir / f"{stem}.png"
    if drawn.is_file():
        out.mkdir(parents=True, exist_ok=True)
        kept = out / f"faces-sfhq-{stem}.png"
        shutil.copyfile(drawn, kept)
        page.say(f"![{title}]({kept.name})", "")


if __name__ == "__main__":
    sys.exit(main())
