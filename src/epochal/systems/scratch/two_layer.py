"""A two-layer classifier, affine – ReLU – affine – softmax with L2, every derivative written out.

One network (`TwoLayerNet`) is written to be read. `TwoLayerFleet` trains several at once; members of one seed see the
same batch, so one matrix product serves the first layer of them all.

Source: the two-layer network of Stanford's course CS231n, assignment 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from itertools import groupby
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]  # of the network's own type: float32 to train fast, float64 to check gradients
NAMES = ("W1", "b1", "W2", "b2")


class Batch(Protocol):
    """What a step reads: x (B, D), y (B,) class numbers, and the epoch, from 1, for the learning rate."""

    epoch: int

    def __getitem__(self, name: str, /) -> Any: ...


class TwoLayerNet:
    """Affine – ReLU – affine – softmax, trained by stochastic gradient descent on cross-entropy with L2.

    For a batch x (B, D) with classes y (B,), H hidden units and C classes:

        a = max(0, x W1 + b1)                             hidden units (B, H)
        s = a W2 + b2                                     scores       (B, C)
        p = eˢ / Σ eˢ  over the classes                   probabilities
        L = mean over the batch of -log p[y] + reg · (Σ W1² + Σ W2²)

    Args:
        inputs: numbers a sample D.
        hidden: hidden units H.
        classes: classes C.
        std: standard deviation of the normal initial weights; biases start at 0.
        lr: learning rate of the first epoch.
        decay: factor on the learning rate from epoch to epoch.
        reg: weight of the L2 penalty (without the ½ that some write).
        dtype: of weights and arithmetic.
    """

    def __init__(
        self,
        inputs: int,
        hidden: int,
        classes: int,
        *,
        std: float = 1e-4,
        lr: float = 1e-3,
        decay: float = 0.95,
        reg: float = 0.25,
        dtype: Literal["float32", "float64"] = "float32",
    ) -> None:
        self.sizes, self.std, self.dtype = (inputs, hidden, classes), std, np.dtype(dtype)
        self.lr, self.decay, self.reg = lr, decay, reg
        self.W1 = np.zeros((inputs, hidden), dtype)
        self.b1 = np.zeros(hidden, dtype)
        self.W2 = np.zeros((hidden, classes), dtype)
        self.b2 = np.zeros(classes, dtype)

    def init(self, rng: np.random.Generator) -> None:
        """Draws the initial weights."""
        self.W1[...] = self.std * rng.normal(size=self.W1.shape)
        self.W2[...] = self.std * rng.normal(size=self.W2.shape)
        self.b1[...] = 0
        self.b2[...] = 0

    def forward(self, x: Array) -> tuple[Array, Array]:
        """Hidden units (B, H) and scores (B, C) of x (B, D)."""
        a = np.maximum(x @ self.W1 + self.b1, 0)
        return a, a @ self.W2 + self.b2

    def predict(self, x: Array) -> NDArray[np.intp]:
        """The class of highest score for each x (B, D)."""
        _, s = self.forward(x)
        best: NDArray[np.intp] = s.argmax(axis=1)
        return best

    def cross_entropy(self, x: Array, y: Array) -> float:
        """Mean over x (B, D) with classes y (B,) of -log p[y], in nats, without the penalty."""
        _, s = self.forward(x)
        return float(-log_softmax(s)[np.arange(len(y)), y].mean())

    def gradients(
        self, x: Array, y: Array, *, by_input: bool = False
    ) -> tuple[dict[str, float], dict[str, Array]]:
        """What the batch x (B, D), y (B,) says of the network, and the derivative of L by each parameter.

        Args:
            x: inputs.
            y: class numbers.
            by_input: also ∂L/∂x (B, D), which training has no use for.

        Returns:
            `loss` L, its part `cross_entropy`, and `accuracy`, the share of the batch with the right class on top;
            then the derivatives by name.
        """
        rows = np.arange(len(y))
        a, s = self.forward(x)
        log_p = log_softmax(s)
        cross_entropy = -log_p[rows, y].mean()
        penalty = self.reg * ((self.W1**2).sum() + (self.W2**2).sum())
        accuracy = (s.argmax(axis=1) == y).mean()

        ds = np.exp(log_p)  # ∂L/∂s = (p - onehot(y)) / B, since ∂(-log p[y])/∂s = p - onehot(y)
        ds[rows, y] -= 1
        ds /= len(y)
        da = ds @ self.W2.T  # back through a W2 + b2
        dz = da * (a > 0)  # and through the ReLU, which lets pass where a > 0
        gradient = {
            "W2": a.T @ ds + 2 * self.reg * self.W2,  # (H, C)
            "b2": ds.sum(axis=0),  #                    (C,)
            "W1": x.T @ dz + 2 * self.reg * self.W1,  # (D, H)
            "b1": dz.sum(axis=0),  #                    (H,)
        }
        if by_input:
            gradient["x"] = dz @ self.W1.T
        measured = {"loss": cross_entropy + penalty, "cross_entropy": cross_entropy, "accuracy": accuracy}
        return {name: float(value) for name, value in measured.items()}, gradient

    def step(self, batch: Batch, rng: np.random.Generator) -> dict[str, float]:
        """One step θ ← θ - η ∂L/∂θ with η = lr · decayᵉᵖᵒᶜʰ⁻¹; returns what `gradients` measured before it.

        Nothing in it is random: `rng` stays as it is.
        """
        measured, gradient = self.gradients(batch["x"], batch["y"])
        rate = self.lr * self.decay ** (batch.epoch - 1)
        for name in NAMES:
            parameter = getattr(self, name)
            parameter -= rate * gradient[name]
        return measured

    def state(self) -> dict[str, Array]:
        """Copies of the weights; gradient descent remembers nothing else."""
        return {name: getattr(self, name).copy() for name in NAMES}

    def load_state(self, state: Mapping[str, Array]) -> None:
        """Puts back what `state` gave.

        Raises:
            ValueError: weights of a network of another size.
        """
        for name in NAMES:
            parameter = getattr(self, name)
            if np.shape(state[name]) != parameter.shape:
                raise ValueError(f"{name} is {np.shape(state[name])}, this network's is {parameter.shape}")
            parameter[...] = state[name]


def log_softmax(s: Array) -> Array:
    """log p = s - log Σ eˢ over the last axis.

    Subtracting the largest score first changes nothing and keeps e from overflowing.
    """
    s = s - s.max(axis=-1, keepdims=True)
    s -= np.log(np.exp(s).sum(axis=-1, keepdims=True))
    return s


class TwoLayerFleet:
    """Many `TwoLayerNet`s of one size, of different seeds and optimiser settings.

    Args:
        networks: the members as they would be alone.
        seeds: for each member the index of its seed, ascending; members of one seed stand together.

    Raises:
        ValueError: no members, or networks of different size or number type.
    """

    def __init__(self, networks: Sequence[TwoLayerNet], seeds: Sequence[int]) -> None:
        kinds = {(*network.sizes, network.dtype.name) for network in networks}
        if len(kinds) != 1 or len(seeds) != len(networks):
            raise ValueError(
                f"a fleet needs networks of one size, each with its seed; sizes: {sorted(kinds)}, "
                f"{len(networks)} networks, {len(seeds)} seeds"
            )
        self._gather(networks, seeds)

    def _gather(self, networks: Sequence[TwoLayerNet], seeds: Sequence[int]) -> None:
        self.networks, self.seeds = list(networks), list(seeds)
        members = zip(self.networks, self.seeds, strict=True)
        self.siblings = {
            seed: _Siblings([network for network, _ in group])
            for seed, group in groupby(members, key=lambda member: member[1])
        }

    def init(self, rngs: Sequence[np.random.Generator]) -> None:
        """Every member draws from a copy of its seed's generator, as it would alone."""
        for network, seed in zip(self.networks, self.seeds, strict=True):
            network.init(deepcopy(rngs[seed]))
        states = [network.state() for network in self.networks]
        self.load_state({name: np.stack([state[name] for state in states]) for name in NAMES})

    def step(self, batch: Batch, rngs: Sequence[np.random.Generator]) -> dict[str, Array]:
        """One step of every member; returns loss, cross_entropy and accuracy, each (M,), from before it.

        Args:
            batch: x (seeds, B, D), y (seeds, B) and the epoch, from 1.
            rngs: not used; nothing in a step is random.
        """
        measured = [
            group.step(batch["x"][seed], batch["y"][seed], batch.epoch)
            for seed, group in self.siblings.items()
        ]
        return {name: np.concatenate([each[name] for each in measured]) for name in measured[0]}

    def state(self) -> dict[str, Array]:
        """The members' states stacked: W1 (M, D, H), b1 (M, H), W2 (M, H, C), b2 (M, C)."""
        states = [group.state() for group in self.siblings.values()]
        return {name: np.concatenate([state[name] for state in states]) for name in NAMES}

    def load_state(self, state: Mapping[str, Array]) -> None:
        """Puts back what `state` gave.

        Raises:
            ValueError: of another number or size of members.
        """
        own = (len(self.networks), *self.networks[0].sizes[:2])
        if np.shape(state["W1"]) != own:
            raise ValueError(f"W1 is {np.shape(state['W1'])}, this fleet's is {own}")
        first = 0
        for group in self.siblings.values():
            last = first + len(group.networks)
            group.load_state({name: np.asarray(state[name])[first:last] for name in NAMES})
            first = last

    def keep(self, chosen: NDArray[np.intp]) -> None:
        """Goes on with these members only (indices into the present ones, ascending)."""
        state = {name: array[chosen] for name, array in self.state().items()}
        self._gather([self.networks[i] for i in chosen], [self.seeds[i] for i in chosen])
        self.load_state(state)


class _Siblings:
    """G networks of one seed. Their first layers stand side by side in one matrix W1 (D, G·H).

    The second layers, which have inputs of their own, are a stack W2 (G, H, C) for NumPy's stacked products. The
    big arrays of a step are kept from step to step: asking for such memory anew costs time.
    """

    def __init__(self, networks: Sequence[TwoLayerNet]) -> None:
        self.networks = list(networks)
        self.inputs, self.hidden, classes = networks[0].sizes
        dtype, members = networks[0].dtype, len(networks)
        self.W1 = np.zeros((self.inputs, members * self.hidden), dtype)
        self.dW1 = np.empty_like(self.W1)
        self.b1 = np.zeros(members * self.hidden, dtype)
        self.W2 = np.zeros((members, self.hidden, classes), dtype)
        self.b2 = np.zeros((members, 1, classes), dtype)
        self.reg = np.array([network.reg for network in networks], dtype)
        self.a, self.dz = np.empty((2, 0, members * self.hidden), dtype)

    def step(self, x: Array, y: Array, epoch: int) -> dict[str, Array]:
        """One step on the batch x (B, D), y (B,); see `TwoLayerNet.gradients` for the formulas."""
        rows, members = np.arange(len(y)), len(self.networks)
        if len(self.a) != len(y):
            self.a, self.dz = np.empty((2, len(y), self.W1.shape[1]), self.W1.dtype)
        np.matmul(x, self.W1, out=self.a)  #  a = max(0, x W1 + b1)
        self.a += self.b1
        np.maximum(self.a, 0, out=self.a)
        a = self._each(self.a)  # (G, B, H), a view
        s = a @ self.W2 + self.b2  # (G, B, C)
        log_p = log_softmax(s)
        cross_entropy = -log_p[:, rows, y].mean(axis=1)
        penalty = self.reg * (
            np.einsum("dj,dj->j", self.W1, self.W1).reshape(members, -1).sum(axis=1)
            + np.einsum("ghc,ghc->g", self.W2, self.W2)
        )
        accuracy = (s.argmax(axis=2) == y).mean(axis=1)

        ds = np.exp(log_p)
        ds[:, rows, y] -= 1
        ds /= len(y)
        np.matmul(ds, self.W2.swapaxes(1, 2), out=self._each(self.dz))
        self.dz *= self.a > 0
        np.matmul(x.T, self.dz, out=self.dW1)

        rate = np.array([net.lr * net.decay ** (epoch - 1) for net in self.networks], self.W1.dtype)
        shrink = 1 - 2 * rate * self.reg  # θ - η (∂/∂θ + 2 reg θ) = (1 - 2 η reg) θ - η ∂/∂θ
        wide = np.repeat(rate, self.hidden)  # a factor for each column of W1
        self.dW1 *= wide
        self.W1 *= np.repeat(shrink, self.hidden)
        self.W1 -= self.dW1
        self.b1 -= wide * self.dz.sum(axis=0)
        rate, shrink = rate[:, None, None], shrink[:, None, None]
        self.W2 *= shrink
        self.W2 -= rate * (a.swapaxes(1, 2) @ ds)
        self.b2 -= rate * ds.sum(axis=1, keepdims=True)
        return {"loss": cross_entropy + penalty, "cross_entropy": cross_entropy, "accuracy": accuracy}

    def state(self) -> dict[str, Array]:
        """Copies with the members as the first axis."""
        return {
            "W1": self.W1.reshape(self.inputs, -1, self.hidden).swapaxes(0, 1).copy(),
            "b1": self.b1.reshape(-1, self.hidden).copy(),
            "W2": self.W2.copy(),
            "b2": self.b2[:, 0].copy(),
        }

    def load_state(self, state: Mapping[str, Array]) -> None:
        """Puts back what `state` gave."""
        self.W1.reshape(self.inputs, -1, self.hidden)[...] = state["W1"].swapaxes(0, 1)
        self.b1.reshape(-1, self.hidden)[...] = state["b1"]
        self.W2[...] = state["W2"]
        self.b2[:, 0] = state["b2"]

    def _each(self, wide: Array) -> Array:
        """A view (G, B, H) of (B, G·H)."""
        return wide.reshape(len(wide), -1, self.hidden).swapaxes(0, 1)
