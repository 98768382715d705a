"""har-classifier: tells what somebody does from a worn accelerometer; the teachers of `har-distill` are trained by it.

A residual network reads five seconds of the raw signal, or the persistence images of its channels. People are divided,
never their windows: who tests was never seen. As in the published reference the learning rate falls in four stairs; the
log trains for 200 epochs, here 60 are the default.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from epochal.systems.recipes import _wearables as wearables
from epochal.training.task import Phase, Recipe, Task, Trained, Version

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

    from epochal.training.task import Batch, Figure, Nets

NET = wearables.NET


@dataclass(frozen=True)
class Net:
    """The network."""

    name: str = "wrn16-1"
    """wrn16-1, wrn28-1, wrn40-2, resnet8, resnet18, or any other wrn<depth>-<width>; `wrn1611` and the like are
    understood."""
    reads: Literal["signal", "persistence"] = "signal"
    """The raw signal (1-D), or the persistence images of its channels (2-D)."""
    checkpoint: str | None = None
    """Weights to begin from: a run's folder or a .safetensors file."""


@dataclass(frozen=True)
class Settings(wearables.Settings):
    """Everything that can be set."""

    net: Net = field(default_factory=Net)


def nets(settings: Settings) -> dict[str, Any]:
    """The network, for the channels and classes of the data."""
    return nets_of(settings, wearables.read(settings, settings.net.reads).about)


def nets_of(settings: Settings, about: Mapping[str, Any]) -> dict[str, Any]:
    """The network, for what a run noted of its data."""
    return {NET: wearables.network(settings.net.name, about)}


def build(settings: Settings, nets: Nets) -> Task:
    """Reads the windows and says how to train."""
    from epochal.systems.recipes import _teachers

    examples = wearables.read(settings, settings.net.reads)
    train = examples.splits["train"]
    wearables.check_augment(settings.augment, examples.about["shape"], settings.net.reads)
    if settings.net.checkpoint is not None:
        _teachers.fill(nets[NET], settings.net.checkpoint)
    wearables.learn_scale(nets[NET], settings, train["x"])
    change = wearables.augmented(settings.augment, train["x"])

    def loss(nets: Nets, batch: Batch, rng: torch.Generator) -> tuple[Any, Mapping[str, Any]]:
        from epochal.systems.losses.classification import cross_entropy

        x, labels = batch["x"], batch["labels"]
        logits = nets[NET](x if change is None else change(x, rng))
        right = (logits.detach().argmax(1) == labels).float().mean()
        return cross_entropy(logits, labels).mean(), {"accuracy": right}

    return Task(
        train={name: train[name] for name in ("x", "labels")},
        batch_size=settings.batch_size,
        prepare=wearables.prepare,
        phases=[
            Phase(
                name=NET,
                trains=(NET,),
                loss=loss,
                optimiser=wearables.optimiser(settings, len(train["labels"])),
                definition="mean over windows of cross-entropy, nats",
            )
        ],
        validate=wearables.validate(examples, settings),
        keep_best=wearables.best(examples),
        data=examples.about,
        remarks=examples.remarks,
    )


def evaluate(trained: Trained, split: str) -> dict[str, float | str]:
    """Accuracy by window, class and person on a split."""
    return wearables.evaluate(trained, split, trained.settings.net.reads)


def figures(trained: Trained) -> dict[str, Figure]:
    """Confusion, calibration, and accuracy person by person."""
    return wearables.figures(trained, trained.settings.net.reads)


RECIPE = Recipe(
    name="har-classifier",
    summary="human activity recognition from a worn accelerometer: wide residual networks, by subject",
    settings=Settings,
    versions=(
        Version("wrn28-1", parent="wrn16-1", change="the usual teacher", patch={"net.name": "wrn28-1"}),
        Version("resnet8", parent="wrn16-1", change="a smaller student", patch={"net.name": "resnet8"}),
        Version(
            "persistence",
            parent="wrn16-1",
            change="reads persistence images of the channels, in 2-D",
            patch={"net.reads": "persistence"},
        ),
        Version(
            "logged",
            parent="wrn16-1",
            change="Adam for 200 epochs",
            patch={"epochs": 200, "optim.name": "adam"},
        ),
        Version(
            "pamap2",
            parent="wrn16-1",
            change="PAMAP2: 40 channels in [0, 1], 12 activities, one subject left out",
            patch={
                "data.source": "pamap2",
                "data.window": 100,
                "data.step": 22,
                "data.scaling": "minmax",
                "data.test_subject": "101",
            },
        ),
        # The last one is what `epochal run har-classifier` trains.
        Version("wrn16-1", change="a small student on its own: SGD, four stairs of the learning rate"),
    ),
    nets=nets,
    nets_of=nets_of,
    build=build,
    evaluate=evaluate,
    figures=figures,
    minutes=2.0,
    **wearables.parts(),
)
