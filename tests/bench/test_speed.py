"""The speed benchmark: that all sides train the same thing, and that its bookkeeping is right."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from epochal import bench
from epochal.bench import _side, _speed
from epochal.bench._yardsticks import YARDSTICKS
from epochal.errors import EpochalError, UsageError

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The plain PyTorch program as a module."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("plain_pytorch_cvae")


def model_2() -> tuple[Any, Any, Any]:
    """The recipe, the settings of model-2 and fresh networks."""
    import torch

    from epochal.systems import recipes

    recipe = recipes.find("cvae-digits")
    settings = recipes.settings_of(recipe, "model-2")
    torch.manual_seed(0)
    return recipe, settings, recipe.nets(settings)


def copy_weights(nets: Mapping[str, Any], model: Any) -> None:
    """Puts the recipe's weights into the plain program's network: same layers, in the same order."""
    import torch

    for mine, theirs in ((nets["encoder"], model.encoder), (nets["decoder"], model.decoder)):
        given, taken = list(mine.parameters()), list(theirs.parameters())
        assert [p.shape for p in given] == [p.shape for p in taken]
        with torch.no_grad():
            for source, target in zip(given, taken, strict=True):
                target.copy_(source)


def test_plain_program_computes_the_recipes_loss(plain: Any, real_data: Path) -> None:
    """With equal weights, images and noise both give one loss: the comparison is of speed, not of tasks."""
    import torch

    from epochal.settings import apply
    from epochal.training.task import Batch

    recipe, settings, nets = model_2()
    task = recipe.build(apply(settings, {"data.source": "mnist", "data.dir": str(real_data)}), nets)
    images, conditions, name = plain.load("mnist", None)
    assert name == "mnist"
    model = plain.CVAE().eval()
    copy_weights(nets, model)
    for net in nets.values():
        net.eval()
    batch = task.prepare(Batch({key: torch.from_numpy(column[:32]) for key, column in task.train.items()}))
    phase = task.phases[0]
    loss, _ = phase.loss(nets, batch, torch.Generator().manual_seed(5))
    named = [(f"{net}.{key}", p) for net in phase.trains for key, p in nets[net].named_parameters()]
    penalty = phase.l2 * sum(p.square().sum() for key, p in named if phase.l2_on(key, tuple(p.shape)))
    torch.manual_seed(5)
    assert torch.allclose(model.loss(images[:32], conditions[:32]), loss + penalty, rtol=1e-5)


def test_plain_program_uses_the_recipes_optimiser(plain: Any) -> None:
    """Learning rate, its decay and epsilon are the sheet's, as in the recipe."""
    import torch

    _, settings, _ = model_2()
    adam, schedule = plain.optimiser_of(torch.nn.Linear(2, 2))
    assert adam.defaults["lr"] == settings.optim.lr and adam.defaults["eps"] == settings.optim.eps
    for _ in range(100):
        adam.step()
        schedule.step()
    assert schedule.get_last_lr()[0] == pytest.approx(settings.optim.lr / (1 + 100 * settings.optim.decay))
    assert settings.batch_size == plain.BATCH


@pytest.mark.parametrize(
    ("recipe", "version"),
    [
        (name, version)
        for name in ("vgg16-cifar10", "resnet50-cifar10")
        for version in YARDSTICKS[name].versions
    ],
)
def test_plain_cifar_programs_compute_the_recipes_loss(
    monkeypatch: pytest.MonkeyPatch, recipe: str, version: str
) -> None:
    """With equal weights both networks, written apart, give one loss in train mode; optimiser and batch are alike."""
    import torch

    from epochal.systems import recipes
    from epochal.systems.recipes import _cifar10, _classifier
    from epochal.training.task import Batch

    monkeypatch.syspath_prepend(str(BENCHMARKS))
    plain = importlib.import_module("plain_pytorch_cifar")
    found = recipes.find(recipe)
    settings = recipes.settings_of(found, version)
    nets = found.nets(settings)
    model = plain.NETWORKS[YARDSTICKS[recipe].versions[version]["network"]]()
    given, taken = list(nets["classifier"].parameters()), list(model.parameters())
    assert [p.shape for p in given] == [p.shape for p in taken]
    with torch.no_grad():
        for source, target in zip(given, taken, strict=True):
            target.copy_(source)
    torch.manual_seed(0)
    images = torch.randint(0, 256, (4, 32, 32, 3), dtype=torch.uint8)
    labels = torch.tensor([3, 1, 4, 1])
    prepared = _classifier.scale(_cifar10.MEAN, _cifar10.DEVIATION)(Batch(images=images, labels=labels))
    mine, _ = _classifier.loss("classifier")(nets, prepared, torch.Generator())
    monkeypatch.setattr(plain, "BATCH", 4)
    monkeypatch.setattr(torch, "randperm", torch.arange)
    scaled, same = next(plain.batches(images.permute(0, 3, 1, 2), labels))
    theirs = torch.nn.functional.cross_entropy(model(scaled), same)
    assert theirs.item() == pytest.approx(mine.item(), rel=1e-5)
    optimiser = _cifar10.optimiser(settings, 50_000)
    assert (optimiser.name, optimiser.lr, optimiser.schedule) == ("adam", 1e-3, None)
    assert optimiser.weight_decay == 0 and settings.augment == _cifar10.Augment()
    assert settings.batch_size == 100


def test_lightning_takes_exactly_the_steps_it_is_asked_for(
    plain: Any, real_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blocks are continued, across the end of an epoch too: no step is lost, repeated or timed twice."""
    pytest.importorskip("lightning", reason="PyTorch Lightning is not installed (extra `bench`)")
    monkeypatch.setenv("EPOCHAL_DATA", str(real_data))
    side = importlib.import_module("lightning_cvae").Side("mnist", 96, seed=0)
    for steps, total in ((2, 2), (4, 6)):
        seconds, loss = side.run(steps)
        assert side.trainer.global_step == total
        assert seconds > 0 and 0 < loss < 1000


class Recorder:
    """A channel that keeps what is said to it."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def wait(self) -> None:
        """Notes a wait."""
        self.said.append("wait")

    def answer(self, **values: Any) -> None:
        """Notes an answer."""
        assert values["seconds"] >= 0
        self.said.append("answer")


def test_gate_ends_each_block_when_the_next_step_begins() -> None:
    """A block is answered after exactly its steps, and nothing runs before the next go."""
    channel = Recorder()
    gate = _side._Gate([3, 2, 2], channel)  # type: ignore[arg-type]
    seen = []
    for _ in range(9):
        gate.step()
        seen.append(len(channel.said))
    # Steps 1-3 are the warm-up; the 4th begins the first block, the 6th the second, the 8th is left over.
    assert seen == [0, 0, 0, 2, 2, 4, 4, 6, 6]
    assert channel.said == ["answer", "wait"] * 3


def test_ratios_are_taken_within_a_round() -> None:
    """A machine that slows down between rounds changes no ratio: 2 and 4 against 1 and 2 is twice as fast."""
    assert _speed._ratio([2.0, 4.0], [1.0, 2.0]) == {"median": 2.0, "low": 2.0, "high": 2.0}


def test_mean_loss_weighs_epochs_by_their_steps() -> None:
    """The last, shorter epoch counts for its steps only."""
    records = [
        {"scope": "epoch", "split": "train", "step": 3, "values": {"loss": 10.0}},
        {"scope": "step", "split": "train", "step": 4, "values": {"loss": 99.0}},
        {"scope": "epoch", "split": "train", "step": 4, "values": {"loss": 2.0}},
    ]
    assert _side._mean_loss(records) == pytest.approx(8.0)


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ({"recipe": "unknown"}, "cvae-digits"),
        ({"version": "model-1"}, "There is one for: model-2"),
        ({"recipe": "vgg16-cifar10", "sides": ("plain", "lightning")}, "Choose from plain, epochal"),
        ({"sides": ("epochal",)}, "plain must be among them"),
        ({"sides": ("plain", "tensorflow")}, "Choose from plain, lightning, epochal"),
        ({"sides": ("plain", "plain")}, "each once"),
        ({"rounds": 0}, "must be 1 or more"),
        ({"warm_up": 3}, "must be 10 or more"),
    ],
)
def test_wrong_calls_are_explained_before_anything_starts(call: dict[str, Any], expected: str) -> None:
    """A mistake costs no minute of waiting: it is said at once, with what is allowed."""
    with pytest.raises(UsageError, match=expected):
        bench.speed(**call)


def test_installed_package_without_the_programs_says_where_they_are(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A wheel holds no benchmarks/: the message sends to the repository."""
    elsewhere = tmp_path / "site-packages" / "epochal" / "bench" / "_speed.py"
    monkeypatch.setattr(_speed, "__file__", str(elsewhere))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EpochalError, match="clone of Epochal's repository"):
        bench.speed()


def test_missing_lightning_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lightning is optional: without it the message says how to get it, or how to do without."""
    monkeypatch.setattr(_speed, "find_spec", lambda name: None)
    with pytest.raises(EpochalError, match=r"epochal\[bench\]"):
        bench.speed()


def test_side_that_dies_is_reported_with_its_last_words(tmp_path: Path) -> None:
    """A crash of a side ends the benchmark with what it printed, not with a hang."""
    plan = {"recipe": "cvae-digits", "version": "model-2"}
    process = _speed._Process("plain", plan, tmp_path, tmp_path)  # no programs there: the import fails
    try:
        with pytest.raises(EpochalError, match="plain_pytorch_cvae"):
            process.ask()
    finally:
        process.end()


@pytest.fixture
def one_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Child processes compute with one thread: on a busy machine more of them wait for each other."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    yield


@pytest.mark.usefixtures("one_thread")
def test_benchmark_runs_from_end_to_end(
    real_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both files are written and hold every side with its times, ratio and loss; losses agree roughly."""
    monkeypatch.setenv("EPOCHAL_DATA", str(real_data))
    monkeypatch.setenv("EPOCHAL_CACHE", str(tmp_path / "cache"))
    said: list[str] = []
    result = bench.speed(
        steps=3,
        rounds=2,
        warm_up=20,
        sides=("plain", "epochal"),
        source="mnist",
        limit=640,
        out=tmp_path / "results",
        say=said.append,
    )
    assert json.loads((tmp_path / "results" / "speed-cvae-digits.json").read_text()) == result
    table = (tmp_path / "results" / "speed-cvae-digits.md").read_text(encoding="utf-8")
    assert table in said
    for name in ("plain", "epochal"):
        side = result["sides"][name]
        assert len(side["seconds_per_step"]) == 2 and min(side["seconds_per_step"]) > 0
        assert f"| {name} |" in table
    assert result["items"] == 640 and result["batch_size"] == 32 and result["data"] == "mnist"
    assert result["sides"]["plain"]["ratio"] == {"median": 1.0, "low": 1.0, "high": 1.0}
    losses = [result["sides"][name]["loss"] for name in ("plain", "epochal")]
    assert losses[1] == pytest.approx(losses[0], rel=0.25)  # 26 steps from different random weights


def test_import_of_the_benchmark_is_light() -> None:
    """The command line imports it for its names: torch and Lightning must not come along."""
    import subprocess

    program = "import sys, epochal.bench; raise SystemExit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
