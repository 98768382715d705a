"""dcgan-cifar10: its lineage with the log's faults, its step, each switch by itself, and resuming to the bit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from epochal import settings as settings_room
from epochal.errors import UsageError
from epochal.journal import Lab
from epochal.systems import recipes
from epochal.systems.data.dataset import Dataset
from epochal.systems.recipes import _dcgan_drawing as drawing
from epochal.systems.recipes import _dcgan_measuring as measuring
from epochal.systems.recipes import _image_quality as image_quality
from epochal.systems.recipes import dcgan_cifar10
from epochal.training import checkpoint, engine
from epochal.training.learner import Choices, TorchLearner
from epochal.training.task import Batch, Trained

RECIPE = dcgan_cifar10.RECIPE
EVERYTHING = {
    "net.spectral_norm": True,
    "loss.r1": 2.0,
    "loss.r1_every": 4,
    "augment.colour": True,
    "augment.translation": True,
    "augment.cutout": True,
    "optim.ema": 0.99,
    "optim.discriminator_lr": 4e-4,
}
"""Every stabiliser at once, on top of what `recommended` has."""


@pytest.fixture(autouse=True)
def few_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forty-eight pictures of noise instead of data, sixteen of them for testing."""
    images = np.random.default_rng(0).integers(0, 256, (48, 32, 32, 3), np.uint8)
    splits = {"train": {"images": images[:32]}, "test": {"images": images[32:]}}
    found = Dataset("shapes", "made up", True, "0", (), splits)
    monkeypatch.setattr(dcgan_cifar10, "photographs", lambda settings: found)


def settings_of(version: str, **patch: Any) -> Any:
    """A version's settings, narrow, with changes by dotted key, `__` for the dot."""
    changes = {key.replace("__", "."): value for key, value in patch.items()}
    return settings_room.apply(
        recipes.settings_of(RECIPE, version), {"net.width": 4, "batch_size": 16, **changes}
    )


def learner_of(version: str, choices: Choices | None = None, **patch: Any) -> TorchLearner:
    """A learner with fresh networks from one seed."""
    settings = settings_of(version, **patch)
    torch.manual_seed(0)
    nets = RECIPE.nets(settings)
    return TorchLearner(RECIPE.build(settings, nets), nets, 0, torch.device("cpu"), choices or Choices())


def batch_of(learner: TorchLearner, start: int = 0) -> Batch:
    """Sixteen prepared pictures."""
    images = torch.as_tensor(learner.task.train["images"][start : start + 16])
    return learner.task.prepare(Batch(images=images))


# --- lineage -------------------------------------------------------------------------------------------------------


def test_the_seven_experiments_and_what_they_lacked() -> None:
    """Parents and changes are the log's; the sigmoid stays from exp-3 on, each deeper generator too."""
    parents = {version.name: version.parent for version in RECIPE.versions}
    assert parents == {
        "exp-1": None,
        "exp-2": "exp-1",
        "exp-3": "exp-1",
        "exp-4": "exp-3",
        "exp-5": "exp-4",
        "exp-6": "exp-5",
        "exp-7": "exp-6",
        "recommended": "exp-1",
    }
    in_force = {name: settings_room.flatten(recipes.settings_of(RECIPE, name)) for name in parents}
    for key, values in {
        "epochs": [50, 100, 50, 50, 50, 50, 33, 50],
        "batch_size": [*[256] * 7, 64],
        "net.latent": [100] * 8,
        "net.width": [64] * 8,
        "optim.lr": [1e-4, 1e-3, *[1e-4] * 5, 2e-4],
        "optim.discriminator_lr": [*[None] * 7, 4e-4],
        "optim.beta1": [*[0.9] * 7, 0.5],
        "optim.eps": [1e-7] * 8,
        "net.sigmoid": [False, False, *[True] * 5, False],
        "net.dropout": [0.3, 0.3, 0.3, *[0.5] * 4, 0.0],
        "net.depth": [*["logged"] * 4, "deeper", "deepest", "deepest", "logged"],
        "net.init": [*["glorot"] * 7, "normal"],
        "net.spectral_norm": [False] * 8,
        "optim.ema": [*[0.0] * 7, 0.999],
        "loss.real_target": [*[1.0] * 6, 0.8, 0.9],
        "loss.threshold": [*[0.5] * 7, None],
    }.items():
        assert [in_force[name][key] for name in parents] == values, key


def test_losses_compare_only_where_they_are_the_same() -> None:
    """The formulas name the sigmoid, the target and the penalty; learning rates and depths are none of theirs."""
    texts = {v.name: dcgan_cifar10.definitions(recipes.settings_of(RECIPE, v.name)) for v in RECIPE.versions}
    assert (
        texts["exp-1"]
        == texts["exp-2"]
        == (
            "mean over noise of softplus(-D(G(z)))",
            "mean over images of softplus(-D(x)) + softplus(D(G(z)))",
        )
    )
    assert texts["exp-3"] == texts["exp-4"] == texts["exp-5"] == texts["exp-6"] != texts["exp-1"]
    assert "0.8·softplus(-σ(D(x))) + 0.2·softplus(σ(D(x)))" in texts["exp-7"][1]
    penalised = dcgan_cifar10.definitions(settings_of("exp-1", loss__r1=2.0, augment__colour=True))
    assert penalised[1].endswith("softplus(D(T(G(z)))) + 1·‖∇D(T(x))‖²")


# --- training ------------------------------------------------------------------------------------------------------


def test_a_step_is_that_of_the_tutorial() -> None:
    """Both networks step from the same state, on one batch of pictures: written out with torch, the weights agree."""
    learner = learner_of("exp-1", net__dropout=0.0)
    settings = settings_of("exp-1")
    torch.manual_seed(0)
    nets = {name: net.train() for name, net in RECIPE.nets(settings).items()}
    for dropout in (nets["discriminator"].dropout1, nets["discriminator"].dropout2):
        dropout.p = 0.0
    adams = {name: torch.optim.Adam(net.parameters(), 1e-4, eps=1e-7) for name, net in nets.items()}
    rng = torch.Generator()
    rng.set_state(learner.noise.get_state())
    for start in (0, 16):
        batch = batch_of(learner, start)
        fake = nets["generator"](torch.randn(16, 100, generator=rng))
        on_real, on_fake = nets["discriminator"](batch["x"]), nets["discriminator"](fake)
        ones, zeros = torch.ones(16), torch.zeros(16)
        bce = F.binary_cross_entropy_with_logits
        losses = {"generator": bce(on_fake, ones), "discriminator": bce(on_real, ones) + bce(on_fake, zeros)}
        gradients = {
            name: torch.autograd.grad(loss, list(nets[name].parameters()), retain_graph=True)
            for name, loss in losses.items()
        }
        for name, found in gradients.items():
            for parameter, gradient in zip(nets[name].parameters(), found, strict=True):
                parameter.grad = gradient
            adams[name].step()
        learner.step(batch)
        assert learner.latest()["generator/loss"] == pytest.approx(
            float(losses["generator"].detach()), rel=1e-5
        )
        assert learner.latest()["discriminator/loss"] == pytest.approx(
            float(losses["discriminator"].detach()), rel=1e-5
        )
    for name, net in nets.items():
        for key, value in net.named_parameters():
            torch.testing.assert_close(learner.weights()[f"{name}.{key}"], value, rtol=1e-4, atol=2e-6)


def test_what_is_logged() -> None:
    """Both losses and both accuracies; at the log's threshold too, where that is not the even-odds point."""
    even = {"generator/loss", "discriminator/loss", "loss"}
    even |= {f"discriminator/{kind}_accuracy" for kind in ("real", "fake")}
    logged = {f"discriminator/{kind}_accuracy_as_logged" for kind in ("real", "fake")}
    for version, expected in (("exp-1", even | logged), ("exp-3", even), ("recommended", even)):
        learner = learner_of(version)
        learner.step(batch_of(learner))
        assert set(learner.latest()) == expected
    learner = learner_of("recommended", loss__r1=1.0)
    learner.step(batch_of(learner))
    assert set(learner.latest()) == even | {"discriminator/r1"}


def test_an_undecided_discriminator_looks_faultless_on_fakes_at_the_logs_threshold() -> None:
    """All logits within ±1/2: at the log's threshold no real image and every generated one is told right, whatever
    the discriminator can do; at even odds the two shares are something in between."""
    learner = learner_of("exp-1")
    with torch.no_grad():
        learner.nets["discriminator"].dense.weight.mul_(0.1)
    learner.step(batch_of(learner))
    found = learner.latest()
    assert found["discriminator/real_accuracy_as_logged"] == 0.0
    assert found["discriminator/fake_accuracy_as_logged"] == 1.0
    assert 0 < found["discriminator/real_accuracy"] + found["discriminator/fake_accuracy"] < 2


def test_the_sigmoids_fingerprint() -> None:
    """Whatever the discriminator puts out, behind the sigmoid its loss is at least 1.006 and the generator's within
    [0.313, 0.693]."""
    for scale in (-100.0, 0.0, 100.0):
        learner = learner_of("exp-3")
        with torch.no_grad():
            learner.nets["discriminator"].dense.weight.mul_(scale)
        learner.step(batch_of(learner))
        found = learner.latest()
        assert found["discriminator/loss"] >= 1.0064 - 1e-4
        assert 0.3132 <= found["generator/loss"] <= 0.6932


@pytest.mark.parametrize(
    ("patch", "same_start", "generator_moves_alike"),
    [
        ({"optim.beta1": 0.5}, True, True),
        ({"optim.discriminator_lr": 1e-3}, True, True),
        ({"loss.real_target": 0.9}, True, True),
        ({"loss.r1": 10.0}, True, True),
        ({"optim.ema": 0.9}, True, True),
        ({"net.spectral_norm": True}, True, False),
        ({"augment.colour": True}, True, False),
        ({"augment.translation": True}, True, False),
        ({"augment.cutout": True}, True, False),
        ({"net.init": "normal"}, False, False),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_switch_changes_what_it_should(
    patch: dict[str, Any], same_start: bool, generator_moves_alike: bool
) -> None:
    """Beside exp-1 with the same seed: where the networks begin alike, what the switch does not touch in the first
    step (the generator's phase comes first) moves alike, and what it is for differs after the second."""

    def weights(learner: TorchLearner, net: str) -> torch.Tensor:
        return torch.cat([p.detach().flatten() for p in learner.nets[net].parameters()])

    def course(**how: Any) -> tuple[list[torch.Tensor], torch.Tensor, TorchLearner]:
        """The generator's weights before and after the first step, and the discriminator's after the second."""
        learner = learner_of("exp-1", **how)
        found = [weights(learner, "generator")]
        learner.step(batch_of(learner))
        found.append(weights(learner, "generator"))
        learner.step(batch_of(learner, 16))
        return found, weights(learner, "discriminator"), learner

    plain, changed = course(), course(**patch)
    assert torch.equal(plain[0][0], changed[0][0]) is same_start
    assert torch.allclose(plain[0][1], changed[0][1], rtol=1e-6, atol=1e-8) is generator_moves_alike
    if "optim.ema" in patch:
        assert torch.equal(plain[1], changed[1])
        learner = changed[2]
        assert not torch.equal(weights(learner, "generator"), weights(learner, "generator_average"))
    else:
        assert not torch.allclose(plain[1].sort().values, changed[1].sort().values, rtol=0, atol=1e-7)


@pytest.mark.parametrize("layers", ["torch", "fast"])
def test_r1_reaches_the_weights_through_all_layers(layers: Any) -> None:
    """The penalty's derivative by every weight is the numerical one, with torch's layers and the fast ones."""
    from epochal.systems.losses import gan
    from epochal.training.layers import accelerate

    settings = settings_of("exp-1", net__dropout=0.0, net__width=2)
    torch.manual_seed(0)
    net = RECIPE.nets(settings)["discriminator"].double()
    if layers == "fast":
        accelerate(net)
    x = torch.randn(2, 3, 32, 32, dtype=torch.float64)

    def penalty() -> torch.Tensor:
        images = x.clone().requires_grad_()
        return gan.r1_penalty(net(images), images)

    def moved(weight: torch.Tensor, index: int, step: float) -> float:
        with torch.no_grad():
            weight.view(-1)[index] += step
            found = float(torch.enable_grad()(penalty)().detach())
            weight.view(-1)[index] -= step
        return found

    penalty().backward()
    for layer in (net.conv1, net.conv2, net.dense):
        index = layer.weight.numel() // 3
        numeric = (moved(layer.weight, index, 1e-7) - moved(layer.weight, index, -1e-7)) / 2e-7
        assert float(layer.weight.grad.view(-1)[index]) == pytest.approx(numeric, rel=1e-5)
        assert abs(numeric) > 1e-4


@pytest.mark.parametrize("layers", ["torch", "fast"])
def test_everything_on_trains_in_bfloat16(layers: Any) -> None:
    """All stabilisers at once, rounded: losses near those in float32, weights finite, and the penalty counted."""
    found = {}
    for precision in ("float32", "bfloat16"):
        choices = Choices(precision, "channels_last", layers)  # type: ignore[arg-type]
        learner = learner_of("recommended", choices, **EVERYTHING, net__dropout=0.0)
        learner.step(batch_of(learner))
        found[precision] = learner.latest()
        assert all(bool(t.isfinite().all()) for t in learner.weights().values())
    for name in ("generator/loss", "discriminator/loss", "discriminator/r1"):
        assert found["bfloat16"][name] == pytest.approx(found["float32"][name], rel=0.05), name
    assert found["float32"]["discriminator/r1"] > 0


def test_an_epoch_may_end_with_a_single_image() -> None:
    """Thirty-three images in batches of 32 leave one, for which batch norm refused to train: two are generated then."""
    learner = learner_of("recommended", **EVERYTHING)
    learner.step(Batch(x=batch_of(learner)["x"][:1]))
    assert all(np.isfinite(value) for value in learner.latest().values())
    assert all(bool(t.isfinite().all()) for t in learner.weights().values())


def test_looking_leaves_no_trace() -> None:
    """Samples drawn between steps move neither the spectral norms' vectors nor the norms' statistics."""
    learner = learner_of("recommended", **EVERYTHING)
    learner.step(batch_of(learner))
    before = {name: t.clone() for name, t in learner.state().items()}
    learner.eval()
    assert learner.task.sample is not None
    learner.task.sample(learner.nets, torch.Generator().manual_seed(0))
    learner.train()
    assert all(torch.equal(t, before[name]) for name, t in learner.state().items())


# --- a run ---------------------------------------------------------------------------------------------------------


def train(lab: Path, choices: Choices, *, epochs: int, resume: Any = None) -> Any:
    """Trains `recommended` with everything on; stops and goes on where a run to resume is given."""
    settings = settings_of("recommended", **EVERYTHING, epochs=epochs)
    run = resume or Lab(lab).create_run(recipe=RECIPE.name, seed=3, settings=settings_room.to_dict(settings))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine.precision_, "choose", lambda *_, **__: (choices, "fixed by a test"))
        engine.train(RECIPE, settings, run, device="cpu", show=False, resume=resume is not None)
    return run


@pytest.mark.parametrize(
    "choices",
    [Choices(), Choices("bfloat16", "channels_last", "fast")],
    ids=lambda choices: f"{choices.precision}-{choices.layers}",
)
def test_everything_on_resumes_to_the_bit(choices: Choices, tmp_path: Path) -> None:
    """One epoch and another after resuming end where two at once do: weights, averages, u, streams, log lines."""
    whole = train(tmp_path / "whole", choices, epochs=2)
    parts = train(tmp_path / "parts", choices, epochs=1)
    parts = train(tmp_path / "parts", choices, epochs=2, resume=parts)
    one, other = (checkpoint.read(run.checkpoints_dir / "last.safetensors")[0] for run in (whole, parts))
    assert any("generator_average" in name for name in one) and any(name.endswith(".u") for name in one)
    assert set(one) == set(other)
    assert [name for name, t in one.items() if not torch.equal(t, other[name])] == []
    lines = [[(line["step"], line["values"]) for line in run.metrics()] for run in (whole, parts)]
    assert lines[0] == lines[1]
    steps = [line["step"] for line in whole.metrics() if line["scope"] == "step"]
    assert steps == list(range(1, max(steps) + 1)), "losses and accuracies of every step, as the log has them"
    assert len(list(parts.samples_dir.glob("epoch-*.png"))) == 2


# --- drawing -------------------------------------------------------------------------------------------------------


@pytest.fixture
def trained() -> Trained:
    """Fresh narrow networks of `recommended`, as `load` gives them."""
    settings = settings_of("recommended")
    torch.manual_seed(0)
    nets = {name: net.eval().requires_grad_(False) for name, net in RECIPE.nets(settings).items()}
    return Trained(settings=settings, nets=nets)


@pytest.mark.parametrize(
    ("wanted", "shape"),
    [
        ({}, (8, 8, 32, 32, 3)),
        ({"n": 1}, (1, 1, 32, 32, 3)),
        ({"n": 5}, (2, 3, 32, 32, 3)),
        ({"n": 3, "interpolate": 6}, (3, 8, 32, 32, 3)),
    ],
)
def test_generate(trained: Trained, wanted: dict[str, Any], shape: tuple[int, ...]) -> None:
    """So many samples, or walks from one to another; the seed decides."""
    generate: Any = RECIPE.generate
    grid = generate(trained, drawing.Request(**wanted))
    assert grid.images.shape == shape and grid.images.dtype == np.uint8
    assert np.array_equal(grid.images, generate(trained, drawing.Request(**wanted)).images)
    other = generate(trained, drawing.Request(**wanted, seed=1))
    assert not np.array_equal(grid.images, other.images)


def test_walks_keep_the_noises_length() -> None:
    """Half-way between two vectors of one length lies one of that length; the ends are the two."""
    start, end = F.normalize(torch.randn(2, 5, 100, generator=torch.Generator().manual_seed(0)), dim=2)
    for share in (0.0, 0.3, 0.5, 1.0):
        torch.testing.assert_close(drawing.great_circle(start, end, share).norm(dim=1), torch.ones(5))
    torch.testing.assert_close(drawing.great_circle(start, end, 0.0), start)
    torch.testing.assert_close(drawing.great_circle(start, end, 1.0), end)
    torch.testing.assert_close(drawing.great_circle(start, start, 0.4), start)


def test_samples_are_the_averaged_generators(trained: Trained) -> None:
    """Where there is an average it draws, and the title says so; pictures are its output in 256 levels, as its batch
    norms give it that measure each batch."""
    average = trained.nets["generator_average"]
    with torch.no_grad():
        for p in average.parameters():
            p.add_(0.01)
    kept = {name: value.clone() for name, value in average.state_dict().items()}
    grid = drawing.sample_grid(trained.nets, torch.Generator().manual_seed(0), 256)
    assert all(torch.equal(value, kept[name]) for name, value in average.state_dict().items())
    assert not average.training
    z = torch.randn(256, 100, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        stale = average(z).permute(0, 2, 3, 1).numpy()
        expected = average.train()(z).permute(0, 2, 3, 1).numpy()  # the noise is a batch large enough
    assert "averaged" in grid.title
    drawn = grid.images.reshape(256, 32, 32, 3) / 127.5 - 1
    off = np.abs(drawn - expected).mean()
    assert off < 0.02 and 5 * off < np.abs(drawn - stale).mean()
    plain = replace(trained, nets={k: v for k, v in trained.nets.items() if k != "generator_average"})
    other = drawing.sample_grid(plain.nets, torch.Generator().manual_seed(0), 256)
    assert "averaged" not in other.title and not np.array_equal(other.images, grid.images)


def test_the_averages_batch_norms_hold_what_its_pictures_have(trained: Trained) -> None:
    """Mean and variance before each batch norm over the 2,048 pictures on which they are measured, batch by batch as
    the plain sum gives them."""
    measured = drawing.standing(trained.nets["generator_average"])
    rng = torch.Generator().manual_seed(0)
    with torch.no_grad():
        inputs = [measured.dense(torch.randn(256, 100, generator=rng)) for _ in range(drawing.STANDING)]
    torch.testing.assert_close(measured.norm.running_mean, torch.cat(inputs).mean(0), atol=1e-6, rtol=1e-4)
    variance = torch.stack([batch.var(0) for batch in inputs]).mean(0)
    torch.testing.assert_close(measured.norm.running_var, variance)


def test_the_nearest_images_are_found() -> None:
    """A copy among the training images is found at distance 0, the others in order of their difference."""
    rng = np.random.default_rng(0)
    train = rng.integers(40, 200, (1200, 32, 32, 3), np.uint8)
    grid = drawing.neighbours(np.stack([train[700], train[3] + 2]), train, k=3)
    assert grid.images.shape == (2, 4, 32, 32, 3) and list(grid.rows) == ["0", "2"]
    assert np.array_equal(grid.images[0, 1], train[700]) and np.array_equal(grid.images[1, 1], train[3])
    squares = ((train.astype(float) - train[700].astype(float)) ** 2).sum((1, 2, 3)).argsort()
    assert np.array_equal(grid.images[0, 2], train[squares[1]])


# --- measuring -----------------------------------------------------------------------------------------------------


@pytest.fixture
def judged(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> Trained:
    """The same with an untrained extractor, and few samples."""
    from epochal.systems.nets.feature_classifier import FeatureClassifier
    from epochal.systems.recipes import image_features

    monkeypatch.setattr(image_quality, "SAMPLES", 24)
    torch.manual_seed(1)
    eye = Trained(image_features.Settings(), {"classifier": FeatureClassifier(10, 2).eval()})
    return replace(trained, helpers={"extractor": eye})


def test_evaluate(judged: Trained) -> None:
    """All image metrics with their floors and what they depend on; the discriminator at even odds and as logged."""
    measured = dcgan_cifar10.evaluate(judged, "test")
    numbers = {name: value for name, value in measured.items() if isinstance(value, float)}
    named = {metric.name for metric in RECIPE.metrics} - {"fid"}  # which takes weights of the user's
    assert named | {f"{name}_floor" for name in named} | {"kid_se"} <= set(numbers)
    assert all(map(np.isfinite, numbers.values()))
    assert "averaged" in str(measured["sampled_by"]) and "16 test images" in str(measured["discriminator_on"])
    for kind in ("real", "fake"):
        assert f"{kind}_accuracy_as_logged" not in numbers, "it is measured at even odds"
    assert dcgan_cifar10.evaluate(judged, "test") == measured, "a seed decides"
    with pytest.raises(UsageError, match="validation"):
        dcgan_cifar10.evaluate(judged, "validation")


def test_the_discriminator_is_asked_at_both_thresholds(judged: Trained) -> None:
    """Outputs of about 1/4: at 0 all real images are told right and no generated one, at 1/2 the other way round."""
    settings = settings_of("exp-1")
    nets = {name: net.eval() for name, net in RECIPE.nets(settings).items()}
    with torch.no_grad():
        nets["discriminator"].dense.weight.zero_()
        nets["discriminator"].dense.bias.fill_(0.25)
    logged = replace(judged, settings=settings, nets=nets)
    found = dcgan_cifar10.evaluate(logged, "test")
    assert (found["real_accuracy"], found["fake_accuracy"]) == (1.0, 0.0)
    assert (found["real_accuracy_as_logged"], found["fake_accuracy_as_logged"]) == (0.0, 1.0)


def test_copies_and_sameness_are_seen(judged: Trained) -> None:
    """Training images as samples are at distance 0 of one; one picture again and again has no diversity."""
    found = dcgan_cifar10.photographs(None)
    train, unseen = found.splits["train"]["images"], found.splits["test"]["images"]
    eye = image_quality.extractor(judged)
    assert measuring.nearness(eye, train[:8], unseen, train) == 0
    assert measuring.nearness(eye, unseen, unseen, train) == 1
    assert measuring.spread(train[:1].repeat(8, 0)) == 0
    pairs = [
        np.sqrt(((a.astype(float) - b.astype(float)) ** 2).sum())
        for i, a in enumerate(train)
        for b in train[:i]
    ]
    assert measuring.spread(train) == pytest.approx(np.mean(pairs), rel=1e-5)
