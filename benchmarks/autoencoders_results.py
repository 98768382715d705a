"""Trains ae, vae and wae on MNIST and writes docs/results/autoencoders.md from the run folders.

    EPOCHAL_DATA=… python benchmarks/autoencoders_results.py nll --lab LAB [--versions binarised iwae binarised-conv]
    EPOCHAL_DATA=… python benchmarks/autoencoders_results.py table --lab LAB [--seeds 6] [--models AE VAE]
    EPOCHAL_DATA=… python benchmarks/autoencoders_results.py page --lab LAB      # from what is there, trains nothing

`nll`: likelihoods on binarised digits. `table`: the four models at equal latent size, seed by seed. Killed, it goes on
where it stopped; several calls may work on one lab. Exits 1 when a number misses its target or a run is missing.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import records
from results_page import RESULTS, Page, evaluated, origin, seconds, spread, trained
from scipy import stats

from epochal.journal import Lab, Run
from epochal.report import figures
from epochal.systems import recipes
from epochal.systems.recipes import _autoencoders as shared
from epochal.systems.recipes import _latent_samples as samples
from epochal.systems.recipes import vae
from epochal.training import engine
from epochal.training.task import ImageGrid, Trained, Version

REFERENCE, WITHIN = 89.9, 1.5  # nats: the published likelihood, and how near to it counts
NLL = ("binarised", "iwae", "binarised-conv")
MANY = 5000  # importance samples of the reference for the iwae version
MODELS = {
    "AE": ("ae", "mlp"),
    "VAE": ("vae", "mlp"),
    "WAE-MMD": ("wae", "mlp"),
    "WAE-GAN": ("wae", "gan"),
}
LEAST_SEEDS = 6
COLUMNS = {
    "mse": ("MSE", "{:.5f}"),
    "kl": ("KL, nats", "{:.2f}"),
    "mmd": ("MMD²", "{:.4f}"),
    "active_units": ("active units", "{:.1f}"),
    "fd_prior": ("FD from the prior", "{:.2f}"),
    "fd_mixture": ("FD from the mixture", "{:.2f}"),
    "kid_prior": ("KID from the prior", "{:.4f}"),
    "kid_mixture": ("KID from the mixture", "{:.4f}"),
}
ORDERED = ("mse", "mmd", "fd_prior", "fd_mixture")  # lower is better in all of them
DATA = {"data.source": "mnist"}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=["nll", "table", "page"], help="what to train; page: nothing")
    parser.add_argument("--lab", required=True, help="lab that holds the runs")
    parser.add_argument("--versions", nargs="+", choices=NLL, default=list(NLL), help="of vae, for nll")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS), help="for table")
    parser.add_argument("--seeds", type=int, default=LEAST_SEEDS, help="runs of each model, for table")
    parser.add_argument("--threads", type=int, help="CPU threads of a run (default: measured)")
    parser.add_argument("--device", default="auto", help="where to train")
    parser.add_argument("--out", default=str(RESULTS), help="folder to write to")
    options = parser.parse_args()
    lab = Lab(options.lab)
    how: dict[str, Any] = {"threads": options.threads, "device": options.device, "patch": DATA}
    if options.part == "nll":
        for version in options.versions:
            for run in trained(lab, "vae", version, [0], **how):
                likelihoods(run, lab)
    if options.part == "table":
        for seed in range(options.seeds):  # seed by seed: stopped early, it still compares all models
            for name in options.models:
                for run in trained(lab, *MODELS[name], [seed], **how):
                    evaluated(run, lab)
    return write(lab, Path(options.out))


def likelihoods(run: Run, lab: Lab) -> Mapping[str, Any]:
    """What was evaluated of a run; of the iwae version also the likelihood by the reference's 5,000 samples."""
    values: Mapping[str, Any] = evaluated(run, lab)
    if run.version == "iwae" and "nll_5000" not in values:
        model = engine.load(recipes.find("vae"), run)
        images = shared.read(model.settings).splits["test"]["images"]
        values = {**values, "nll_5000": vae.likelihood(model, images, MANY)["nll"]}
        run.update(evaluation={**run.reload().meta["evaluation"], "test": values})
    return values


# --- the page ------------------------------------------------------------------------------------------------------


def write(lab: Lab, out: Path) -> int:
    """The page from the runs that are there."""
    page = Page("Autoencoders on MNIST", "python benchmarks/autoencoders_results.py page --lab LAB")
    found = {"only_found": True}
    of_vae = {version: done(trained(lab, "vae", version, [0], **found)) for version in NLL}
    models = {
        name: {run.seed: run for run in done(trained(lab, *which, range(100), **found))}
        for name, which in MODELS.items()
    }
    runs = [run for group in of_vae.values() for run in group]
    runs += [run for by_seed in models.values() for run in by_seed.values()]
    if not runs:
        return page.nothing(out / "autoencoders.md", lab)
    page.say(*origin(runs), "")
    likelihood_section(page, of_vae)
    if all(models.values()):
        table_section(page, models)
        order_section(page, models)
        pictures(page, {name: by_seed[min(by_seed)] for name, by_seed in models.items()}, out)
    else:
        missing = ", ".join(name for name, by_seed in models.items() if not by_seed)
        page.section("Four models at equal latent size")
        page.say(f"Not there yet: {missing} (`table`).")
        page.misses.append(f"no run of {missing}")
    records.keep(runs, out / "records")
    return page.write(out / "autoencoders.md")


def done(runs: Sequence[Run]) -> list[Run]:
    """Those on real MNIST that were evaluated."""
    return [run for run in runs if "test" in run.meta["evaluation"] and run.meta["data"]["name"] == "mnist"]


def measured(run: Run) -> Mapping[str, Any]:
    found: Mapping[str, Any] = run.meta["evaluation"]["test"]
    return found


def likelihood_section(page: Page, of_vae: Mapping[str, Sequence[Run]]) -> None:
    """-log p(x) of the test digits, beside what was published."""
    page.section("Likelihood of binarised digits")
    page.say(
        "Every pixel of training and test images was drawn once from Bernoulli(pixel / 255), with a fixed seed. NLL: "
        f"-log p(x) by {vae.IMPORTANCE_SAMPLES} importance samples, mean over the 10,000 test images ± its standard "
        "error over images, nats; the network of the epoch with the best bound on held-out training images. "
        "`binarised` is 784-400-40-400-784 with GELU, batches of 100, Adam from 2e-3 down to 0; activation and rate "
        "were chosen in shorter trials that were not kept. Active units: latents whose posterior mean varies by more "
        "than 0.01 over images (Burda et al. 2016). 89.9 is the diagonal-covariance row of Rezende & Mohamed, "
        '"Variational Inference with Normalizing Flows" (2015). Minutes are by the clock on the wall, pauses included.',
        "",
    )
    rows = []
    for version, runs in of_vae.items():
        described = recipes.version_of(recipes.find("vae"), version)
        if not runs:
            page.misses.append(f"vae {version}: not trained or not evaluated")
            rows.append([version, described.change, "not trained", *["–"] * 5, published(described)])
            continue
        (run,) = runs
        values = measured(run)
        more = f" ({values['nll_5000']:.2f} by {MANY:,})" if "nll_5000" in values else ""
        rows.append(
            [
                version,
                described.change,
                str(run.meta["epochs_done"]),
                f"{seconds(run) / 60:.0f}",
                f"{values['nll']:.2f} ± {values['nll_standard_error']:.2f}{more}",
                f"{values['elbo']:.2f}",
                f"{values['kl']:.2f}",
                f"{values['active_units']:.0f} of {run.settings['net']['latent']}",
                published(described),
            ]
        )
    head = ("version", "change", "epochs", "minutes", "NLL", "ELBO", "KL", "active units", "published")
    page.table(head, rows)
    if of_vae["binarised"]:
        nll = measured(of_vae["binarised"][0])["nll"]
        met = page.target(f"binarised: NLL {nll:.2f}", nll <= REFERENCE + WITHIN)
        page.say(
            "",
            f"- NLL of `binarised` within {WITHIN} nats of {REFERENCE} or below: {nll:.2f}: {met}",
        )


def published(version: Version) -> str:
    """What is reported of a version, and by whom."""
    return f"{version.reported['nll']:g} ({version.source})" if version.reported else "–"


def table_section(page: Page, models: Mapping[str, Mapping[int, Run]]) -> None:
    """The four models beside each other."""
    first = next(iter(next(iter(models.values())).values()))
    settings, said = first.settings, first.meta["measured_with"]["test"]
    page.section("Four models at equal latent size")
    page.say(
        f"784-400-{settings['net']['latent']}-400-784, batch {settings['batch_size']}, Adam, {settings['epochs']} "
        "epochs each. AE and both WAEs minimise the squared error, the VAE the Bernoulli bound; MSE is of the decoded "
        "mean code. MMD²: of the codes (the VAE's are drawn) from N(0, I), inverse multiquadratic kernels. Mixture: "
        "ten Gaussians with full covariances, fitted to the training codes. Mean ± standard deviation over seeds.",
        "",
        f"- FD and KID by `{said['extractor']}`: {said['measured_on']}",
        f"- real images beside real ones: FD {measured(first)['fd_floor']:.2f}",
        "",
    )
    rows = [
        [name, *(spread(over(by_seed, key), write.format) for key, (_, write) in COLUMNS.items())]
        for name, by_seed in models.items()
    ]
    page.table(["model", *(head for head, _ in COLUMNS.values())], rows)
    for name, by_seed in models.items():
        page.target(f"{name}: {len(by_seed)} seeds of {LEAST_SEEDS}", len(by_seed) >= LEAST_SEEDS)


def over(by_seed: Mapping[int, Run], key: str) -> list[float]:
    """A measured number of every seed that has it."""
    return [measured(run)[key] for run in by_seed.values() if key in measured(run)]


def order_section(page: Page, models: Mapping[str, Mapping[int, Run]]) -> None:
    """Which is better in what, neighbours in the order compared seed by seed."""
    page.section("The order found")
    page.say(
        "Best first. Between neighbours: the mean difference, paired by seed, with its 95 % interval from Student's t "
        "(which takes the differences as normal) and two-sided p. Where the interval holds 0 the order is not decided: "
        "≈. Not corrected for how many there are.",
        "",
    )
    rows = []
    for key in ORDERED:
        ranked = sorted(models, key=lambda name: mean(over(models[name], key)))
        rows.append(
            [
                COLUMNS[key][0],
                ranked[0] + "".join(f" {sign(models, key, a, b)} {b}" for a, b in pairwise(ranked)),
                "; ".join(
                    f"{b} - {a}: {difference(models, (a, key), (b, key))}" for a, b in pairwise(ranked)
                ),
            ]
        )
    page.table(["lower is better", "order", "differences"], rows)
    worst = max(models, key=lambda name: mean(over(models[name], "fd_prior")))
    holds = page.target("the AE sampled from the prior is the worst by FD", worst == "AE")
    gain = difference(models, ("AE", "fd_mixture"), ("AE", "fd_prior"))
    prior, mixed = (mean(over(models["AE"], key)) for key in ("fd_prior", "fd_mixture"))
    better = page.target("a mixture on the AE's codes halves its FD", mixed < prior / 2)
    page.say(
        "",
        f"- expected from the literature, the AE sampled from N(0, I) is the worst by FD: {holds}",
        f"- and a mixture fitted to its codes is far better (less than half the FD): {better}; FD from the prior minus "
        f"FD from the mixture: {gain}",
    )


def difference(models: Mapping[str, Mapping[int, Run]], a: tuple[str, str], b: tuple[str, str]) -> str:
    """b - a over their common seeds: `mean [low, high], p = …, n = k`; a and b are (model, metric)."""
    differences = by_seed(models, a, b)
    if len(differences) < 2:
        return "one seed only"
    low, middle, high, p = paired(differences)
    return f"{middle:.3g} [{low:.3g}, {high:.3g}], p = {p:.2g}, n = {len(differences)}"


def sign(models: Mapping[str, Mapping[int, Run]], key: str, a: str, b: str) -> str:
    """ "<" where model a has less of a metric than b by more than the interval is wide, else "≈"."""
    differences = by_seed(models, (a, key), (b, key))
    return "<" if len(differences) > 1 and paired(differences)[0] > 0 else "≈"


def by_seed(
    models: Mapping[str, Mapping[int, Run]], a: tuple[str, str], b: tuple[str, str]
) -> np.ndarray[Any, Any]:
    """b - a, seed by seed; a and b are (model, metric)."""
    seeds = sorted(models[a[0]].keys() & models[b[0]].keys())
    first, second = ([measured(models[name][seed])[key] for seed in seeds] for name, key in (a, b))
    return np.asarray(second) - np.asarray(first)


def paired(differences: np.ndarray[Any, Any]) -> tuple[float, float, float, float]:
    """Lower end, mean, upper end of the 95 % interval of a mean (Student's t), and two-sided p of its being 0."""
    n, middle = len(differences), float(differences.mean())
    error = float(differences.std(ddof=1)) / math.sqrt(n)
    half = float(stats.t.ppf(0.975, n - 1)) * error
    p = float(2 * stats.t.sf(abs(middle) / error, n - 1)) if error else float(middle == 0)
    return middle - half, middle, middle + half, p


# --- pictures ------------------------------------------------------------------------------------------------------


def pictures(page: Page, runs: Mapping[str, Run], out: Path) -> None:
    """One run of each model: samples, reconstructions, interpolations. Bare records keep the earlier pictures."""
    page.section("What they draw")
    if all(list(run.checkpoints_dir.glob("*.safetensors")) for run in runs.values()):
        models = {name: engine.load(recipes.find(run.recipe), run) for name, run in runs.items()}
        for stem, grid in (
            ("samples", sample_grid(models)),
            ("reconstructions", reconstruction_grid(models)),
            ("interpolations", interpolation_grid(models)),
        ):
            figures.draw(grid, out / f"autoencoders-{stem}.png", subtitle="mlp versions, seed 0, MNIST")
    for stem, what in (
        ("samples", "Samples from prior and mixture"),
        ("reconstructions", "Test images and their reconstructions"),
        ("interpolations", "Between two test images"),
    ):
        if (out / f"autoencoders-{stem}.png").exists():
            page.say(f"![{what}](autoencoders-{stem}.png)", "")


def sample_grid(models: Mapping[str, Trained], columns: int = 14) -> ImageGrid:
    """A row a model and sampler."""
    rows, names = [], []
    for name, model in models.items():
        for sampler in ("prior", "mixture"):
            grid = samples.generate(model, samples.Request(sampler, n=columns))  # type: ignore[arg-type]
            rows.append(grid.images.reshape(-1, 28, 28)[:columns])
            names.append(f"{name}, {sampler}")
    return ImageGrid(
        np.stack(rows), title="Not chosen: the first samples from N(0, I) and a mixture", rows=names
    )


def reconstruction_grid(models: Mapping[str, Trained]) -> ImageGrid:
    """Test images, a row of reconstructions a model."""
    rows, names = [], ["test image"]
    for name, model in models.items():
        grid = samples.reconstructions(model, shared.read(model.settings), n=14)
        rows += [grid.images[0]] * (not rows) + [grid.images[1]]
        names.append(name)
    return ImageGrid(np.stack(rows), title="Test images and their reconstructions", rows=names)


def interpolation_grid(models: Mapping[str, Trained]) -> ImageGrid:
    """The same two test images in every model."""
    grids = [
        samples.interpolations(model, shared.read(model.settings), rows=2, steps=12, seed=3)
        for model in models.values()
    ]
    return ImageGrid(
        np.concatenate([grid.images for grid in grids]),
        title="Along straight lines between the codes of two test images",
        rows=[f"{name}, pair {pair}" for name in models for pair in (1, 2)],
    )


if __name__ == "__main__":
    sys.exit(main())
