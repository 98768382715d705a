"""The contract between a recipe and the engine: what a recipe must say so that everything else works.

A recipe describes *what* is trained, as values and pure functions; the engine owns *how*: devices, precision,
backward passes, checkpoints, resuming. Standard library only, so that listing recipes costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import torch

    Nets = Mapping[str, Any]  # torch modules; for a network with its own step, that `Stepper`
    Array = np.ndarray[Any, np.dtype[Any]]
    LossFunction = Callable[[Nets, "Batch", torch.Generator], tuple[torch.Tensor, Mapping[str, torch.Tensor]]]


class Batch(dict[str, Any]):
    """Named tensors of one batch, on the device; `epoch` counts from 1 (for terms that start later)."""

    epoch: int = 1


@dataclass(frozen=True)
class Plateau:
    """Lowers a learning rate when validation no longer improves.

    After `patience` epochs in a row without a new least value the rate is multiplied by `factor`, and the count
    begins anew.

    Attributes:
        of: which of validate's values is watched; lower is better.
        factor: what the rate is multiplied by.
        patience: epochs to wait.
        least: share of the first rate below which it does not fall.
    """

    of: str
    factor: float = 0.5
    patience: int = 5
    least: float = 1e-3


@dataclass(frozen=True)
class Optimiser:
    """One optimiser, as its textbook defines it.

    `schedule(step, epoch)` gives a factor on `lr`; `step` counts finished optimiser steps from 0, `epoch` from 1
    (`training/schedules` has the usual ones), `plateau` another one that depends on the validation.
    `decay_on(name, shape)` chooses the parameters that weight decay acts on, by qualified name; by default all.
    """

    name: Literal["adam", "adamw", "sgd"] = "adam"
    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0
    decay_on: Callable[[str, tuple[int, ...]], bool] | None = None
    schedule: Callable[[int, int], float] | None = None
    plateau: Plateau | None = None


@dataclass(frozen=True)
class Phase:
    """One optimiser's share of a training step. A VAE has one phase, a GAN two.

    Attributes:
        name: shown in logs; loss parts of a second phase are prefixed with it.
        trains: names of the nets whose parameters this phase updates.
        loss: pure function `(nets, batch, rng) -> (loss, parts)`: a scalar tensor to minimise (a mean over
            the batch) and the scalar tensors it is made of, by name. All randomness comes from `rng`.
        optimiser: its own optimiser.
        definition: the formula of the loss with its weights and reductions. Runs whose definitions differ
            are never compared by loss.
        l2: weight of a penalty `l2 * sum(w ** 2)` over the convolution kernels named by `l2_on`, added to the
            loss by the engine (reported as part `l2`): exact in float32 whatever the precision.
        l2_on: chooses the penalised parameters by qualified name ("decoder.up1.weight") and shape.
        terms: the weights of those parts that the loss is the sum of, at an epoch (from 1): loss = Σ weight · part.
            With them a probe measures which of the terms moves the weights.
        meant: what share of the gradient some of these terms are meant to have beside each other, at an epoch; they
            sum to 1. A term that has far less is said to do nothing.
    """

    name: str
    trains: tuple[str, ...]
    loss: LossFunction
    optimiser: Optimiser
    definition: str
    l2: float = 0.0
    l2_on: Callable[[str, tuple[int, ...]], bool] = lambda name, shape: len(shape) == 4
    terms: Callable[[int], Mapping[str, float]] | None = None
    meant: Callable[[int], Mapping[str, float]] | None = None


@dataclass(frozen=True)
class Average:
    """A net whose weights are the moving average of another's: for sampling, smoother than any single step.

    After every step t = 0, 1, … each weight becomes w̄ ← d·w̄ + (1 - d)·w in float32 (Polyak and Juditsky 1992; for
    generators Yazıcı et al. 2019), beginning with w itself; buffers are copied.

    Attributes:
        of: name of the net that is trained.
        into: name of the averaged net: one of the same shape that no phase trains.
        decay: d. The average looks back over about 1 / (1 - d) steps.
        warm_up: d is min(decay, (1 + t) / (10 + t)), so that a short training is not dominated by its beginning.
    """

    of: str
    into: str
    decay: float = 0.999
    warm_up: bool = False


class Stepper(Protocol):
    """A network that does its own step (NumPy): the engine gives it batches and keeps its state.

    `Recipe.nets` returns it, under one name; `Task.stepper` is that same object.
    """

    def init(self, rng: np.random.Generator) -> None:
        """Draws the initial weights."""

    def step(self, batch: Batch, rng: np.random.Generator) -> Mapping[str, float]:
        """Does one optimiser step; returns batch means by name, `loss` among them."""

    def state(self) -> dict[str, Array]:
        """All arrays that a checkpoint must hold (weights and optimiser)."""

    def load_state(self, state: Mapping[str, Array]) -> None:
        """Puts back what `state` gave."""


class Fleet(Protocol):
    """Many networks of one recipe on one array axis, member by member what its `Stepper` would be alone.

    Members differ in seed and in settings that `Recipe.stackable` names. The state of the fleet is the state of
    the members' steppers, every array with a leading axis (members, …).
    """

    def init(self, rngs: Sequence[np.random.Generator]) -> None:
        """Draws the initial weights. `rngs`: one generator a seed; members of one seed begin alike."""

    def step(self, batch: Batch, rngs: Sequence[np.random.Generator]) -> Mapping[str, Array]:
        """Does one optimiser step of every member.

        Args:
            batch: columns with a leading axis of seeds: (seeds, batch, …).
            rngs: one generator a seed, for whatever noise a step draws.

        Returns:
            Batch means by name, `loss` among them, each (members,).
        """

    def state(self) -> dict[str, Array]:
        """All arrays that a checkpoint must hold, each (members, …)."""

    def load_state(self, state: Mapping[str, Array]) -> None:
        """Puts back what `state` gave."""

    def keep(self, chosen: Array) -> None:
        """Goes on with these members only (indices into the present ones, ascending): the others are done."""


@dataclass(frozen=True)
class Member:
    """One network of a fleet as its figures see it: `final` holds its last values, `steps` what it trained for.

    `reached` tells whether it got below `stop.loss` (None where no such stop was asked for): a member that did
    not is censored at `steps`, not failed.
    """

    seed: int
    settings: Any
    final: Mapping[str, float]
    steps: int
    reached: bool | None = None


@dataclass(frozen=True)
class Metric:
    """A number that says how good a run is.

    `margin` is the difference below which two versions count as equivalent, in the metric's own unit. `by` names the
    texts of `Recipe.evaluate` that the number depends on ("extractor"): where one differs, numbers are not compared.
    """

    name: str
    better: Literal["lower", "higher"]
    what: str
    margin: float = 0.0
    by: tuple[str, ...] = ()


@dataclass(frozen=True)
class Task:
    """What `build` gives the engine: data, phases, and what to look at.

    Attributes:
        train: named columns of equal length, as stored (uint8 images stay uint8): `batch[name] =
            column[indices]`.
        batch_size: items a step; the last, smaller batch of an epoch is used too.
        phases: what a step does, in order, each on the weights that the one before it left. A phase may leave
            tensors in the batch for later ones (a GAN's generator its pictures, detached: with the generator
            first, both networks then step from the same state, as with simultaneous gradient descent). Empty
            when `stepper` is given.
        averages: nets that hold the moving average of another's weights.
        shuffle: False trains in the stored order (a batch that is the whole set need not be shuffled).
        repeat: an epoch goes so many times over the data; for sets of a few rows, whose epochs would else end
            with every step.
        log_every: steps from one line of the log to the next, each of which waits once for the device. None:
            twenty lines an epoch, of means since the line before.
        prepare: turns a batch of stored columns into what the losses read (uint8 → float), on the device.
        stepper: a network with its own step instead of phases.
        definition: the formula of the stepper's loss (phases state their own).
        validate: `(nets, rng) -> {name: value}`, cheap, called after each epoch in eval mode.
        keep_best: which of validate's values chooses the best checkpoint.
        sample: `(nets, rng) -> ImageGrid`, drawn after each epoch from the same noise.
        remarks: sentences said when the training starts: what loss and data let one expect of it.
    """

    train: Mapping[str, Array]
    batch_size: int
    phases: Sequence[Phase] = ()
    averages: Sequence[Average] = ()
    shuffle: bool = True
    repeat: int = 1
    log_every: int | None = None
    prepare: Callable[[Batch], Batch] = lambda batch: batch
    stepper: Stepper | None = None
    definition: str = ""
    validate: Callable[[Nets, torch.Generator], Mapping[str, float]] | None = None
    keep_best: Metric | None = None
    sample: Callable[[Nets, torch.Generator], ImageGrid] | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    remarks: Sequence[str] = ()


@dataclass(frozen=True)
class ImageGrid:
    """Pictures in rows and columns with their labels; `images` is uint8 of shape (rows, columns, H, W[, 3])."""

    images: Any
    title: str
    rows: Sequence[str] = ()
    columns: Sequence[str] = ()
    row_axis: str = ""
    column_axis: str = ""


@dataclass(frozen=True)
class Curves:
    """Lines over a common axis: `series[name] = (x values, y values)`.

    `marks[name] = (x, y)` are single points to compare with (numbers that a paper reports); `dots` names the
    series that are points instead of lines.
    """

    series: Mapping[str, tuple[Sequence[float], Sequence[float]]]
    title: str
    x_axis: str
    y_axis: str
    log_y: bool = False
    log_x: bool = False
    marks: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    dots: Collection[str] = ()


@dataclass(frozen=True)
class Matrix:
    """A table of numbers as a picture: confusion counts, a grid search, a decision surface.

    `values` is (rows, columns), the first row on top. Labels name rows and columns; without them the axes run over
    `extent` = (left, right, bottom, top), and `points[name] = (x values, y values)` are drawn upon it. `write`
    formats the number in each cell ("{:.2f}"; "" writes none); `unit` names what the colours mean, and `scale` gives
    the values of the darkest and the lightest one (by default the least and the largest value). A line runs where a
    surface crosses the value `contour`. A value that is not finite is left blank.
    """

    values: Any
    title: str
    rows: Sequence[str] = ()
    columns: Sequence[str] = ()
    row_axis: str = ""
    column_axis: str = ""
    unit: str = ""
    write: str = ""
    extent: tuple[float, float, float, float] | None = None
    points: Mapping[str, tuple[Sequence[float], Sequence[float]]] = field(default_factory=dict)
    scale: tuple[float, float] | None = None
    contour: float | None = None


@dataclass(frozen=True)
class Reading:
    """A recording over time, and what a network reads its windows as.

    `signal` holds its stretches without gaps, in order, each (second of the first sample, second of the last one,
    values (n, channels)). Window i lasts from second `starts[i]` to `ends[i]`, in order and without overlap, and is
    read as `classes[answers[i]]` with the probability `confidence[i]`. `begins` is the clock's time at second 0.
    """

    signal: Sequence[tuple[float, float, Any]]
    channels: Sequence[str]
    unit: str
    starts: Any
    ends: Any
    answers: Any
    confidence: Any
    classes: Sequence[str]
    title: str
    begins: str = ""


Figure = ImageGrid | Curves | Matrix | Reading


@dataclass(frozen=True)
class Panel:
    """One panel of a run's history: values of its training log over steps, with lines to read them by.

    Attributes:
        y_axis: what the values are, with their unit.
        series: name in the legend → name in the log ("generator/loss").
        lines: name in the legend → heights of horizontal lines.
        share: whether the values are shares, from 0 to 1.
    """

    y_axis: str
    series: Mapping[str, str]
    lines: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    share: bool = False


@dataclass(frozen=True)
class Version:
    """A named set of settings: a patch on its parent (the first one: on the defaults).

    `change` says in words what differs from the parent. `reported` holds the numbers of a reference (a log, a
    paper), `source` names it. Their keys: a metric of the recipe is what `evaluate` measures on the test set;
    any other name is a training value of the version's last epoch; "train/accuracy" and "validation/accuracy" say
    outright which split is meant.
    """

    name: str
    change: str
    parent: str | None = None
    patch: Mapping[str, Any] = field(default_factory=dict)
    reported: Mapping[str, float] = field(default_factory=dict)
    source: str = ""


@dataclass(frozen=True)
class Trained:
    """A run's networks, loaded, in eval mode, with the settings that made them.

    `helpers` holds the trained networks of other recipes that `Recipe.needs` asked for, by the names it gave
    them; `data` is what the run noted of its data (`Task.data`), `evaluation` what was measured of it, by split.
    """

    settings: Any
    nets: Nets
    device: str = "cpu"
    seed: int = 0
    helpers: Mapping[str, Trained] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    evaluation: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Export:
    """What `epochal export` writes as ONNX.

    Attributes:
        net: module in eval mode on the CPU: float32 (n, …) in the unit that its users have → one tensor (n, …).
        inputs: examples (n, …), float32: what the file is checked with.
        input_name: of the input in the file.
        output_name: of the output.
        about: texts kept in the file's metadata: classes, channels, rate_hz, unit, window.
    """

    net: Any
    inputs: Array
    input_name: str = "input"
    output_name: str = "logits"
    about: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Legacy:
    """What a former program's command line says: settings by dotted key, and options of `epochal run` (None: unsaid).

    `remarks` are sentences on what the line means today.
    """

    patch: Mapping[str, Any]
    seed: int | None = None
    device: str | None = None
    name: str | None = None
    remarks: Sequence[str] = ()


@dataclass(frozen=True)
class Recipe:
    """One system to train.

    Attributes:
        name: as typed on the command line.
        summary: one line for `epochal list`.
        settings: frozen dataclass; its first version's settings are its defaults.
        versions: the study's tree, oldest first; the last one is what `epochal run NAME` trains.
        nets: `settings -> {name: module}`: fresh networks, without reading any data, unless `nets_of` is there.
        made_by: modules beside those of `nets` and `build` whose text decides what is trained: a network that another
            recipe needs is trained anew where one of them has changed.
        nets_of: `(settings, data) -> {name: module}`: networks whose shape the data decide (how many channels and
            classes), from what a run noted of its data (`Task.data`): a trained network is then loaded where its
            data are not. `nets` reads them, and makes the same networks.
        build: `(settings, nets) -> Task`: reads the data and says how to train.
        metrics: what `evaluate` measures, with direction and margin.
        evaluate: `(trained, split) -> {metric: value}`; texts beside the numbers say what these depend on
            (`{"fd": 3.2, "extractor": "image-features/mnist 3fa9c1e2"}`) and are kept and shown with them.
        needs: `settings -> {name: (recipe name, patch)}`: networks of other recipes that `evaluate` measures
            with (a classifier that judges samples). They are trained once, kept by the hash of all that makes
            them, and handed over as `trained.helpers[name]`.
        needs_to_train: `settings -> {name: (recipe name, patch)}`: networks of other recipes that training starts
            from (a teacher, a model that fills in missing labels). They are trained and kept as those of `needs`;
            `build` then takes them as the keyword `helpers`, `{name: Trained}`.
        generate: `(trained, request) -> ImageGrid`; `request` is an instance of `request`, a frozen dataclass
            whose fields become options of `epochal generate`.
        predict: `(trained, path, out) -> {what: number, text or figure}`: reads what the user has at `path` (a folder,
            a file) and writes the network's answers to the file `out`; tells in a few words what was written. `out`
            has a temporary name: the verb puts it in its place when all is written, and beside it the figures.
        export: `trained -> Export`: the network that other programs may use, with examples of its input.
        figures: `trained -> {file stem: ImageGrid | Curves | Matrix}` drawn when a run ends.
        legacy: `(line, settings) -> Legacy`: reads the command line of the program that the recipe comes from;
            `settings` are those that hold without it.
        history: `settings -> panels` of the figure of a run's training log, where a panel for each value would tear
            apart what belongs together (the losses of a GAN's two networks).
        stack: `(settings, seed_index) -> Fleet` of members: the settings of each, and for each the index of its
            seed among the fleet's seeds (members of one seed stand together, ascending).
        stackable: dotted keys of the settings in which the members of one fleet may differ.
        fleet_figures: `members -> {file stem: figure}`, drawn when a fleet ends.
        data: what it trains on, in words.
        sources: data sources that its versions are written for, by name (`epochal data list`), that of the newest
            version first; none when it computes its data.
        minutes: rough time of the newest version on two CPU cores.
    """

    name: str
    summary: str
    settings: type
    versions: tuple[Version, ...]
    nets: Callable[[Any], dict[str, Any]]
    build: Callable[..., Task]
    made_by: tuple[str, ...] = ()
    nets_of: Callable[[Any, Mapping[str, Any]], dict[str, Any]] | None = None
    metrics: tuple[Metric, ...] = ()
    evaluate: Callable[[Trained, str], Mapping[str, float | str]] | None = None
    needs: Callable[[Any], Mapping[str, tuple[str, Mapping[str, Any]]]] | None = None
    needs_to_train: Callable[[Any], Mapping[str, tuple[str, Mapping[str, Any]]]] | None = None
    generate: Callable[[Trained, Any], ImageGrid] | None = None
    request: type | None = None
    predict: Callable[[Trained, Path, Path], Mapping[str, float | str | Figure]] | None = None
    export: Callable[[Trained], Export] | None = None
    figures: Callable[[Trained], Mapping[str, Figure]] | None = None
    legacy: Callable[[str, Any], Legacy] | None = None
    history: Callable[[Any], Sequence[Panel]] | None = None
    stack: Callable[[Sequence[Any], Sequence[int]], Fleet] | None = None
    stackable: tuple[str, ...] = ()
    fleet_figures: Callable[[Sequence[Member]], Mapping[str, Figure]] | None = None
    data: str = ""
    sources: tuple[str, ...] = ()
    minutes: float | None = None
