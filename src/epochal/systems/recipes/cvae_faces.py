"""cvae-faces: draws a face to order (sex, hair darkness, mouth, eyes); one latent vector keeps one face.

Read from top to bottom: settings, the study's versions, networks, training, measuring, drawing.

The trap that the first three versions show: their loss is W·mean((x - y)²) + KL with the mean over 43,200 values,
so W = 43,200 is the ELBO of a Gaussian likelihood with variance 1/2, and anything less is a β-VAE with
β = 43,200 / W. At W = 1 nothing is worth its KL, and the decoder draws one face a condition.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

from epochal.settings import Interval
from epochal.settings.common import RecipeSettings
from epochal.systems.data.rows import spaced
from epochal.systems.recipes import _faces_drawing as drawing
from epochal.systems.recipes import _faces_measuring as measuring
from epochal.systems.recipes._faces_measuring import INSTRUMENT, VALUES
from epochal.training.task import (
    Batch,
    ImageGrid,
    Metric,
    Optimiser,
    Phase,
    Recipe,
    Task,
    Trained,
    Version,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

    from epochal.systems.data import Dataset
    from epochal.training.task import Array, Figure, Nets


@dataclass(frozen=True)
class Net:
    """Sizes of encoder and decoder."""

    latent: Annotated[int, Interval(1, 1024)] = 48
    """Latent dimensions."""
    side_path: Literal["dense", "broadcast", "none"] = "dense"
    """What latent and condition add at each scale: a number a position and channel, one a channel, or nothing."""
    bounded: bool = True
    """Tanh on the posterior's mean and log-variance."""
    dropout: Annotated[float, Interval(0, 1, open_high=True)] = 0.45
    """Dropout after each block but the last, of encoder and decoder."""
    width: Annotated[float, Interval(0, 4, open_low=True)] = 1.0
    """Factor on all channels and units."""
    prior: Literal["standard", "fitted"] = "standard"
    """What new faces are decoded from: N(0, I), or a Gaussian fitted to the training images' codes, which lie elsewhere
    where the KL is cheap."""


@dataclass(frozen=True)
class Loss:
    """Weights of the loss, per image."""

    weight: Annotated[float, Interval(0, open_low=True)] = 1.0
    """Weight W of the mean squared error over 43,200 values; β = 43,200 / W."""
    kl_from: Annotated[float, Interval(1)] = 1.0
    """Weight of the KL at first. Well above 1 the code holds nothing yet, and the decoder learns what the conditions
    alone explain before the code can say it too (capacity that opens: Burgess et al. 2018)."""
    kl_constant: Annotated[int, Interval(0)] = 0
    """First epochs with that weight."""
    kl_fall: Annotated[int, Interval(1)] = 1
    """Epochs after them in which it falls to 1, by the same factor each."""
    independence: Annotated[float, Interval(0)] = 0.0
    """Weight λ of what an adversary reads of the conditions off the code (Lample et al. 2017): the mean square of its
    answers, which for the best one is the share of a condition's variance that is read, summed over the conditions; 0:
    there is none."""
    l2: Annotated[float, Interval(0)] = 0.001
    """Weight of the sum of squares of all convolution kernels."""


@dataclass(frozen=True)
class Optim:
    """Adam, its learning rate constant at first, then falling by a factor an epoch."""

    lr: Annotated[float, Interval(0, open_low=True)] = 2e-4
    """Learning rate at the first step, or once it is warm."""
    warm_up: Annotated[int, Interval(0)] = 0
    """First steps in which the learning rate rises in equal parts (Goyal et al. 2017); 0: none."""
    decay: Annotated[float, Interval(0)] = 1e-6
    """Decay of the learning rate a step: lr / (1 + decay·step)."""
    constant_epochs: Annotated[int, Interval(0)] = 4
    """First epochs without the factor."""
    factor: Annotated[float, Interval(0, 1, open_low=True)] = 0.99
    """Factor on the learning rate with every later epoch."""
    eps: Annotated[float, Interval(0, open_low=True)] = 1e-7
    """Adam's epsilon (Keras' default; torch's is 1e-8)."""


@dataclass(frozen=True)
class Adversary:
    """The network that reads the conditions off a code, where `loss.independence` asks for one."""

    hidden: Annotated[int, Interval(1)] = 256
    """Units of its two hidden layers."""
    lr: Annotated[float, Interval(0, open_low=True)] = 1e-3
    """Learning rate of its Adam."""


@dataclass(frozen=True)
class Settings(RecipeSettings):
    """Everything that can be set."""

    epochs: Annotated[int, Interval(1)] = 24
    """Passes over the training data in total, those before a resume included."""
    net: Net = field(default_factory=Net)
    loss: Loss = field(default_factory=Loss)
    optim: Optim = field(default_factory=Optim)
    adversary: Adversary = field(default_factory=Adversary)


VERSIONS = (
    Version(
        "baseline",
        change="the mean over all values weighs as much as the KL: a β-VAE with β = 43,200",
        reported={"loss": 0.0449},
        source="reference log",
    ),
    Version(
        "model-2",
        parent="baseline",
        change="squared error weighs 500 times as much: β = 86.4",
        patch={"loss.weight": 500.0},
        reported={"loss": 18.4235},
        source="reference log",
    ),
    Version(
        "model-3",
        parent="model-2",
        change="110 latent dimensions instead of 48",
        patch={"net.latent": 110},
        reported={"loss": 18.7374},
        source="reference log",
    ),
    Version(
        "logged-best",
        parent="model-3",
        change="thirty models later: W = 200,000 (β = 0.216), 231 latent dimensions, a faster and falling rate",
        patch={
            "loss.weight": 200_000.0,
            "net.latent": 231,
            "optim.lr": 6e-4,
            "optim.factor": 0.9675,
        },
        reported={"loss": 1499.0},
        source="reference log",
    ),
    Version(
        "sum-mse",
        parent="baseline",
        change="W = 43,200: the ELBO itself (β = 1), and no tanh on mean and log-variance",
        patch={"loss.weight": float(VALUES), "net.bounded": False},
    ),
    Version(
        "recommended",
        parent="sum-mse",
        change="W = 432,000 (β = 0.1), but β = 86.4 for three epochs, from which it falls by the eighth, and an "
        "adversary that reads conditions off the code, so that the code repeats them less; faces from a Gaussian "
        "fitted to the codes; no dropout; rate 1e-3, warmed up and falling, gradients clipped; half the width",
        patch={
            "loss.weight": 432_000.0,
            "loss.kl_from": 864.0,
            "loss.kl_constant": 3,
            "loss.kl_fall": 5,
            "loss.independence": 100.0,
            "net.dropout": 0.0,
            "net.width": 0.5,
            "net.prior": "fitted",
            "optim.lr": 1e-3,
            "optim.warm_up": 100,
            "optim.constant_epochs": 12,
            "optim.factor": 0.85,
            "clip_grad_norm": 100.0,
        },
    ),
)


def nets(settings: Settings) -> dict[str, Any]:
    """Encoder, decoder, and the values that the conditions take; an adversary, and where the codes lie, as wanted."""
    from epochal.systems.nets import cvae_faces

    net = settings.net
    found: dict[str, Any] = {
        "condition": cvae_faces.Condition(),
        "encoder": cvae_faces.Encoder(net.latent, net.dropout, bounded=net.bounded, width=net.width),
        "decoder": cvae_faces.Decoder(net.latent, net.dropout, side_path=net.side_path, width=net.width),
    }
    if settings.loss.independence:
        found["adversary"] = cvae_faces.Adversary(net.latent, settings.adversary.hidden)
    if net.prior == "fitted":
        found["codes"] = cvae_faces.Codes(net.latent)
    return found


def parameter_counts(settings: Settings) -> dict[str, int]:
    """Weights and biases of the encoder, of the decoder, and of the decoder's side paths among them."""
    import torch

    with torch.device("meta"):  # shapes only: the largest layer alone would take 500 MB
        made = nets(settings)

    def count(module: Any) -> int:
        return sum(p.numel() for p in module.parameters())

    encoder, decoder = made["encoder"], made["decoder"]
    return {
        "encoder": count(encoder),
        "decoder": count(decoder),
        "decoder's side paths": count(decoder.sides),
    }


def parameters_text(settings: Settings) -> str:
    """The counts in words."""
    encoder, decoder, beside = parameter_counts(settings).values()
    return (
        f"{encoder + decoder:,} parameters: encoder {encoder:,}, decoder {decoder:,}, of these {beside:,} in side "
        f"paths ({settings.net.side_path})"
    )


def filled_text(labels: Array) -> list[str]:
    """How many conditions of the training images (n, 5) are no labels but a network's answers; nothing where none."""
    import numpy as np

    counts = np.isnan(labels).sum(axis=0)
    filled = {"sex": counts[0], "hair": counts[2], "mouth": counts[3], "eyes": counts[4]}
    said = ", ".join(f"{what} {count:,}" for what, count in filled.items() if count)
    return [f"conditions filled in by networks, of {len(labels):,} training images: {said}"] if said else []


def beta(settings: Settings) -> float:
    """β = 43,200 / W: the weight of the KL beside a Gaussian likelihood with variance 1/2."""
    return VALUES / settings.loss.weight


def build(settings: Settings, nets: Nets, helpers: Mapping[str, Trained] | None = None) -> Task:
    """Reads the faces, learns which values the conditions take, and says how to train."""
    import torch

    from epochal.systems.losses import vae

    found = read(settings)
    train, test = (columns_of(found, split, helpers or {}) for split in ("train", "test"))
    adversarial = settings.loss.independence > 0
    for learns in ("condition", *(["adversary"] if adversarial else [])):
        nets[learns].fit(torch.from_numpy(train["conditions"]))

    def prepare(batch: Batch) -> Batch:
        return Batch(x=drawing.pixels(batch["images"]), c=batch["conditions"])

    def loss(nets: Nets, batch: Batch, rng: torch.Generator) -> tuple[Any, Mapping[str, Any]]:
        mean, log_variance = nets["encoder"](batch["x"], batch["c"])
        z = vae.sample(mean, log_variance, rng)
        y = nets["decoder"](z, batch["c"])
        mse = (batch["x"] - y).square().mean()
        kl = vae.gaussian_kl(mean, log_variance).mean()
        reconstruction = settings.loss.weight * mse
        total = reconstruction + kl_weight(settings, batch.epoch) * kl
        parts = {"bound": reconstruction + kl, "reconstruction": reconstruction, "kl": kl, "mse": mse}
        if "codes" in nets:
            nets["codes"].learn(z.detach())
        if adversarial:
            parts["told"] = nets["adversary"](z).square().sum(1).mean()
            total = total + settings.loss.independence * parts["told"]
            batch["z"] = z.detach()  # the adversary's phase reads the same codes
        return total, parts

    def adversary(nets: Nets, batch: Batch, rng: torch.Generator) -> tuple[Any, Mapping[str, Any]]:
        wanted = nets["adversary"].target(batch["c"])
        return (nets["adversary"](batch["z"]) - wanted).square().sum(1).mean(), {}

    part, _ = parts_of(len(test["conditions"]))
    watched = Batch({name: torch.from_numpy(test[name][part].copy()) for name in ("images", "conditions")})

    def validate(nets: Nets, rng: torch.Generator) -> dict[str, Any]:
        return watch(settings, nets, watched, rng)

    def sample(nets: Nets, rng: torch.Generator) -> ImageGrid:
        return drawing.moved_grid(nets, rng, columns=5)

    phases = [
        Phase(
            name="cvae",
            trains=("encoder", "decoder"),
            loss=loss,
            l2=settings.loss.l2,
            optimiser=Optimiser(
                "adam", lr=settings.optim.lr, eps=settings.optim.eps, schedule=schedule(settings)
            ),
            definition=definition(settings),
        )
    ]
    if adversarial:
        phases.append(
            Phase(
                name="adversary",
                trains=("adversary",),
                loss=adversary,
                optimiser=Optimiser("adam", lr=settings.adversary.lr),
                definition="mean over images of the sum over conditions of (standardised c - a(z))²",
            )
        )
    return Task(
        train={name: train[name] for name in ("images", "conditions")},
        batch_size=settings.batch_size,
        prepare=prepare,
        phases=phases,
        validate=validate,
        keep_best=Metric("bound", "lower", "W·mse + KL on the watched images"),
        sample=sample,
        data={
            "name": found.name,
            "source": found.origin,
            "drawn": found.drawn,
            "sha256": found.sha256,
            "parameters": parameter_counts(settings),
        },
        remarks=[*remarks(settings, nets, train), *filled_text(train["labels"])],
    )


WATCHED = 400
"""The first test images, at most a third of them, watch the training and choose the best epoch; `evaluate` measures on
the others."""


def remarks(settings: Settings, nets: Nets, train: Mapping[str, Array]) -> tuple[str, ...]:
    """What can be said before the first step: sizes, what β lets survive, and what the penalty weighs."""
    said = [parameters_text(settings)]
    if len(train["images"]) > 1:
        numbers, prospects = measuring.prospects(settings, train, measuring.LOOKED_AT)
        said += [prospects, measuring.kernel_penalty(settings, nets, numbers["mean_face_mse"])[1]]
    return tuple(said)


def schedule(settings: Settings) -> Any:
    """Factor on the learning rate: 1 for the first epochs, then `factor` an epoch, and the decay a step; all that
    times the warm-up."""
    optim = settings.optim

    def factor(step: int, epoch: int) -> float:
        falling = max(0, epoch - optim.constant_epochs)
        warm = min(1.0, (step + 1) / max(1, optim.warm_up))
        return float(warm * optim.factor**falling / (1 + optim.decay * step))

    return factor


def kl_weight(settings: Settings, epoch: int) -> float:
    """Factor on the KL: `kl_from` in the first `kl_constant` epochs, from which it falls to 1 within `kl_fall`."""
    done = min(max(epoch - settings.loss.kl_constant, 0) / settings.loss.kl_fall, 1.0)
    return float(settings.loss.kl_from ** (1 - done))


def definition(settings: Settings) -> str:
    """The loss as a formula; runs whose formulas differ are not compared by loss."""
    wanted, k, told = settings.loss, "", ""
    if wanted.kl_from > 1:
        k = (
            f"; the KL times {measuring.told(wanted.kl_from)} in the first epochs ({wanted.kl_constant}), falling to 1 "
            f"within {wanted.kl_fall}"
        )
    if wanted.independence:
        told = f" + {measuring.told(wanted.independence)}·sum over 4 conditions of a(z)², a the adversary"
    return (
        "mean over images of W·mean over 43,200 values of (x - y)² + KL(q(z|x,c) ‖ N(0, I)), "
        f"W = {measuring.told(wanted.weight)} (β = 43,200 / W = {measuring.told(beta(settings))}){k}{told}"
    )


def watch(settings: Settings, nets: Nets, watched: Batch, rng: torch.Generator) -> dict[str, float]:
    """W·mse + KL, its parts and active units on the watched images, z drawn once an image.

    It is not called `loss`: the training's has more terms (the KL's factor, the penalty, the adversary's).
    """
    from epochal.evidence import metrics as m
    from epochal.systems.losses import vae

    squares, codes = 0.0, []
    count = len(watched["conditions"])
    for start in range(0, count, drawing.CHUNK):
        x = drawing.pixels(watched["images"][start : start + drawing.CHUNK].to(rng.device))
        c = watched["conditions"][start : start + drawing.CHUNK].to(rng.device)
        mean, log_variance = nets["encoder"](x, c)
        y = nets["decoder"](vae.sample(mean, log_variance, rng), c)
        squares += float((x - y).square().mean()) * len(x)
        codes.append((mean, log_variance))
    latent, mse = m.latent.measure(codes), squares / count
    reconstruction = settings.loss.weight * mse
    return {
        "bound": reconstruction + latent.kl,
        "reconstruction": reconstruction,
        "kl": latent.kl,
        "mse": mse,
        "active_units": float(latent.active_units),
    }


# --- data
# --------------------------------------------------------------------------------------------------

WANTED = "faces-folder"
BLUR = 2.0
"""Pixels: the largest standard deviation by which the images are blurred that the instrument learns from."""


def needs(settings: Settings) -> dict[str, tuple[str, dict[str, Any]]]:
    """Conditions of generated faces are measured by networks trained on the labels of the same images, blurred more or
    less: those that saw sharp ones only would measure the blur of generated faces."""
    from epochal.systems import data

    chosen = settings.data
    source = data.resolve(chosen.source, chosen.dir, wanted=WANTED)
    patch = {"data.source": source, "data.dir": chosen.dir, "augment.blur": BLUR}
    return {INSTRUMENT: ("face-conditions", patch)}


def needs_to_train(settings: Settings) -> dict[str, tuple[str, dict[str, Any]]]:
    """The same networks fill in labels that are missing; where none is, nothing is needed."""
    import numpy as np

    found = read(settings)
    missing = any(np.isnan(columns["conditions"]).any() for columns in found.splits.values())
    return needs(settings) if missing else {}


def read(settings: Settings) -> Dataset:
    """The faces that `settings.data` names, as stored."""
    from epochal.systems import data

    chosen = settings.data
    return data.load(chosen.source, wanted=WANTED, folder=chosen.dir, limit=chosen.limit)


def columns_of(found: Dataset, split: str, helpers: Mapping[str, Trained]) -> dict[str, Array]:
    """Columns of a split: images (n, 120, 120, 3) uint8, conditions (n, 5) float32 as given, else what the helper
    measures, and labels (n, 5): those given, but for what a network filled in earlier, which is none (NaN).

    Raises:
        EpochalError: labels are missing and there is no helper.
    """
    import numpy as np

    from epochal.errors import EpochalError

    images, labels = (found.splits[split][name] for name in ("images", "conditions"))
    given = np.array(labels, dtype=np.float32)
    rows = np.flatnonzero(np.isnan(given).any(axis=1))
    if len(rows):
        if INSTRUMENT not in helpers:
            raise EpochalError(
                f"{len(rows):,} of {len(given):,} {split} images of {found.name} lack a condition.",
                hint="Label them all, or train by `epochal run`, which lets face-conditions fill them in.",
            )
        measured = measuring.measured_conditions(helpers, images, rows)
        given[rows] = np.where(np.isnan(given[rows]), measured, given[rows])
    if "predicted" in found.splits[split]:
        labels = np.where(found.splits[split]["predicted"], np.float32("nan"), labels)
    return {"images": images, "conditions": given, "labels": labels}


# --- measuring
# --------------------------------------------------------------------------------------------------

METRICS = (
    Metric("mse", "lower", "mean over test images and 43,200 values of (x - y)²", margin=2e-4),
    Metric("psnr", "higher", "dB, mean over test images", margin=0.1),
    Metric("kl", "lower", "nats an image, on test images", margin=0.5),
    Metric("active_units", "higher", "latents with Var_x E[z|x] > 0.01", margin=1),
    Metric("active_directions", "higher", "eigenvalues of Cov_x E[z|x] > 0.01", margin=1),
    Metric(
        "sex_accuracy",
        "higher",
        "share of generated faces measured to be of the sex asked for",
        margin=0.01,
        by=(INSTRUMENT,),
    ),
    *(
        metric
        for axis, what in (
            ("sex", "p(male)"),
            ("hair", "hair darkness"),
            ("mouth", "mouth openness"),
            ("eyes", "eye openness"),
        )
        for metric in (
            Metric(
                f"{axis}_r2",
                "higher",
                f"R² of measured against asked {what} of generated faces",
                margin=0.01,
                by=(INSTRUMENT,),
            ),
            Metric(
                f"{axis}_mae",
                "lower",
                f"mean |measured - asked| {what} of generated faces",
                margin=0.01,
                by=(INSTRUMENT,),
            ),
        )
    ),
    Metric(
        "cross_talk",
        "lower",
        "largest mean |change of another measured condition| / change asked of the one that is moved; near 0 "
        "also where no condition moves anything: read it beside R²",
        margin=0.01,
        by=(INSTRUMENT,),
    ),
)


def evaluate(trained: Trained, split: str) -> dict[str, float | str]:
    """Reconstruction and latent code on a split, directions that were to survive, and fidelity of generated faces.

    Of the test images those count that did not watch the training; these are the split "validation".
    """
    found = read(trained.settings)
    columns = columns_of(found, "train" if split == "train" else "test", trained.helpers)
    if split == "train":
        columns = {name: spaced(column, measuring.EXAMINED) for name, column in columns.items()}
    else:
        watched, measured = parts_of(len(columns["conditions"]))
        part = measured if split == "test" else watched
        columns = {name: column[part] for name, column in columns.items()}
    rebuilt = measuring.rebuilding(trained, columns)
    train = columns_of(found, "train", trained.helpers)
    active = int(rebuilt["active_units"]), int(rebuilt["active_directions"])
    directions, posterior = measuring.prospects(trained.settings, train, measuring.EXAMINED, active)
    penalty, said = measuring.kernel_penalty(
        trained.settings, trained.nets, directions["mean_face_mse"], rebuilt["mse"]
    )
    obeyed, instrument = measuring.fidelity(trained, columns["images"], columns["labels"])
    if found.name == "drawn-faces":
        obeyed["instrument_cross_talk"] = measuring.instrument_response(trained).cross_talk
    return {
        **rebuilt,
        **directions,
        **penalty,
        **obeyed,
        "posterior": posterior,
        "penalty": said,
        **instrument,
    }


def parts_of(count: int) -> tuple[slice, slice]:
    """The test images that watch the training, and those that are measured: a single one does both."""
    first = min(WATCHED, max(1, count // 3))
    return slice(first), slice(first if count > 1 else 0, None)


# --- figures
# --------------------------------------------------------------------------------------------------


def figures(trained: Trained) -> dict[str, Figure]:
    """New faces, conditions at one latent vector, interpolation, reconstructions, and what β lets survive."""
    import torch

    nets, device = trained.nets, trained.device
    found = read(trained.settings)
    test = found.splits["test"]
    _, chosen = parts_of(len(test["conditions"]))
    images = torch.from_numpy(spaced(test["images"][chosen], 8)).to(device)
    given = torch.from_numpy(spaced(test["conditions"][chosen], 8)).to(device)
    c = torch.where(given.isnan(), nets["condition"].middle, given)
    pairs = len(images) // 2 * 2
    drawn: dict[str, Figure] = {
        "faces": drawing.new_faces(
            nets, torch.Generator(device).manual_seed(trained.seed), rows=4, columns=8
        ),
        "conditions": drawing.condition_grid(nets, torch.Generator(device).manual_seed(trained.seed)),
        "moved": drawing.moved_grid(nets, torch.Generator(device).manual_seed(trained.seed), columns=8),
        "reconstructions": drawing.reconstructions(nets, images, c),
    }
    if len(found.splits["train"]["images"]) > 1:
        drawn["directions"] = measuring.directions_figure(trained.settings.loss.weight, found.splits["train"])
    if pairs:
        drawn["interpolation"] = drawing.interpolation(nets, images[:pairs], c[:pairs], columns=8)
    return drawn


RECIPE = Recipe(
    name="cvae-faces",
    summary="conditional VAE: a face of a chosen sex, hair darkness, mouth and eyes",
    settings=Settings,
    versions=VERSIONS,
    nets=nets,
    build=build,
    metrics=METRICS,
    evaluate=evaluate,
    needs=needs,
    needs_to_train=needs_to_train,
    generate=drawing.generate,
    request=drawing.Request,
    figures=figures,
    data="a folder of faces and its CSV; drawn faces offline",
    sources=("faces-folder",),
    minutes=45.0,
)
