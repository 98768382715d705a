"""Learners: what turns batches into better weights. One for torch phases, one for networks with their own step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from epochal.training import checkpoint, layers
from epochal.training.plateaus import PlateauWatch
from epochal.training.probes import gradient_share
from epochal.training.streams import derive, numpy_stream, torch_stream
from epochal.training.task import Average, Batch, Optimiser, Phase, Task

if TYPE_CHECKING:
    from epochal.training.task import Array, Stepper


@dataclass(frozen=True)
class Choices:
    """How the arithmetic is done; measured once per machine, recipe and shapes, then saved with the run."""

    precision: Literal["float32", "bfloat16"] = "float32"
    layout: Literal["contiguous", "channels_last"] = "contiguous"
    layers: Literal["torch", "mixed", "fast"] = "torch"
    threads: int = 1

    def __str__(self) -> str:
        return f"{self.precision}, {self.layout}, {self.layers} layers, {self.threads} thread{'s' * (self.threads > 1)}"


class Learner(Protocol):
    """One optimiser step a call, and everything that a checkpoint must hold."""

    def step(self, batch: Batch) -> None:
        """Does one step of every phase; adds the batch's loss parts to the sums."""

    def sums(self) -> tuple[list[str], np.ndarray[Any, np.dtype[np.float64]]]:
        """Names of the loss parts and, per part, the sum over items since `reset` (waits for the device)."""

    def latest(self) -> dict[str, float]:
        """Batch means of the last step by name (waits for the device); empty before the first."""

    def reset(self) -> None:
        """Starts the sums anew."""

    def watch(self, values: Mapping[str, float]) -> list[str]:
        """Shows what an epoch's validation gave; says what changes by it."""

    def weights(self) -> dict[str, Tensor]:
        """The networks' float32 weights and buffers, by qualified name."""

    def state(self) -> dict[str, Tensor]:
        """Weights, optimisers, random streams and sums: `load(state())` continues to the bit."""

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Puts back what `state` gave."""


class TorchLearner:
    """Trains torch networks by the phases of a task.

    In bfloat16 the networks hold rounded copies of their convolution and dense weights while the float32
    originals (the masters) receive the updates; inputs are rounded and outputs widened where the networks are
    called, so losses are computed in float32. Norms keep float32 weights.
    """

    def __init__(
        self,
        task: Task,
        nets: Mapping[str, nn.Module],
        seed: int,
        device: torch.device,
        choices: Choices,
        clip_grad_norm: float | None = None,
    ) -> None:
        self.task, self.nets, self.device, self.choices = task, nets, device, choices
        self.clip = clip_grad_norm
        self.noise = torch_stream(seed, "noise", device)
        torch.manual_seed(derive(seed, "dropout"))  # torch's dropout layers draw from the default generator
        self.steps = 0
        self.probing = False  # whether to measure what each term of a loss does to the weights
        self.probed: dict[str, Tensor] = {}  # lengths of gradients by phase, until they are written down
        self.probed_at = 0  # finished steps when they were measured, that step included
        self.parts: list[str] = []
        self._sums: Tensor | None = None
        self._latest: Tensor | None = None  # of the last step, in the order of `parts`
        self.masters = _prepare(nets, device, choices)
        self.averages = [_Average(average, nets, self.masters) for average in task.averages]
        self.phases = [_Phase(phase, task, nets, self.masters) for phase in task.phases]
        self.train()

    def train(self) -> None:
        """Puts the networks in train mode."""
        for net in self.nets.values():
            net.train()

    def eval(self) -> None:
        """Puts the networks in eval mode."""
        for average in self.averages:
            average.round()
        for net in self.nets.values():
            net.eval()

    def step(self, batch: Batch) -> None:
        losses: dict[str, Tensor] = {}
        probed = self.probed if self.probing and self.steps % gradient_share.EVERY == 0 else None
        if probed is not None:
            self.probed_at = self.steps + 1
        for phase in self.phases:
            prefix = f"{phase.phase.name}/" if len(self.phases) > 1 else ""
            for name, value in phase.step(batch, self.noise, self.steps, self.clip, probed).items():
                losses[prefix + name] = value
        for average in self.averages:
            average.step(self.steps)
        self.steps += 1
        self._add(losses, len(next(iter(batch.values()))))

    def _add(self, losses: dict[str, Tensor], items: int) -> None:
        if len(self.phases) > 1:
            losses["loss"] = sum(
                (losses[f"{p.phase.name}/loss"] for p in self.phases), torch.zeros((), device=self.device)
            )
        if self._sums is None or self.parts != list(losses):
            # A term may start or pause inside an epoch: parts are only ever added, in the order they appear.
            old = self._sums.tolist() if self._sums is not None else []
            self.parts += [name for name in losses if name not in self.parts]
            self._sums = self._zeros(old + [0.0] * (len(self.parts) - len(old)))
            losses = {name: losses.get(name, torch.zeros((), device=self.device)) for name in self.parts}
        values = torch.stack([value.detach().float() for value in losses.values()])
        self._sums.add_(values, alpha=items)
        self._latest = values

    def _zeros(self, values: list[float]) -> Tensor:
        wide = torch.float32 if self.device.type == "mps" else torch.float64
        return torch.tensor(values, dtype=wide, device=self.device)

    def sums(self) -> tuple[list[str], np.ndarray[Any, np.dtype[np.float64]]]:
        if self._sums is None:
            return [], np.zeros(0)
        return (
            self.parts,
            self._sums.double().cpu().numpy().copy()
            if self.device.type != "mps"
            else self._sums.cpu().double().numpy(),
        )

    def latest(self) -> dict[str, float]:
        values = [] if self._latest is None else self._latest.tolist()
        return dict(zip(self.parts, values, strict=True))

    def reset(self) -> None:
        self.parts, self._sums, self._latest = [], None, None

    def take_probed(self) -> dict[str, float]:
        """Lengths of the terms' gradients ("phase/term") as last measured, once (waits for the device)."""
        found = {name: float(length) for name, length in self.probed.items()}
        self.probed = {}
        return found

    def watch(self, values: Mapping[str, float]) -> list[str]:
        watches = [phase.plateau for phase in self.phases if phase.plateau is not None]
        return [said for watch in watches if (said := watch.see(values)) is not None]

    def weights(self) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}
        for net_name, net in self.nets.items():
            for name, tensor in net.state_dict(keep_vars=True).items():
                found[f"{net_name}.{name}"] = self.masters.get(f"{net_name}.{name}", tensor)
        return found

    def state(self) -> dict[str, Tensor]:
        state = {f"weights/{name}": tensor for name, tensor in self.weights().items()}
        for phase in self.phases:
            for name, parameter in phase.parameters.items():
                for key, value in phase.optimiser.state.get(parameter, {}).items():
                    if isinstance(value, Tensor):
                        state[f"optimiser/{phase.phase.name}/{name}/{key}"] = value
            if phase.plateau is not None:
                state[f"plateau/{phase.phase.name}"] = phase.plateau.state()
        state["stream/noise"] = self.noise.get_state()
        state["stream/dropout"] = _default_generator(self.device).get_state()
        for i, part in enumerate(self.parts):
            assert self._sums is not None
            state[f"sum/{i:02d}/{part}"] = self._sums[i]
        state["steps"] = torch.tensor(self.steps)
        return state

    def load(self, state: Mapping[str, Tensor]) -> None:
        own = self.weights()
        given = {key.removeprefix("weights/"): t for key, t in state.items() if key.startswith("weights/")}
        wrong = checkpoint.misfit(own, given)
        if wrong is not None:
            raise ValueError(wrong)
        with torch.no_grad():
            for name, tensor in own.items():
                tensor.copy_(given[name])
        for phase in self.phases:
            phase.load(state)
            phase.round()
        for average in self.averages:
            average.round()
        self.noise.set_state(state["stream/noise"].cpu())
        _default_generator(self.device).set_state(state["stream/dropout"].cpu())
        sums = {
            key.split("/", 2)[2]: value.item()
            for key, value in sorted(state.items())
            if key.startswith("sum/")
        }
        self.parts = list(sums)
        self._sums = self._zeros(list(sums.values())) if sums else None
        self.steps = int(state["steps"])


class _Phase:
    """A phase at work: its parameters, optimiser and penalty."""

    def __init__(
        self, phase: Phase, task: Task, nets: Mapping[str, nn.Module], masters: Mapping[str, Tensor]
    ) -> None:
        self.phase, self.nets = phase, nets
        named = {f"{net}.{name}": p for net in phase.trains for name, p in nets[net].named_parameters()}
        self.live = {name: p for name, p in named.items() if p.requires_grad}
        self.parameters = {
            name: masters.get(name, p) for name, p in self.live.items()
        }  # what the optimiser updates
        self.rounded = [
            (self.parameters[name], p) for name, p in self.live.items() if self.parameters[name] is not p
        ]
        for master, _ in self.rounded:
            master.grad = torch.zeros_like(master)
        own = {id(p) for p in named.values()}
        self.others = [
            p for net in nets.values() for p in net.parameters() if id(p) not in own and p.requires_grad
        ]
        self.penalised = [
            p for name, p in self.parameters.items() if phase.l2 and phase.l2_on(name, tuple(p.shape))
        ]
        self.optimiser = _optimiser(phase.optimiser, self.parameters)
        wanted = phase.optimiser.plateau
        self.plateau = None if wanted is None else PlateauWatch(phase.name, wanted)

    def step(
        self,
        batch: Batch,
        noise: torch.Generator,
        steps: int,
        clip: float | None,
        probed: dict[str, Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """One optimiser step after `steps` others; into `probed` goes what each term does to the weights."""
        for p in self.others:
            p.requires_grad_(False)
        for p in self.live.values():
            p.grad = None
        loss, parts = self.phase.loss(self.nets, batch, noise)
        if probed is not None and self.phase.terms is not None:
            weighted = {name: weight * parts[name] for name, weight in self.phase.terms(batch.epoch).items()}
            lengths = gradient_share.norms(weighted, list(self.live.values()))
            probed.update({f"{self.phase.name}/{name}": lengths[i] for i, name in enumerate(weighted)})
        loss.backward()
        for p in self.others:
            p.requires_grad_(True)
        self._widen()
        losses = {"loss": loss.detach(), **parts}
        if self.penalised:
            losses["l2"] = self._penalise()
            losses["loss"] = losses["loss"] + losses["l2"]
        if clip is not None:
            nn.utils.clip_grad_norm_(list(self.parameters.values()), clip)
        optimiser = self.phase.optimiser
        if optimiser.schedule is not None or self.plateau is not None:
            factor = 1.0 if optimiser.schedule is None else optimiser.schedule(steps, batch.epoch)
            for group in self.optimiser.param_groups:
                group["lr"] = optimiser.lr * factor * (1.0 if self.plateau is None else self.plateau.factor)
        self.optimiser.step()
        self.round()
        return losses

    def _widen(self) -> None:
        """Copies the rounded weights' gradients to the masters, in float32."""
        if not self.rounded:
            return
        pairs = [
            (master.grad, live.grad)
            for master, live in self.rounded
            if master.grad is not None and live.grad is not None
        ]
        torch._foreach_copy_([wide for wide, _ in pairs], [narrow for _, narrow in pairs])
        for master, live in self.rounded:
            if live.grad is None and master.grad is not None:
                master.grad.zero_()

    @torch.no_grad()
    def _penalise(self) -> Tensor:
        """Adds the gradient of l2·sum(w²) and returns its value."""
        weight = self.phase.l2
        trained = [(p, p.grad) for p in self.penalised if p.grad is not None]
        torch._foreach_add_([g for _, g in trained], [p for p, _ in trained], alpha=2 * weight)
        return torch.stack(torch._foreach_norm(self.penalised)).square().sum() * weight

    @torch.no_grad()
    def round(self) -> None:
        """Rounds the masters into the networks."""
        if self.rounded:
            torch._foreach_copy_([live for _, live in self.rounded], [master for master, _ in self.rounded])

    def load(self, state: Mapping[str, Tensor]) -> None:
        if self.plateau is not None and f"plateau/{self.phase.name}" in state:
            self.plateau.load(state[f"plateau/{self.phase.name}"])
        prefix = f"optimiser/{self.phase.name}/"
        for name, parameter in self.parameters.items():
            entries = {k.rsplit("/", 1)[1]: v for k, v in state.items() if k.startswith(f"{prefix}{name}/")}
            if entries:
                # Moments must lie in memory as their parameter does: the fused optimiser walks both side by
                # side.
                self.optimiser.state[parameter] = {
                    key: torch.empty_like(parameter).copy_(value)
                    if value.shape == parameter.shape and value.dim()
                    else value.clone()
                    for key, value in entries.items()
                }


class _Average:
    """A moving average at work; it begins as a copy of the net that it follows."""

    def __init__(
        self, average: Average, nets: Mapping[str, nn.Module], masters: Mapping[str, Tensor]
    ) -> None:
        self.average = average
        live = dict(nets[average.into].named_parameters())
        self.weights, self.followed = (
            [masters.get(f"{net}.{name}", p) for name, p in nets[net].named_parameters()]
            for net in (average.into, average.of)
        )
        self.rounded = [(w, p) for w, p in zip(self.weights, live.values(), strict=True) if w is not p]
        self.buffers, self.followed_buffers = (
            list(nets[net].buffers()) for net in (average.into, average.of)
        )
        nets[average.into].requires_grad_(False)
        self._copy(self.weights, self.followed)
        self._copy(self.buffers, self.followed_buffers)
        self.round()

    @torch.no_grad()
    def step(self, steps: int) -> None:
        """Moves the average towards the weights after that many finished steps before this one."""
        decay = self.average.decay
        if self.average.warm_up:
            decay = min(decay, (1 + steps) / (10 + steps))
        torch._foreach_lerp_(self.weights, self.followed, 1 - decay)
        self._copy(self.buffers, self.followed_buffers)

    @torch.no_grad()
    def round(self) -> None:
        """Rounds the masters into the network: only needed when it is looked at."""
        self._copy([live for _, live in self.rounded], [master for master, _ in self.rounded])

    @torch.no_grad()
    def _copy(self, into: list[Tensor], of: list[Tensor]) -> None:
        if into:
            torch._foreach_copy_(into, of)


class NumpyLearner:
    """Feeds a network that does its own step."""

    def __init__(self, task: Task, seed: int) -> None:
        assert task.stepper is not None
        self.stepper = task.stepper
        self.noise = numpy_stream(seed, "noise")
        self._sums: dict[str, float] = {}
        self._latest: Mapping[str, float] = {}

    def step(self, batch: Batch) -> None:
        # NumPy would warn of what the engine stops for, with the place and what to do.
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            self._latest = self.stepper.step(batch, self.noise)
        items = len(next(iter(batch.values())))
        for name, mean in self._latest.items():
            self._sums[name] = self._sums.get(name, 0.0) + items * float(mean)

    def sums(self) -> tuple[list[str], np.ndarray[Any, np.dtype[np.float64]]]:
        return list(self._sums), np.array(list(self._sums.values()), dtype=np.float64)

    def latest(self) -> dict[str, float]:
        return {name: float(value) for name, value in self._latest.items()}

    def reset(self) -> None:
        self._sums = {}

    def watch(self, values: Mapping[str, float]) -> list[str]:
        return []

    def weights(self) -> dict[str, Tensor]:
        return {name: torch.from_numpy(np.array(array)) for name, array in self.stepper.state().items()}

    def state(self) -> dict[str, Tensor]:
        import json

        state = {f"weights/{name}": tensor for name, tensor in self.weights().items()}
        stream = json.dumps(self.noise.bit_generator.state).encode()
        state["stream/noise"] = torch.frombuffer(bytearray(stream), dtype=torch.uint8)
        for i, (part, total) in enumerate(self._sums.items()):
            state[f"sum/{i:02d}/{part}"] = torch.tensor(total, dtype=torch.float64)
        return state

    def load(self, state: Mapping[str, Tensor]) -> None:
        import json

        weights = {k.split("/", 1)[1]: v.numpy() for k, v in state.items() if k.startswith("weights/")}
        wrong = fill_stepper(self.stepper, weights)
        if wrong is not None:
            raise ValueError(wrong)
        self.noise.bit_generator.state = json.loads(bytes(state["stream/noise"].tolist()))
        sums = {
            key.split("/", 2)[2]: value.item()
            for key, value in sorted(state.items())
            if key.startswith("sum/")
        }
        self._sums = sums


def fill_stepper(stepper: Stepper, state: Mapping[str, Array]) -> str | None:
    """Puts a saved state into an initialised stepper; what does not fit, in words, when it does not.

    Its own arrays say which names and shapes it needs; a state may hold more (what is made at the first step).
    """
    own = {name: torch.from_numpy(np.array(array)) for name, array in stepper.state().items()}
    found = {name: torch.from_numpy(np.array(state[name])) for name in own if name in state}
    wrong = checkpoint.misfit(own, found)
    if wrong is None:
        stepper.load_state(state)
    return wrong


def _prepare(nets: Mapping[str, nn.Module], device: torch.device, choices: Choices) -> dict[str, Tensor]:
    """Moves the networks to the device in the chosen form; returns the float32 masters of rounded weights."""
    masters: dict[str, Tensor] = {}
    of: dict[int, Tensor] = {}  # the master of each parameter: tied ones share theirs
    for net_name, net in nets.items():
        net.to(device)
        if choices.layout == "channels_last":
            net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if choices.layers != "torch":
            layers.accelerate(net, mixed=choices.layers == "mixed")
        if choices.precision == "bfloat16":
            for module_name, module in net.named_modules():
                if isinstance(module, (nn.Linear, nn.modules.conv._ConvNd)):
                    for name, parameter in module.named_parameters(recurse=False):
                        qualified = ".".join(filter(None, (net_name, module_name, name)))
                        if id(parameter) not in of:
                            of[id(parameter)] = parameter.detach().clone()
                            parameter.data = parameter.data.bfloat16()
                        masters[qualified] = of[id(parameter)]
            net.register_forward_pre_hook(_narrow, with_kwargs=True)
            net.register_forward_hook(lambda _m, _i, output: _map(output, _widened))
    return masters


def _narrow(
    _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return _map(args, _rounded), _map(kwargs, _rounded)


def _rounded(x: Tensor) -> Tensor:
    return x.bfloat16() if x.dtype is torch.float32 else x


def _widened(x: Tensor) -> Tensor:
    return x.float() if x.dtype is torch.bfloat16 else x


def _map(value: Any, change: Any) -> Any:
    """Applies `change` to every tensor in nested tuples, lists and dicts."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, (tuple, list)):
        return type(value)(_map(v, change) for v in value)
    if isinstance(value, dict):
        return {k: _map(v, change) for k, v in value.items()}
    return value


def _optimiser(wanted: Optimiser, parameters: Mapping[str, Tensor]) -> torch.optim.Optimizer:
    groups: list[dict[str, Any]] = [
        {"params": list(parameters.values()), "weight_decay": wanted.weight_decay}
    ]
    if wanted.decay_on is not None:
        decays = {name: wanted.decay_on(name, tuple(p.shape)) for name, p in parameters.items()}
        groups = [
            {"params": chosen, "weight_decay": decay}
            for which, decay in ((True, wanted.weight_decay), (False, 0.0))
            if (chosen := [p for name, p in parameters.items() if decays[name] is which])
        ]
    if wanted.name == "sgd":
        return torch.optim.SGD(groups, wanted.lr, wanted.momentum, nesterov=wanted.nesterov, fused=True)
    kind = torch.optim.Adam if wanted.name == "adam" else torch.optim.AdamW
    return kind(groups, wanted.lr, wanted.betas, wanted.eps, fused=True)


def _default_generator(device: torch.device) -> torch.Generator:
    if device.type == "cuda":
        return torch.cuda.default_generators[device.index or 0]
    if device.type == "mps":
        return torch.mps._get_default_mps_generator()
    return torch.default_generator
