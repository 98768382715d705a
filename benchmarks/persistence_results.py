"""Are persistence images right, and what do they cost? Against gudhi, against an integral, against the clock.

    EPOCHAL_DATA=FOLDER python benchmarks/persistence_results.py [--rounds 5] [--out FOLDER]

Writes docs/results/persistence.md and its picture; two minutes, on one core. Fails when a diagram differs from gudhi's
or a picture does not hold its bars' weights; times are reported beside their target.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

import gudhi
import numpy as np
from gudhi.representations import PersistenceImage
from matplotlib.axes import Axes
from results_page import RESULTS, Page
from threadpoolctl import threadpool_limits

from epochal.journal import environment
from epochal.report import figures
from epochal.report.curves import COLOURS, Sheet, dress
from epochal.report.matrices import COLOURS as SHADES
from epochal.report.text import BODY, INK, SMALL
from epochal.systems.data.persistence import LEAST, diagrams
from epochal.systems.data.persistence_images import SIGMA, SIZE, images, painted, ranges

LENGTH, AT_ONCE = 500, 64
MASS_WITHIN, MS_A_CHANNEL = 0.01, 0.3
OUTSIDE = 0.01
TRIMMED = f"channel, {OUTSIDE:.0%} outside"
SHOWN = ("walking", "sitting")
Bars = list[tuple[float, float]]


@dataclass
class Wrists:
    """WISDM's recordings in windows.

    Attributes:
        signals: (n, 3, 500) float32 in m/s².
        activity: (n,) index into `names`.
        rate: samples a second.
        scales: low and high by name: of a channel over all recordings, the same with an outermost share of samples
            beyond them, and of each window's own.
    """

    signals: np.ndarray
    activity: np.ndarray
    names: list[str]
    rate: float
    scales: dict[str, tuple[np.ndarray, np.ndarray]]

    def scaled(self, scale: str) -> np.ndarray:
        """(n · 3, 500) on [-1, 1]."""
        low, high = (np.broadcast_to(edge, self.signals.shape[:2])[..., None] for edge in self.scales[scale])
        return np.clip(2 * (self.signals - low) / (high - low) - 1, -1, 1).reshape(-1, LENGTH)

    def pictures(self, scale: str, chosen: np.ndarray) -> np.ndarray:
        """Of the chosen windows: (k, 3, 64, 64)."""
        low, high = (np.broadcast_to(edge, self.signals.shape[:2])[chosen] for edge in self.scales[scale])
        return images(self.signals[chosen], low=low, high=high)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each timing")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the page")
    options = parser.parse_args()
    folder = Path(os.environ["EPOCHAL_DATA"])
    page = Page("Persistence images", "EPOCHAL_DATA=FOLDER python benchmarks/persistence_results.py")
    page.say(
        "Sublevel-set persistence of every channel in dimension 0, and its picture of births from −1 to 1 and "
        "lifetimes from 0 to 2 (`epochal/systems/data/persistence.py`, `persistence_images.py`): "
        f"{SIZE}x{SIZE} pixels, Gaussians of σ = {SIGMA} integrated over each pixel, weight = lifetime; bars of a "
        f"lifetime up to {LEAST} and the one that never dies are left out. Windows have {LENGTH} samples.",
        "",
        "![Signal, diagram and picture of walking and sitting](persistence.png)",
    )
    people = wrists(folder)
    figures.save(drawn(people), options.out / "persistence.png")
    with threadpool_limits(1):
        agreement(page, mixture(folder, people))
        mass(page)
        counts(page, people)
        timing(page, people, options.rounds)
    return page.write(options.out / "persistence.md")


# --- windows
# ----------------------------------------------------------------------------------------------------------


def wrists(folder: Path) -> Wrists:
    """Four windows of each of WISDM's 304 recordings."""
    with np.load(folder / "wisdm_watch_accel_6act.npz") as file:
        accel, activity = file["accel"], file["activity"]
        names, rate = file["activity_names"].tolist(), float(file["rate_hz"])
    each = accel.shape[1] // LENGTH
    windows = accel[:, : each * LENGTH].reshape(-1, LENGTH, 3).transpose(0, 2, 1)
    scales = {
        "channel": ranges(windows),
        TRIMMED: ranges(windows, outside=OUTSIDE),
        "window": ranges(windows, per_window=True),
    }
    return Wrists(windows, np.repeat(activity, each), names, rate, scales)


def mixture(folder: Path, people: Wrists) -> dict[str, np.ndarray]:
    """A thousand windows (n, 500) on [-1, 1] by kind, chosen and drawn with seed 0."""
    rng = np.random.default_rng(0)
    file = folder / "geneactiv_sample_right_wrist.csv"
    g = np.loadtxt(file, delimiter=",", skiprows=100, usecols=(1, 2, 3)).T / 8
    starts = rng.integers(0, g.shape[1] - LENGTH, 250)
    noise = rng.normal(0, 0.3, (250, LENGTH))
    t = np.linspace(0, 1, LENGTH)
    real = {
        f"WISDM, scale: {scale}": rng.choice(people.scaled(scale), 250, replace=False)
        for scale in ("channel", "window")
    }
    synthetic = [noise[:50], np.cumsum(noise[50:100], 1) / 20, np.round(4 * noise[100:150]) / 4]
    synthetic += [t * np.sin(200 * noise[150:200, :1] * t), np.repeat(noise[200:, ::10], 10, axis=1)]
    return {
        **real,
        "GENEActiv's sample (steps of about 1/256 g: ties)": np.stack(
            [g[i % 3, start : start + LENGTH] for i, start in enumerate(starts)]
        ),
        "synthetic: noise, random walks, nine or so levels, growing swings, plateaus": np.concatenate(
            synthetic
        ),
    }


# --- what is right
# ----------------------------------------------------------------------------------------------------


def agreement(page: Page, windows: dict[str, np.ndarray]) -> None:
    """Every bar against gudhi's, as multisets, without tolerance."""
    page.section(f"The bars are gudhi's ({gudhi.__version__})")
    page.say("Compared as multisets, births and deaths to the last bit; samples as vertices of a path.", "")
    rows, differing, total = [], 0, 0
    for kind, signals in windows.items():
        owner, birth, death = diagrams(signals)
        own = [by_window(birth, death, owner == row) for row in range(len(signals))]
        wrong = sum(bars != gudhis(signal) for bars, signal in zip(own, signals, strict=True))
        rows.append([kind, str(len(signals)), f"{len(owner):,}", str(wrong)])
        differing, total = differing + wrong, total + len(signals)
    page.table(["windows", "n", "bars", "windows that differ"], rows)
    met = page.target(f"the bars of {differing} of {total} windows differ from gudhi's", differing == 0)
    page.say("", f"- {differing} of {total:,} windows differ, 0 demanded: {met}")


def by_window(birth: np.ndarray, death: np.ndarray, chosen: np.ndarray) -> Bars:
    return sorted(zip(birth[chosen].tolist(), death[chosen].tolist(), strict=True))


def gudhis(signal: np.ndarray) -> Bars:
    """Gudhi's finite bars of a lifetime above `LEAST`."""
    return sorted(map(tuple, gudhi_bars(signal).tolist()))


def gudhi_bars(signal: np.ndarray) -> np.ndarray:
    cubes = gudhi.CubicalComplex(vertices=signal)
    cubes.compute_persistence(min_persistence=LEAST)
    bars = cubes.persistence_intervals_in_dimension(0)
    return bars[np.isfinite(bars[:, 1]) & (bars[:, 1] - bars[:, 0] > LEAST)]


def mass(page: Page, n: int = 10_000) -> None:
    """The sum of all pixels of a single bar against its weight."""
    rng = np.random.default_rng(0)
    margin = 6 * SIGMA
    birth, lifetime = rng.uniform(margin - 1, 1 - margin, n), rng.uniform(margin, 2 - margin, n)
    pictures = painted(np.arange(n), birth, birth + lifetime, out=np.empty((n, SIZE, SIZE), np.float32))
    worst = np.abs(pictures.sum((1, 2), dtype=float) / lifetime - 1).max()
    pixel = 2 / SIZE
    centres = pixel * (np.arange(SIZE) + 0.5)
    bells = [
        (pixel * np.exp(-((centres - at[:, None]) ** 2) / (2 * SIGMA**2)) / (SIGMA * np.sqrt(2 * np.pi))).sum(
            1
        )
        for at in (birth + 1, lifetime)
    ]
    sampled = np.abs(bells[0] * bells[1] - 1).max()
    page.section("A picture holds its bars' weights")
    met = page.target(f"a bar's pixels miss its weight by up to {worst:.2%}", worst <= MASS_WITHIN)
    page.say(
        f"One bar a picture, {n:,} at random places at least 6σ from every edge. σ is {SIGMA / pixel:.2f} of a pixel: "
        "a Gaussian that is only read at the middles of pixels weighs more or less by where it falls.",
        "",
        f"- largest relative error of the sum of all pixels: {worst:.1e}, at most {MASS_WITHIN:g} demanded: {met}",
        f"- for comparison, Gaussians read at the middles of pixels: {sampled:.2f}",
    )


# --- what they hold and cost
# ------------------------------------------------------------------------------------------


def counts(page: Page, people: Wrists) -> None:
    """Bars a channel by activity, and what of a picture is used: what the choice of the scale decides."""
    bars, used = {}, []
    for scale in people.scales:
        owner, birth, death = diagrams(people.scaled(scale))
        lifetime = death - birth
        bars[scale] = np.bincount(owner, minlength=3 * len(people.signals)).reshape(-1, 3)
        pixels = np.mean(people.pictures(scale, np.arange(0, len(people.signals), 8)) > 1e-3)
        long = lifetime > 1
        used.append(
            [scale, f"{pixels:.1%}", f"{np.mean(long):.2%}", f"{lifetime[long].sum() / lifetime.sum():.1%}"]
        )
    page.section("What the scale decides")
    page.say(
        f"Over {len(people.signals):,} windows of {LENGTH / people.rate:g} s of WISDM's wrists: bars a channel, median "
        "(5th to 95th percentile), and the share of empty pictures. A window scaled by itself shows a still wrist's "
        "noise as large as life. The channel's range over all recordings (in a study: over the training subjects) "
        f"hides it; with {OUTSIDE:.0%} of the samples beyond either end, clipped, more of the picture is used.",
        "",
    )
    page.table(
        ["activity", *(f"{scale}{more}" for scale in bars for more in ("", ": empty"))],
        [
            [name, *(cell for found in bars.values() for cell in row(found[people.activity == index]))]
            for index, name in enumerate(people.names)
        ],
    )
    page.say(
        "", "What of a picture is used; and what `paper_compat` loses, the bars that live longer than 1:", ""
    )
    page.table(
        ["scale", "pixels above 0.001", "bars that `paper_compat` loses", "their share of all weight"], used
    )


def row(bars: np.ndarray) -> list[str]:
    low, middle, high = np.percentile(bars, [5, 50, 95])
    return [f"{middle:.0f} ({low:.0f} to {high:.0f})", f"{np.mean(bars == 0):.0%}"]


def timing(page: Page, people: Wrists, rounds: int, windows: int = 400) -> None:
    """Milliseconds a channel, all ways in turn."""
    about = environment.describe()
    chosen = np.random.default_rng(0).permutation(len(people.signals))[:windows]
    taken: dict[tuple[str, str], list[float]] = {}
    for _ in range(rounds):
        for scale in people.scales:
            for way, act in ways(people, scale, chosen).items():
                begun = process_time()
                act()
                seconds = process_time() - begun
                taken.setdefault((way, scale), []).append(1e3 * seconds / (3 * len(chosen)))
    page.section("How long it takes")
    page.say(
        f"Milliseconds of processor time a channel of {LENGTH} samples: median (least–most) of {rounds} rounds "
        f"over {3 * len(chosen):,} real channels. {about['cpu']}, one thread, NumPy {about['packages']['numpy']}. "
        "Other programs on the machine lengthen even these.",
        "",
    )
    table: dict[str, list[str]] = {}
    for (way, _), ms in taken.items():
        table.setdefault(way, [way]).append(f"{median(ms):.3f} ({min(ms):.3f}–{max(ms):.3f})")
    page.table(["scale", *people.scales], table.values())
    slowest = max(median(ms) for (way, _), ms in taken.items() if way == "diagram and picture")
    page.say(
        "",
        f"- diagram and picture, the slowest scale: {slowest:.3f} ms a channel, {MS_A_CHANNEL} aimed at: "
        f"{'yes' if slowest <= MS_A_CHANNEL else 'no'}",
        "- gudhi's picture reads each Gaussian at points, and is made of its own diagrams",
    )


def ways(people: Wrists, scale: str, chosen: np.ndarray) -> dict[str, Callable[[], Any]]:
    """What is timed, by name."""
    scaled = people.scaled(scale).reshape(-1, 3, LENGTH)[chosen].reshape(-1, LENGTH)
    theirs = PersistenceImage(
        bandwidth=SIGMA, weight=lambda bar: bar[1], resolution=[SIZE, SIZE], im_range=[-1, 1, 0, 2]
    )

    def parts() -> Iterable[np.ndarray]:
        return (scaled[start : start + AT_ONCE] for start in range(0, len(scaled), AT_ONCE))

    return {
        "diagram": lambda: [diagrams(part) for part in parts()],
        "diagram and picture": lambda: people.pictures(scale, chosen),
        "gudhi's diagram": lambda: [gudhi_bars(signal) for signal in scaled],
        "gudhi's diagram and picture": lambda: theirs.fit_transform(
            [gudhi_bars(signal) for signal in scaled]
        ),
    }


# --- how they look
# ----------------------------------------------------------------------------------------------------


def drawn(people: Wrists) -> Any:
    """A window of each activity shown: signal, diagram, picture."""
    sheet = Sheet(
        3 * len(SHOWN),
        " and ".join(SHOWN).capitalize()
        + ": a signal, its persistence diagram, and the picture that a network reads",
        f"x axis of one wrist (WISDM), scaled to [−1, 1] over all recordings, "
        f"{OUTSIDE:.0%} of samples beyond either end; each picture has a scale of colours of its own",
        columns=3,
        size=(4.0, 3.3),
    )
    firsts = np.array([np.argmax(people.activity == people.names.index(name)) for name in SHOWN])
    pictures = people.pictures(TRIMMED, firsts)[:, 0]
    for place, first in enumerate(firsts):
        signal, diagram, picture = sheet.axes[3 * place : 3 * place + 3]
        scaled = people.scaled(TRIMMED)[3 * first]
        signal.plot(np.arange(LENGTH) / people.rate, scaled, color=COLOURS[0], linewidth=1.0)
        label(signal, SHOWN[place].capitalize(), "time, s", "acceleration, scaled")
        signal.set_ylim(-1, 1)
        _, birth, death = diagrams(scaled[None])
        diagram.plot([-1, 1], [-1, 1], color=COLOURS[6], linewidth=1.0)
        diagram.plot(birth, death, "o", color=COLOURS[1], markersize=5, markerfacecolor="none", clip_on=False)
        label(
            diagram,
            f"{len(birth)} bars; none lies below the line",
            "birth: level of a valley",
            "death: level of its ridge",
        )
        diagram.set(xlim=(-1, 1), ylim=(-1, 1), aspect="equal")
        shades = picture.imshow(
            pictures[place],
            origin="lower",
            extent=(-1, 1, 0, 2),
            cmap=SHADES,
            vmin=0,
            vmax=pictures[place].max(),
            interpolation="nearest",
        )
        label(picture, f"{SIZE}x{SIZE} pixels", "birth", "lifetime: death − birth")
        picture.grid(False)
        bar = sheet.figure.colorbar(shades, ax=picture)
        bar.ax.tick_params(labelsize=SMALL, colors=INK)
        bar.set_label("weight in a pixel", fontsize=BODY, color=INK)
    return sheet.figure


def label(axes: Axes, title: str, across: str, up: str) -> None:
    dress(axes)
    axes.set_title(title, fontsize=BODY, color=INK, loc="left", parse_math=False)
    axes.set_xlabel(across, fontsize=BODY, color=INK, parse_math=False)
    axes.set_ylabel(up, fontsize=BODY, color=INK, parse_math=False)


if __name__ == "__main__":
    sys.exit(main())
