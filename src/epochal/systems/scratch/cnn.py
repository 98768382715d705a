"""A convolutional network in NumPy, every derivative written out: what an autograd engine does, step by step.

    image (28, 28, 1) – convolution 3x3 – ReLU – max-pool 2x2 – convolution 3x3 – ReLU – max-pool 2x2 – dense – softmax

Read from top to bottom: each layer is a pair of functions. The forward one returns its output; the backward one
takes dL/d(output), here `dy`, and returns dL/d(input) and dL/d(weights), by the formula in its docstring. The class
at the end chains them and takes a step of Adam.

Arrays are (N, H, W, C): images of a batch, rows, columns, channels. A convolution is one matrix product over all
windows of all images (im2col; Chellapilla, Puri and Simard, 2006), and nothing is copied that need not be.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import DTypeLike, NDArray

Array = NDArray[Any]

# --- convolution -----------------------------------------------------------------------------------------------------


def windows(x: Array, size: int, stride: int = 1, padding: int = 0) -> Array:
    """Every size x size window of every image, as a row of a matrix (im2col).

    Args:
        x: (N, H, W, C).
        size: side of a window.
        stride: step between windows.
        padding: rows and columns of zeros around each image.

    Returns:
        (N, H', W', size·size·C) with H' = (H + 2·padding - size) // stride + 1, a copy; a window is unrolled by
        row, column, channel.
    """
    if padding:
        x = np.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    view = sliding_window_view(x, (size, size), axis=(1, 2))[:, ::stride, ::stride]
    n, height, width, channels = view.shape[:4]  # (N, H', W', C, size, size), no copy so far
    unrolled: Array = view.transpose(0, 1, 2, 4, 5, 3).reshape(n, height, width, size * size * channels)
    return unrolled


def windows_backward(
    dy: Array, shape: tuple[int, ...], size: int, stride: int = 1, padding: int = 0
) -> Array:
    """Adds every window's gradient onto the pixels that it was read from (col2im).

    A pixel stands in up to size² windows, so its derivative is the sum over them:
    dL/dx[n, i, j, c] = Σ_{u,v} dL/dwindows[n, (i + padding - u)/stride, (j + padding - v)/stride, (u, v, c)],
    over those u and v for which both quotients are whole and a window is there.

    Args:
        dy: (N, H', W', size·size·C), dL/dwindows.
        shape: (N, H, W, C) of what the windows were read from.
        size: as given to `windows`.
        stride: as given to `windows`.
        padding: as given to `windows`.

    Returns:
        (N, H, W, C), dL/dx.
    """
    n, height, width, channels = shape
    rows, columns = dy.shape[1:3]
    dx = np.zeros((n, height + 2 * padding, width + 2 * padding, channels), dy.dtype)
    by_place = dy.reshape(n, rows, columns, size, size, channels)
    for u in range(size):
        for v in range(size):
            seen = dx[:, u : u + stride * rows : stride, v : v + stride * columns : stride]
            seen += by_place[:, :, :, u, v]  # a view: this adds to dx
    return dx[:, padding : padding + height, padding : padding + width]


def convolution(x: Array, w: Array, b: Array, stride: int = 1, padding: int = 0) -> tuple[Array, Array]:
    """y[n, i, j, o] = b[o] + Σ_{u,v,c} x[n, i·stride + u - padding, j·stride + v - padding, c] · w[u, v, c, o].

    (Strictly a cross-correlation: the kernel is not flipped, as in every deep-learning library.)

    Args:
        x: (N, H, W, C).
        w: (size, size, C, O), one kernel an output channel.
        b: (O,).
        stride: step between windows.
        padding: rows and columns of zeros around each image.

    Returns:
        y (N, H', W', O), and the windows, which the backward pass reads again.
    """
    size, _, _, out = w.shape
    unrolled = windows(x, size, stride, padding)
    y = unrolled.reshape(-1, w.size // out) @ w.reshape(-1, out)  # all windows of all images in one product
    y += b
    return y.reshape(*unrolled.shape[:3], out), unrolled


def convolution_backward(dy: Array, unrolled: Array, w: Array) -> tuple[Array, Array]:
    """The weights' share of the backward pass: dL/dw = windowsᵀ · dy, dL/db = Σ_{n,i,j} dy.

    Args:
        dy: (N, H', W', O).
        unrolled: the windows that `convolution` returned.
        w: (size, size, C, O).

    Returns:
        dw (size, size, C, O), db (O,).
    """
    out = w.shape[-1]
    flat = dy.reshape(-1, out)
    return (unrolled.reshape(len(flat), -1).T @ flat).reshape(w.shape), flat.sum(axis=0)


def convolution_backward_input(
    dy: Array, w: Array, shape: tuple[int, ...], stride: int = 1, padding: int = 0
) -> Array:
    """The input's share: dL/dwindows = dy · wᵀ, added up over the windows that a pixel stands in.

    Its own function because the first layer, whose input is the image, does not need it.

    Args:
        dy: (N, H', W', O).
        w: (size, size, C, O).
        shape: (N, H, W, C) of the input.
        stride: as in the forward pass.
        padding: as in the forward pass.

    Returns:
        dx (N, H, W, C).
    """
    size, _, _, out = w.shape
    unrolled = dy.reshape(-1, out) @ w.reshape(-1, out).T
    return windows_backward(unrolled.reshape(*dy.shape[:3], -1), shape, size, stride, padding)


# --- ReLU ------------------------------------------------------------------------------------------------------------


def relu(x: Array) -> Array:
    """y = max(x, 0), element by element."""
    y: Array = np.maximum(x, 0)
    return y


def relu_backward(dy: Array, y: Array) -> Array:
    """dL/dx = dy where x > 0, else 0 (at x = 0, where there is no derivative, 0); y > 0 says the same as x > 0."""
    dx: Array = dy * (y > 0)
    return dx


# --- max-pooling -----------------------------------------------------------------------------------------------------


def max_pool(x: Array) -> Array:
    """y[n, i, j, c] = max of x[n, 2i … 2i+1, 2j … 2j+1, c]: the largest of each 2x2 block.

    Args:
        x: (N, H, W, C); of an odd H or W the last row or column is left out.

    Returns:
        (N, H // 2, W // 2, C).
    """
    a, b, c, d = (x[place] for place in _quarters(x.shape))
    y: Array = np.maximum(np.maximum(a, b), np.maximum(c, d))
    return y


def max_pool_backward(dy: Array, x: Array, y: Array) -> Array:
    """dL/dx = dy at the pixel of its block that was the largest, 0 at the other three.

    Where several are equally large the first in reading order gets all of it: one of them must, once.

    Args:
        dy: (N, H // 2, W // 2, C).
        x: (N, H, W, C), the input.
        y: the output of `max_pool`.

    Returns:
        dx (N, H, W, C).
    """
    dx = np.zeros_like(x)
    waiting = np.ones(y.shape, bool)  # blocks whose largest pixel is not found yet
    for place in _quarters(x.shape):
        largest = (x[place] == y) & waiting
        np.multiply(dy, largest, out=dx[place])
        waiting ^= largest
    return dx


def _quarters(shape: tuple[int, ...]) -> list[tuple[slice, slice, slice]]:
    """The upper left, upper right, lower left and lower right pixel of every 2x2 block, as indices."""
    height, width = shape[1] // 2 * 2, shape[2] // 2 * 2
    return [(slice(None), slice(u, height, 2), slice(v, width, 2)) for u in (0, 1) for v in (0, 1)]


# --- dense layer, softmax and cross-entropy --------------------------------------------------------------------------


def dense(x: Array, w: Array, b: Array) -> Array:
    """y = x · w + b with x (N, D), w (D, O), b (O,): y is (N, O)."""
    y: Array = x @ w + b
    return y


def dense_backward(dy: Array, x: Array, w: Array) -> tuple[Array, Array, Array]:
    """dL/dx = dy · wᵀ (N, D), dL/dw = xᵀ · dy (D, O), dL/db = Σ_n dy (O,)."""
    return dy @ w.T, x.T @ dy, dy.sum(axis=0)


def log_softmax(scores: Array) -> Array:
    """log p[n, k] = s[n, k] - log Σ_j exp s[n, j], (N, K).

    The largest score is taken off first: that changes no p, and exp cannot overflow.
    """
    shifted = scores - scores.max(axis=1, keepdims=True)
    logs: Array = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return logs


def cross_entropy(scores: Array, labels: Array) -> tuple[float, Array]:
    """L = mean over n of -log p[n, label(n)], in nats, and its derivative by the scores.

    dL/ds[n, k] = (p[n, k] - (1 if k = label(n) else 0)) / N: what is too much is pushed down, what lacks is pushed
    up, and the exponentials cancel. That is why softmax and cross-entropy are derived together.

    Args:
        scores: (N, K), before the softmax.
        labels: (N,) integers in 0 … K - 1.

    Returns:
        L, and dL/dscores (N, K).
    """
    rows = np.arange(len(labels))
    logs = log_softmax(scores)
    ds = np.exp(logs)
    ds[rows, labels] -= 1
    return float(-logs[rows, labels].mean()), ds / len(labels)


# --- the network -----------------------------------------------------------------------------------------------------


class ConvolutionalNetwork:
    """The layers above in a row, trained by Adam; a `Stepper` (`epochal.training.task`).

    Args:
        channels: kernels of the first and of the second convolution.
        side: side of the square, grey images, in pixels; at least 4.
        classes: number of classes.
        lr: learning rate of Adam at the first step.
        decay: the learning rate at step t (from 0) is lr / (1 + decay·t).
        betas: how much of the old mean gradient, and of the old mean squared gradient, a step keeps.
        eps: keeps Adam's quotient finite.
        clip_norm: longest gradient, over all weights together; a longer one is scaled down to it.
        dtype: of weights and arithmetic; float64 to check gradients numerically.
    """

    def __init__(
        self,
        channels: tuple[int, int] = (16, 32),
        side: int = 28,
        classes: int = 10,
        *,
        lr: float = 5e-3,
        decay: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        clip_norm: float | None = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        self.channels, self.side, self.classes = channels, side, classes
        self.lr, self.decay, self.betas, self.eps, self.clip_norm = lr, decay, betas, eps, clip_norm
        self.dtype = np.dtype(dtype)
        self.weights: dict[str, Array] = {}
        self.mean: dict[str, Array] = {}  # Adam's running mean of each gradient …
        self.square: dict[str, Array] = {}  # … and of its square
        self.steps = 0

    def init(self, rng: np.random.Generator) -> None:
        """Draws weights from N(0, 2 / inputs of a unit) (He et al., 2015), so that ReLUs keep the scale; biases 0."""
        first, second = self.channels
        shapes = {
            "conv1": (3, 3, 1, first),
            "conv2": (3, 3, first, second),
            "dense": ((self.side // 4) ** 2 * second, self.classes),
        }
        self.weights = {}
        for name, shape in shapes.items():
            deviation = math.sqrt(2 / math.prod(shape[:-1]))
            self.weights[f"{name}.w"] = rng.normal(0, deviation, shape).astype(self.dtype)
            self.weights[f"{name}.b"] = np.zeros(shape[-1], self.dtype)
        self.mean = {name: np.zeros_like(w) for name, w in self.weights.items()}
        self.square = {name: np.zeros_like(w) for name, w in self.weights.items()}
        self.steps = 0

    def forward(self, x: Array) -> tuple[Array, dict[str, Array]]:
        """Scores (N, classes) of images (N, side, side, 1), and every layer's output, for the backward pass."""
        w, kept = self.weights, {}
        y, kept["windows1"] = convolution(x, w["conv1.w"], w["conv1.b"], padding=1)
        kept["relu1"] = relu(y)
        kept["pool1"] = max_pool(kept["relu1"])
        y, kept["windows2"] = convolution(kept["pool1"], w["conv2.w"], w["conv2.b"], padding=1)
        kept["relu2"] = relu(y)
        kept["pool2"] = max_pool(kept["relu2"])
        flat = kept["pool2"].reshape(len(x), -1)
        return dense(flat, w["dense.w"], w["dense.b"]), kept

    def backward(self, ds: Array, kept: Mapping[str, Array]) -> dict[str, Array]:
        """dL/dw of every weight, from dL/dscores (N, classes): the forward pass read backwards."""
        w, d = self.weights, {}
        flat = kept["pool2"].reshape(len(ds), -1)
        dy, d["dense.w"], d["dense.b"] = dense_backward(ds, flat, w["dense.w"])
        dy = max_pool_backward(dy.reshape(kept["pool2"].shape), kept["relu2"], kept["pool2"])
        dy = relu_backward(dy, kept["relu2"])
        d["conv2.w"], d["conv2.b"] = convolution_backward(dy, kept["windows2"], w["conv2.w"])
        dy = convolution_backward_input(dy, w["conv2.w"], kept["pool1"].shape, padding=1)
        dy = max_pool_backward(dy, kept["relu1"], kept["pool1"])
        dy = relu_backward(dy, kept["relu1"])
        d["conv1.w"], d["conv1.b"] = convolution_backward(dy, kept["windows1"], w["conv1.w"])
        return d

    def step(self, batch: Mapping[str, Array], rng: np.random.Generator) -> dict[str, float]:
        """One step of Adam on a batch; returns its mean loss (nats) and accuracy before the step.

        Args:
            batch: "x" (N, side, side, 1) in 0 … 1, "labels" (N,).
            rng: not used: nothing here is random.
        """
        x, labels = batch["x"].astype(self.dtype, copy=False), batch["labels"]
        scores, kept = self.forward(x)
        loss, ds = cross_entropy(scores, labels)
        self.adam(self.clipped(self.backward(ds, kept)))
        return {"loss": loss, "accuracy": float((scores.argmax(axis=1) == labels).mean())}

    def clipped(self, gradients: dict[str, Array]) -> dict[str, Array]:
        """g · min(1, clip_norm / ‖g‖), where ‖g‖² = Σ over all weights of g²: the direction stays."""
        if self.clip_norm is None:
            return gradients
        norm = math.sqrt(sum(float((g**2).sum()) for g in gradients.values()))
        scale = min(1.0, self.clip_norm / norm) if norm else 1.0
        return {name: g * scale for name, g in gradients.items()}

    def adam(self, gradients: Mapping[str, Array]) -> None:
        """Kingma and Ba (2015): w ← w - lr(t) · m̂ / (√v̂ + eps).

        m ← β₁·m + (1 - β₁)·g and v ← β₂·v + (1 - β₂)·g² are running means of g and g²; both start at 0, which
        m̂ = m / (1 - β₁ᵗ) and v̂ = v / (1 - β₂ᵗ) correct at step t. The falling rate lets the noise of the batches
        average out towards the end (Robbins and Monro, 1951).
        """
        lr, (beta1, beta2) = self.lr / (1 + self.decay * self.steps), self.betas
        self.steps += 1
        for name, g in gradients.items():
            self.mean[name] = m = beta1 * self.mean[name] + (1 - beta1) * g
            self.square[name] = v = beta2 * self.square[name] + (1 - beta2) * g**2
            m_hat = m / (1 - beta1**self.steps)
            v_hat = v / (1 - beta2**self.steps)
            self.weights[name] = self.weights[name] - lr * m_hat / (np.sqrt(v_hat) + self.eps)

    def scores(self, x: Array, at_once: int = 250) -> Array:
        """Scores (N, classes) of images (N, side, side, 1) in 0 … 1, so many at once."""
        x = x.astype(self.dtype, copy=False)
        chunks = [self.forward(x[start : start + at_once])[0] for start in range(0, len(x), at_once)]
        return np.concatenate(chunks)

    def state(self) -> dict[str, Array]:
        """Weights, Adam's means, and the number of steps: all that the next step depends on."""
        return {
            **self.weights,
            **{f"adam/mean/{name}": array for name, array in self.mean.items()},
            **{f"adam/square/{name}": array for name, array in self.square.items()},
            "adam/steps": np.array(self.steps),
        }

    def load_state(self, state: Mapping[str, Array]) -> None:
        """Puts back what `state` gave."""
        under = {
            prefix: {k.removeprefix(prefix): np.array(v) for k, v in state.items() if k.startswith(prefix)}
            for prefix in ("adam/mean/", "adam/square/")
        }
        self.weights = {name: np.array(array) for name, array in state.items() if "/" not in name}
        self.mean, self.square = under["adam/mean/"], under["adam/square/"]
        self.steps = int(state["adam/steps"])
