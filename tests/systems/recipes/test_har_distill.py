"""Distillation: the loss equals a naive program's, kept answers equal fresh ones, and its faults can be seen."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import epochal
from epochal import settings as settings_room
from epochal.errors import EpochalError, UsageError
from epochal.systems import recipes
from epochal.systems.losses import distillation as losses
from epochal.systems.recipes import _distillation as distillation
from epochal.systems.recipes import _teachers, har_distill, har_distill_two_teachers
from epochal.systems.recipes import _wearables as wearables
from epochal.training.feed import TensorFeed
from epochal.training.task import Batch, Task, Trained

ITEMS = 150
LITTLE = {"data.source": "wisdm-watch", "data.limit": ITEMS, "net.name": "resnet8"}
ONE = {**LITTLE, "teacher.net": "wrn10-1"}
TWO = {**ONE, "teacher2.net": "wrn10-1"}


def settings(recipe: Any, **patch: Any) -> Any:
    """Settings of a recipe on a few windows of the real watch."""
    base = TWO if recipe is har_distill_two_teachers else ONE
    return settings_room.apply(
        recipe.Settings(), {**base, **{key.replace("__", "."): value for key, value in patch.items()}}
    )


def untrained(recipe: Any, chosen: Any) -> dict[str, Trained]:
    """Teachers with fresh weights, and running statistics of some data: they need not be good to be checked."""
    found = {}
    for role, (name, patch) in recipe.needs_to_train(chosen).items():
        teacher = recipes.find(name)
        own = settings_room.apply(teacher.settings(), patch)
        torch.manual_seed(len(found))
        nets = teacher.nets(own)
        net = nets["network"]
        x = wearables.read(own, own.net.reads).splits["train"]["x"]
        with torch.no_grad():
            for _ in range(5):
                net.train()(torch.tensor(x).float())
        net.eval().requires_grad_(False)
        found[role] = Trained(own, nets)
    return found


def built(recipe: Any, chosen: Any, teachers: Mapping[str, Trained]) -> tuple[Task, Any]:
    """A recipe's task with its student."""
    torch.manual_seed(7)
    nets = recipe.nets(chosen)
    return recipe.build(chosen, nets, helpers=teachers), nets


def lost(task: Task, nets: Any, epoch: int = 1) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """The loss of the first batch and its parts; the student in train mode."""
    feed = TensorFeed(task, 0, torch.device("cpu"))
    total, parts = task.phases[0].loss(nets, feed.batch(epoch, 0, 0), torch.Generator().manual_seed(0))
    return total, dict(parts)


@pytest.fixture(scope="module")
def two(real_data: Path) -> tuple[Any, dict[str, Trained]]:
    """Settings of the two-teacher recipe, and its teachers."""
    chosen = settings(har_distill_two_teachers)
    return chosen, untrained(har_distill_two_teachers, chosen)


@pytest.fixture(scope="module")
def one(real_data: Path) -> tuple[Any, dict[str, Trained]]:
    """Settings of the one-teacher recipe, and its teacher."""
    chosen = settings(har_distill)
    return chosen, untrained(har_distill, chosen)


def test_two_teacher_loss_equals_the_naive_programs(
    two: tuple[Any, dict[str, Trained]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kept logits and maps give the loss of a program that runs both teachers in the step, gradients too."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[3] / "benchmarks"))
    import plain_pytorch_har as naive

    chosen, teachers = two
    task, nets = built(har_distill_two_teachers, chosen, teachers)
    total, parts = lost(task, nets)
    total.backward()
    gradients = {name: p.grad.clone() for name, p in nets["network"].named_parameters()}

    _, fresh = built(har_distill_two_teachers, chosen, teachers)
    order = TensorFeed(task, 0, torch.device("cpu"))._ordered(1, 0)[: naive.BATCH]
    signals, images = (wearables.read(chosen, reads).splits["train"] for reads in ("signal", "persistence"))
    batch = {
        "x": torch.from_numpy(signals["x"])[order],
        "images": torch.tensor(images["x"])[order].float(),
        "labels": torch.from_numpy(signals["labels"])[order],
    }
    student = fresh["network"].train()
    expected, terms = naive.two_teacher_loss(
        student, *(teachers[f"teacher {role}"].nets["network"] for role in "AB"), batch
    )
    expected.backward()
    assert total.item() == pytest.approx(expected.item(), rel=1e-4)  # maps are kept in float16
    for name, term in terms.items():  # each by itself: some are a thousandth of the whole
        squared = naive.TEMPERATURE**2 if name.startswith("kl") else 1.0
        assert squared * parts[name].item() == pytest.approx(term.item(), rel=1e-3), name
    for name, p in student.named_parameters():
        torch.testing.assert_close(
            gradients[name], p.grad, rtol=0.02, atol=2e-3 * float(p.grad.abs().max() + 1e-6)
        )
    sys.modules.pop("plain_pytorch_har")


@pytest.mark.parametrize("way", ["products", "features", "rerun", "compat"])
def test_every_way_to_the_teachers_answers_is_one(
    two: tuple[Any, dict[str, Trained]], monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """Inner products, outputs, and teachers that run in the step give the same parts of the loss."""
    chosen, teachers = two
    task, nets = built(har_distill_two_teachers, chosen, teachers)
    _, expected = lost(task, nets)
    if way == "features":
        monkeypatch.setattr(_teachers, "_products", lambda *_: False)
    if way == "rerun":
        monkeypatch.setattr(_teachers, "_products", lambda *_: None)
    if way == "compat":
        chosen = settings(har_distill_two_teachers, paper_compat__rerun_teachers=True)
    task, nets = built(har_distill_two_teachers, chosen, teachers)
    kept = "row" in task.train
    assert kept == (way in ("products", "features")) and task.data["teachers"]["a"]["cached"] == kept
    if way == "rerun":
        assert any("too large to be kept" in remark for remark in task.remarks)
    _, parts = lost(task, nets)
    assert list(parts) == list(expected) == ["ce", "kl_a", "kl_b", "sp", "accuracy"]
    for name, value in parts.items():
        assert value.item() == pytest.approx(expected[name].item(), rel=2e-3, abs=1e-6), name


def test_what_is_kept_is_found_again(
    one: tuple[Any, dict[str, Trained]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second training asks the teacher nothing: its answers lie in the cache, under its weights and the windows."""
    monkeypatch.setenv("EPOCHAL_CACHE", str(tmp_path))
    chosen, teachers = one
    net, x = teachers["teacher"].nets["network"], wearables.read(chosen).splits["train"]["x"]
    first = _teachers.answers(net, x, alike=True, device="cpu")
    asked: list[int] = []
    monkeypatch.setattr(_teachers, "ask", lambda *_, **__: asked.append(1))
    again = _teachers.answers(net, x, alike=True, device="cpu")
    assert first is not None and again is not None and not asked
    assert (first.logits == again.logits).all() and all(
        (first.alike[g] == again.alike[g]).all() for g in _teachers.GROUPS
    )


def test_terms_sum_to_the_loss(two: tuple[Any, dict[str, Trained]]) -> None:
    """The weights that the probe is told are those of the loss, at every epoch of an annealed λ."""
    _, teachers = two
    chosen = settings(har_distill_two_teachers, loss__anneal="linear", epochs=10)
    task, nets = built(har_distill_two_teachers, chosen, teachers)
    for epoch in (1, 4, 9):  # at the last one λ is 0, and the divergences drop out
        total, parts = lost(task, nets, epoch)
        terms = task.phases[0].terms
        assert terms is not None
        assert total.item() == pytest.approx(
            sum(w * parts[k].item() for k, w in terms(epoch).items()), rel=1e-5
        )
    assert list(terms(10)) == ["ce", "sp"]


def test_annealing_ends_where_it_says() -> None:
    """λ begins at `lam` and ends at `lam_end` with the last epoch, along a line or half a cosine; else it stays."""

    def course(kind: str) -> list[float]:
        wanted = har_distill.Settings(
            epochs=5,
            loss=distillation.Loss(lam=0.8, anneal=kind, lam_end=0.2),  # type: ignore[arg-type]
        )
        return [distillation.lam(wanted, epoch) for epoch in range(1, 6)]

    assert course("none") == [0.8] * 5
    assert course("linear") == pytest.approx([0.8, 0.65, 0.5, 0.35, 0.2])
    assert course("cosine") == pytest.approx([0.8, 0.7121, 0.5, 0.2879, 0.2], abs=1e-4)
    assert distillation.lam(har_distill.Settings(epochs=1, loss=distillation.Loss(anneal="linear")), 1) == 0.7


def test_standardised_logits_leave_only_the_factor_of_the_temperature(
    one: tuple[Any, dict[str, Trained]],
) -> None:
    """Cross-entropy of z / std(z), divergence of 2·z / std(z) without T inside; T² still stands before it."""
    _, teachers = one
    chosen = settings(har_distill, loss__standardise_logits=True)
    task, nets = built(har_distill, chosen, teachers)
    _, parts = lost(task, nets)
    batch = TensorFeed(task, 0, torch.device("cpu")).batch(1, 0, 0)
    student = built(har_distill, chosen, teachers)[1]["network"].train()(batch["x"])
    z, t = (v / v.std(1, keepdim=True) for v in (student, batch["logits_teacher"]))
    ce = torch.nn.functional.cross_entropy(z, batch["labels"])
    kl = torch.nn.functional.kl_div((2 * z).log_softmax(1), (2 * t).softmax(1), reduction="batchmean")
    assert (parts["ce"].item(), parts["kl"].item()) == pytest.approx((ce.item(), kl.item()), rel=1e-4)
    assert distillation.weights(chosen, har_distill.roles(chosen), 1)["kl"] == pytest.approx(0.7 * 16)


def test_the_averaged_divergence_is_in_the_loss_by_name_only(one: tuple[Any, dict[str, Trained]]) -> None:
    """The fault that the probe is for: no T², a sixth of the divergence: a 96th of what it should be."""
    right, faulty = settings(har_distill), settings(har_distill, paper_compat__averaged_kl=True)
    roles = har_distill.roles(right)
    student, teacher = torch.randn(8, 6), torch.randn(8, 6)
    value = {
        name: (
            distillation.weights(chosen, roles, 1)["kl"] * distillation.divergence(chosen, student, teacher)
        ).item()
        for name, chosen in (("right", right), ("faulty", faulty))
    }
    assert value["right"] / value["faulty"] == pytest.approx(96, rel=1e-4)
    assert "mean over windows and classes" in distillation.definition(faulty, roles)
    assert distillation.definition(faulty, roles) != distillation.definition(right, roles)


def test_answers_are_not_kept_of_examples_that_change(one: tuple[Any, dict[str, Trained]]) -> None:
    """With augmentation the teacher is asked about the very windows that the student sees, and it is said."""
    _, teachers = one
    chosen = settings(har_distill, augment__noise=0.3)
    task, nets = built(har_distill, chosen, teachers)
    assert "logits_teacher" not in task.train and not task.data["teachers"]["teacher"]["cached"]
    assert any("the examples change at every step" in remark for remark in task.remarks)
    batch = TensorFeed(task, 0, torch.device("cpu")).batch(1, 0, 0)
    total, parts = task.phases[0].loss(nets, batch, torch.Generator().manual_seed(3))
    noise = torch.randn(batch["x"].shape, generator=torch.Generator().manual_seed(3))
    deviation = torch.from_numpy(task.train["x"].std((0, 2)))
    moved = batch["x"] + 0.3 * noise * deviation[:, None]
    student = built(har_distill, chosen, teachers)[1]["network"].train()(moved)
    said = teachers["teacher"].nets["network"](moved)
    expected = losses.divergence(student, said, temperature=4).mean()
    assert parts["kl"].item() == pytest.approx(expected.item(), rel=1e-4) and bool(total.isfinite())


@pytest.mark.parametrize(
    "patch", [{"net.name": "wrn17-1"}, {"teacher.net": "wrn"}, {"net.checkpoint": "nowhere"}]
)
def test_a_students_mistake_is_known_before_a_teacher_is_trained(patch: dict[str, Any]) -> None:
    """A typo costs a second, not the minutes of the teacher's training."""
    with pytest.raises(UsageError, match=r"There is no (network|checkpoint)"):
        har_distill.needs_to_train(settings_room.apply(har_distill.Settings(), patch))


def test_topology_cannot_follow_windows_that_change() -> None:
    """Persistence images of noisy windows would have to be made at every step: refused, with what to do."""
    with pytest.raises(UsageError, match="cannot follow"):
        har_distill_two_teachers.needs_to_train(settings(har_distill_two_teachers, augment__noise=0.1))


def test_teacher_is_trained_on_the_same_people(tmp_path: Path) -> None:
    """A teacher that knew the people who test would carry them into the student."""
    chosen = settings(har_distill, data__fold=3, data__split_seed=2, data__window=60, epochs=7)
    ((name, patch),) = har_distill.needs_to_train(chosen).values()
    own = settings_room.apply(recipes.find(name).settings(), patch)
    assert vars(own.data) == vars(chosen.data) and (own.epochs, own.net.name) == (7, "wrn10-1")
    there = tmp_path / "teacher.safetensors"
    there.write_bytes(b"")
    assert har_distill.needs_to_train(settings(har_distill, teacher__checkpoint=str(there))) == {}


def test_pictures_have_no_second_teacher() -> None:
    """CIFAR-10 with two teachers is refused before anything is trained, and the recipe that can is named."""
    chosen = settings_room.apply(har_distill_two_teachers.Settings(), {"data.name": "cifar10"})
    with pytest.raises(UsageError, match="no persistence images") as problem:
        har_distill_two_teachers.needs_to_train(chosen)
    assert "har-distill cifar10" in str(problem.value.hint)


def test_cifar10_is_distilled_in_two_dimensions(
    real_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--data.name cifar10` trains teacher and student on pictures, from one command."""
    monkeypatch.setenv("EPOCHAL_CACHE", str(tmp_path / "cache"))
    patch = {
        "data.name": "cifar10", "data.source": "cifar10", "data.limit": 64, "data.hold_out": 32, "epochs": 1,
        "teacher.net": "resnet8", "net.name": "resnet8",
    }  # fmt: skip
    (run,) = epochal.run(
        "har-distill", patch=patch, lab=tmp_path / "lab", precision="float32", threads=1, show=False
    )
    assert run.status == "finished" and run.meta["data"]["shape"] == "pictures"
    assert epochal.load(run.id, lab=tmp_path / "lab").network.conv1.weight.shape == (16, 3, 3, 3)


@pytest.fixture(scope="module")
def teacher_run(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> epochal.Run:
    """A teacher trained for a moment."""
    lab = tmp_path_factory.mktemp("teachers")
    patch = {**LITTLE, "net.name": "wrn10-1", "epochs": 1}
    (run,) = epochal.run("har-classifier", patch=patch, lab=lab, precision="float32", threads=1, show=False)
    return run


def test_a_runs_folder_is_a_checkpoint(teacher_run: epochal.Run, tmp_path: Path) -> None:
    """`--teacher.checkpoint RUN` takes that run's weights, and the run that learns from it says which they were."""
    chosen = settings(har_distill, teacher__checkpoint=str(teacher_run.path))
    task, _ = built(har_distill, chosen, {})
    net = epochal.load(teacher_run.id, lab=teacher_run.path.parent).network
    x = torch.tensor(task.train["x"])
    with torch.no_grad():
        np.testing.assert_allclose(net(x).numpy(), task.train["logits_teacher"], atol=1e-5)
    assert task.data["teachers"]["teacher"]["sha256"] == _teachers.digest(net)


def test_a_student_begins_from_its_checkpoint(teacher_run: epochal.Run) -> None:
    """`--net.checkpoint` fills the student before its first step."""
    chosen = settings(
        har_distill,
        teacher__checkpoint=str(teacher_run.path),
        net__name="wrn10-1",
        net__checkpoint=str(teacher_run.path),
    )
    _, nets = built(har_distill, chosen, {})
    net = epochal.load(teacher_run.id, lab=teacher_run.path.parent).network
    for name, parameter in nets["network"].named_parameters():
        assert torch.equal(parameter, dict(net.named_parameters())[name]), name


def test_a_larger_network_does_not_fill_a_smaller_one(tmp_path: Path) -> None:
    """All that WRN16-1 needs has the names and shapes of a part of WRN28-1: without a look at the rest it would fit."""
    import safetensors.torch

    from epochal.systems.nets import classifiers

    path = tmp_path / "large.safetensors"
    safetensors.torch.save_file(classifiers.build("wrn28-1", 3, 6, 1).state_dict(), path)
    with pytest.raises(EpochalError, match="another network's: they have block"):
        _teachers.fill(classifiers.build("wrn16-1", 3, 6, 1), str(path))


def test_a_teacher_that_knows_who_tests_is_refused(teacher_run: epochal.Run) -> None:
    """Another fold's teacher was trained on people who test here, and would carry them into the student."""
    chosen = settings(har_distill, data__fold=1, teacher__checkpoint=str(teacher_run.path))
    with pytest.raises(UsageError, match="was trained on people who validate or test") as problem:
        built(har_distill, chosen, {})
    assert "data.fold" in str(problem.value.hint)


def test_a_teacher_of_other_classes_is_refused(teacher_run: epochal.Run) -> None:
    """Soft answers about other activities have the right shape by chance only."""
    role = har_distill.roles(settings(har_distill, teacher__checkpoint=str(teacher_run.path)))[0]
    about = dict(wearables.read(settings(har_distill)).about)
    with pytest.raises(UsageError, match="trained with classes"):
        distillation._insist_on_teacher(role, {**about, "classes": list(reversed(about["classes"]))})
    with pytest.raises(UsageError, match="trained with unit m/s², not g"):
        distillation._insist_on_teacher(role, {**about, "unit": "g"})
    distillation._insist_on_teacher(role, about)


def test_of_a_file_nothing_is_known_and_it_is_said(teacher_run: epochal.Run, tmp_path: Path) -> None:
    """Weights alone do not tell whom they were trained on: the log says so."""
    path = tmp_path / "teacher.safetensors"
    path.write_bytes((teacher_run.path / "checkpoints" / "last.safetensors").read_bytes())
    import safetensors.torch

    tensors = safetensors.torch.load_file(path)
    weights = {k.removeprefix("weights/network."): v for k, v in tensors.items() if k.startswith("weights/")}
    safetensors.torch.save_file(weights, path)
    task, _ = built(har_distill, settings(har_distill, teacher__checkpoint=str(path)), {})
    assert any("is not known" in remark for remark in task.remarks)


def test_answers_beyond_float16_are_refused_in_words(one: tuple[Any, dict[str, Trained]]) -> None:
    """Outputs that float16 cannot hold would make every map no number, and the loss with them."""
    chosen, teachers = one
    x = wearables.read(chosen).splits["train"]["x"][:8]
    with pytest.raises(EpochalError, match="beyond what can be kept"):
        _teachers.ask(teachers["teacher"].nets["network"], x * 1e7, alike=True, products=True, device="cpu")


def test_kept_answers_are_of_those_very_examples(one: tuple[Any, dict[str, Trained]]) -> None:
    """Two sets of windows with the same bytes in another shape are two questions."""
    chosen, teachers = one
    net = teachers["teacher"].nets["network"]
    x = wearables.read(chosen).splits["train"]["x"][:10]
    first, other = (
        _teachers.answers(net, some, alike=False, device="cpu") for some in (x, x.reshape(20, 3, 50))
    )
    assert first is not None and other is not None
    assert (len(first.logits), len(other.logits)) == (10, 20)


@pytest.mark.parametrize("what", ["missing", "text", "other"])
def test_a_checkpoint_that_does_not_fit_is_refused(
    teacher_run: epochal.Run, tmp_path: Path, what: str
) -> None:
    """No file, a file that holds no weights, another network's: one message each, before anything is trained."""
    path, name = tmp_path / "weights.safetensors", "wrn10-1"
    if what == "text":
        path.write_text("no weights")
    if what == "other":
        path, name = teacher_run.path, "wrn16-1"
    said = {"missing": "no checkpoint", "text": "cannot be read as weights", "other": "another network's"}[
        what
    ]
    with pytest.raises((UsageError, EpochalError), match=said):
        built(har_distill, settings(har_distill, teacher__checkpoint=str(path), teacher__net=name), {})


@pytest.mark.slow
def test_two_teachers_train_and_resume_to_the_bit(
    two: tuple[Any, dict[str, Trained]], tmp_path: Path
) -> None:
    """An interrupted training with kept maps ends with the weights of an undisturbed one."""
    from epochal.journal import Lab
    from epochal.training import checkpoint, engine

    _, teachers = two
    chosen = settings(har_distill_two_teachers, epochs=3)
    stop: list[int] = []

    def build(own: Any, nets: Any) -> Task:
        task = har_distill_two_teachers.build(own, nets, helpers=teachers)

        def prepare(batch: Batch) -> Batch:
            if stop and not stop.pop():
                raise KeyboardInterrupt
            return task.prepare(batch)

        return replace(task, prepare=prepare)

    recipe = replace(har_distill_two_teachers.RECIPE, build=build)
    lab = Lab(tmp_path / "lab")
    how: dict[str, Any] = {"device": "cpu", "precision": "float32", "threads": 1, "show": False}
    runs = [
        lab.create_run(recipe=recipe.name, seed=3, settings=settings_room.to_dict(chosen)) for _ in range(2)
    ]
    engine.train(recipe, chosen, runs[0], **how)
    stop[:] = [0] + [1] * 8  # the trial of nothing, then the ninth batch is the last
    with pytest.raises(KeyboardInterrupt):
        engine.train(recipe, chosen, runs[1], **how)
    stop.clear()
    engine.train(recipe, chosen, runs[1], resume=True, **how)
    mine, theirs = (checkpoint.read(run.checkpoints_dir / "last.safetensors")[0] for run in runs)
    assert list(mine) == list(theirs) and all(torch.equal(mine[name], theirs[name]) for name in mine)
