"""Trains unet on nuclei and membranes and resnet50-unet on drawn cells; writes docs/results/segmentation.md.

    EPOCHAL_DATA=… python benchmarks/segmentation_results.py --lab LAB [--seeds 3] [--threads 2] [--only-found]

Runs that the lab has are not trained again; one that was killed is continued. Exits 1 when a number misses its target
or a run is missing.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np
import records
from results_page import RESULTS, Page, evaluated, origin, seconds, spread, trained

from epochal.evidence.metrics import segmentation as m
from epochal.journal import Lab, Run
from epochal.report import figures, study
from epochal.systems import data, recipes
from epochal.systems.data import Dataset
from epochal.systems.recipes import _segmentation as shared
from epochal.training import engine

IOU = 0.83
COMMAND = "python benchmarks/segmentation_results.py --lab LAB"
DRAWN = {
    "data.source": "stained-cells",
    "data.crop": 128,
    "data.positions": "any",
    "net.width": 32,
    "loss.kind": "both",
    "optim.lr": 0.003,
    "crops": 8,
    "epochs": 10,
}
"""VOC 2012 is not on the machine that wrote the page, and 22 classes at full width take hours on its two cores.

Half of ResNet-50's width is what 22 classes need at the last step, which has half of the stem's channels. Of the
drawn kinds most are absent from most pictures: crops make more steps of the same pixels, Dice weighs kinds alike.
"""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lab", required=True, help="lab that holds the runs")
    parser.add_argument("--seeds", type=int, default=3, help="runs of unet on each data set, seeds 0, 1, …")
    parser.add_argument("--threads", type=int, help="CPU threads of a run (default: measured)")
    parser.add_argument("--only-found", action="store_true", help="train nothing; say what is missing")
    parser.add_argument("--out", default=str(RESULTS), help="folder to write to")
    options = parser.parse_args()
    lab, out = Lab(options.lab), Path(options.out)
    how: dict[str, Any] = {"only_found": options.only_found, "threads": options.threads}
    seeds = range(options.seeds)
    nuclei = trained(lab, "unet", "nuclei", seeds, patch={"data.source": "nuclei"}, **how)
    membranes = trained(lab, "unet", "membranes", seeds, patch={"data.source": "membranes"}, **how)
    drawn = trained(lab, "resnet50-unet", "log", [0], patch=DRAWN, **how)

    page = Page("Segmentation", COMMAND)
    for part, runs, name in (
        (on_nuclei, nuclei, "nuclei"),
        (on_membranes, membranes, "membranes"),
        (on_drawn_cells, drawn, "stained-cells"),
    ):
        if not runs:
            page.misses.append(f"no finished run on {name}")
            continue
        part(page, lab, runs)
        draw(runs[0], out / f"segmentation-{name}.png")
        page.say(
            "", f"![{name}: picture, truth, answer and errors of test pictures](segmentation-{name}.png)"
        )
    if len(nuclei) < options.seeds or len(membranes) < options.seeds:
        page.misses.append(
            f"fewer than {options.seeds} seeds: {len(nuclei)} nuclei, {len(membranes)} membranes"
        )
    records.keep([*nuclei, *membranes, *drawn], out / "records")
    return page.write(out / "segmentation.md")


def draw(run: Run, path: Path) -> None:
    """Draws the run's overlays, as its own folder has them; of a bare record without weights the picture stays."""
    if path.exists() and not list(run.checkpoints_dir.glob("*.safetensors")):
        return
    recipe = recipes.find(run.recipe)
    found = engine.load(recipe, run, device="cpu")
    assert recipe.figures is not None
    figures.draw(recipe.figures(found)["overlays"], path, subtitle=study.run_title(run))


def on_nuclei(page: Page, lab: Lab, runs: Sequence[Run]) -> None:
    """Foreground IoU, beside what a threshold reaches."""
    page.section("unet on nuclei: 96x96 crops, split by image")
    measured = [evaluated(run, lab) for run in runs]
    page.say(*about(runs, measured))
    settings = runs[0].settings
    page.say(
        f"- one crop in five under stray light of up to {settings['data']['haze']}, the square root of brightness "
        "read, answers averaged over eight positions (Ronneberger et al. 2015 averaged seven rotations): all chosen "
        "on training pictures alone",
        "- test images are whole; neighbouring fields of one plate may lie on both sides of a split by image",
        "",
    )
    page.table(
        ["seed", "IoU, pixels pooled", "95 % interval", "IoU, mean over images", "95 % interval", *TAIL],
        [
            [
                str(run.seed),
                f"{v['iou']:.4f}",
                interval(v, "iou"),
                f"{v['iou_image']:.4f}",
                interval(v, "iou_image"),
                f"{v['dice']:.4f}",
                f"{v['pixel_accuracy']:.4f}",
                *tail(run),
            ]
            for run, v in zip(runs, measured, strict=True)
        ],
    )
    found = data.load("nuclei")
    tally = m.Tally(2)
    for image, mask in zip(*columns(found, "test"), strict=True):
        tally.add(mask, image > otsu(image))
    plain = tally.overlap()
    page.say("", f"Over seeds, pixels pooled: {spread([v['iou'] for v in measured])}.", "")
    for key, what in (("iou", "pixels pooled"), ("iou_image", "mean over images")):
        reached = mean(v[key] for v in measured)
        met = page.target(f"nuclei: IoU, {what}: {reached:.4f} < {IOU}", reached >= IOU)
        page.say(f"- foreground IoU >= {IOU}, {what}: {spread([v[key] for v in measured])}: {met}")
    page.say(f"- for comparison, a threshold an image (Otsu 1979), pixels pooled: {plain.iou[1]:.4f}")
    outlines(page, runs[0], found)
    widths(page, found)


DENSE = 0.15
"""Share of nucleus from which on a picture is called dense here: packed, blurred nuclei."""


def outlines(page: Page, run: Run, found: Dataset) -> None:
    """Where the pooled IoU is lost: in dense pictures, outlined wider in some and tighter in others."""
    trained = engine.load(recipes.find("unet"), run, device="cpu")
    truths, chances = [], []
    for logits, truth in shared.whole(shared.answering(trained, "unet"), found.splits["test"], "cpu"):
        truths.append(truth.numpy() == 1)
        chances.append(logits.softmax(1)[:, 1].numpy())
    truth, chance = np.concatenate(truths), np.concatenate(chances)
    levels = np.linspace(0.1, 0.9, 17)
    both = np.array([(truth & (chance > t)).sum((1, 2)) for t in levels])  # (levels, images)
    either = np.array([(truth | (chance > t)).sum((1, 2)) for t in levels])
    half, own, each = len(levels) // 2, (both / either).argmax(0), np.arange(len(truth))
    dense = truth.mean((1, 2)) > DENSE

    def pooled(level: Any, chosen: Any) -> float:
        return float(both[level, each][chosen].sum() / either[level, each][chosen].sum())

    ends = np.quantile(levels[own[dense]], [0, 1])
    page.say(
        f"- where pooled IoU is lost (seed {run.seed}): {dense.sum()} dense pictures (over {DENSE:.0%} nucleus) hold "
        f"{truth[dense].sum() / truth.sum():.0%} of the nucleus pixels and reach {pooled(half, dense):.4f}, the other "
        f"{(~dense).sum()} {pooled(half, ~dense):.4f}. The dense ones are outlined wider in some pictures and "
        f"tighter in others: the probability that fits each picture best runs from {ends[0]:.2f} to {ends[1]:.2f}, and "
        f"chosen by the truth itself, which no method may, it would give {pooled(own, each >= 0):.4f} over all"
    )


def widths(page: Page, found: Dataset) -> None:
    """How far the outlines themselves disagree: measured on the training pictures, with no network at all."""
    images, masks = columns(found, "train")
    plain = np.array([(image > otsu(image)).sum() for image in images])
    drawn, dense = masks.sum((1, 2)), masks.mean((1, 2)) > DENSE
    wider = drawn / plain
    low, middle, high = np.quantile(wider[dense], [0.1, 0.5, 0.9])
    page.say(
        f"- what the outlines allow: in the {dense.sum()} dense of {len(masks)} training pictures the nuclei were "
        f"outlined with {low:.2f} to {high:.2f} times the area above the picture's own threshold (Otsu; 10th to 90th "
        f"percentile, median {middle:.2f}), though they look alike. An answer whose outlines were wrong in nothing but "
        "their width, the same multiple of that area in all pictures, would reach "
        f"{widened_alike(plain[dense], drawn[dense]):.3f} pooled in them and "
        f"{widened_alike(plain[~dense], drawn[~dense]):.3f} in the others",
        f"- that width cannot be told from the picture: from {', '.join(FEATURES)}, "
        "nearest neighbours and a random forest predict its logarithm in the dense training pictures with an R² of "
        f"{' and '.join(f'{r:.2f}' for r in told(images[dense], np.log(wider[dense])))} (10-fold; 0: no better than "
        "their mean)",
    )


def widened_alike(plain: Any, drawn: Any) -> float:
    """Pooled IoU where one outline lies within the other in each picture: the best that one multiple of `plain` does.

    Args:
        plain: area above each picture's own threshold (n,).
        drawn: area of its truth (n,).
    """
    answers = np.linspace(0.5, 3, 251)[:, None] * plain  # (multiples, n)
    return float((np.minimum(answers, drawn).sum(1) / np.maximum(answers, drawn).sum(1)).max())


FEATURES = (
    "six quantiles of grey",
    "noise of the background",
    "steepest edges",
    "Otsu's threshold",
    "its area",
)
"""What `told` sees of a picture."""


def told(images: Any, target: Any) -> list[float]:
    """Cross-validated R² with which a picture's own features predict the target: nearest neighbours, forest."""
    from scipy.ndimage import gaussian_filter, gaussian_gradient_magnitude
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.model_selection import KFold, cross_val_predict
    from sklearn.neighbors import KNeighborsRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    features = []
    for image in images:
        x = image.astype(float)
        level = otsu(image)
        fine = (x - gaussian_filter(x, 1))[x < np.quantile(x, 0.3)]
        steep = np.quantile(gaussian_gradient_magnitude(x, 1), 0.99) / np.quantile(x, 0.99)
        grey = np.quantile(x, [0.02, 0.3, 0.6, 0.9, 0.995, 1])
        features.append([*grey, fine.std() if fine.size else 0, steep, level, (image > level).mean()])
    models = (
        make_pipeline(StandardScaler(), KNeighborsRegressor(5)),
        RandomForestRegressor(200, min_samples_leaf=3, random_state=0),
    )
    parts = KFold(10, shuffle=True, random_state=0)
    answers = [cross_val_predict(model, features, target, cv=parts) for model in models]
    return [float(1 - ((a - target) ** 2).sum() / ((target - target.mean()) ** 2).sum()) for a in answers]


def on_membranes(page: Page, lab: Lab, runs: Sequence[Run]) -> None:
    """Pixel error and Rand score, beside what a threshold and an empty answer reach."""
    page.section("unet on membranes: 128x128 crops, split in blocks of slices")
    measured = [evaluated(run, lab) for run in runs]
    page.say(*about(runs, measured))
    page.say(
        "- Rand score: foreground-restricted V_rand of Arganda-Carreras et al. (2015), mean over slices; regions are "
        "connected along edges; thinned: border pixels join their nearest region; unthinned: each is its own region",
        "- t: the probability from which on a pixel counts as membrane, chosen on the held-out training slices; "
        "pixel error, IoU and the last two scores are those of one half",
        "",
    )
    page.table(
        [
            *(
                "seed",
                "pixel error",
                "membrane IoU",
                "V_rand, thinned",
                "95 % interval",
                "split",
                "merge",
                "t",
            ),
            *("V_rand at 0.5", "unthinned", *TAIL[2:]),
        ],
        [
            [
                str(run.seed),
                f"{v['pixel_error']:.4f}",
                f"{v['iou_membrane']:.4f}",
                f"{v['rand']:.4f}",
                interval(v, "rand"),
                f"{v['rand_split']:.4f}",
                f"{v['rand_merge']:.4f}",
                f"{v['rand_threshold']:g}",
                f"{v['rand_half']:.4f}",
                f"{v['rand_unthinned']:.4f}",
                *tail(run),
            ]
            for run, v in zip(runs, measured, strict=True)
        ],
    )
    found = data.load("membranes")
    images, masks = columns(found, "test")
    empty = float(masks.mean())
    wrong = float(np.mean([(image < otsu(image)) != mask for image, mask in zip(images, masks, strict=True)]))
    page.say(
        "",
        f"- pixel error over seeds: {spread([v['pixel_error'] for v in measured])}; answering interior everywhere: "
        f"{empty:.4f}; a threshold a slice (Otsu 1979): {wrong:.4f}",
        f"- V_rand, thinned, over seeds: {spread([v['rand'] for v in measured])}; everything one region: "
        f"{rand_of(masks, np.zeros_like):.4f}",
        "- six slices are few, and neighbours: the interval over slices is too narrow",
        "- published for the challenge's own test slices, with all 30 slices to train on and seven rotations "
        "averaged: pixel error 0.0611 (Ronneberger et al. 2015). Other slices: only the size compares.",
    )


def on_drawn_cells(page: Page, lab: Lab, runs: Sequence[Run]) -> None:
    """22 classes: that they are learnt; VOC 2012 itself was not at hand."""
    page.section("resnet50-unet, 22 classes, on drawn cells")
    measured = [evaluated(run, lab) for run in runs]
    page.say(*about(runs, measured))
    settings = ", ".join(f"{key} {value}" for key, value in DRAWN.items())
    page.say(
        f"- version `log` with {settings}: VOC 2012 is not on this machine, so these are drawn stained cells of 20 "
        "kinds in VOC's form (background, 20 kinds, void rim), which say nothing about photographs; weights begin "
        "at random",
        "- the rim is learnt as the 22nd class, as logged; measured are the other 21, on pixels that are no rim",
        "",
    )
    page.table(
        ["seed", "mean IoU", "95 % interval", "background IoU", "worst kind", "pixel accuracy", *TAIL[2:]],
        [
            [
                str(run.seed),
                f"{v['mean_iou']:.4f}",
                interval(v, "iou"),
                f"{v['iou_background']:.4f}",
                worst(v),
                f"{v['pixel_accuracy']:.4f}",
                *tail(run),
            ]
            for run, v in zip(runs, measured, strict=True)
        ],
    )

    page.say("", taken_for(runs[0], measured[0]))


def taken_for(run: Run, values: dict[str, float]) -> str:
    """What the kind with the lowest IoU is mostly answered as."""
    trained = engine.load(recipes.find(run.recipe), run, device="cpu")
    found = shared.read(trained.settings)
    tally = m.Tally(len(found.classes))
    for truth, answer in zip(*shared.answered(trained, "unet", found, found.splits["test"]), strict=True):
        tally.add(truth, answer)
    kind = worst(values).rsplit(" ", 1)[0]
    answers = tally.overlap().counts[found.classes.index(kind)]
    first, second = np.argsort(-answers)[:2]
    return (
        f"- seed {run.seed}: of the pixels of {kind}, the worst kind, {answers[first] / answers.sum():.0%} are "
        f"answered {found.classes[first]} and {answers[second] / answers.sum():.0%} {found.classes[second]}"
    )


TAIL = ["Dice", "pixel accuracy", "best epoch", "epochs", "s"]


def tail(run: Run) -> list[str]:
    """Best epoch by validation IoU, epochs, seconds."""
    scores = dict(run.epoch_values("validation")["iou"])
    return [
        str(max(scores, key=lambda epoch: scores[epoch])),
        str(run.meta["epochs_done"]),
        f"{seconds(run):.0f}",
    ]


def about(runs: Sequence[Run], measured: Sequence[dict[str, float]]) -> list[str]:
    """What was run where."""
    settings = runs[0].settings
    return [
        *origin(runs),
        f"- {network(settings['net'])}; {settings['crops']} crops of every picture an epoch, batches of "
        f"{settings['batch_size']}, loss: {settings['loss']['kind']}",
        f"- {settings['data']['hold_out']} held-out training pictures choose the best epoch; "
        f"{measured[0]['images']:.0f} test pictures, whole, are read at the end; intervals: bootstrap over them",
        f"- seconds: wall clock, validation included, median {median(seconds(run) for run in runs):.0f}; other "
        "programs on the machine lengthen them",
    ]


def network(net: Mapping[str, Any]) -> str:
    """A network's settings in words."""
    words = {
        "base": "{} channels at full size",
        "root": "reads the square root of brightness",
        "stages": "{} stages of ResNet-50",
        "width": "{} channels in its stem",
    }
    # A switch that is off says nothing.
    return "network: " + ", ".join(words[key].format(net[key]) for key in net if net[key] is not False)


def interval(values: dict[str, float], name: str) -> str:
    """Its 95 % interval over images."""
    return f"{values[f'{name}_low']:.3f} to {values[f'{name}_high']:.3f}"


def worst(values: dict[str, float]) -> str:
    """The kind with the lowest IoU."""
    kinds = {
        name.removeprefix("iou_"): value
        for name, value in values.items()
        if name.startswith("iou_") and " " in name
    }
    name = min(kinds, key=lambda kind: kinds[kind])
    return f"{name} {kinds[name]:.3f}"


def columns(found: Dataset, split: str) -> tuple[Any, Any]:
    """Images and masks (n, H, W)."""
    return found.splits[split]["images"], found.splits[split]["masks"]


def rand_of(masks: Any, answer: Callable[[Any], Any]) -> float:
    """Mean thinned Rand score of an answer that is made from the truth."""
    return mean(
        m.rand_score(m.segments(mask == 0) * (mask == 0), m.segments(answer(mask) == 0)).score
        for mask in masks
    )


def otsu(image: Any) -> int:
    """The grey value that splits a picture into two groups of largest variance between them (Otsu 1979)."""
    counts = np.bincount(image.ravel(), minlength=256).astype(float)
    below, total = np.cumsum(counts), counts.sum()
    moment = np.cumsum(counts * np.arange(256))
    with np.errstate(divide="ignore", invalid="ignore"):
        between = (moment[-1] * below / total - moment) ** 2 / (below * (total - below))
    return int(np.nanargmax(between))


if __name__ == "__main__":
    sys.exit(main())
