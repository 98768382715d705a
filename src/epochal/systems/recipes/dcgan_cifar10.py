"""dcgan-cifar10: a DCGAN on 32x32 photographs, seven logged experiments, and what they lacked.

Read from top to bottom: settings, the study's versions, networks, training, measuring.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

from epochal.settings import Interval
from epochal.settings.common import HeldOutDataSettings, RecipeSettings
from epochal.systems.recipes import _dcgan_drawing as drawing
from epochal.systems.recipes import _image_quality as image_quality
from epochal.training.task import (
    Average,
    Batch,
    ImageGrid,
    Optimiser,
    Panel,
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
class Net:
    """Sizes and ways of generator and discriminator."""

    latent: Annotated[int, Interval(1, 1024)] = 100
    """Length of the noise."""
    width: Annotated[int, Interval(1, 512)] = 64
    """Number of channels of the discriminator's first convolution; all other widths are multiples of it."""
    depth: Literal["logged", "deeper", "deepest"] = "logged"
    """Generator: as logged; with one layer more before the first upsampling; also one more at each resolution."""
    dropout: Annotated[float, Interval(0, 1, open_high=True)] = 0.3
    """Dropout after the discriminator's convolutions."""
    sigmoid: bool = False
    """Sigmoid on the discriminator's output, although the loss expects a logit."""
    spectral_norm: bool = False
    """Divide the discriminator's weights by their largest singular values (Miyato et al. 2018)."""
    init: Literal["glorot", "normal"] = "glorot"
    """First weights: Glorot-uniform (Keras' default), or N(0, 0.02²) (Radford et al. 2015)."""


@dataclass(frozen=True)
class Loss:
    """Binary cross-entropy from logits."""

    real_target: Annotated[float, Interval(0.5, 1, open_low=True)] = 1.0
    """Target of real images for the discriminator; below 1: one-sided label smoothing (Salimans et al. 2016)."""
    threshold: float | None = 0.5
    """Discriminator's output above which the log counts an image as real (the even-odds point of a logit is 0 for
    targets of 1); none: at even odds, where accuracies are measured in any case."""
    r1: Annotated[float, Interval(0)] = 0.0
    """Weight γ of the penalty γ/2·‖∇D(x)‖² at real images (Mescheder et al. 2018); 0: none."""
    r1_every: Annotated[int, Interval(1)] = 1
    """Penalise one in so many images of each batch, which costs less and has the same mean (in the spirit of
    Karras et al. 2020, who penalise one in 16 batches)."""


@dataclass(frozen=True)
class Augment:
    """DiffAugment: random changes of what the discriminator sees, real and generated (Zhao et al. 2020)."""

    colour: bool = False
    """Brightness, saturation and contrast."""
    translation: bool = False
    """Shifts by up to an eighth of the side."""
    cutout: bool = False
    """Blank a square of half the side."""


@dataclass(frozen=True)
class Optim:
    """Adam for both networks."""

    lr: Annotated[float, Interval(0, open_low=True)] = 1e-4
    """Learning rate."""
    discriminator_lr: Annotated[float, Interval(0, open_low=True)] | None = None
    """Learning rate of the discriminator, where it is to have its own (two time scales, Heusel et al. 2017)."""
    beta1: Annotated[float, Interval(0, 1, open_high=True)] = 0.9
    """Decay of the gradient's mean (Radford et al. 2015: 0.5)."""
    eps: Annotated[float, Interval(0, open_low=True)] = 1e-7
    """Adam's epsilon (Keras' default; torch's is 1e-8)."""
    ema: Annotated[float, Interval(0, 1, open_high=True)] = 0.0
    """Decay a step of the averaged generator that then draws all samples (Yazıcı et al. 2019); at first it looks back
    over a ninth of the steps done; 0: none. Its batch norms are measured anew when it draws."""


@dataclass(frozen=True)
class Settings(RecipeSettings):
    """Everything that can be set."""

    epochs: Annotated[int, Interval(1)] = 50
    """Passes over the training data in total, those before a resume included."""
    batch_size: Annotated[int, Interval(1)] = 256
    """Items a step."""
    data: HeldOutDataSettings = field(default_factory=HeldOutDataSettings)
    net: Net = field(default_factory=Net)
    loss: Loss = field(default_factory=Loss)
    augment: Augment = field(default_factory=Augment)
    optim: Optim = field(default_factory=Optim)


VERSIONS = (
    Version(
        "exp-1",
        change="DCGAN with Adam 1e-4; accuracy is measured at 0.5 on a logit, whose even-odds point is 0",
    ),
    Version(
        "exp-2",
        parent="exp-1",
        change="learning rate 1e-3, twice the epochs",
        patch={"optim.lr": 1e-3, "epochs": 100},
    ),
    Version(
        "exp-3",
        parent="exp-1",
        change="sigmoid on the discriminator's output, before a loss that expects a logit",
        patch={"net.sigmoid": True},
        reported={"train/discriminator/real_accuracy": 0.9, "train/discriminator/fake_accuracy": 0.9},
        source="reference log, which says about 90 % on both",
    ),
    Version("exp-4", parent="exp-3", change="dropout 0.5", patch={"net.dropout": 0.5}),
    Version(
        "exp-5",
        parent="exp-4",
        change="deeper generator (assumed: one more layer of 256 channels before the first upsampling)",
        patch={"net.depth": "deeper"},
    ),
    Version(
        "exp-6",
        parent="exp-5",
        change="deeper still (assumed: one more layer of the same width at each resolution)",
        patch={"net.depth": "deepest"},
    ),
    Version(
        "exp-7",
        parent="exp-6",
        change="real target 0.8, out of reach behind the sigmoid; stopped at 33 epochs",
        patch={"loss.real_target": 0.8, "epochs": 33},
        reported={"train/discriminator/fake_accuracy": 1.0},
        source="reference log, which says that it drifts to 1",
    ),
    Version(
        "recommended",
        parent="exp-1",
        change="DCGAN's conventions: β1 0.5, learning rate 2e-4, weights N(0, 0.02²), one-sided smoothing 0.9, "
        "accuracy at even odds; batches of 64, averaged generator; a discriminator without dropout, at twice the rate",
        patch={
            "batch_size": 64,
            "optim.beta1": 0.5,
            "optim.lr": 2e-4,
            "optim.discriminator_lr": 4e-4,
            "net.init": "normal",
            "net.dropout": 0.0,
            "loss.real_target": 0.9,
            "loss.threshold": None,
            "optim.ema": 0.999,
        },
    ),
)


def nets(settings: Settings) -> dict[str, Any]:
    """Generator and discriminator; with `optim.ema` also the averaged generator."""
    from copy import deepcopy

    from epochal.systems.nets import dcgan

    net = settings.net
    generator = dcgan.Generator(net.latent, net.width, depth=net.depth, init=net.init)
    discriminator = dcgan.Discriminator(
        net.width,
        dropout=net.dropout,
        sigmoid=net.sigmoid,
        spectral_norm=net.spectral_norm,
        init=net.init,
    )
    found = {"generator": generator, "discriminator": discriminator}
    return {**found, "generator_average": deepcopy(generator)} if settings.optim.ema else found


# --- training
# ------------------------------------------------------------------------------------------------------


def build(settings: Settings, nets: Nets) -> Task:
    """Reads the photographs and says how to train.

    The generator's phase comes first and leaves its pictures to the discriminator's: both networks step from the
    same state, as with TensorFlow's tutorial, at the price of one generator forward.
    """
    found = photographs(settings)
    generator_text, discriminator_text = definitions(settings)
    optim = settings.optim

    def adam(lr: float) -> Optimiser:
        return Optimiser("adam", lr=lr, betas=(optim.beta1, 0.999), eps=optim.eps)

    return Task(
        train={"images": found.splits["train"]["images"]},
        batch_size=settings.batch_size,
        log_every=1,  # as the log does: the balance of the two can tip within a few steps
        prepare=prepare,
        phases=[
            Phase(
                name="generator",
                trains=("generator",),
                loss=generator_loss(settings),
                optimiser=adam(optim.lr),
                definition=generator_text,
            ),
            Phase(
                name="discriminator",
                trains=("discriminator",),
                loss=discriminator_loss(settings),
                optimiser=adam(optim.discriminator_lr or optim.lr),
                definition=discriminator_text,
            ),
        ],
        averages=[Average("generator", "generator_average", optim.ema, warm_up=True)] if optim.ema else [],
        sample=lambda nets, rng: drawing.sample_grid(nets, rng, 16),
        data={"name": found.name, "source": found.origin, "drawn": found.drawn, "sha256": found.sha256},
    )


def photographs(settings: Settings) -> Any:
    """The data that `data` names: columns of images (n, 32, 32, 3) uint8 and labels, which only measuring reads."""
    from epochal.systems import data

    chosen = settings.data
    return data.load(
        chosen.source, wanted="cifar10", folder=chosen.dir, limit=chosen.limit, hold_out=chosen.hold_out
    )


def prepare(batch: Batch) -> Batch:
    """Images (B, 32, 32, 3) uint8 → x (B, 3, 32, 32) in [-1, 1]."""
    return Batch(x=batch["images"].permute(0, 3, 1, 2).float().div_(127.5).sub_(1))


def generator_loss(settings: Settings) -> Any:
    """The generator's loss; its pictures stay in the batch for the discriminator."""

    def loss(nets: Nets, batch: Batch, rng: torch.Generator) -> tuple[Any, Mapping[str, Any]]:
        from epochal.systems.losses import gan

        n = max(2, len(batch["x"]))  # an epoch may end with a single image; batch norm takes two
        x = nets["generator"](drawing.noise(n, nets, rng))
        batch["fake"] = x.detach()
        return gan.generator_loss(nets["discriminator"](augmented(x, settings.augment, rng))), {}

    return loss


def discriminator_loss(settings: Settings) -> Any:
    """The discriminator's loss on real images and those that the generator's phase left, and its accuracies.

    Parts: share of real and of generated images told right, at each of the thresholds.
    """
    wanted, asked = settings.loss, thresholds(settings)

    def loss(nets: Nets, batch: Batch, rng: torch.Generator) -> tuple[Any, Mapping[str, Any]]:
        import torch

        from epochal.systems.losses import gan

        discriminator: Any = nets["discriminator"]
        images = augmented(torch.cat([batch["x"], batch["fake"]]), settings.augment, rng)
        # Both in one pass: nothing in the discriminator depends on which images share a batch.
        real, fake = discriminator(images).split([len(batch["x"]), len(batch["fake"])])
        total = gan.discriminator_loss(real, fake, real_target=wanted.real_target)
        parts: dict[str, Any] = {}
        for suffix, threshold in asked.items():
            right = gan.accuracies(real, fake, threshold=threshold)
            parts |= {f"real_accuracy{suffix}": right[0], f"fake_accuracy{suffix}": right[1]}
        if wanted.r1:
            x = images[: -(-len(real) // wanted.r1_every)].detach().requires_grad_()
            parts["r1"] = wanted.r1 / 2 * gan.r1_penalty(discriminator(x), x)
            total = total + parts["r1"]
        return total, {name: value.detach() for name, value in parts.items()}

    return loss


def thresholds(settings: Settings) -> dict[str, float]:
    """Where the discriminator's accuracies are measured, by the suffix of their names.

    At even odds; behind a sigmoid at 1/2, as the log does: the losses take its σ(D) for a logit, whose even odds are
    below all that a sigmoid puts out. Where the log measured elsewhere, there too.
    """
    from epochal.systems.losses import gan

    even = 0.5 if settings.net.sigmoid else gan.even_odds(settings.loss.real_target)
    logged = settings.loss.threshold
    return {"": even} if logged is None or logged == even else {"": even, "_as_logged": logged}


def augmented(x: torch.Tensor, wanted: Augment, rng: torch.Generator) -> torch.Tensor:
    """Images (B, 3, 32, 32) as the discriminator is to see them."""
    from epochal.systems.data import diffaugment

    for change in ("colour", "translation", "cutout"):
        if getattr(wanted, change):
            x = getattr(diffaugment, change)(x, rng)
    return x


def definitions(settings: Settings) -> tuple[str, str]:
    """The losses of generator and discriminator as formulas; runs whose formulas differ are not compared by loss."""
    wanted, changes = settings.loss, settings.augment
    changed = changes.colour or changes.translation or changes.cutout
    real, fake = ("T(x)", "T(G(z))") if changed else ("x", "G(z)")
    d = "σ(D({}))" if settings.net.sigmoid else "D({})"
    real, fake = d.format(real), d.format(fake)
    t = wanted.real_target
    on_real = f"softplus(-{real})"
    if t < 1:
        on_real = f"{t:g}·{on_real} + {1 - t:g}·softplus({real})"
    penalty = f" + {wanted.r1 / 2:g}·‖∇{real}‖²" if wanted.r1 else ""
    return (
        f"mean over noise of softplus(-{fake})",
        f"mean over images of {on_real} + softplus({fake}){penalty}",
    )


# --- measuring and drawing
# -------------------------------------------------------------------------------------------------------


def needs(settings: Settings) -> dict[str, tuple[str, dict[str, Any]]]:
    """Samples are looked at by a classifier trained on the same data."""
    return image_quality.needs(settings.data, "cifar10")


def evaluate(trained: Trained, split: str) -> dict[str, float | str]:
    """How good the samples are, and how well the discriminator tells images apart (`_dcgan_measuring`)."""
    from epochal.systems.recipes import _dcgan_measuring as measuring

    settings = trained.settings
    return measuring.measure(trained, photographs(settings), split, thresholds(settings))


def figures(trained: Trained) -> dict[str, ImageGrid]:
    """Samples, walks between samples, and samples beside the training images nearest to them."""
    import torch

    rng = torch.Generator(trained.device).manual_seed(trained.seed)
    train = photographs(trained.settings).splits["train"]["images"]
    return {
        "samples": drawing.sample_grid(trained.nets, rng, 64),
        "walks": drawing.generate(trained, drawing.Request(n=6, seed=trained.seed, interpolate=8)),
        "neighbours": drawing.neighbours(
            drawing.draw(trained.nets, drawing.noise(8, trained.nets, rng)), train
        ),
    }


def history(settings: Settings) -> tuple[Panel, Panel]:
    """Both losses, and what share of real and generated images the discriminator tells right.

    Behind a sigmoid lines show what the losses cannot leave.
    """
    from epochal.systems.losses import gan

    bounds: dict[str, tuple[float, ...]] = {}
    if settings.net.sigmoid:
        least, (low, high) = gan.sigmoid_bounds(settings.loss.real_target)
        bounds = {
            f"least discriminator loss behind a sigmoid ({least:.3f})": (least,),
            f"generator loss behind a sigmoid ({low:.3f} to {high:.3f})": (low, high),
        }
    d = "σ(D)" if settings.net.sigmoid else "D"
    accuracies: dict[str, str] = {}
    for suffix, threshold in thresholds(settings).items():
        words = ("real as logged", "generated as logged") if suffix else ("real images", "generated images")
        accuracies |= {
            f"{words[0]} ({d} > {threshold:.3g})": f"discriminator/real_accuracy{suffix}",
            f"{words[1]} ({d} ≤ {threshold:.3g})": f"discriminator/fake_accuracy{suffix}",
        }
    losses = {"generator": "generator/loss", "discriminator": "discriminator/loss"}
    return (
        Panel("loss, nats", losses, lines=bounds),
        Panel("discriminator's accuracy", accuracies, lines={"guessing": (0.5,)}, share=True),
    )


RECIPE = Recipe(
    name="dcgan-cifar10",
    summary="DCGAN on 32x32 photographs: seven experiments of a log, and what they lacked",
    settings=Settings,
    versions=VERSIONS,
    nets=nets,
    build=build,
    metrics=image_quality.METRICS,
    evaluate=evaluate,
    needs=needs,
    generate=drawing.generate,
    request=drawing.Request,
    figures=figures,
    history=history,
    data="CIFAR-10; drawn shapes offline",
    sources=("cifar10",),
    minutes=75.0,
)
