"""The trial of precisions: a candidate must agree with the plain path, and is tried once a machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from epochal.errors import UsageError
from epochal.training import layers, precision
from epochal.training.learner import Choices
from epochal.training.task import Batch, Optimiser, Phase, Task

CPU = torch.device("cpu")
PLAIN = Choices(threads=1)
LAST = Choices("float32", "channels_last", "mixed", 1)
FAST = Choices("float32", "channels_last", "fast", 1)
ROUND = Choices("bfloat16", "channels_last", "mixed", 1)
HALF = Choices("bfloat16", "channels_last", "fast", 1)


def loss(nets: Any, batch: Batch, rng: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
    """Squared error of a small convolutional network."""
    return (nets["net"](batch["x"]).flatten(1).mean(1) - batch["y"]).square().mean(), {}


@pytest.fixture
def trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Choices, str]]:
    """`choose` for a tiny network, with an empty cache and a stopwatch on which plain takes longest, bfloat16 least."""
    monkeypatch.setenv("EPOCHAL_CACHE", str(tmp_path))
    raced: list[list[Choices]] = []

    def race(entrants: Any, batches: Any, device: Any, one_by_one: bool) -> dict[Choices, float]:
        raced.append(list(entrants))
        speed = {PLAIN: 3.0, LAST: 2.5, FAST: 2.0, ROUND: 1.5, HALF: 1.0}
        return {c: speed[replace(c, threads=1)] for c in entrants}

    monkeypatch.setattr(precision, "_race", race)
    monkeypatch.setattr(precision, "_busy", lambda: False)
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Dropout(0.5), nn.ConvTranspose2d(4, 1, 3))
    task = Task({}, 8, [Phase("p", ("net",), loss, Optimiser(), "mean squared error")])
    batch = Batch(x=torch.randn(8, 1, 6, 6), y=torch.randn(8))

    def run(**how: Any) -> tuple[Choices, str]:
        make = lambda: precision.copy_of(task, {"net": net})  # noqa: E731
        return precision.choose(make, [batch], CPU, **{"threads": 1, "key": "k", **how})

    run.raced, run.net, run.cache = raced, net, tmp_path  # type: ignore[attr-defined]
    return run


def test_the_fastest_that_agrees_is_kept(trial: Any) -> None:
    """All candidates of this device agree on a sound network; the answer says by how much it won."""
    before = {k: v.clone() for k, v in trial.net.state_dict().items()}
    assert trial() == (HALF, f"3.0x the speed of {PLAIN}")
    assert trial.raced == [[PLAIN, LAST, FAST, ROUND, HALF]]
    assert all(torch.equal(before[k], v) for k, v in trial.net.state_dict().items())
    assert type(trial.net[0]) is nn.Conv2d  # the trial swapped the layers of copies only


@pytest.mark.parametrize("what", ["values", "gradients"])
def test_a_candidate_that_disagrees_is_not_kept(
    trial: Any, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """A wrong fast layer, in its values or only in its gradients, however fast: what agrees is chosen from."""

    def wrong(self: Any, x: Tensor) -> Tensor:
        y = nn.Conv2d.forward(self, x)
        return 1.2 * y if what == "values" else y.detach() + 0.01 * (y - y.detach()) * torch.randn_like(y)

    monkeypatch.setattr(layers.Conv2d, "forward", wrong)
    assert trial()[0] == ROUND
    assert trial.raced == [[PLAIN, LAST, ROUND]]


def test_a_candidate_that_fails_is_no_error(trial: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A layer without bfloat16 leaves that candidate out."""

    def refuse(self: Any, x: Tensor) -> Tensor:
        if x.dtype is torch.bfloat16:
            raise RuntimeError("not implemented for 'BFloat16'")
        return nn.Conv2d.forward(self, x)

    monkeypatch.setattr(layers.Conv2d, "forward", refuse)
    assert trial()[0] == ROUND


def test_the_choice_is_made_once(trial: Any) -> None:
    """The second time it comes from the cache; another key, precision or thread count is tried anew."""
    first, _ = trial()
    assert trial() == (first, "measured before on this machine") and len(trial.raced) == 1
    trial(key="other")
    trial(precision="float32")
    trial(threads=2)
    assert len(trial.raced) == 4


def test_what_is_measured_on_a_busy_machine_serves_while_it_is_busy(
    trial: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other programs spoil the stopwatch: the choice is kept as long as they run, then measured again, and kept."""
    monkeypatch.setattr(precision, "_busy", lambda: True)
    assert "measured again" in trial()[1]
    assert trial()[1] == "measured before on this machine" and len(trial.raced) == 1
    monkeypatch.setattr(precision, "_busy", lambda: False)
    trial()
    trial()
    assert len(trial.raced) == 2


def test_a_damaged_cache_costs_one_trial(trial: Any) -> None:
    """Half a file, other JSON, or a cache folder that is a file: tried again, no error."""
    trial()
    (file,) = (trial.cache / "choices").iterdir()
    for content in ("", "{", "[1]", '{"speed": 1}'):
        file.write_text(content)
        assert trial()[0] == HALF
    assert len(trial.raced) == 5
    file.unlink()
    file.parent.rmdir()
    file.parent.write_text("in the way")
    assert trial()[0] == HALF


def test_a_fixed_precision_is_kept(trial: Any) -> None:
    """What was asked for is kept; layout and layers are still chosen by trial."""
    assert trial(precision="float32")[0] == FAST
    assert trial(precision="bfloat16")[0] == HALF
    assert trial.raced == [[PLAIN, LAST, FAST], [ROUND, HALF]]


def test_slow_steps_are_timed_one_by_one(trial: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network whose step takes seconds is not kept waiting by dozens of trial steps, nor tried on one thread."""
    asked: list[bool] = []

    def race(entrants: Any, batches: Any, device: Any, one_by_one: bool) -> dict[Choices, float]:
        asked.append(one_by_one)
        return dict.fromkeys(entrants, 1.0)

    monkeypatch.setattr(precision, "_race", race)
    monkeypatch.setattr(precision, "_SLOW_STEP_S", 0.0)
    said: list[str] = []
    assert trial(threads=None, say=said.append)[0].threads == precision.plain().threads and asked == [True]
    assert len(said) == 1 and "trying 5 ways" in said[0]


def test_a_short_training_of_slow_steps_is_not_tried(trial: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A trial of 15 steps is for trainings of eight times as many: fewer go the plain way, and nothing is kept."""
    monkeypatch.setattr(precision, "_SLOW_STEP_S", 0.0)
    choices, how = trial(steps=119)
    assert choices == PLAIN and "so few steps" in how and not trial.raced
    trial(steps=120)
    assert len(trial.raced) == 1


def test_openmps_own_limit_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """OMP_NUM_THREADS bounds the threads that are chosen; what is no number, or more than the cores, does not."""
    monkeypatch.setattr(precision, "_cores", lambda: 4)
    for wanted, threads in {"2": 2, "8": 4, "3,1": 3, "0": 1, "": 4, "many": 4}.items():
        monkeypatch.setenv("OMP_NUM_THREADS", wanted)
        assert precision.plain().threads == threads, wanted
    assert precision.plain(3).threads == 3


def test_a_kept_choice_says_when_other_programs_are_in_the_way(
    trial: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two threads that were faster on an idle machine may be slower on a busy one: the line says what to do."""
    monkeypatch.setattr(precision, "_busy", lambda: False)
    monkeypatch.setattr(precision, "_threads", lambda: 2)
    first, _ = trial(threads=None)
    monkeypatch.setattr(precision, "_busy", lambda: True)
    again, how = trial(threads=None)
    assert again == first and ("--threads 1" in how) == (first.threads > 1)


@pytest.mark.parametrize("device", ["cpu", "cuda", "mps"])
def test_an_unknown_precision_is_wrong_usage(device: str) -> None:
    """The message lists what is allowed; on Apple's GPU bfloat16 is refused with what to use instead."""
    with pytest.raises(UsageError, match=r"(?s)'float16'.*auto, float32, bfloat16"):
        precision.candidates(torch.device(device), "float16", None)
    if device == "mps":
        with pytest.raises(UsageError, match="not available on mps"):
            precision.candidates(torch.device(device), "bfloat16", None)


def test_fast_layers_are_for_the_cpu() -> None:
    """On a GPU torch's own layers are used in every candidate; the plain path is always first."""
    for device in ("cpu", "cuda"):
        pool = precision.candidates(torch.device(device), "auto", 1)
        assert pool[0] == PLAIN
        assert {c.layers for c in pool[1:]} == ({"mixed", "fast"} if device == "cpu" else {"torch"})


def test_a_race_gives_every_entrant_its_turns(trial: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Entrants alternate, and the answer holds one positive time for each."""
    monkeypatch.undo()
    task = Task({}, 8, [Phase("p", ("net",), loss, Optimiser(), "mean squared error")])
    entrants = {}
    for choices in (PLAIN, FAST):
        net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ConvTranspose2d(2, 1, 3))
        entrants[choices] = precision.TorchLearner(task, {"net": net}, 0, CPU, choices)
    monkeypatch.setattr(precision, "_TRIAL_S", 0.01)
    threads = torch.get_num_threads()
    times = precision._race(entrants, [Batch(x=torch.randn(8, 1, 6, 6), y=torch.randn(8))], CPU)
    torch.set_num_threads(threads)
    assert set(times) == {PLAIN, FAST} and min(times.values()) > 0
