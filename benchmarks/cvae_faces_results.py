"""Trains cvae-faces on drawn faces and writes docs/results/cvae-faces.md.

    python benchmarks/cvae_faces_results.py SECTION … --lab LAB [--minutes 140] [--threads 2]

SECTION: baseline, model-2, model-3 (six epochs each: what β lets survive shows in the first), sum-mse, recommended (24
epochs), logged-best, trials (what `recommended` was chosen by), and page. A version's section trains what the lab
lacks, goes on where it was stopped, and evaluates; the first evaluation also trains the networks that measure
conditions (`face-conditions`), which are kept in the cache.
After --minutes it saves and ends with exit code 3: start it again. `page` trains nothing and says what is missing;
it exits 1 when a number misses its target.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import exp
from pathlib import Path
from statistics import median
from typing import Any

import records
from faces_following import following
from results_page import RESULTS, Page, evaluated, origin, trained

from epochal import settings as settings_room
from epochal.api import TrainingEnded
from epochal.journal import Lab, Run
from epochal.report import figures
from epochal.systems import recipes
from epochal.systems.recipes import cvae_faces
from epochal.training import engine
from epochal.training.task import Matrix

EPOCHS = {"baseline": 6, "model-2": 6, "model-3": 6, "sum-mse": 24, "recommended": 24, "logged-best": 24}
"""The versions in the order of the page; the others' own number is 24, too."""
BEST = "recommended"
"""The version that is to follow its conditions."""
FALLING: dict[str, Any] = {"loss.kl_from": 86.4, "loss.kl_constant": 3, "loss.kl_fall": 3}
FAST: dict[str, Any] = {
    "net.dropout": 0.0,
    "optim.lr": 1e-3,
    "optim.warm_up": 100,
    "clip_grad_norm": 100.0,
}
TRIALS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "trial-sum-mse": ("sum-mse", "sum-mse", {}),
    "trial-falling": ("sum-mse", "the KL falls from 86.4 to 1", FALLING),
    "trial-fast": (
        "sum-mse",
        "and no dropout, a rate of 1e-3, warmed up, gradients clipped to a norm of 100",
        {**FALLING, **FAST},
    ),
    "trial-weight": (
        "recommended",
        "and W = 432,000, ten times as much: from the same β = 86.4 it falls further, in five epochs; the rate "
        "constant",
        {"loss.independence": 0.0},
    ),
    "trial-recommended": ("recommended", "and an adversary on the code, λ = 100: recommended", {}),
    "trial-300": ("recommended", "λ = 300", {"loss.independence": 300.0}),
}
"""Names of the short runs: their version, in words, and as changes of it."""
SHORT = {"data.source": "drawn-faces", "data.limit": 4000, "net.width": 0.35, "epochs": 10}
OPTIONAL = ("logged-best",)
SOURCE = "drawn-faces"
AXES = ("sex", "hair", "mouth", "eyes")
R2, CROSS_TALK, SPEED = 0.9, 0.1, 2.0
PICTURES = ("faces", "reconstructions", "moved", "conditions", "interpolation", "directions")
SHOWN = {
    BEST: PICTURES,
    "sum-mse": PICTURES,
    "baseline": PICTURES[:3],
    "model-2": PICTURES[:3],
    "model-3": PICTURES[:3],
}
SURVIVAL = {
    "active_directions": "{:.0f}",
    "directions": "{:.0f}",
    "directions_beside": "{:.0f}",
    "kl": "{:.2f}",
    "mse": "{:.5f}",
    "mean_face_mse": "{:.5f}",
}
STOPPED = 3


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sections", nargs="+", choices=[*EPOCHS, "trials", "page"], metavar="SECTION")
    parser.add_argument("--lab", required=True, help="lab that holds the runs")
    parser.add_argument("--minutes", type=float, default=140, help="save and stop after so long")
    parser.add_argument("--threads", type=int, help="CPU threads of a run (default: measured)")
    parser.add_argument("--out", default=str(RESULTS), help="folder to write to")
    options = parser.parse_args()
    lab = Lab(options.lab)
    try:
        with ending_after(options.minutes):
            for version in (name for name in options.sections if name in EPOCHS):
                for run in runs_of(lab, version, threads=options.threads):
                    evaluated(run, lab)
                    followed(run)
            for name in TRIALS if "trials" in options.sections else ():
                for run in tried(lab, name, threads=options.threads):
                    followed(run)
    except (KeyboardInterrupt, TrainingEnded) as ended:
        if isinstance(ended, TrainingEnded) and ended.runs[-1].status != "stopped":
            raise
        print("stopped and saved; the same command goes on")
        return STOPPED
    return write(lab, Path(options.out)) if "page" in options.sections else 0


@contextmanager
def ending_after(minutes: float) -> Iterator[None]:
    """Ctrl-C after so many minutes: the engine then saves what it has."""
    timer = threading.Timer(60 * minutes, os.kill, (os.getpid(), signal.SIGINT))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def runs_of(lab: Lab, version: str, *, only_found: bool = False, threads: int | None = None) -> list[Run]:
    """The finished run of a version, seed 0; trained or resumed where it is not yet."""
    patch = {"data.source": SOURCE, "epochs": EPOCHS[version]}
    found = trained(lab, "cvae-faces", version, [0], only_found=only_found, patch=patch, threads=threads)
    return [run for run in found if run.settings["data"]["limit"] is None]


def tried(lab: Lab, name: str, *, only_found: bool = False, threads: int | None = None) -> list[Run]:
    """The finished run of a trial, trained or resumed where it is not yet."""
    version, _, changes = TRIALS[name]
    how = {"name": name, "patch": {**SHORT, **changes}, "threads": threads}
    return trained(lab, "cvae-faces", version, [0], only_found=only_found, **how)


def followed(run: Run) -> None:
    """Adds to what was evaluated how far the drawn truth is followed (`faces_following`)."""
    known = run.reload().meta["evaluation"]
    if "hair_followed" in known.get("test", {}):
        return
    numbers = {}
    for axis, found in following(engine.load(recipes.find("cvae-faces"), run)).items():
        numbers |= {f"{axis}_followed": found.followed, f"{axis}_reach": found.reach}
    run.update(evaluation={**known, "test": {**known.get("test", {}), **numbers}})


# --- the page
# --------------------------------------------------------------------------------------------------


def write(lab: Lab, out: Path) -> int:
    """Writes the page from what the lab holds."""
    page = Page("cvae-faces on drawn faces", "python benchmarks/cvae_faces_results.py page --lab LAB")
    out.mkdir(parents=True, exist_ok=True)
    runs = {v: found[0] for v in EPOCHS if (found := runs_of(lab, v, only_found=True))}
    if not runs:
        return page.nothing(out / "cvae-faces.md", lab)
    for version in EPOCHS:
        if version not in runs:
            page.say(f"- {version}: not trained yet")
            if version not in OPTIONAL:
                page.misses.append(f"{version}: no finished run")
    measured = {v: run.meta["evaluation"].get("test", {}) for v, run in runs.items()}
    for version in (v for v, numbers in measured.items() if not numbers):
        page.misses.append(f"{version}: not evaluated")
    page.say(
        *origin(list(runs.values())),
        "- one run each, seed 0; test: 1,600 of the 2,000 test faces; the other 400 watched the training",
    )
    parameters(page)
    survival(page, runs, measured)
    losses(page, runs)
    obedience(page, measured, out)
    repetition(page, runs, measured, lab, out)
    speed(page, runs)
    pictures(page, runs, out)
    records.keep(runs.values(), out / "records")
    return page.write(out / "cvae-faces.md")


def parameters(page: Page) -> None:
    """What the side paths cost, counted."""
    page.section("Parameters")
    page.say(
        "The decoder adds to each of its four feature maps what a dense layer makes of latent and condition: weights "
        "of every position's own (`dense`), one number a channel at all positions (`broadcast`), or nothing (`none`). "
        "All versions have dense ones; `net.side_path` is the setting.",
        "",
    )
    rows: dict[tuple[Any, ...], list[str]] = {}
    for version in EPOCHS:
        for side_path in ("dense", "broadcast", "none"):
            own = recipes.settings_of(cvae_faces.RECIPE, version)
            n = cvae_faces.parameter_counts(settings_room.apply(own, {"net.side_path": side_path}))
            size = (own.net.latent, f"{own.net.width:g}", side_path)
            counts = (n["encoder"], n["decoder"], n["decoder's side paths"])
            rows.setdefault((*size, *counts), []).append(version)
    page.table(
        [
            *("versions", "latent dimensions", "width", "side paths"),
            *("encoder", "decoder", "of these in side paths"),
        ],
        [
            [", ".join(versions), *(f"{cell:,}" if isinstance(cell, int) else cell for cell in row)]
            for row, versions in rows.items()
        ],
    )


def survival(page: Page, runs: Mapping[str, Run], measured: Mapping[str, Mapping[str, float]]) -> None:
    """β, active units and the directions that the eigenvalues of the data let survive."""
    page.section("What β lets survive")
    page.say(
        "With the mean over 43,200 values, W = 43,200 is the ELBO of a Gaussian likelihood with variance 1/2, and "
        "less is a β-VAE with β = 43,200 / W. A linear VAE keeps the directions whose variance, summed over pixels, "
        "exceeds 43,200 / (2W) (Lucas et al. 2019): counted here in the covariance of 3,000 training images, and of "
        "what a linear regression on their conditions leaves. A unit is active when its posterior mean varies by more "
        "than 0.01 over images; a direction that is spread over several units makes all of them active, so what is "
        "predicted compares with the *active directions*, the eigenvalues of the means' covariance above 0.01. There "
        "can be no more of them than latent dimensions: predictions of hundreds say only that all should survive.",
        "",
    )
    rows = []
    for version in EPOCHS:
        settings, v = recipes.settings_of(cvae_faces.RECIPE, version), measured.get(version, {})
        epochs = f"{runs[version].meta['epochs_done']}" if version in runs else "–"
        cells = [version, epochs, f"{settings.loss.weight:,g}", f"{cvae_faces.beta(settings):,g}"]
        units = f"{v['active_units']:.0f} of {settings.net.latent}" if v else "–"
        numbers = [write.format(v[name]) if name in v else "–" for name, write in SURVIVAL.items()]
        rows.append([*cells, units, *numbers])
    page.table(
        [
            "version",
            "epochs",
            "W",
            "β",
            "active units",
            "active directions",
            "directions predicted",
            "beside the conditions",
            "KL, nats",
            "MSE",
            "MSE of the mean face (training images)",
        ],
        rows,
    )
    page.say("")
    if v := measured.get("baseline"):
        held = page.target("baseline: nothing is predicted to survive", v["directions"] == 0)
        none = page.target(f"baseline: {v['active_units']:.0f} active units", v["active_units"] == 0)
        page.say(f"- at W = 1 no direction is predicted to survive: {held}; no unit is active: {none}")
    page.say(
        "- the tanh of baseline, model-2 and model-3 keeps every log-variance above -1: no unit's noise falls below "
        f"{exp(-1):.2f}. A direction that deserves less (the linear VAE gives it 43,200 / (2W) over its variance) may "
        "therefore take several units: a guess that was not tested",
        "- active directions were counted only after 32 active units of model-2 had been seen beside 6 predicted; "
        "their threshold is the units', and numbers near it are rough: of model-2 eigenvalues stand on both sides of "
        "it",
    )
    for version, run in runs.items():
        texts = run.meta.get("measured_with", {}).get("test", {})
        page.say(*(f"- {version}: {texts[name]}" for name in ("posterior", "penalty") if name in texts))


def losses(page: Page, runs: Mapping[str, Run]) -> None:
    """Training losses beside the reported ones, and why they do not compare."""
    page.section("Training loss")
    page.say(
        "Reported after 24 epochs on 16,864 photographs that are not public; here on as many drawn faces, and 6 epochs "
        "of `baseline`, `model-2` and `model-3`: what β lets survive shows in the first. Losses of versions whose W "
        "differs are different quantities; MSE (above) is one for all.",
        "",
    )
    rows = []
    for version in recipes.find("cvae-faces").versions:
        run = runs.get(version.name)
        means = run.epoch_values("train") if run else {}
        values = dict(means.get("cvae/loss", means.get("loss", [])))  # without the adversary's own
        last = f"{values[max(values)]:,.4f}" if values else "–"
        reported = f"{version.reported['loss']:,.4f}" if version.reported else "–"
        rows.append([version.name, str(max(values)) if values else "–", last, reported])
    page.table(["version", "epochs", "loss, last epoch", "reported"], rows)


def obedience(page: Page, measured: Mapping[str, Mapping[str, float]], out: Path) -> None:
    """Condition fidelity with cross-talk, and the instrument's own errors."""
    page.section("Faces to order")
    page.say(
        "1,000 faces of random codes, conditions drawn independently between the 5th and 95th percentile of training, "
        "measured by `face-conditions`, trained on faces blurred more or less. Cross-talk: the largest mean |change of "
        "another measured condition| / change asked of the moved one, at 200 latent vectors (near 0 also where nothing "
        "moves: read it beside R²). `instrument`: the same networks' errors on test images, and their cross-talk on "
        "faces drawn exactly as asked, what a generator of such varied faces would get that errs nowhere. Faces that "
        "differ in little but their conditions are easier to read: a version that draws blurred mean faces can be "
        "above it.",
        "",
    )
    scores = [*(f"{axis} R²" for axis in AXES), *(f"{axis} MAE" for axis in AXES)]
    head = ["version", "sex right", *scores, "cross-talk"]
    rows = [row for version, v in measured.items() if (row := fidelity_row(version, v))]
    v = next((numbers for numbers in measured.values() if numbers), {})
    if v:
        rows.append(
            [
                "instrument",
                "–",
                *(f"{v[f'instrument_{axis}_r2']:.3f}" for axis in AXES),
                *(f"{v[f'instrument_{axis}_mae']:.3f}" for axis in AXES),
                f"{v['instrument_cross_talk']:.3f}",
            ]
        )
    page.table(head, rows)
    page.say("")
    best = measured.get(BEST, {})
    if not best:
        page.say(f"{BEST} is not evaluated yet.")
        return
    for axis in AXES[1:]:
        met = page.target(f"{BEST}: {axis} R² {best[f'{axis}_r2']:.3f}", best[f"{axis}_r2"] >= R2)
        page.say(f"- {BEST}, {axis}: R² >= {R2}: {best[f'{axis}_r2']:.3f}: {met}")
    met = page.target(f"{BEST}: cross-talk {best['cross_talk']:.3f}", best["cross_talk"] < CROSS_TALK)
    page.say(f"- {BEST}, cross-talk < {CROSS_TALK}: {best['cross_talk']:.3f}: {met}", "")
    least = min(AXES, key=lambda axis: best[f"{axis}_r2"])
    page.say(
        f"What {BEST} obeys least is the {least}: R² {best[f'{least}_r2']:.3f}, the instrument's own "
        f"{best[f'instrument_{least}_r2']:.3f}.",
        "",
    )
    figure = Matrix(
        [[best[f"{moved}_moves_{other}"] for other in AXES] for moved in AXES],
        title=f"{BEST}: what moves when one condition is moved, mean |measured change| / asked change",
        rows=AXES,
        columns=AXES,
        row_axis="moved from end to end",
        column_axis="measured",
        write="{:.2f}",
    )
    figures.draw(figure, out / "cvae-faces-response.png")
    page.say("![what moves when one condition is moved](cvae-faces-response.png)")


def fidelity_row(version: str, v: Mapping[str, float]) -> list[str]:
    """A version's cells of the table of fidelity."""
    if not v:
        return []
    return [
        version,
        f"{v['sex_accuracy']:.1%}",
        *(f"{v[f'{axis}_r2']:.3f}" for axis in AXES),
        *(f"{v[f'{axis}_mae']:.3f}" for axis in AXES),
        f"{v['cross_talk']:.3f}",
    ]


def repetition(
    page: Page, runs: Mapping[str, Run], measured: Mapping[str, Mapping[str, float]], lab: Lab, out: Path
) -> None:
    """Whether the code repeats the conditions, of the versions and of short trials."""
    page.section("Does the code repeat the conditions?")
    page.say(
        "The same 100 persons drawn with a condition at either end (0.1 and 0.9; of the sex both); the first picture "
        "is encoded and decoded with the other condition. *Followed*: the change Δy made, projected on the true "
        "change Δx, <Δy, Δx> / <Δx, Δx>, median over persons: 1 is all of it. *Reach*: the same where the second "
        "picture is encoded, too: what such blurred pictures can show. Where the code holds what the condition says, "
        "the condition alone moves little, and followed stays behind reach.",
        "",
    )
    trials = {name: run for name in TRIALS for run in tried(lab, name, only_found=True)}
    kept = {TRIALS[name][1]: (run.meta["evaluation"].get("test", {}), run) for name, run in trials.items()}
    rows = [[version, *following_cells(v)] for version, v in measured.items() if "hair_followed" in v]
    if rows:
        page.table(["version", *(f"{axis}: followed of reach" for axis in AXES)], rows)
    if BEST in runs:
        told = dict(runs[BEST].epoch_values("train")["cvae/told"])
        page.say(
            "",
            f"From the code of {BEST} its adversary still tells {told[max(told)] / 4:.0%} of the conditions' variance "
            f"in the last epoch ({told[max(told)]:.2f}, summed over four).",
        )
    page.say(
        "",
        "Short trials (4,000 faces, 0.35 of the width, 10 epochs, seed 0). Each row adds its change to the row above; "
        "the last only replaces λ = 100 by 300. MSE on held-out images, of codes drawn from the encoder's "
        "distribution:",
        "",
    )
    if not kept:
        page.say("Not trained yet (`trials`).")
    short = [
        [
            words,
            f"{dict(run.epoch_values('validation')['mse'])[run.meta['epochs_done']]:.4f}",
            *following_cells(v),
        ]
        for words, (v, run) in kept.items()
        if v
    ]
    if short:
        page.table(["trial", "MSE", *(f"{axis}: followed of reach" for axis in AXES)], short)
    records.keep(trials.values(), out / "records")


def following_cells(v: Mapping[str, float]) -> list[str]:
    """Followed of reach, a cell a condition."""
    return [f"{v[f'{axis}_followed']:.2f} of {v[f'{axis}_reach']:.2f}" for axis in AXES]


def speed(page: Page, runs: Mapping[str, Run]) -> None:
    """Seconds an epoch, and how many times as fast as plain PyTorch."""
    page.section("Speed")
    rows = []
    for version, run in runs.items():
        taken = epoch_seconds(run)
        c = run.meta["choices"]
        how = f"{c['precision']}, {c['layout']}, {c['layers']} layers, {c['threads']} thread(s)"
        images = int(run.meta["data"]["items"])
        cells = (median(taken), min(taken), images / median(taken))
        rows.append([version, *(f"{cell:,.0f}" for cell in cells), how])
    page.say("Wall clock of an epoch of 16,864 faces, validation included; other programs lengthen it.", "")
    page.table(["version", "s an epoch, median", "shortest", "images/s", "arithmetic"], rows)
    for file in sorted((Path(__file__).parent / "results").glob("speed-cvae-faces-*.json")):
        result = json.loads(file.read_text())
        ratio = result["sides"]["epochal"]["ratio"]
        version = result["version"]
        met = page.target(
            f"{version}: {ratio['median']:.2f} times plain PyTorch's speed", ratio["median"] >= SPEED
        )
        span = f"{ratio['median']:.2f} ({ratio['low']:.2f}–{ratio['high']:.2f})"
        page.say(
            "",
            f"- {version}: {span} times the speed of plain PyTorch (`epochal bench speed cvae-faces {version}`, "
            f"benchmarks/results/{file.name}); >= {SPEED:g}: {met}",
        )


def epoch_seconds(run: Run) -> list[float]:
    """Seconds that each epoch took, from the times at their ends."""
    ends = [line["time"] for line in run.metrics() if line["scope"] == "epoch" and line["split"] == "train"]
    return [end - start for start, end in zip([0.0, *ends], ends, strict=False)]


def pictures(page: Page, runs: Mapping[str, Run], out: Path) -> None:
    """The runs' own pictures, drawn now where one is missing; of a bare record without them, those of the page stay."""
    page.section("Pictures")
    for version, names in SHOWN.items():
        if version not in runs:
            continue
        run = runs[version]
        if [*run.checkpoints_dir.glob("*.safetensors")] and not all(
            (run.figures_dir / f"{name}.png").exists() for name in names
        ):
            figures.draw_run(cvae_faces.RECIPE, run, engine.load(cvae_faces.RECIPE, run))
        for name in names:
            drawn, kept = runs[version].figures_dir / f"{name}.png", out / f"cvae-faces-{version}-{name}.png"
            if drawn.exists():
                shutil.copyfile(drawn, kept)
            if kept.exists():
                page.say(f"![{version}: {name}]({kept.name})", "")


if __name__ == "__main__":
    sys.exit(main())
