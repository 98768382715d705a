"""What the recipes of distillation share: their settings, the loss over one or two teachers, and the teachers at work.

    loss = (1 - λ)·CE + λ·T²·Σ_teachers share·KL(softmax(z_teacher/T) ‖ softmax(z_student/T)) + γ·SP

SP is the mean over three groups of blocks of ‖Σ_teachers share·G_teacher - G_student‖²_F / B². Means over the batch;
`losses.distillation` has the terms.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import cos, pi
from typing import TYPE_CHECKING, Annotated, Any, Literal

from epochal.errors import UsageError
from epochal.settings import Interval
from epochal.systems.recipes import _wearables as wearables
from epochal.training.task import Batch, Phase, Task, Trained

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import torch

    from epochal.training.task import LossFunction, Nets

NET = wearables.NET
CLASSIFIER = "har-classifier"
"""The recipe that trains teachers, and students on their own."""


@dataclass(frozen=True)
class Teacher:
    """A network to learn from; trained first, once, and kept, unless a checkpoint is named."""

    net: str = "wrn28-1"
    """Its name: wrn16-1, wrn28-1, wrn40-2, resnet8, resnet18, …"""
    checkpoint: str | None = None
    """A run's folder, or a .safetensors file, to take it from instead of training it."""
    epochs: Annotated[int, Interval(1)] | None = None
    """Epochs of its training; by default as many as the student's."""
    cached: bool = True
    """Compute its answers once; without, it answers anew at every step."""


@dataclass(frozen=True)
class Loss:
    """What the student learns: labels, the teacher's soft answers, and what the teacher finds alike."""

    lam: Annotated[float, Interval(0, 1)] = 0.7
    """λ: share of the teachers' answers; 1 - λ is the labels'."""
    temperature: Annotated[float, Interval(0, open_low=True)] = 4.0
    """T: softens both answers before they are compared."""
    anneal: Literal["none", "linear", "cosine"] = "none"
    """λ stays, or falls to `lam_end` over the training along a line or half a cosine: labels have the last word."""
    lam_end: Annotated[float, Interval(0, 1)] = 0.0
    """What λ falls to by the last epoch."""
    sp_weight: Annotated[float, Interval(0)] = 0.0
    """γ: weight of the similarity-preserving term; 0 leaves it out."""
    standardise_logits: bool = False
    """Cross-entropy on z / std(z), divergence between softmax(2·z / std(z)); T then only remains in T²."""


@dataclass(frozen=True)
class PaperCompat(wearables.PaperCompat):
    """Faults of the reference programs, to show what they do."""

    averaged_kl: bool = False
    """Average the divergence over the classes too, and leave out T²: distillation that does nothing."""
    rerun_teachers: bool = False
    """Let the teachers answer anew at every step: the same numbers, slowly."""


@dataclass(frozen=True)
class Net:
    """The student."""

    name: str = "wrn16-1"
    """wrn16-1, resnet8, resnet18 or any other wrn<depth>-<width>; `resnet81` and the like are understood."""
    checkpoint: str | None = None
    """Weights to begin from: a run's folder or a .safetensors file."""


@dataclass(frozen=True)
class Settings(wearables.Settings):
    """What both recipes of distillation can be told."""

    net: Net = field(default_factory=Net)
    loss: Loss = field(default_factory=Loss)
    paper_compat: PaperCompat = field(default_factory=PaperCompat)


@dataclass(frozen=True)
class Role:
    """A teacher's place in the loss.

    Attributes:
        name: "teacher", or "a" and "b".
        settings: which network it is.
        share: of the teachers' answers and maps; all shares sum to 1.
        reads: what it is shown.
    """

    name: str
    settings: Teacher
    share: float = 1.0
    reads: wearables.Reads = "signal"

    @property
    def title(self) -> str:
        """What people call it."""
        return "teacher" if self.name == "teacher" else f"teacher {self.name.upper()}"

    @property
    def part(self) -> str:
        """Name of its divergence among the loss's parts."""
        return "kl" if self.name == "teacher" else f"kl_{self.name}"


def needs(settings: Settings, roles: Sequence[Role]) -> dict[str, tuple[str, dict[str, Any]]]:
    """The teachers that must be trained: by the classifier's recipe, on the same people, by the same schedule.

    Raises:
        UsageError: the student could not be trained afterwards; better known before a teacher is.
    """
    _insist_on_settings(settings, roles)
    wanted = {}
    for role in roles:
        if role.settings.checkpoint is not None:
            continue
        data = {f"data.{name}": value for name, value in vars(settings.data).items()}
        optim = {f"optim.{name}": value for name, value in vars(settings.optim).items()}
        augment = {f"augment.{name}": value for name, value in vars(settings.augment).items()}
        wanted[role.title] = (
            CLASSIFIER,
            {
                **data,
                **optim,
                **augment,
                "data.source": wearables.source_of(settings),
                "batch_size": settings.batch_size,
                "epochs": role.settings.epochs or settings.epochs,
                "net.name": role.settings.net,
                "net.reads": role.reads,
                "paper_compat.choose_on_test": settings.paper_compat.choose_on_test,
                "paper_compat.persistence": settings.paper_compat.persistence,
            },
        )
    return wanted


def _insist_on_settings(settings: Settings, roles: Sequence[Role]) -> None:
    """Refuses what does not depend on the data."""
    from epochal.systems.nets import classifiers
    from epochal.systems.recipes import _teachers

    topology = any(role.reads == "persistence" for role in roles)
    if topology and settings.data.name == "cifar10":
        raise UsageError(
            "Pictures have no persistence images here: one of the two teachers would have nothing to read.",
            hint="`epochal run har-distill cifar10` learns from one teacher.",
        )
    if topology and settings.augment.noise:
        raise UsageError(
            "A teacher that reads persistence images cannot follow windows that change at every step.",
            hint="Leave out augment.noise.",
        )
    wearables.check_augment(settings.augment, "pictures" if settings.data.name == "cifar10" else "signals")
    for net in (settings.net, *(_network_of(role) for role in roles)):
        classifiers.canonical(net.name)
        if net.checkpoint is not None:
            _teachers.weights_file(net.checkpoint)


def _network_of(role: Role) -> Net:
    return Net(role.settings.net, role.settings.checkpoint)


def build(settings: Settings, nets: Nets, helpers: Mapping[str, Trained], roles: Sequence[Role]) -> Task:
    """Reads the examples, asks the teachers, and says how the student is trained."""
    from epochal.systems.recipes import _teachers

    _insist_on_settings(settings, roles)
    examples = wearables.read(settings)
    train = dict(examples.splits["train"])
    if settings.net.checkpoint is not None:
        _teachers.fill(nets[NET], settings.net.checkpoint)
    wearables.learn_scale(nets[NET], settings, train["x"])
    change = wearables.augmented(settings.augment, train["x"])
    at_work = [_at_work(role, settings, examples, helpers, moved=change is not None) for role in roles]
    for one in at_work:
        train |= one.columns
    return Task(
        train=train,
        batch_size=settings.batch_size,
        prepare=preparing(at_work),
        phases=[
            Phase(
                name=NET,
                trains=(NET,),
                loss=loss(settings, at_work, change),
                optimiser=wearables.optimiser(settings, len(train["labels"])),
                definition=definition(settings, roles),
                terms=lambda epoch: weights(settings, roles, epoch),
                meant=lambda epoch: meant(settings, roles, epoch),
            )
        ],
        validate=wearables.validate(examples, settings, entropy="ce"),
        keep_best=wearables.best(examples),
        data={**examples.about, "teachers": {one.role.name: one.about for one in at_work}},
        remarks=[*examples.remarks, *(remark for one in at_work for remark in one.remarks)],
    )


@dataclass(frozen=True)
class AtWork:
    """A teacher that trains a student.

    Attributes:
        role: its place in the loss.
        net: the network, frozen.
        columns: of the training examples: its answers, or what it is to be shown at every step.
        alike: its maps, by group, as far as they are kept (`_teachers.Answers`).
        products: whether these are inner products.
        cached: whether nothing of it runs in a step.
        about: what the run notes of it.
        remarks: what to say when training starts.
    """

    role: Role
    net: Any
    columns: Mapping[str, Any]
    alike: Mapping[str, Any]
    products: bool
    cached: bool
    about: Mapping[str, Any]
    remarks: tuple[str, ...]


def _at_work(
    role: Role,
    settings: Settings,
    examples: wearables.Examples,
    helpers: Mapping[str, Trained],
    *,
    moved: bool,
) -> AtWork:
    """Asks a teacher about all training examples, or says why it must be asked at every step."""
    import numpy as np

    from epochal.systems.recipes import _teachers

    own = examples if role.reads == "signal" else wearables.read(settings, role.reads)
    net, device = _network(role, own.about, helpers)
    x = own.splits["train"]["x"]
    alike = settings.loss.sp_weight > 0
    remarks = [_how_good(role, net, own, device)]
    if role.settings.checkpoint is not None and not _teachers.noted(role.settings.checkpoint):
        remarks.append(
            f"{role.title}: on whom its file was trained is not known; were they people who test here?"
        )
    cached = role.settings.cached and not settings.paper_compat.rerun_teachers
    if cached and moved:
        cached = False
        remarks.append(
            f"{role.title}'s answers are not kept: the examples change at every step, so it answers anew each time"
        )
    said = _teachers.answers(net, x, alike=alike, device=device) if cached else None
    if cached and said is None:
        cached = False
        remarks.append(
            f"{role.title}'s maps of {len(x):,} examples are too large to be kept: it answers anew at every step"
        )
    columns: dict[str, Any] = {f"logits_{role.name}": said.logits} if said else {}
    if said is None and role.reads == "persistence":
        columns[f"x_{role.name}"] = x
    if said is not None and alike:
        columns["row"] = np.arange(len(x))
    about = {"net": role.settings.net, "reads": role.reads, "sha256": _teachers.digest(net), "cached": cached}
    return AtWork(
        role,
        net,
        columns,
        said.alike if said else {},
        said.products if said else True,
        cached,
        about,
        tuple(remarks),
    )


def _network(role: Role, about: Mapping[str, Any], helpers: Mapping[str, Trained]) -> tuple[Any, str]:
    """The frozen teacher, and where it is."""
    if role.settings.checkpoint is None:
        return helpers[role.title].nets[NET], helpers[role.title].device
    _insist_on_teacher(role, about)
    net = wearables.network(role.settings.net, about, role.settings.checkpoint)
    return net.eval().requires_grad_(False), "cpu"


def _insist_on_teacher(role: Role, about: Mapping[str, Any]) -> None:
    """Refuses a run as teacher that learnt something else, or from people who are to test or to validate now.

    Of a file nothing is known but its weights.
    """
    from epochal.systems.recipes import _teachers

    noted = _teachers.noted(str(role.settings.checkpoint))
    for name in ("classes", "channels", "unit", "rate_hz"):
        if name in noted and noted[name] != about.get(name):
            was, now = (
                ", ".join(map(str, value)) if isinstance(value, list) else value
                for value in (noted[name], about.get(name))
            )
            raise UsageError(
                f"The run {role.settings.checkpoint} cannot teach here: it was trained with {name} {was}, not {now}.",
                hint="Name a run on the same data, or leave the checkpoint out: the teacher is then trained first.",
            )
    if noted.get("sha256") != about["sha256"] or "subjects" not in noted:
        return
    people, own = noted["subjects"], about["subjects"]
    knows = set(people["train"]) & {*own.get("validation", ()), *own["test"]}
    knows |= set(people.get("validation", ())) & set(own["test"])
    if knows := {one for one in knows if one >= 0}:
        named = ", ".join(map(str, sorted(knows)[:10]))
        raise UsageError(
            f"The run {role.settings.checkpoint} cannot teach here: it was trained on people who validate or test "
            f"({named}).",
            hint="Name a run of the same data.fold, data.folds and data.split_seed, or leave the checkpoint out.",
        )


def _how_good(role: Role, net: Any, own: wearables.Examples, device: str) -> str:
    """A sentence on how far the teacher can be trusted: a bad one teaches nothing."""
    from epochal.evidence.metrics import classification

    columns = own.splits.get("validation", own.splits["train"])
    which = "validation" if "validation" in own.splits else "training"
    right = classification.measure(wearables.answers(net, columns, device)).top1
    reads = " on persistence images" if role.reads == "persistence" else ""
    return f"{role.title}: {role.settings.net}{reads}, {right:.1%} of the {which} examples right"


def preparing(at_work: Sequence[AtWork]) -> Callable[[Batch], Batch]:
    """`Task.prepare`: examples as the student reads them, and the teachers' maps over the batch where they are kept."""
    import torch

    kept: dict[Any, list[dict[str, torch.Tensor]]] = {}

    def prepare(batch: Batch) -> Batch:
        from epochal.systems.recipes import _teachers

        prepared = wearables.prepare(batch)
        device = prepared["x"].device
        if device not in kept:  # copied to the device once
            kept[device] = [
                {name: torch.from_numpy(whole).to(device) for name, whole in one.alike.items()}
                for one in at_work
            ]
        for one, alike in zip(at_work, kept[device], strict=True):
            for group, whole in _teachers.maps(alike, one.products, batch["row"]).items() if alike else ():
                prepared[f"{group}_{one.role.name}"] = whole
        prepared.pop("row", None)
        return prepared

    return prepare


def said_by(one: AtWork, batch: Batch, x: Any, *, maps: bool) -> tuple[Any, Mapping[str, Any]]:
    """A teacher's logits (B, K) and its maps (B, B) by group, kept or computed now on the very examples."""
    import torch

    from epochal.systems.losses import distillation
    from epochal.systems.recipes import _teachers

    name = one.role.name
    if one.cached:
        return batch[f"logits_{name}"], {g: batch[f"{g}_{name}"] for g in one.alike}
    shown = batch.get(f"x_{name}", x)
    with torch.no_grad():  # `to` moves it once: one from a checkpoint begins on the CPU
        logits, groups = one.net.to(shown.device)(shown.float(), maps=True)
    return logits, {g: distillation.similarity(groups[g].float()) for g in _teachers.GROUPS} if maps else {}


def loss(
    settings: Settings, at_work: Sequence[AtWork], change: Callable[[Any, Any], Any] | None
) -> LossFunction:
    """The loss of the module's first lines; its parts are the terms without their weights."""

    def function(nets: Nets, batch: Batch, rng: torch.Generator) -> tuple[Any, Mapping[str, Any]]:
        from epochal.systems.losses import distillation
        from epochal.systems.losses.classification import cross_entropy
        from epochal.systems.recipes import _teachers

        x = batch["x"] if change is None else change(batch["x"], rng)
        alike = settings.loss.sp_weight > 0
        logits, groups = nets[NET](x, maps=True)
        labels = batch["labels"]
        scaled = distillation.standardised(logits) if settings.loss.standardise_logits else logits
        parts = {"ce": cross_entropy(scaled, labels).mean()}
        found: dict[str, Any] = {}
        for one in at_work:
            said, maps = said_by(one, batch, x, maps=alike)
            parts[one.role.part] = divergence(settings, logits, said)
            for group, whole in maps.items():
                found[group] = found.get(group, 0) + one.role.share * whole
        if alike:
            gaps = [
                distillation.similarity_gap(found[g], distillation.similarity(groups[g].float()))
                for g in _teachers.GROUPS
            ]
            parts["sp"] = sum(gaps[1:], gaps[0]) / len(gaps)
        factors = weights(settings, [one.role for one in at_work], batch.epoch)
        total = sum((factor * parts[name] for name, factor in factors.items()), 0.0)
        right = (logits.detach().argmax(1) == labels).float().mean()
        return total, {**parts, "accuracy": right}

    return function


def divergence(settings: Settings, student: Any, teacher: Any) -> Any:
    """Mean over the batch of the divergence of the student's answers from the teacher's, without λ and T²."""
    from epochal.systems.losses import distillation

    temperature = settings.loss.temperature
    if settings.loss.standardise_logits:
        student, teacher = (distillation.SHARPNESS * distillation.standardised(z) for z in (student, teacher))
        temperature = 1.0
    kind = distillation.averaged_divergence if settings.paper_compat.averaged_kl else distillation.divergence
    return kind(student, teacher, temperature=temperature).mean()


def lam(settings: Settings, epoch: int) -> float:
    """λ at an epoch (from 1): at the first one `lam`, at the last one `lam_end` where it is annealed."""
    wanted = settings.loss
    if wanted.anneal == "none" or settings.epochs == 1:
        return wanted.lam
    done = min((epoch - 1) / (settings.epochs - 1), 1.0)
    share = done if wanted.anneal == "linear" else (1 - cos(pi * done)) / 2
    return wanted.lam + (wanted.lam_end - wanted.lam) * share


def weights(settings: Settings, roles: Sequence[Role], epoch: int) -> dict[str, float]:
    """The factor of each part in the loss; parts without one are left out."""
    now = lam(settings, epoch)
    squared = 1.0 if settings.paper_compat.averaged_kl else settings.loss.temperature**2
    factors = {"ce": 1 - now, **{role.part: now * squared * role.share for role in roles}}
    factors["sp"] = settings.loss.sp_weight
    return {name: factor for name, factor in factors.items() if factor}


def meant(settings: Settings, roles: Sequence[Role], epoch: int) -> dict[str, float]:
    """What share of the gradient labels and teachers are meant to have: 1 - λ and λ, whatever else the weights hold.

    T² is there to make up for what T takes from a divergence's gradient: with it, λ is about the teachers' share.
    """
    now = lam(settings, epoch)
    return {"ce": 1 - now, **{role.part: now * role.share for role in roles}}


def definition(settings: Settings, roles: Sequence[Role]) -> str:
    """The loss as a formula, with its numbers."""
    wanted = settings.loss
    how = {"none": f"λ = {wanted.lam:g}"}.get(
        wanted.anneal, f"λ from {wanted.lam:g} to {wanted.lam_end:g} ({wanted.anneal})"
    )
    z = "2·z/std(z)" if wanted.standardise_logits else f"z/{wanted.temperature:g}"
    averaged = settings.paper_compat.averaged_kl
    squared = "" if averaged else f"·{wanted.temperature**2:g}"
    terms = " + ".join(f"{role.share:g}·KL({role.title})" if len(roles) > 1 else "KL" for role in roles)
    text = f"(1 - λ)·CE{' of z/std(z)' * wanted.standardise_logits} + λ{squared}·({terms}), {how}; CE: mean over "
    text += f"windows, nats; KL(softmax of the teacher's {z} ‖ the student's): summed over classes, mean over windows"
    if averaged:
        text = text.replace("summed over classes, mean over windows", "mean over windows and classes")
    if wanted.sp_weight:
        text += f"; + {wanted.sp_weight:g}·mean over groups of ‖G(teachers) - G(student)‖² / B²"
    return text
