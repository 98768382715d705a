"""Writes docs/results/dcgan-cifar10.md: the log's seven experiments and `recommended`, 5 epochs each on CIFAR-10.

    EPOCHAL_DATA=… python benchmarks/dcgan_results.py exp-1 --lab LAB             # likewise exp-2 … exp-7, recommended
    EPOCHAL_DATA=… python benchmarks/dcgan_results.py paired --lab LAB            # exp-1 and recommended, seeds 0 to 5
    EPOCHAL_DATA=… python benchmarks/dcgan_results.py paired --seeds 3 4 5 --lab LAB        # some of these seeds
    EPOCHAL_DATA=… python benchmarks/dcgan_results.py tries --lab LAB             # what `recommended` was chosen from
    EPOCHAL_DATA=… python benchmarks/dcgan_results.py page --lab LAB              # writes from what is there

Each trains and evaluates what the lab lacks; killed, it goes on where it stopped. `page` says what is missing and
exits 1 where a target is missed.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Mapping, Sequence
from math import sqrt
from pathlib import Path
from statistics import mean, stdev

import records
from results_page import RESULTS, Page, evaluated, origin, spread, trained

from epochal.journal import Lab, Run
from epochal.report import figures
from epochal.systems import recipes
from epochal.systems.losses.gan import sigmoid_bounds

NAME = "dcgan-cifar10"
RECIPE = recipes.find(NAME)
VERSIONS = tuple(version.name for version in RECIPE.versions)
EPOCHS = 5
PAIR = ("exp-1", "recommended")
SEEDS = tuple(range(6))


def _try(
    batch: int, dropout: float, *, spectral_norm: bool = False, rate: float | None = None
) -> dict[str, object]:
    """All in which the tries differ."""
    return {
        "batch_size": batch,
        "net.dropout": dropout,
        "net.spectral_norm": spectral_norm,
        "optim.discriminator_lr": rate,
        "loss.threshold": 0.0,  # above which their logs count an image as real: no training depends on it
    }


TRIES: dict[str, tuple[str, dict[str, object], tuple[int, ...]]] = {
    "b64-nosn": ("batches of 64", _try(64, 0.3), (100, 101, 102)),
    "b64-d0-ttur": (
        "and no dropout, discriminator's rate 4e-4 (two time scales)",
        _try(64, 0.0, rate=4e-4),
        (100, 101, 102),
    ),
    "b64-d0-sn-ttur": ("and spectral norm", _try(64, 0.0, spectral_norm=True, rate=4e-4), (100,)),
    "b64-sn-ttur": (
        "spectral norm, two time scales, dropout 0.3",
        _try(64, 0.3, spectral_norm=True, rate=4e-4),
        (100,),
    ),
    "b128-nosn": ("batches of 128, dropout 0.3", _try(128, 0.3), (100,)),
}
"""Names of the runs that `recommended` was chosen from: in words, as changes of it, and their seeds, none of which is
compared elsewhere."""
SOURCES = (
    "FD: Fréchet distance (Heusel et al. 2017) of the extractor's features; KID: Bińkowski et al. 2018; precision and "
    "recall: Kynkäänniemi et al. 2019; density and coverage: Naeem et al. 2020; SWD: sliced Wasserstein distance of "
    "pyramid patches, times 1,000 (Karras et al. 2018). How each responds to damaged real images: "
    "[image-quality](image-quality.md).\n\n"
    "FD is no FID: its features are those of the small extractor named above, and published FIDs (on CIFAR-10 34 to 49 "
    "of a DCGAN, 23.6 of SN-DCGAN, 3.2 of real images beside real ones) are on another scale. `epochal evaluate` "
    "measures FID as well where the variable EPOCHAL_INCEPTION names a file of Inception's weights."
)
QUALITY = ("fd", "kid", "precision", "recall", "density", "coverage", "swd")
ROUNDING = 1e-5
"""By which float32 may take a logged mean past a bound that exact arithmetic keeps."""
Runs = Mapping[str, Sequence[Run]]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "what", choices=[*VERSIONS, "paired", "tries", "page"], help="what to train, or the page"
    )
    parser.add_argument("--lab", required=True, help="lab that holds the runs")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS, help="of `paired`")
    parser.add_argument("--out", default=str(RESULTS / f"{NAME}.md"), help="file to write")
    parser.add_argument("--limit", type=int, help="train on so many images only, to try this program")
    options = parser.parse_args()
    lab = Lab(options.lab)
    if options.what == "page":
        return page(lab, Path(options.out))
    if options.what == "tries":
        for name in TRIES:
            for run in tried(lab, name):
                evaluated(run, lab)
        return 0
    wanted = PAIR if options.what == "paired" else (options.what,)
    patch = {"epochs": EPOCHS, "data.source": "cifar10", "data.limit": options.limit}
    for seed in options.seeds if options.what == "paired" else SEEDS[:1]:
        for version in wanted:  # pair by pair: a page of fewer pairs is a page
            for run in trained(lab, NAME, version, [seed], patch=patch):
                evaluated(run, lab)
    return 0


def tried(lab: Lab, name: str, *, only_found: bool = False) -> list[Run]:
    """The finished runs of a try, each trained or resumed where it is not yet."""
    _, changes, seeds = TRIES[name]
    patch = {"epochs": EPOCHS, "data.source": "cifar10", **changes}
    return trained(lab, NAME, PAIR[1], seeds, only_found=only_found, name=name, patch=patch)


def page(lab: Lab, out: Path) -> int:
    """Writes the page from the runs that are there."""
    found = {
        version: trained(lab, NAME, version, SEEDS if version in PAIR else SEEDS[:1], only_found=True)
        for version in VERSIONS
    }
    runs = {version: group for version, group in found.items() if group}
    text = Page(
        f"{NAME}: seven experiments, and what they lacked",
        "python benchmarks/dcgan_results.py page --lab LAB",
    )
    if not runs:
        return text.nothing(out, lab)
    introduce(text, runs, lab)
    quality(text, runs, lab)
    curves(text, runs, lab)
    paired(text, runs, lab)
    tries = {name: tried(lab, name, only_found=True) for name in TRIES}
    chosen(text, tries, runs.get(PAIR[1], ()), lab)
    pictures(text, runs, out)
    every = [
        *(run for group in runs.values() for run in group),
        *(run for group in tries.values() for run in group),
    ]
    records.keep(every, out.parent / "records")
    return text.write(out)


def introduce(page: Page, runs: Runs, lab: Lab) -> None:
    """What was trained, on what it was measured, and what is missing."""
    every = [run for group in runs.values() for run in group]
    lengths = {version: recipes.settings_of(RECIPE, version).epochs for version in VERSIONS}
    done = sorted({run.meta["epochs_done"] for run in every})
    items = sorted({int(run.meta["data"]["items"]) for run in every})
    page.say(
        f"Every version was trained for {' or '.join(map(str, done))} epochs on {' or '.join(f'{n:,}' for n in items)} "
        "images, which is the beginning of what the log trained ("
        + ", ".join(f"{version} {epochs}" for version, epochs in lengths.items())
        + " epochs): the numbers below compare versions, and say nothing of where each would end.",
        "",
        *origin(every),
        "- CIFAR-10 here: all 50,000 training images and the first 1,000 test images; samples are therefore compared "
        "with training images, which the networks saw, and `unseen` are those 1,000",
    )
    texts: dict[str, dict[str, dict[str, None]]] = {}  # which of a version's runs does not matter
    for run in every:
        evaluated(run, lab)
        for name, text in run.reload().meta["measured_with"].get("test", {}).items():
            texts.setdefault(name, {}).setdefault(text, {})[str(run.version)] = None
    for name, found in texts.items():
        told = (f"{text} ({', '.join(of)})" if len(found) > 1 else text for text, of in found.items())
        page.say(f"- {name.replace('_', ' ')}: {'; '.join(told)}")
    page.target("one extractor for all runs", len(texts.get("extractor", ())) == 1)
    missing = [version for version in VERSIONS if version not in runs]
    if missing:
        page.say("", f"Not trained yet: {', '.join(missing)}.")
    for version in VERSIONS:
        page.target(f"{version}: trained", version not in missing)


def quality(page: Page, runs: Runs, lab: Lab) -> None:
    """The samples of each version beside real images, first seed."""
    page.section("Samples beside real images")
    first = {version: evaluated(group[0], lab) for version, group in runs.items()}
    rows = []
    for version, test in first.items():
        rows.append(
            (
                version,
                next(one.change for one in RECIPE.versions if one.name == version),
                f"{test['fd']:.2f}",
                f"{test['kid']:.4f} ± {test['kid_se']:.4f}",
                *(f"{test[name]:.3f}" for name in ("precision", "recall", "density", "coverage")),
                f"{test['swd']:.1f}",
                f"{test['diversity']:.2f}",
                f"{test['nearest']:.2f}",
            )
        )
    head = (
        *(
            "version",
            "change from its parent",
            "FD",
            "KID ± standard error",
            "precision",
            "recall",
            "density",
        ),
        *("coverage", "SWD", "diversity", "nearest"),
    )
    page.table(head, rows)
    floors = sorted({f"FD {test['fd_floor']:.4f}, KID {test['kid_floor']:.1e}" for test in first.values()})
    page.target("one floor for all runs", len(floors) == 1)
    page.say(
        "",
        SOURCES,
        "",
        "Seed 0; the standard error is over draws of both sets of images (closed form), and says nothing of other "
        f"seeds. Real images beside other real ones (the floor): {'; '.join(floors)}. Diversity: mean pixel distance "
        "of two samples as a share of that of two real images. Nearest: median feature distance of samples from their "
        "nearest training image as a share of that of unseen images; near 0 tells copies.",
    )


def curves(page: Page, runs: Runs, lab: Lab) -> None:
    """Losses and accuracies of the last epoch, at both thresholds, and the sigmoid's fingerprint."""
    page.section("What the log would have shown, and at the right threshold")
    rows = []
    for version, group in runs.items():
        final, test = group[0].meta["final"], evaluated(group[0], lab)

        def pair(suffix: str, final: Mapping[str, float] = final) -> str:
            names = [f"discriminator/{kind}_accuracy{suffix}" for kind in ("real", "fake")]
            return " / ".join(f"{final[name]:.3f}" for name in names) if names[0] in final else "the same"

        rows.append(
            (
                version,
                f"{final['generator/loss']:.3f}",
                f"{final['discriminator/loss']:.3f}",
                pair("_as_logged"),
                pair(""),
                f"{test['real_accuracy']:.3f} / {test['fake_accuracy']:.3f}",
            )
        )
    page.table(
        (
            *("version", "generator loss", "discriminator loss", "accuracy as logged, real / fake"),
            *("accuracy at even odds, real / fake", "the same on unseen images"),
        ),
        rows,
    )
    page.say(
        "",
        "Losses and accuracies are means over the last epoch in train mode, in nats and shares of images; those on "
        "unseen images are of the last weights, both networks in eval mode (no dropout; batch norms with their running "
        "means), on fresh pictures. The log of exp-1 and exp-2 measured at 0.5 on a logit, whose even-odds point is 0 "
        "(with real targets t below 1, log(t / (2 - t)): -0.20 for `recommended`).",
        "",
        "From exp-3 on no threshold is right. The losses take σ(D) for a logit: their even odds are σ(D) = 0, where "
        "its outputs end, and the log's 0.5, which stands in both columns, is odds of 62 to 38. Accuracies of 0 and 1 "
        "beside losses of 0.693 and 1.386 are therefore no bias to one side: σ(D) is 0 for every image, and the "
        "discriminator says even odds of all. The other way round (1 and 0, losses 0.313 and 1.627) σ(D) is 1 for "
        "all.",
        "",
        "The log says that the discriminator of exp-3 was right about nine times in ten on both. Where the losses see "
        "σ(D), as its code reads and as is trained here, that is not what follows. Keras from 2.4 on looks past a "
        "sigmoid to the logits it was given, whatever `from_logits` says (keras-team/keras, issue 15271): trained so, "
        "exp-3 would have had no fault but a warning. Which Keras the log ran on is not known.",
        "",
    )
    for version, group in runs.items():
        fingerprint(page, version, group)


def fingerprint(page: Page, version: str, group: Sequence[Run]) -> None:
    """Whether the losses of a version with a sigmoid stay where it holds them, in every line of the log."""
    settings = recipes.settings_of(RECIPE, version)
    if not settings.net.sigmoid:
        return
    least, (low, high) = sigmoid_bounds(settings.loss.real_target)
    lines = [line["values"] for run in group for line in run.metrics() if line["scope"] == "step"]
    one, other = ([line[f"{net}/loss"] for line in lines] for net in ("discriminator", "generator"))
    met = page.target(
        f"{version}: losses within the sigmoid's bounds",
        min(one) >= least - ROUNDING and low - ROUNDING <= min(other) and max(other) <= high + ROUNDING,
    )
    page.say(
        f"- {version}: discriminator loss at least {min(one):.3f} (cannot be below {least:.3f}), generator loss from "
        f"{min(other):.3f} to {max(other):.3f} (cannot leave {low:.3f} to {high:.3f}); within: {met}."
    )


def paired(page: Page, runs: Runs, lab: Lab) -> None:
    """recommended minus exp-1, seed by seed, with a plain paired t interval."""
    page.section(f"{PAIR[1]} against {PAIR[0]}, seed by seed")
    by_seed = [{run.seed: run for run in runs.get(version, ())} for version in PAIR]
    seeds = sorted(by_seed[0].keys() & by_seed[1].keys())
    page.target(f"{len(SEEDS)} pairs", len(seeds) == len(SEEDS))
    if len(seeds) < 2:
        page.say("Fewer than two pairs are trained yet.")
        return
    tests = [[evaluated(runs_of[seed], lab) for seed in seeds] for runs_of in by_seed]
    rows = []
    for name in QUALITY:
        differences = [b[name] - a[name] for a, b in zip(*tests, strict=True)]
        low, high = interval(differences)
        rows.append(
            (
                name,
                *(spread([test[name] for test in side], "{:.4g}".format) for side in tests),
                f"{mean(differences):+.4g}",
                f"{low:+.4g} to {high:+.4g}",
            )
        )
        if name == "fd":
            page.target(f"{PAIR[1]} has a lower FD than {PAIR[0]} (95 % interval below 0)", high < 0)
    page.table(("metric", *PAIR, "mean difference", "95 % interval"), rows)
    each = ", ".join(
        f"seed {seed}: {a['fd']:.2f} → {b['fd']:.2f}" for seed, a, b in zip(seeds, *tests, strict=True)
    )
    page.say(
        "",
        f"{len(seeds)} pairs of as many epochs; batches of 64 are four times as many steps as exp-1's of 256. The "
        "interval is the plain paired t interval of the differences, which takes them for normally distributed, and "
        f"each metric stands for itself (no correction for several). FD by seed: {each}.",
    )


def chosen(page: Page, tries: Runs, compared: Sequence[Run], lab: Lab) -> None:
    """What else `recommended` could have been, and what became of the choice on seeds that chose nothing."""
    page.section("How `recommended` was chosen")
    page.say(
        "Settings tried on seeds that are none of those above, all with β1 0.5, learning rate 2e-4, weights N(0, "
        "0.02²), real targets of 0.9 and an averaged generator (0.999), which drew the samples. Smaller batches take "
        "more steps in the same number of epochs, at about the same cost an epoch. Chosen: the least FD and KID. That "
        "is not the best precision or coverage, and most rows are of one seed: the choice is no comparison, the pairs "
        "above are.",
        "",
    )
    rows = []
    for name, (words, _, _) in TRIES.items():
        tests = [evaluated(run, lab) for run in tries[name]]
        metrics = {
            "fd": "{:.2f}",
            "kid": "{:.3f}",
            "precision": "{:.3f}",
            "coverage": "{:.3f}",
            "diversity": "{:.3f}",
        }
        seeds = ", ".join(str(run.seed) for run in tries[name]) or "–"
        rows.append(
            (
                words,
                seeds,
                *(spread([test[m] for test in tests], write.format) for m, write in metrics.items()),
            )
        )
    page.table(("tried", "seeds", "FD", "KID", "precision", "coverage", "diversity"), rows)
    lacking = {
        words: sorted(set(seeds) - {run.seed for run in tries[name]})
        for name, (words, _, seeds) in TRIES.items()
    }
    told = [f"{words}: seed {', '.join(map(str, seeds))}" for words, seeds in lacking.items() if seeds]
    page.say("", *([f"Planned, not trained yet: {'; '.join(told)}.", ""] if told else []))
    if compared:
        fds = spread([evaluated(run, lab)["fd"] for run in compared], "{:.2f}".format)
        page.say(
            f"The chosen settings on the seeds of the pairs, which chose nothing: FD {fds}. Seeds by which a choice "
            "was made flatter it.",
            "",
        )


def interval(differences: Sequence[float], level: float = 0.95) -> tuple[float, float]:
    """Paired t interval of the mean: mean ± t·s / √n with n - 1 degrees of freedom."""
    from scipy.stats import t

    n = len(differences)
    half = float(t.ppf(0.5 + level / 2, n - 1)) * stdev(differences) / sqrt(n)
    return mean(differences) - half, mean(differences) + half


def pictures(page: Page, runs: Runs, out: Path) -> None:
    """Samples of every version; history and course of training of some, kept beside the page."""
    page.section("Pictures")
    what = {"samples": "samples", "loss": "history", "timeline": "the same noise after each epoch"}
    for version, group in runs.items():
        page.say(f"### {version}", "")
        # Drawn anew: runs of several days would have figures of several kinds.
        drawn = figures.loss_figure(RECIPE, group[0])
        if drawn is not None:
            figures.save(drawn, group[0].figures_dir / "loss.png")
        for stem, words in what.items():
            picture = group[0].figures_dir / f"{stem}.png"
            if not picture.is_file():
                page.misses.append(f"{version}: figures/{stem}.png is missing")
                continue
            kept = out.parent / f"{out.stem}-{version}-{stem}.png"
            shutil.copyfile(picture, kept)
            page.say(f"![{version}, {words}]({kept.name})", "")
    for version in PAIR:
        moving = next((run.figures_dir / "animation.png" for run in runs.get(version, ())), None)
        if moving is not None and moving.is_file():
            kept = out.parent / f"{out.stem}-{version}-animation.png"
            shutil.copyfile(moving, kept)
            page.say(f"![{version}, animated]({kept.name})", "")


if __name__ == "__main__":
    sys.exit(main())
