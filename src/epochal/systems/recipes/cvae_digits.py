"""cvae-digits: draws a chosen digit at a chosen thickness; one latent vector keeps one handwriting across digits.

Read from top to bottom: settings, the study's five versions, networks, training, measuring, drawing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

from epochal.errors import UsageError
from epochal.settings import Interval
from epochal.settings.common import RecipeSettings
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

    from epochal.training.task import Nets


@dataclass(frozen=True)
class Condition:
    """What the digit is conditioned on besides its class."""

    thickness: Literal["global", "per-class"] = "global"
    """Stroke thickness from the white ratio over the whole data set, or standardised within each class."""


@dataclass(frozen=True)
class Net:
    """Sizes of encoder and decoder."""

    latent: Annotated[int, Interval(1, 1024)] = 40
    """Latent dimensions."""
    dropout: Annotated[float, Interval(0, 1, open_high=True)] = 0.45
    """Dropout after the first two convolutions of encoder and decoder."""


@dataclass(frozen=True)
class Loss:
    """Weights of the loss, per image."""

    grey_weight: Annotated[float, Interval(0)] = 0.0
    """Weight g of the grey loss g·Σ max(0, y(1-y)). The reference's 0.01 over a batch of 32 is 0.32 here."""
    grey_from_epoch: Annotated[int, Interval(1)] = 2
    """First epoch with the grey loss: from the first one on, it keeps the strokes from forming."""
    l2: Annotated[float, Interval(0)] = 0.001
    """Weight of the sum of squares of all convolution kernels."""


@dataclass(frozen=True)
class Optim:
    """Adam, with the learning rate lr / (1 + decay·step)."""

    lr: Annotated[float, Interval(0, open_low=True)] = 1e-3
    """Learning rate at the first step."""
    decay: Annotated[float, Interval(0)] = 1e-6
    """Decay of the learning rate a step."""
    eps: Annotated[float, Interval(0, open_low=True)] = 1e-7
    """Adam's epsilon (Keras' default; torch's is 1e-8)."""


@dataclass(frozen=True)
class Settings(RecipeSettings):
    """Everything that can be set."""

    epochs: Annotated[int, Interval(1)] = 8
    """Passes over the training data in total, those before a resume included."""
    condition: Condition = field(default_factory=Condition)
    net: Net = field(default_factory=Net)
    loss: Loss = field(default_factory=Loss)
    optim: Optim = field(default_factory=Optim)


VERSIONS = (
    Version(
        "model-1",
        change="stroke thickness added to the condition, measured over the whole data set",
        reported={"loss": 24.85},
        source="reference log",
    ),
    Version(
        "model-2",
        parent="model-1",
        change="thickness standardised within each class, so that a 1 is not thin for being a 1",
        patch={"condition.thickness": "per-class"},
        reported={"loss": 24.1930},
        source="reference log",
    ),
    Version(
        "model-3",
        parent="model-2",
        change="five times as many epochs",
        patch={"epochs": 40},
        reported={"loss": 22.5267},
        source="reference log",
    ),
    Version(
        "model-4",
        parent="model-2",
        change="grey loss from the second epoch on: pixels are pushed towards black or white",
        patch={"loss.grey_weight": 0.32, "epochs": 9},
        reported={"loss": 30.9971},
        source="reference log",
    ),
    Version(
        "model-5",
        parent="model-4",
        change="1 + 40 epochs instead of 1 + 8",
        patch={"epochs": 41},
        reported={"loss": 28.9503},
        source="reference log",
    ),
)


def nets(settings: Settings) -> dict[str, Any]:
    """Encoder, decoder, and the condition that both read."""
    from epochal.systems.nets import cvae

    return {
        "condition": cvae.Condition(settings.condition.thickness),
        "encoder": cvae.Encoder(settings.net.latent, settings.net.dropout),
        "decoder": cvae.Decoder(settings.net.latent, settings.net.dropout),
    }


def build(settings: Settings, nets: Nets) -> Task:
    """Reads the digits, fits the thickness statistics, and says how to train."""

    from epochal.systems.losses import vae

    train, held_out, about = digits(settings)
    condition: Any = nets["condition"]
    condition.fit(train["white"], train["labels"])
    for split in (train, held_out):
        split["thickness"] = condition.thickness(split["white"], split["labels"])

    def prepare(batch: Batch) -> Batch:
        return Batch(
            x=batch["images"].float().div_(255),
            labels=batch["labels"],
            thickness=batch["thickness"],
        )

    def loss(nets: Nets, batch: Batch, rng: torch.Generator) -> tuple[Any, Mapping[str, Any]]:
        c = nets["condition"](batch["labels"], batch["thickness"])
        mean, log_variance = nets["encoder"](batch["x"], c)
        y = nets["decoder"](vae.sample(mean, log_variance, rng), c)
        parts = {
            "reconstruction": vae.squared_error(batch["x"], y).mean(),
            "kl": vae.gaussian_kl(mean, log_variance).mean(),
        }
        if settings.loss.grey_weight and batch.epoch >= settings.loss.grey_from_epoch:
            parts["grey"] = settings.loss.grey_weight * vae.greyness_penalty(y).mean()
        return sum(parts.values()), parts

    # The first 2,000 test images watch the training and choose the best epoch; `evaluate` measures on the
    # others.
    watched = prepare(Batch({name: column[:WATCHED] for name, column in held_out.items()}))
    watched.epoch = settings.loss.grey_from_epoch

    def validate(nets: Nets, rng: torch.Generator) -> dict[str, Any]:
        on_device = Batch({name: column.to(rng.device) for name, column in watched.items()})
        on_device.epoch = watched.epoch
        total, parts = loss(nets, on_device, rng)
        return {"loss": total, **parts}

    def sample(nets: Nets, rng: torch.Generator) -> ImageGrid:
        return styles_grid(nets, rng, rows=2)

    return Task(
        train={name: train[name].numpy() for name in ("images", "labels", "thickness")},
        batch_size=settings.batch_size,
        prepare=prepare,
        phases=[
            Phase(
                name="cvae",
                trains=("encoder", "decoder"),
                loss=loss,
                l2=settings.loss.l2,
                optimiser=Optimiser(
                    "adam",
                    lr=settings.optim.lr,
                    eps=settings.optim.eps,
                    schedule=lambda step, epoch: 1 / (1 + settings.optim.decay * step),
                ),
                definition=definition(settings),
            )
        ],
        validate=validate,
        keep_best=Metric("loss", "lower", "negative ELBO plus grey loss on the watched images"),
        sample=sample,
        data=about,
    )


WATCHED = 2000


def definition(settings: Settings) -> str:
    """The loss as a formula; runs whose formulas differ are not compared by loss."""
    text = "mean over images of Σ_784 (x - y)² + KL(q(z|x,c) ‖ N(0, I))"
    if settings.loss.grey_weight:
        text += f" + {settings.loss.grey_weight:g}·Σ_784 max(0, y(1 - y)) from epoch {settings.loss.grey_from_epoch}"
    return text


def digits(settings: Settings) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Train and test columns: images (n, 1, 28, 28) uint8, labels (n,) int64, white ratio (n,); and their origin."""
    import torch

    from epochal.systems import data

    found = data.load(settings.data.source, folder=settings.data.dir, limit=settings.data.limit)
    splits = []
    for split in ("train", "test"):
        images = torch.from_numpy(found.splits[split]["images"])[:, None]
        splits.append(
            {
                "images": images,
                "labels": torch.from_numpy(found.splits[split]["labels"]).long(),
                "white": images.flatten(1).float().mean(1) / 255,
            }
        )
    about = {"name": found.name, "source": str(found.origin), "drawn": found.drawn, "sha256": found.sha256}
    return splits[0], splits[1], about


# --- measuring
# -----------------------------------------------------------------------------------------------------

SAMPLES = 10_000  # drawn to measure what the decoder does
CHUNK = 500

METRICS = (
    Metric("reconstruction", "lower", "mean over test images of Σ_784 (x - y)²", margin=0.1),
    Metric("psnr", "higher", "dB, mean over test images", margin=0.1),
    Metric("kl", "lower", "nats an image, on test images", margin=0.1),
    Metric("active_units", "higher", "latents with Var_x E[z|x] > 0.01", margin=1),
    Metric(
        "label_accuracy",
        "higher",
        "share of 10,000 samples that the judge reads as the digit asked for",
        margin=0.002,
        by=("judge",),
    ),
    Metric("thickness_mae", "lower", "mean |asked - measured| thickness of the samples", margin=0.01),
    Metric("thickness_r2", "higher", "R² of measured against asked thickness of the samples", margin=0.01),
    Metric("greyness", "lower", "mean of 4y(1 - y) over the samples' pixels", margin=0.002),
)


def needs(settings: Settings) -> dict[str, tuple[str, dict[str, Any]]]:
    """Samples are read by a classifier trained on the same kind of digits."""
    return {"judge": ("digit-judge", {"data.source": settings.data.source, "data.dir": settings.data.dir})}


def evaluate(trained: Trained, split: str) -> dict[str, float | str]:
    """Reconstruction and latent code on the test images that did not watch the training; the rest on samples."""
    import numpy as np
    import torch

    from epochal.evidence import metrics as m
    from epochal.evidence.metrics.extractor import fingerprint

    nets, device = trained.nets, trained.device
    condition: Any = nets["condition"]
    train, test, _ = digits(trained.settings)
    if split == "train":
        columns = train
    else:
        columns = {
            name: column[WATCHED:] if split == "test" else column[:WATCHED] for name, column in test.items()
        }

    pairs, codes = [], []
    for chunk in torch.arange(len(columns["labels"])).split(CHUNK):
        x = columns["images"][chunk].to(device).float() / 255
        labels = columns["labels"][chunk].to(device)
        c = condition(labels, condition.thickness(columns["white"][chunk].to(device), labels))
        mean, log_variance = nets["encoder"](x, c)
        pairs.append((x.cpu(), nets["decoder"](mean, c).cpu()))
        codes.append((mean.cpu(), log_variance.cpu()))

    rng = torch.Generator(device).manual_seed(trained.seed)
    requested, measured, widths, wanted, images = [], [], [], [], []
    low, _, high = condition.levels
    for start in range(0, SAMPLES, CHUNK):
        labels = torch.arange(start, start + CHUNK, device=device) % 10
        t = low + (high - low) * torch.rand(CHUNK, device=device, generator=rng)
        z = torch.randn(CHUNK, trained.settings.net.latent, device=device, generator=rng)
        y = nets["decoder"](z, condition(labels, t)).clamp(0, 1)
        requested.append(t.cpu().numpy())
        measured.append(condition.thickness(y.flatten(1).mean(1), labels).cpu().numpy())
        widths.append(m.thickness.stroke_width(y[:, 0].cpu().numpy()))
        wanted.append(labels.cpu())
        images.append(y.cpu())
    labels_np, widths_np = torch.cat(wanted).numpy(), np.concatenate(widths)
    judge = trained.helpers["judge"].nets["classifier"]
    rebuilt, latent = m.reconstruction.measure(pairs), m.latent.measure(codes)
    fidelity = m.thickness.fidelity(np.concatenate(requested), np.concatenate(measured))
    read = m.labels.measure(zip(images, wanted, strict=True), lambda x: judge(x.to(device)))
    deciles = {f"thickness_mae_decile_{i + 1}": float(v) for i, v in enumerate(fidelity.decile_mae)}
    return {
        "reconstruction": rebuilt.squared_error,
        "psnr": rebuilt.psnr,
        "kl": latent.kl,
        "active_units": float(latent.active_units),
        "label_accuracy": read.accuracy,
        "label_accuracy_low": read.low,
        "label_accuracy_high": read.high,
        "thickness_mae": fidelity.mae,
        "thickness_r2": fidelity.r2,
        "greyness": m.greyness.greyness(images),
        "judge": f"digit-judge {fingerprint(judge)[:8]}",
        # Stroke width of 1s as a share of the other digits': 1 is right, so neither lower nor higher is better.
        "ones_width": float(np.nanmean(widths_np[labels_np == 1]) / np.nanmean(widths_np[labels_np != 1])),
        **deciles,
    }


# --- drawing
# -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Request:
    """What to draw."""

    digit: Annotated[int, Interval(0, 9)] | None = None
    """Draw this digit only; by default all ten, one a column."""
    thickness: Annotated[float, Interval(-1, 1)] | None = None
    """Stroke thickness, -1 thin to 1 thick (0 to 1 with global thickness); by default thin, middle and thick."""
    n: Annotated[int, Interval(1, 10_000)] = 4
    """How many: pictures of the one digit, or handwritings in rows."""
    seed: Annotated[int, Interval(0)] = 0
    """Seed of the latent vectors: the same seed gives the same handwriting."""
    style: str | None = None
    """PNG of a hand-drawn digit whose handwriting is to be kept (style transfer)."""
    drawn: Annotated[int, Interval(0, 9)] | None = None
    """Which digit that drawing shows; by default the one that the model itself reconstructs best."""


def generate(trained: Trained, request: Request) -> ImageGrid:
    """Digits as requested; all randomness comes from `request.seed`."""
    import math

    import torch

    condition: Any = trained.nets["condition"]
    rng = torch.Generator(trained.device).manual_seed(request.seed)
    levels = condition.levels if request.thickness is None else (request.thickness,)
    if levels[0] < condition.levels[0]:
        raise UsageError(
            f"thickness {request.thickness:g} is outside of what this version was trained on.",
            hint=f"Choose {condition.levels[0]:g} (thin) to {condition.levels[-1]:g} (thick).",
        )
    if request.style is not None:
        return transfer(trained, request, levels)
    if request.digit is None:
        return styles_grid(trained.nets, rng, rows=request.n, levels=levels)
    columns = min(request.n, max(8, math.ceil(math.sqrt(request.n))))
    rows = math.ceil(request.n / columns)
    z = torch.randn(rows * columns, trained.settings.net.latent, device=trained.device, generator=rng)
    labels = torch.full((rows * columns,), request.digit, device=trained.device)
    t = torch.linspace(levels[0], levels[-1], columns, device=trained.device).repeat(rows)
    images = _draw(trained.nets, z, labels, t).reshape(rows, columns, 28, 28)
    images.reshape(-1, 28, 28)[request.n :] = 255  # the last row is seldom full
    at = f"thickness {request.thickness:g}" if request.thickness is not None else "thin to thick"
    return ImageGrid(
        images, title=f"Digit {request.digit}, {at}, {request.n} handwriting{'s' * (request.n > 1)}"
    )


def styles_grid(
    nets: Nets, rng: torch.Generator, *, rows: int, levels: tuple[float, ...] | None = None
) -> ImageGrid:
    """All ten digits in columns; rows: latent vectors, each at every thickness level."""
    import torch

    condition: Any = nets["condition"]
    decoder: Any = nets["decoder"]
    levels = condition.levels if levels is None else levels
    latent = decoder.dense1.in_features - 11
    styles = torch.randn(rows, latent, device=rng.device, generator=rng)
    title = f"Ten digits in {rows} handwriting{'s' * (rows > 1)}{', thin to thick' * (len(levels) > 1)}"
    return _ten_digits(nets, styles, levels, title)


def transfer(trained: Trained, request: Request, levels: tuple[float, ...]) -> ImageGrid:
    """Style transfer: the ten digits in the handwriting of a drawing."""
    import torch

    from epochal.systems.data.drawing import read_digit
    from epochal.systems.losses import vae

    nets = trained.nets
    condition: Any = nets["condition"]
    assert request.style is not None
    x = torch.from_numpy(read_digit(request.style))[None, None].to(trained.device)
    classes = (
        torch.arange(10, device=trained.device)
        if request.drawn is None
        else torch.tensor([request.drawn], device=trained.device)
    )
    many = x.expand(len(classes), -1, -1, -1)
    c = condition(classes, condition.thickness(many.flatten(1).mean(1), classes))
    with torch.no_grad():
        mean, log_variance = nets["encoder"](many, c)
        misfit = vae.squared_error(many, nets["decoder"](mean, c)) + vae.gaussian_kl(mean, log_variance)
    best = int(misfit.argmin())
    digit = int(classes[best])
    title = f"Ten digits in the handwriting of a drawn {digit}"
    return _ten_digits(nets, mean[best : best + 1], levels, title)


def _ten_digits(nets: Nets, styles: Any, levels: tuple[float, ...], title: str) -> ImageGrid:
    """Rows: each latent vector of styles (n, latent) at every level; columns: the digits."""
    import torch

    labels = torch.arange(10, device=styles.device)
    rows, images = [], []
    for number, z in enumerate(styles, start=1):
        style = f"style {number}, " if len(styles) > 1 else ""
        for level in levels:
            t = torch.full((10,), level, device=styles.device)
            images.append(_draw(nets, z.expand(10, -1), labels, t))
            rows.append(f"{style}t = {level:g}".replace("-", "−"))
    return ImageGrid(
        torch.stack([torch.as_tensor(i) for i in images]).numpy(),
        title=title,
        rows=rows,
        columns=[str(d) for d in range(10)],
        row_axis="handwriting, thickness t" if len(styles) > 1 else "thickness t",
        column_axis="digit",
    )


def _draw(nets: Nets, z: Any, labels: Any, t: Any) -> Any:
    """(n, 28, 28) uint8 pictures."""
    import torch

    with torch.no_grad():
        y = nets["decoder"](z, nets["condition"](labels, t))
    return (y.float().clamp(0, 1) * 255).round().byte()[:, 0].cpu().numpy()


def figures(trained: Trained) -> dict[str, ImageGrid]:
    """The grid of digits, and test images beside their reconstructions."""
    import numpy as np
    import torch

    nets, device = trained.nets, trained.device
    condition: Any = nets["condition"]
    _, test, _ = digits(trained.settings)
    chosen = [int((test["labels"] == d).nonzero()[i]) for d in range(10) for i in range(1)]
    images, labels = test["images"][chosen].to(device), test["labels"][chosen].to(device)
    c = condition(labels, condition.thickness(test["white"][chosen].to(device), labels))
    with torch.no_grad():
        mean, _ = nets["encoder"](images.float() / 255, c)
        rebuilt = (nets["decoder"](mean, c).clamp(0, 1) * 255).round().byte()
    pictures = np.stack([images[:, 0].cpu().numpy(), rebuilt[:, 0].cpu().numpy()])
    return {
        "digits": styles_grid(nets, torch.Generator(device).manual_seed(trained.seed), rows=4),
        "reconstructions": ImageGrid(
            pictures,
            title="Test images and their reconstructions",
            rows=["test image", "rebuilt"],
            columns=[str(int(d)) for d in labels],
            column_axis="digit",
        ),
    }


RECIPE = Recipe(
    name="cvae-digits",
    summary="conditional VAE: a chosen digit at a chosen stroke thickness, handwriting kept across digits",
    settings=Settings,
    versions=VERSIONS,
    nets=nets,
    build=build,
    metrics=METRICS,
    evaluate=evaluate,
    needs=needs,
    generate=generate,
    request=Request,
    figures=figures,
    data="MNIST; drawn glyphs offline",
    sources=("mnist",),
    minutes=45.0,
)
