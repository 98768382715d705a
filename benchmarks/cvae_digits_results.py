"""Writes docs/results/cvae-digits.md from a lab: losses beside the reported ones, the log's claims in numbers.

    EPOCHAL_DATA=… epochal run cvae-digits model-2 --seeds 3 --data.source mnist --lab LAB     (likewise model-4)
    EPOCHAL_DATA=… epochal run cvae-digits model-1 --data.source mnist --lab LAB      (likewise model-3, model-5)
    python benchmarks/cvae_digits_results.py --lab LAB --evaluate

Exits 1 when a number misses its target; says which runs are missing. The reported curves are in
benchmarks/reference/cvae-digits.csv. Each run's record (run.json and its epoch lines) is kept beside the table.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections import defaultdict
from pathlib import Path
from statistics import mean, stdev

import records
from results_page import Page, origin

import epochal
from epochal.folders import cache_folder
from epochal.journal import Lab, Run
from epochal.report import figures
from epochal.systems import recipes
from epochal.training.task import Curves

HERE = Path(__file__).parent
TOLERANCE = 2.0  # per cent
CURVES = ("model-2", "model-4")  # compared epoch by epoch over seeds
METRICS = (
    "reconstruction",
    "psnr",
    "kl",
    "active_units",
    "label_accuracy",
    "thickness_mae",
    "thickness_r2",
    "greyness",
)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lab", required=True, help="lab that holds the runs")
    parser.add_argument("--out", default=str(HERE.parent / "docs" / "results"), help="folder to write to")
    parser.add_argument("--evaluate", action="store_true", help="evaluate runs that are not evaluated yet")
    options = parser.parse_args()
    lab, out = Lab(options.lab), Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    by_version = finished(lab)
    if options.evaluate:
        for run in (run for group in by_version.values() for run in group):
            if "test" not in run.meta["evaluation"]:
                epochal.evaluate(run.id, lab=lab)
                run.reload()
    page = Page(
        "cvae-digits on MNIST: reproduced against reported",
        "python benchmarks/cvae_digits_results.py --lab LAB --evaluate",
    )
    page.say(*about(by_version))
    final_losses(page, by_version)
    for version in CURVES:
        epochs(page, version, by_version, out)
    claims(page, by_version)
    quality(page, by_version)
    records.keep((run for group in by_version.values() for run in group), out / "records")
    return page.write(out / "cvae-digits.md")


def finished(lab: Lab) -> dict[str, list[Run]]:
    """Finished runs of the five versions on real MNIST, unpatched, by version; seeds in order, each once."""
    found: dict[str, dict[int, Run]] = defaultdict(dict)
    for run in lab.runs():
        plain = run.parent is None and run.name is None and run.settings["data"]["limit"] is None
        if (
            run.recipe == "cvae-digits"
            and run.status == "finished"
            and plain
            and run.meta["data"]["name"] == "mnist"
        ):
            found[str(run.version)].setdefault(run.seed, run)
    return {version: [by_seed[s] for s in sorted(by_seed)] for version, by_seed in sorted(found.items())}


def reported() -> dict[str, dict[int, float]]:
    """Version → epoch → loss of the reference log (middle epochs are elided there)."""
    curves: dict[str, dict[int, float]] = defaultdict(dict)
    with (HERE / "reference" / "cvae-digits.csv").open() as file:
        for row in csv.DictReader(file):
            curves[row["run"]][int(row["epoch"])] = float(row["loss"])
    return curves


def about(by_version: dict[str, list[Run]]) -> list[str]:
    """What was run where."""
    runs = [run for group in by_version.values() for run in group]
    if not runs:
        return ["No finished run yet."]
    seeds = ", ".join(f"{version}: {len(group)}" for version, group in by_version.items())
    return [
        "The runs: `epochal run cvae-digits VERSION --data.source mnist`.",
        "",
        f"- seeds: {seeds}",
        *origin(runs),
        "- loss: mean over an epoch's images in train mode (dropout on, L2 penalty included), as in the reference",
    ]


def losses(run: Run) -> dict[int, float]:
    return dict(run.epoch_values("train")["loss"])


def curves_of(version: str, by_version: dict[str, list[Run]]) -> dict[str, dict[int, float]]:
    """Training loss by epoch, one curve a seed, named.

    A seed that a version was not trained with, but a longer version that differs in nothing but `epochs` was, is
    read off that run's first epochs: no random stream, learning rate or loss depends on how many there will be.
    """
    named = {version_.name: version_ for version_ in recipes.find("cvae-digits").versions}
    own = {run.seed: (f"seed {run.seed}", losses(run)) for run in by_version.get(version, [])}
    length = recipes.settings_of(recipes.find("cvae-digits"), version).epochs
    for longer in named.values():
        if longer.parent == version and set(longer.patch) == {"epochs"}:
            for run in by_version.get(longer.name, []):
                first = {epoch: loss for epoch, loss in losses(run).items() if epoch <= length}
                own.setdefault(run.seed, (f"seed {run.seed} ({longer.name}'s first {length} epochs)", first))
    return dict(own[seed] for seed in sorted(own))


def final_losses(page: Page, by_version: dict[str, list[Run]]) -> None:
    """Last epoch's training loss of every version."""
    page.section("Final training loss")
    rows = []
    for version in recipes.find("cvae-digits").versions:
        curves = curves_of(version.name, by_version)
        wanted = version.reported["loss"]
        if not by_version.get(version.name):
            page.misses.append(f"{version.name}: no finished run")
            rows.append([version.name, version.change, "–", "–", f"{wanted:g}", "–", "missing"])
            continue
        values = [curve[max(curve)] for curve in curves.values()]
        off = 100 * (mean(values) / wanted - 1)
        met = page.target(f"{version.name}: final loss {off:+.2f} %", abs(off) <= TOLERANCE)
        spread = f" ± {stdev(values):.3f}" if len(values) > 1 else ""
        epochs_done = str(max(max(curve) for curve in curves.values()))
        rows.append(
            [
                version.name,
                version.change,
                epochs_done,
                f"{mean(values):.4f}{spread} (n = {len(values)})",
                f"{wanted:g}",
                f"{off:+.2f} %",
                met,
            ]
        )
    page.table(
        ["version", "change from its parent", "epochs", "loss", "reported", "difference", "within 2 %"], rows
    )


def epochs(page: Page, version: str, by_version: dict[str, list[Run]], out: Path) -> None:
    """Epoch by epoch, the mean of the seeds beside the reported curve."""
    page.section(f"{version}, epoch by epoch")
    curves, wanted = curves_of(version, by_version), reported()[version]
    if not curves:
        page.say("No finished run yet.")
        return
    rows, worst = [], 0.0
    for epoch, value in wanted.items():
        values = [curve[epoch] for curve in curves.values()]
        off = 100 * (mean(values) / value - 1)
        worst = max(worst, abs(off)) if epoch >= 2 else worst
        rows.append(
            [
                str(epoch),
                *(f"{v:.4f}" for v in values),
                f"{mean(values):.4f}",
                f"{value:.4f}",
                f"{off:+.2f} %",
            ]
        )
    page.table(["epoch", *curves, "mean", "reported", "difference"], rows)
    complete = len(curves) >= 3
    met = page.target(
        f"{version}: epochs from the 2nd within 2 % over three seeds", complete and worst <= TOLERANCE
    )
    page.say(
        "",
        f"Largest difference from the 2nd epoch on: {worst:.2f} % over {len(curves)} seeds; within 2 %: {met}.",
    )
    series = {name.split(" (")[0]: (list(curve), list(curve.values())) for name, curve in curves.items()}
    series["reported"] = (list(wanted), list(wanted.values()))
    picture = out / f"cvae-digits-{version}.png"
    title = f"cvae-digits {version}: training loss against the reported curve"
    figures.draw(Curves(series, title=title, x_axis="epoch", y_axis="loss per image"), picture)
    page.say("", f"![{title}]({picture.name})")


def tested(group: list[Run], metric: str) -> list[float]:
    return [run.meta["evaluation"]["test"][metric] for run in group if "test" in run.meta["evaluation"]]


def claims(page: Page, by_version: dict[str, list[Run]]) -> None:
    """The reference log's two remarks, checked with numbers."""
    page.section("The log's claims in numbers")
    for metric, first, second, claim, what in (
        (
            "ones_width",
            "model-1",
            "model-2",
            lambda a, b: b < a and b <= 1.05,
            "model-2 draws a 1 no thicker than other digits at equal t, model-1 does not",
        ),
        ("greyness", "model-2", "model-4", lambda a, b: b < a, "the grey loss makes images crisper"),
    ):
        a, b = tested(by_version.get(first, []), metric), tested(by_version.get(second, []), metric)
        if not a or not b:
            page.say(f"- {what}: not evaluated yet.")
            page.misses.append(f"claim on {metric}: runs missing")
            continue
        holds = page.target(f"claim: {what}", claim(mean(a), mean(b)))
        page.say(
            f"- {what}: {metric} {mean(a):.4f} (n = {len(a)}) for {first}, {mean(b):.4f} (n = {len(b)}) "
            f"for {second}: holds: {holds}."
        )
    page.say(
        "",
        "`ones_width` is the stroke width of sampled 1s divided by that of the other digits at equal t (1: no "
        "thicker); `greyness` the mean of 4y(1 - y) over the pixels of 10,000 samples.",
    )


def quality(page: Page, by_version: dict[str, list[Run]]) -> None:
    """What `evaluate` measured; model-4 has targets."""
    page.section("Quality, by `epochal evaluate`")
    judge(page)
    recipe = recipes.find("cvae-digits")
    rows = []
    for metric in METRICS:
        what = next(m for m in recipe.metrics if m.name == metric)
        cells = []
        for version in recipe.versions:
            values = tested(by_version.get(version.name, []), metric)
            spread = f" ± {stdev(values):.2g}" if len(values) > 1 else ""
            cells.append(f"{mean(values):.4g}{spread}" if values else "–")
        rows.append([f"{metric} ({what.better} is better)", what.what.replace("|", "\\|"), *cells])
    page.table(["metric", "what", *(v.name for v in recipe.versions)], rows)
    page.say("")
    for metric, least in (("label_accuracy", 0.98), ("thickness_r2", 0.9)):
        values = tested(by_version.get("model-4", []), metric)
        if not values:
            page.misses.append(f"model-4 {metric}: not evaluated")
            continue
        met = page.target(f"model-4: {metric} {mean(values):.4f} < {least}", mean(values) >= least)
        page.say(f"- model-4, {metric} >= {least}: {mean(values):.4f} (n = {len(values)}): {met}")


def judge(page: Page) -> None:
    """How well the classifier that reads the samples reads real test images."""
    accuracies = [
        run.meta["evaluation"]["test"]["accuracy"]
        for run in Lab(cache_folder() / "helpers").runs()
        if run.recipe == "digit-judge"
        and run.meta["data"]["name"] == "mnist"
        and "test" in run.meta["evaluation"]
    ]
    if not accuracies:
        page.misses.append("the judge is not evaluated")
        return
    met = page.target(f"judge: accuracy {accuracies[0]:.4f}", accuracies[0] >= 0.992)
    page.say(
        "Samples are read by `digit-judge`, trained on the 60,000 training images by the same engine: "
        f"{accuracies[0]:.2%} of the 10,000 real test images right; >= 99.2 %: {met}.",
        "",
    )


if __name__ == "__main__":
    sys.exit(main())
