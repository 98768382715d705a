"""XOR by a multi-layer perceptron, 2 → hidden → 1, every derivative written out.

One network (`XorMLP`) is written to be read. `XorMLPFleet` does the same arithmetic for thousands of networks at
once: one array axis more, its last, over the members.

Source: D. E. Rumelhart, G. E. Hinton, R. J. Williams, "Learning representations by back-propagating errors", 1986.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

ROWS = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=np.float64)
TARGETS = np.array([[0], [1], [1], [0]], dtype=np.float64)


def sigmoid(z: Array) -> Array:
    """σ(z) = 1 / (1 + e⁻ᶻ), element by element.

    Written as ½ (1 + tanh(z/2)), which is the same number and never overflows.
    """
    return 0.5 * (1 + np.tanh(0.5 * z))


class XorMLP:
    """Two layers of sigmoid units, trained by gradient descent on half the sum of squared errors.

    For n rows x (n, 2) with targets t (n, 1) and H hidden units:

        h = σ(x W1 + b1)      hidden units  (n, H)
        y = σ(h W2 + b2)      output        (n, 1)
        E = ½ Σ (y - t)²      loss, summed over the rows

    Args:
        hidden: number of hidden units H.
        lr: learning rate η of θ ← θ - η ∂E/∂θ.
        init: "normal" draws all weights and biases from N(0, 1); "zeros" starts them all at 0.
    """

    def __init__(self, hidden: int = 4, lr: float = 0.1, init: Literal["normal", "zeros"] = "normal") -> None:
        self.hidden, self.lr, self.start = hidden, lr, init
        self.W1 = np.zeros((2, hidden))
        self.b1 = np.zeros(hidden)
        self.W2 = np.zeros((hidden, 1))
        self.b2 = np.zeros(1)

    def init(self, rng: np.random.Generator) -> None:
        """Draws the initial weights."""
        for parameter in (self.W1, self.b1, self.W2, self.b2):
            parameter[...] = rng.normal(size=parameter.shape) if self.start == "normal" else 0.0

    def forward(self, x: Array) -> tuple[Array, Array]:
        """Hidden units (n, H) and outputs (n, 1) for rows x (n, 2)."""
        h = sigmoid(x @ self.W1 + self.b1)
        y = sigmoid(h @ self.W2 + self.b2)
        return h, y

    def gradients(self, x: Array, t: Array) -> tuple[float, dict[str, Array]]:
        """The loss E of rows x (n, 2) with targets t (n, 1), and its derivative by each parameter and by x.

        Backwards through the formulas above by the chain rule, with σ'(z) = σ(z) (1 - σ(z)); δ stands for the
        derivative of E by what goes into a sigmoid.
        """
        h, y = self.forward(x)
        loss = 0.5 * np.sum((y - t) ** 2)  #           E = ½ Σ (y - t)²

        delta2 = (y - t) * y * (1 - y)  #              δ2 = ∂E/∂y · σ'         (n, 1)
        delta1 = (delta2 @ self.W2.T) * h * (1 - h)  # δ1 = (δ2 W2ᵀ) · σ'      (n, H)
        return float(loss), {
            "W2": h.T @ delta2,  #                     ∂E/∂W2 = hᵀ δ2          (H, 1)
            "b2": delta2.sum(axis=0),  #               ∂E/∂b2 = Σ over rows δ2 (1,)
            "W1": x.T @ delta1,  #                     ∂E/∂W1 = xᵀ δ1          (2, H)
            "b1": delta1.sum(axis=0),  #               ∂E/∂b1 = Σ over rows δ1 (H,)
            "x": delta1 @ self.W1.T,  #                ∂E/∂x  = δ1 W1ᵀ         (n, 2)
        }

    def step(self, batch: Mapping[str, Any], rng: np.random.Generator) -> dict[str, float]:
        """One step of gradient descent on `batch["x"]` (n, 2), `batch["t"]` (n, 1); the loss is the one before it.

        Nothing in it is random: `rng` stays as it is.
        """
        loss, gradient = self.gradients(batch["x"], batch["t"])
        self.W1 -= self.lr * gradient["W1"]
        self.b1 -= self.lr * gradient["b1"]
        self.W2 -= self.lr * gradient["W2"]
        self.b2 -= self.lr * gradient["b2"]
        return {"loss": loss}

    def state(self) -> dict[str, Array]:
        """Copies of the weights; gradient descent remembers nothing else."""
        return {name: getattr(self, name).copy() for name in ("W1", "b1", "W2", "b2")}

    def load_state(self, state: Mapping[str, Array]) -> None:
        """Puts back what `state` gave.

        Raises:
            ValueError: weights of a network with another number of hidden units.
        """
        for name in ("W1", "b1", "W2", "b2"):
            parameter = getattr(self, name)
            if np.shape(state[name]) != parameter.shape:
                raise ValueError(f"{name} is {np.shape(state[name])}, this network's is {parameter.shape}")
            parameter[...] = state[name]


class XorMLPFleet:
    """Many `XorMLP`s, of different weights and learning rates, in one array program.

    Every array has the members as its last axis, M of them, so that each operation runs along memory over all
    members at once. All parameters of a member are one column of `theta` (4H + 1, M), which makes the update two
    operations; `W1`, `W2` and `b2` are views of its rows. The bias b1 stands below W1 as a third row of weights,
    for an input that is always 1:

        theta = [ W1 (2, H); b1 (H) | W2 (H) | b2 ]   for each member

    Args:
        networks: the members as they would be alone; all of one number of hidden units.
        seeds: for each member the index of its seed, ascending.

    Raises:
        ValueError: no members, or hidden layers of different size.
    """

    def __init__(self, networks: Sequence[XorMLP], seeds: Sequence[int]) -> None:
        sizes = {network.hidden for network in networks}
        if len(sizes) != 1 or len(seeds) != len(networks):
            raise ValueError(
                f"a fleet needs networks of one size, each with its seed; hidden: {sorted(sizes)}, "
                f"{len(networks)} networks, {len(seeds)} seeds"
            )
        self.networks, self.seeds = list(networks), list(seeds)
        self.hidden = sizes.pop()
        self._allot(np.zeros((4 * self.hidden + 1, len(networks))))

    def _allot(self, theta: Array) -> None:
        """Takes theta (4H + 1, M) as the parameters; lays out their gradient likewise, and the learning rates."""
        self.theta, self.gradient = theta, np.empty_like(theta)
        self.W1, self.W2, self.b2 = self._views(self.theta)
        self.dW1, self.dW2, self.db2 = self._views(self.gradient)
        self.lr = np.array([network.lr for network in self.networks])
        self._lay_out(rows=len(ROWS))

    def _views(self, theta: Array) -> tuple[Array, Array, Array]:
        """W1 with b1 below it (3, H·M), W2 (H, M) and b2 (M,) as views of theta."""
        split = 3 * self.hidden
        return theta[:split].reshape(3, -1), theta[split:-1], theta[-1]

    def _lay_out(self, rows: int) -> None:
        """Room for what a step computes: memory asked for anew at each step would cost more than the arithmetic."""
        members = len(self.networks)
        self.x1 = np.ones((rows, 3))  # its third column is the input that is always 1, for b1
        self.h, self.delta1 = np.empty((2, rows, self.hidden, members))
        self.y, self.error, self.delta2 = np.empty((3, rows, members))

    def init(self, rngs: Sequence[np.random.Generator]) -> None:
        """Every member draws from a copy of its seed's generator, as it would alone."""
        for network, seed in zip(self.networks, self.seeds, strict=True):
            network.init(deepcopy(rngs[seed]))
        states = [network.state() for network in self.networks]
        self.load_state({name: np.stack([state[name] for state in states]) for name in states[0]})

    def step(self, batch: Mapping[str, Any], rngs: Sequence[np.random.Generator]) -> dict[str, Array]:
        """One step of gradient descent of every member; returns their losses (M,), those before the step.

        Args:
            batch: x (seeds, n, 2) and t (seeds, n, 1), the same rows for every seed: all train on the whole set
                in its stored order. Those of the first seed are read.
            rngs: not used; nothing in a step is random.
        """
        x, t = batch["x"][0], batch["t"][0]
        if len(x) != len(self.y):
            self._lay_out(rows=len(x))
        self.x1[:, :2] = x
        h, y, error, delta1, delta2 = self.h, self.y, self.error, self.delta1, self.delta2
        # The hidden units of all members side by side: one matrix product serves them all.
        wide = (len(x), -1)

        np.matmul(self.x1, self.W1, out=h.reshape(wide))  # h = σ(x W1 + b1)
        _sigmoid_of(h)
        np.einsum("nhm,hm->nm", h, self.W2, out=y)  #    y = σ(h W2 + b2)
        y += self.b2
        _sigmoid_of(y)
        np.subtract(y, t, out=error)
        loss = 0.5 * np.einsum("nm,nm->m", error, error)  # E = ½ Σ (y - t)²

        np.subtract(1, y, out=delta2)  #                 δ2 = (y - t) · y · (1 - y)
        delta2 *= y
        delta2 *= error
        np.subtract(1, h, out=delta1)  #                 δ1 = (δ2 W2ᵀ) · h · (1 - h)
        delta1 *= h
        delta1 *= self.W2
        delta1 *= delta2[:, None]
        np.einsum("nhm,nm->hm", h, delta2, out=self.dW2)  # ∂E/∂W2 = hᵀ δ2
        delta2.sum(axis=0, out=self.db2)  #              ∂E/∂b2 = Σ δ2
        np.matmul(self.x1.T, delta1.reshape(wide), out=self.dW1)  # ∂E/∂W1 = xᵀ δ1, and Σ δ1 for b1

        self.gradient *= self.lr
        self.theta -= self.gradient
        return {"loss": loss}

    def state(self) -> dict[str, Array]:
        """The members' states stacked: W1 (M, 2, H), b1 (M, H), W2 (M, H, 1), b2 (M, 1)."""
        w1 = self.W1.reshape(3, self.hidden, -1)
        return {
            "W1": w1[:2].transpose(2, 0, 1).copy(),
            "b1": w1[2].T.copy(),
            "W2": self.W2.T[:, :, None].copy(),
            "b2": self.b2[:, None].copy(),
        }

    def load_state(self, state: Mapping[str, Array]) -> None:
        """Puts back what `state` gave.

        Raises:
            ValueError: of another number of members or hidden units.
        """
        own = (len(self.networks), 2, self.hidden)
        if np.shape(state["W1"]) != own:
            raise ValueError(f"W1 is {np.shape(state['W1'])}, this fleet's is {own}")
        w1 = self.W1.reshape(3, self.hidden, -1)
        w1[:2] = np.asarray(state["W1"]).transpose(1, 2, 0)
        w1[2] = np.asarray(state["b1"]).T
        self.W2[...] = np.asarray(state["W2"])[:, :, 0].T
        self.b2[...] = np.asarray(state["b2"])[:, 0]

    def keep(self, chosen: NDArray[np.intp]) -> None:
        """Goes on with these members only (indices into the present ones, ascending)."""
        self.networks = [self.networks[i] for i in chosen]
        self.seeds = [self.seeds[i] for i in chosen]
        self._allot(np.ascontiguousarray(self.theta[:, chosen]))


def _sigmoid_of(z: Array) -> None:
    """z ← σ(z) = 1 / (1 + e⁻ᶻ) in its own memory: faster than by tanh, and right even where e⁻ᶻ overflows."""
    np.negative(z, out=z)
    np.exp(z, out=z)
    z += 1
    np.divide(1, z, out=z)
