"""A recurrent network in NumPy, every derivative written out: it reads a window of a wave and says the next value.

One unit's weights are used at every time step, so the error of one prediction flows back through all the steps that
led to it (back-propagation through time: Rumelhart, Hinton and Williams, 1986; Werbos, 1990), or only through the
last few of them (truncated: Williams and Peng, 1990).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
NAMES = ("u", "W", "v")


class RecurrentNetwork:
    """A vanilla recurrent network (Elman, 1990) with tanh units and one linear output, trained by gradient descent.

    For windows x (B, T), the values that follow them y (B,), and H hidden units:

        h₀ = 0
        hₜ = tanh(xₜ uᵀ + hₜ₋₁ W)          hidden state (B, H), for t = 1 … T
        ŷ  = h_T v                          prediction   (B,)
        L  = mean over windows of ½ (ŷ - y)²

    A `Stepper` (`epochal.training.task`).

    Args:
        hidden: hidden units H.
        lr: learning rate η of θ ← θ - η ∂L/∂θ.
        bptt: how many time steps the error flows back through; T or more: all of them.
        clip: largest size of each number of the gradient; larger ones are cut to it.
        start: initial weights. "scaled": uniform in ±1/√H, which keeps the states where tanh bends; "positive":
            uniform in 0 … 1, as some course notebooks draw them.
    """

    def __init__(
        self,
        hidden: int = 100,
        *,
        lr: float = 1e-3,
        bptt: int = 5,
        clip: float = 10.0,
        start: Literal["scaled", "positive"] = "scaled",
    ) -> None:
        self.hidden, self.lr, self.bptt, self.clip, self.start = hidden, lr, bptt, clip, start
        self.u = np.zeros(hidden)
        self.W = np.zeros((hidden, hidden))
        self.v = np.zeros(hidden)

    def init(self, rng: np.random.Generator) -> None:
        """Draws the initial weights."""
        most = 1 / math.sqrt(self.hidden) if self.start == "scaled" else 1.0
        least = -most if self.start == "scaled" else 0.0
        for name in NAMES:
            weights = getattr(self, name)
            weights[...] = rng.uniform(least, most, weights.shape)

    def states(self, x: Array) -> Array:
        """All hidden states (T + 1, B, H) for windows x (B, T); the first one is h₀."""
        windows, length = x.shape
        inputs = x.T[:, :, None] * self.u  # xₜ uᵀ for all t at once: (T, B, H)
        h = np.zeros((length + 1, windows, self.hidden))
        for t in range(length):
            h[t + 1] = np.tanh(inputs[t] + h[t] @ self.W)
        return h

    def predict(self, x: Array) -> Array:
        """The value ŷ (B,) that follows each window x (B, T)."""
        prediction: Array = self.states(x)[-1] @ self.v
        return prediction

    def free_run(self, window: Array, count: int) -> Array:
        """The `count` values that follow a window (T,): each prediction is read as the newest value by the next one."""
        values = np.concatenate([window, np.zeros(count)])
        for i in range(count):
            values[len(window) + i] = self.predict(values[None, i : len(window) + i])[0]
        return values[len(window) :]

    def loss(self, x: Array, y: Array) -> float:
        """L, the mean over windows x (B, T) of ½ (ŷ - y)², for what follows them, y (B,)."""
        return float(0.5 * np.mean((self.predict(x) - y) ** 2))

    def gradients(self, x: Array, y: Array) -> tuple[float, dict[str, Array]]:
        """The loss L of windows x (B, T) followed by y (B,), and its derivative by each weight.

        Backwards from the prediction by the chain rule, with tanh' = 1 - tanh². δₜ stands for the derivative of L by
        what goes into the tanh at time t. After `bptt` steps it stops: the state before them counts as given, so with
        fewer than T steps this is not quite the gradient of L, but it is cheaper, and what is left out is small
        where the influence of old inputs fades.
        """
        h = self.states(x)
        error = h[-1] @ self.v - y
        dh = np.outer(error, self.v) / len(y)  #        ∂L/∂h_T = (ŷ - y) vᵀ / B        (B, H)
        du, dW = np.zeros_like(self.u), np.zeros_like(self.W)
        length = x.shape[1]
        for t in range(length, max(length - self.bptt, 0), -1):
            delta = dh * (1 - h[t] ** 2)  #             δₜ = ∂L/∂hₜ · tanh'             (B, H)
            du += x[:, t - 1] @ delta  #                ∂L/∂u = Σₜ xₜᵀ δₜ               (H,)
            dW += h[t - 1].T @ delta  #                 ∂L/∂W = Σₜ hₜ₋₁ᵀ δₜ             (H, H)
            dh = delta @ self.W.T  #                    ∂L/∂hₜ₋₁ = δₜ Wᵀ                (B, H)
        dv = error @ h[-1] / len(y)  #                  ∂L/∂v = h_Tᵀ (ŷ - y) / B        (H,)
        return float(0.5 * np.mean(error**2)), {"u": du, "W": dW, "v": dv}

    def step(self, batch: Mapping[str, Any], rng: np.random.Generator) -> dict[str, float]:
        """One step θ ← θ - η · clip(∂L/∂θ) on `batch["x"]` (B, T), `batch["y"]` (B,); the loss is the one before it.

        Clipping keeps one steep place of the loss from throwing the weights far away (Mikolov, 2012; Pascanu, Mikolov
        and Bengio, 2013). Nothing here is random: `rng` stays as it is.
        """
        loss, gradient = self.gradients(batch["x"], batch["y"])
        for name in NAMES:
            weights = getattr(self, name)
            weights -= self.lr * np.clip(gradient[name], -self.clip, self.clip)
        return {"loss": loss}

    def state(self) -> dict[str, Array]:
        """Copies of the weights; gradient descent remembers nothing else."""
        return {name: getattr(self, name).copy() for name in NAMES}

    def load_state(self, state: Mapping[str, Array]) -> None:
        """Puts back what `state` gave.

        Raises:
            ValueError: weights of a network with another number of hidden units.
        """
        for name in NAMES:
            weights = getattr(self, name)
            if np.shape(state[name]) != weights.shape:
                raise ValueError(f"{name} is {np.shape(state[name])}, this network's is {weights.shape}")
            weights[...] = state[name]
