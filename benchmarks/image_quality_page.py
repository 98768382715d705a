"""Do the measures of image quality respond as they should? Real images, damaged in known ways, beside real ones.

    python benchmarks/image_quality_page.py [--found] [--n 5000] [--out FOLDER]

Writes docs/results/image-quality.md and its pictures; minutes once the two extractors are trained. Fails when a measure
does not respond as it should.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from results_page import RESULTS, Page, origin, seconds
from scipy.ndimage import gaussian_filter

from epochal.api import _networks
from epochal.errors import EpochalError
from epochal.evidence.metrics import patches
from epochal.evidence.metrics.extractor import Extractor
from epochal.evidence.metrics.frechet import Gaussian, frechet_distance
from epochal.evidence.metrics.image_quality import Profile, Quality, profile, quality
from epochal.evidence.metrics.kernel_distance import kernel_distance
from epochal.evidence.metrics.manifolds import manifolds
from epochal.evidence.metrics.neighbours import nearest
from epochal.evidence.metrics.sliced_wasserstein import sliced_wasserstein
from epochal.folders import cache_folder
from epochal.journal import Lab, Run
from epochal.report import figures
from epochal.settings.common import DataSettings
from epochal.systems import data
from epochal.systems.recipes import _image_quality as shared
from epochal.training.task import Curves, Trained

SETS = {"mnist": ("MNIST", 0.99), "cifar10": ("CIFAR-10", 0.75)}
"""Name, and the least test accuracy of the extractor."""
SIZES = (250, 500, 1000, 2000)
HEAD = ("images", "FD", "KID ± s.e.", "precision", "recall", "density", "coverage", "SWD")


@dataclass
class Bench:
    """Real images of one set, and what was measured on them.

    Attributes:
        name: of the source.
        eye: the extractor.
        run: that trained it.
        found: the data.
        real: profile of the images that all others are compared with.
        real_images: those images.
        pool: numbers of the other training images, in random order.
        n: images of each set.
        measured: by experiment, from how strong the damage is to what was measured; 0 or 1 is undamaged.
    """

    name: str
    eye: Extractor
    run: Run
    trained: Trained
    found: data.Dataset
    real: Profile
    real_images: Any
    pool: Any
    n: int
    measured: dict[str, dict[float, Quality]] = field(default_factory=dict)

    @property
    def title(self) -> str:
        return SETS[self.name][0]

    @property
    def others(self) -> Any:
        """As many other real images."""
        return self.found.splits["train"]["images"][np.sort(self.pool[: self.n])]

    @property
    def floor(self) -> Quality:
        """The undamaged other images."""
        return self.measured["floor"][self.n]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--found", action="store_true", help="train no extractor: leave out what is missing")
    parser.add_argument("--n", type=int, default=5000, help="images of each set (default: 5,000)")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the page and its pictures")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    page = Page(
        "Image quality: do the measures respond as they should?", "python benchmarks/image_quality_page.py"
    )
    page.say(
        f"Real images, damaged in known ways, take the place of generated ones: {asked.n:,} of each beside {asked.n:,} "
        "others. Undamaged they give the floor. FD is the Fréchet distance and KID the unbiased kernel distance of "
        "the features of `image-features`; precision and recall take 3 neighbours, density and coverage 5; SWD is "
        "the sliced Wasserstein distance of pyramid patches, times 1,000, which needs no network. FD and KID of "
        "two extractors do not compare, nor those of different n.",
    )
    benches = [one for name in SETS if (one := prepared(name, asked.n, asked.found, page)) is not None]
    extractors(page, benches)
    floors(page, benches, asked.out)
    for experiment in EXPERIMENTS:
        experiment.run(page, benches, asked.out)
    neighbours(page, benches, asked.out)
    cost(page)
    page.section("Made with")
    page.say(*(line for one in benches for line in [f"{one.title}:", "", *origin([one.run]), ""]))
    return page.write(asked.out / "image-quality.md")


def prepared(name: str, n: int, only_found: bool, page: Page) -> Bench | None:
    """The data and the extractor of one set; None, noted on the page, where something is missing."""
    needs = shared.needs(DataSettings(source=name), name)
    source, _ = needs[shared.EXTRACTOR]
    known = [run for run in helper_runs() if run.recipe == source and run.settings["data"]["source"] == name]
    if only_found and not any(run.status == "finished" for run in known):
        page.misses.append(f"{name}: no trained extractor")
        return None
    try:
        found = data.load(name)
        trained = Trained(None, {}, helpers=_networks._helpers(needs, "cpu", True))
    except EpochalError as problem:
        page.misses.append(f"{name}: {problem.what}")
        return None
    eye = shared.extractor(trained)
    order = np.random.default_rng(0).permutation(len(found.splits["train"]["images"]))
    real = found.splits["train"]["images"][np.sort(order[:n])]
    run = next(
        run
        for run in helper_runs()
        if run.recipe == source and run.settings["data"]["source"] == name and run.status == "finished"
    )
    return Bench(name, eye, run, trained, found, profile(real, eye), real, order[n:], n)


def helper_runs() -> list[Run]:
    folder = cache_folder() / "helpers"
    return Lab(folder).runs() if folder.is_dir() else []


def extractors(page: Page, benches: Sequence[Bench]) -> None:
    page.section("The extractors")
    rows = []
    for one in benches:
        tested, least = one.run.reload().meta["evaluation"]["test"], SETS[one.name][1]
        accuracy = tested["accuracy"]
        met = page.target(f"{one.title}: the extractor reads {accuracy:.2%}", accuracy >= least)
        interval = f"{accuracy:.2%} ({tested['accuracy_low']:.2%} – {tested['accuracy_high']:.2%})"
        rows.append(
            [
                one.title,
                f"`{one.eye.identity}`",
                str(len(one.real.gaussian.mean)),
                f"{interval} of {tested['images']:,.0f}",
                f">= {least:.0%}: {met}",
                f"{one.run.meta['epochs_done']} epochs, {seconds(one.run):.0f} s",
            ]
        )
    page.table(["set", "extractor", "features", "test images read right (95 %)", "wanted", "training"], rows)


def floors(page: Page, benches: Sequence[Bench], out: Path) -> None:
    """Real beside real, of growing n."""
    page.section("Real beside real: the floor falls with n for FD, not for KID")
    for one in benches:
        sizes = (*(size for size in SIZES if size < one.n), one.n)
        of = {float(n): quality(one.real_images[:n], one.others[:n], one.eye) for n in sizes}
        one.measured["floor"] = of
        table(page, one, "floor", lambda n: f"{n:,.0f} and {n:,.0f}")
        few = of[min(of)]
        falls = f"FD of {few.n_real} images is over 3 times that of {one.n:,}"
        zero = all(abs(q.kid) < 4 * q.kid_se for q in of.values())
        targets(
            page, one, [(falls, few.fd > 3 * one.floor.fd), ("KID is within 4 standard errors of 0", zero)]
        )
    lines = {one.title: line(one.measured["floor"], lambda q: q.fd) for one in benches}
    drawn(
        page, out, "floor", lines, "FD between two sets of real images", "n, images of each", "FD", log_x=True
    )


@dataclass(frozen=True)
class Experiment:
    """One way to damage real images.

    Attributes:
        stem: of the picture.
        title: what is found.
        what: what is done.
        axis: of the strength.
        undamaged: strength that leaves the images as they are.
        strengths: the others, growing damage.
        damaged: images of a strength.
        shown: a strength in words.
        checks: what must hold, by the qualities of all strengths and the floor's.
        measures: that are drawn; none: FD in floors.
    """

    stem: str
    title: str
    what: str
    axis: str
    undamaged: float
    strengths: tuple[float, ...]
    damaged: Callable[[Bench, float], Any]
    shown: Callable[[float], str]
    checks: Callable[[Sequence[Quality], Quality], Sequence[tuple[str, bool]]]
    measures: tuple[str, ...] = ()

    def run(self, page: Page, benches: Sequence[Bench], out: Path) -> None:
        page.section(self.title)
        page.say(self.what)
        for one in benches:
            found = {much: quality(one.real, self.damaged(one, much), one.eye) for much in self.strengths}
            one.measured[self.stem] = {self.undamaged: one.floor, **found}
            table(page, one, self.stem, self.shown)
            targets(page, one, self.checks([*found.values()], one.floor))
        lines = {}
        for one in benches:
            of = one.measured[self.stem]
            for name in self.measures:
                lines[f"{one.title}, {name}"] = line(of, lambda q, name=name: getattr(q, name))
            if not self.measures:
                lines[one.title] = line(of, lambda q, one=one: q.fd / one.floor.fd)
        y = "share" if self.measures else "FD, in floors"
        title = self.title if self.measures else f"{self.title.partition(':')[0]}: FD grows"
        log_x = self.strengths[0] < self.undamaged == 1
        drawn(page, out, self.stem, lines, title, self.axis, y, log_x=log_x, log_y=not self.measures)


def noisy(one: Bench, sd: float) -> Any:
    grain = np.random.default_rng(1).normal(0, 255 * sd, one.others.shape)
    return np.clip(np.round(one.others + grain), 0, 255).astype(np.uint8)


def blurred(one: Bench, sd: float) -> Any:
    widths = (0, sd, sd, 0)[: one.others.ndim]
    return np.round(gaussian_filter(one.others.astype(np.float32), widths)).clip(0, 255).astype(np.uint8)


def of_classes(one: Bench, kept: float) -> Any:
    train = one.found.splits["train"]
    return train["images"][np.sort(one.pool[train["labels"][one.pool] < kept][: one.n])]


def repeated(one: Bench, share: float) -> Any:
    return np.resize(one.others[:: round(1 / share)], one.others.shape)


def copied(one: Bench, share: float) -> Any:
    images, many = one.others.copy(), round(share * one.n)
    images[:many] = one.real_images[:many]
    return images


def grows(found: Sequence[Quality], floor: Quality) -> bool:
    """Whether FD does with every step, but for the first: that one may be too small to be seen."""
    return all(a.fd < b.fd for a, b in itertools.pairwise((floor, *found[1:])))


EXPERIMENTS = (
    Experiment(
        "noise",
        "Noise: every distance grows, density falls",
        "Gaussian noise on every pixel, in units of the full range; then rounded and clipped to 8 bits. Density is "
        "asked to fall and precision is not: precision takes an image that lies within reach of a single real one, "
        "and the reach of outlying real images is wide enough for noise (Naeem et al. 2020, whose density counts how "
        "many).",
        "standard deviation of the noise, share of the range",
        0.0,
        (0.02, 0.05, 0.1, 0.2, 0.4),
        noisy,
        lambda sd: f"noise {sd:g}" if sd else "as they are",
        lambda found, floor: [
            (
                "FD grows with every step from the second on, to over 20 floors",
                grows(found, floor) and found[-1].fd > 20 * floor.fd,
            ),
            ("density falls below half of the floor's", found[-1].density < 0.5 * floor.density),
        ],
    ),
    Experiment(
        "blur",
        "Blur: every distance grows",
        "A Gaussian blur.",
        "standard deviation of the blur, pixels",
        0.0,
        (0.5, 1.0, 1.5, 2.0),
        blurred,
        lambda sd: f"blur {sd:g}" if sd else "as they are",
        lambda found, floor: [
            (
                "FD grows with every step from the second on, to over 10 floors",
                grows(found, floor) and found[-1].fd > 10 * floor.fd,
            ),
            ("SWD grows to over 5 floors", found[-1].swd > 5 * floor.swd),
        ],
    ),
    Experiment(
        "classes",
        "Missing classes: recall and coverage fall, precision stays",
        "Other real images of the first classes only, as many as ever.",
        "classes shown, of ten",
        10.0,
        (8.0, 6.0, 4.0, 3.0),
        of_classes,
        lambda kept: f"{kept:g} classes",
        lambda found, floor: [
            ("precision stays within 0.08 of the floor's", abs(found[-1].precision - floor.precision) < 0.08),
            ("recall is down by 0.2 or more with three classes", found[-1].recall < floor.recall - 0.2),
            ("coverage is down by 0.2 or more with three classes", found[-1].coverage < floor.coverage - 0.2),
        ],
        ("precision", "recall", "coverage"),
    ),
    Experiment(
        "distinct",
        "Few distinct images: coverage and recall fall, precision stays",
        "Other real images, a part of them repeated until there are as many as ever: a collapsed generator. Coverage "
        "is what measures it. Recall is 0 by construction as soon as every image comes more than three times: the "
        "third neighbour, whose distance is its radius, is then a copy.",
        "share of images that are distinct",
        1.0,
        (0.2, 0.05, 0.01),
        repeated,
        lambda share: f"{share:.0%} distinct",
        lambda found, floor: [
            ("coverage is below a third of the floor's with 1 %", found[-1].coverage < floor.coverage / 3),
            ("recall is below a third of the floor's with 1 %", found[-1].recall < floor.recall / 3),
            (
                "precision stays within 0.1 of the floor's with 5 %",
                abs(found[1].precision - floor.precision) < 0.1,
            ),
        ],
        ("precision", "recall", "coverage"),
    ),
    Experiment(
        "copied",
        "Copies of the real images: every measure takes them for the better ones",
        "A part of the images are copies of those that they are compared with. No distance of distributions punishes "
        "memory; the distance of the nearest training image tells it (below).",
        "share of images that are copies",
        0.0,
        (0.25, 0.5, 1.0),
        copied,
        lambda share: f"{share:.0%} copied",
        lambda found, floor: [
            ("FD of copies alone is below a hundredth of the floor", found[-1].fd < 0.01 * floor.fd),
            (
                "precision, recall and coverage of copies alone are 1",
                found[-1].precision == found[-1].recall == found[-1].coverage == 1,
            ),
        ],
        ("precision", "recall", "coverage"),
    ),
)


def neighbours(page: Page, benches: Sequence[Bench], out: Path) -> None:
    """Copies are told by their nearest training image."""
    page.section("Nearest training images tell copies")
    page.say("Rows: five test images and two training images, each beside its seven nearest training images.")
    for one in benches:
        some = copied(one, 0.25)[:: max(one.n // 400, 1)]
        near = nearest(some.astype(np.float32), one.real_images.astype(np.float32), 1).distances[:, 0]
        features = np.concatenate([*one.eye.of_batches(some)])
        close = nearest(features, one.real.features, 1).distances[:, 0] < 1e-3
        exact, almost = float((near == 0).mean()), float(close.mean())
        what = (
            f"of {len(some)} images, a quarter of them copies, {exact:.1%} lie at distance 0 in pixels and "
            f"{almost:.1%} within 0.001 in features"
        )
        targets(page, one, [(what, abs(exact - 0.25) < 0.01 and abs(almost - 0.25) < 0.01)])
        test, train = (one.found.splits[split]["images"] for split in ("test", "train"))
        grid = shared.copies(one.trained, one.found, np.concatenate([test[:5], train[[3, 4]]]), k=7)
        picture = f"image-quality-copies-{one.name}.png"
        figures.draw(grid, out / picture, subtitle=f"{one.title}: five test images, two training images")
        page.say("", f"![{one.title}: {grid.title}]({picture})")


def cost(page: Page) -> None:
    """Processor time and memory of each measure."""
    page.section("What it costs")
    n, d = 10_000, 128
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, n, d)).astype(np.float32)
    images = rng.integers(0, 256, (n, 32, 32, 3), dtype=np.uint8)
    measures: dict[str, Callable[[], Any]] = {
        "FD": lambda: frechet_distance(Gaussian.of(x), Gaussian.of(y)),
        "KID and its standard error": lambda: kernel_distance(x, y),
        "precision, recall, density, coverage": lambda: manifolds(x, y),
        "SWD of 32,768 patches a level": lambda: sliced_wasserstein(
            *rng.random((2, 32_768, 147), np.float32)
        ),
        "cutting patches from 1,000 of 10,000 images": lambda: patches.cut(images[:1000], rng),
    }
    rows = []
    for name, measure in measures.items():
        started = time.process_time()
        measure()
        took = time.process_time() - started
        tracemalloc.start()
        measure()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        page.target(f"{name}: {peak / 1e6:.0f} MB", peak < 500e6)
        rows.append([name, f"{took:.1f} s", f"{peak / 1e6:.0f} MB"])
    page.say(
        f"{n:,} features of {d} dimensions beside {n:,} others, on processors that others may use too.", ""
    )
    page.table(["measure", "processor time", "memory above the features"], rows)


def table(page: Page, one: Bench, name: str, what: Callable[[float], str]) -> None:
    page.say(*([""] if page.lines[-1] else []), f"{one.title}:", "")
    rows = []
    for much, q in one.measured[name].items():
        shares = (f"{v:.3f}" for v in (q.precision, q.recall, q.density, q.coverage))
        rows.append([what(much), f"{q.fd:.4g}", f"{q.kid:.3g} ± {q.kid_se:.1g}", *shares, f"{q.swd:.3g}"])
    page.table(HEAD, rows)


def targets(page: Page, one: Bench, checks: Sequence[tuple[str, bool]]) -> None:
    page.say("")
    for what, met in checks:
        page.say(f"- {one.title}, {what}: {page.target(f'{one.title}: {what}', met)}")


def line(of: dict[float, Quality], read: Callable[[Quality], float]) -> tuple[list[float], list[float]]:
    points = sorted(of.items())
    return [x for x, _ in points], [read(q) for _, q in points]


def drawn(
    page: Page,
    out: Path,
    stem: str,
    lines: dict[str, tuple[list[float], list[float]]],
    title: str,
    x: str,
    y: str,
    *,
    log_x: bool = False,
    log_y: bool = True,
) -> None:
    if lines:
        curves = Curves(lines, title=title, x_axis=x, y_axis=y, log_x=log_x, log_y=log_y)
        figures.draw(curves, out / f"image-quality-{stem}.png")
        page.say("", f"![{title}](image-quality-{stem}.png)")


if __name__ == "__main__":
    sys.exit(main())
