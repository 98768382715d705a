"""Faster CPU versions of four torch layers, same mathematics: Linear, Conv2d, ConvTranspose2d (two), Dropout.

`accelerate` swaps the class of a network's layers, so recipes stay textbook torch. What is gained (per layer,
bfloat16 and float32): weight gradients as one matrix product over unfolded patches instead of the library's
convolution backward; gradients born in the layout of their weight, so that nothing is transposed afterwards;
dropout masks from one random byte an element instead of one Bernoulli draw. The plain path is torch's own
layer; tests hold both together.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def accelerate(net: nn.Module, *, mixed: bool = False) -> None:
    """Swaps the layers of `net` that have a faster version here, in place; parameters stay the same objects.

    Args:
        net: the network.
        mixed: keep the library's convolutions and dense layers, which win where there are many channels, and swap
            what is slow in every library: dropout, and the bias gradient of transposed convolutions.
    """
    for module in net.modules():
        if type(module) is nn.Dropout and 0 < module.p < 1:
            module.__class__ = Dropout
        elif mixed:
            if type(module) is nn.ConvTranspose2d and _plain(module) and module.bias is not None:
                module.__class__ = BiasApart
        elif type(module) is nn.Linear:
            module.__class__ = Linear
        elif type(module) is nn.Conv2d and _plain(module):
            module.__class__ = Conv2d
        elif type(module) is nn.ConvTranspose2d and _plain(module):
            module.__class__ = ConvTranspose2d


def restore(net: nn.Module) -> None:
    """Undoes `accelerate`."""
    for module in net.modules():
        if type(module) in (Linear, Conv2d, ConvTranspose2d, BiasApart, Dropout):
            module.__class__ = type(module).__mro__[1]


def _plain(conv: nn.Conv2d | nn.ConvTranspose2d) -> bool:
    return (
        conv.groups == 1
        and conv.dilation == (1, 1)
        and conv.padding_mode == "zeros"
        and not isinstance(conv.padding, str)
    )


class Linear(nn.Linear):
    """`nn.Linear` whose weight gradient is born contiguous (out_features, in_features)."""

    def forward(self, input: Tensor) -> Tensor:
        if input.dim() != 2 or not torch.is_grad_enabled():
            return F.linear(input, self.weight, self.bias)
        return _Linear.apply(input, self.weight, self.bias)  # type: ignore[no-any-return, no-untyped-call]


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return F.linear(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (g,) = gradients  # (batch, out)
        x, weight = ctx.saved_tensors
        need_x, need_w, need_b = ctx.needs_input_grad
        return (
            g.mm(weight) if need_x else None,
            g.t().mm(x) if need_w else None,
            g.sum(0) if need_b else None,
        )


class Conv2d(nn.Conv2d):
    """`nn.Conv2d` whose weight gradient is one matrix product over unfolded input patches."""

    def forward(self, input: Tensor) -> Tensor:
        if input.dim() != 4 or not torch.is_grad_enabled():
            return super().forward(input)
        return _Conv2d.apply(input, self.weight, self.bias, self.stride, self.padding)  # type: ignore[no-any-return, no-untyped-call]


class _Conv2d(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        stride: tuple[int, int],
        padding: tuple[int, int],
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        return F.conv2d(x, weight, bias, stride, padding)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (g,) = gradients  # (B, C_out, H_out, W_out)
        x, weight = ctx.saved_tensors
        need_x, need_w, need_b = ctx.needs_input_grad[:3]
        rows = _rows(g)  # (B·H_out·W_out, C_out)
        gx = gw = None
        if need_x:
            extra = [
                n - ((m - 1) * s - 2 * p + k)
                for n, m, s, p, k in zip(
                    x.shape[2:], g.shape[2:], ctx.stride, ctx.padding, weight.shape[2:], strict=True
                )
            ]
            gx = F.conv_transpose2d(g, weight, None, ctx.stride, ctx.padding, extra)
        if need_w:
            patches = _unfold(x, weight.shape[2:], ctx.stride, ctx.padding, g.shape[2:])
            gw = (
                rows.t()
                .mm(patches)
                .view(weight.shape[0], *weight.shape[2:], weight.shape[1])
                .permute(0, 3, 1, 2)
            )
        return gx, gw, rows.sum(0) if need_b else None, None, None


class ConvTranspose2d(nn.ConvTranspose2d):
    """`nn.ConvTranspose2d` with its backward as two matrix products over unfolded gradient patches."""

    def forward(self, input: Tensor, output_size: Any = None) -> Tensor:
        if input.dim() != 4 or output_size is not None or not torch.is_grad_enabled():
            return super().forward(input, output_size)
        return _ConvTranspose2d.apply(  # type: ignore[no-any-return, no-untyped-call]
            input, self.weight, self.bias, self.stride, self.padding, self.output_padding
        )


class _ConvTranspose2d(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        stride: tuple[int, int],
        padding: tuple[int, int],
        output_padding: tuple[int, int],
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        if stride == (1, 1) and output_padding == (0, 0) and weight.shape[1] <= _FEW_CHANNELS:
            return _scatter(x, weight, bias, padding)
        return F.conv_transpose2d(x, weight, bias, stride, padding, output_padding)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (g,) = gradients  # (B, C_out, H_out, W_out)
        x, weight = ctx.saved_tensors  # weight: (C_in, C_out, kh, kw)
        need_x, need_w, need_b = ctx.needs_input_grad[:3]
        gx = gw = gb = None
        if need_x or need_w:
            # A transposed convolution's input gradient is a plain convolution of g; unfolding g once serves
            # both products.
            patches = _unfold(g, weight.shape[2:], ctx.stride, ctx.padding, x.shape[2:])
            if need_x:
                flat = weight.permute(0, 2, 3, 1).reshape(weight.shape[0], -1)  # (C_in, kh·kw·C_out)
                gx = patches.mm(flat.t()).view(x.shape[0], *x.shape[2:], x.shape[1]).permute(0, 3, 1, 2)
            if need_w:
                gw = _rows(x).t().mm(patches).view(weight.shape[0], *weight.shape[2:], weight.shape[1])
                gw = gw.permute(0, 3, 1, 2)
        if need_b:
            gb = _rows(g).sum(0)
        return gx, gw, gb, None, None, None


class BiasApart(nn.ConvTranspose2d):
    """`nn.ConvTranspose2d` whose bias gradient is a sum of its own.

    The library's backward takes 1.6 times as long with its bias gradient (bfloat16, 60 → 40 channels at 60x60, batch
    32, one core: 160 ms against 100 with this sum; `benchmarks/layer_times.py`).
    """

    def forward(self, input: Tensor, output_size: Any = None) -> Tensor:
        if input.dim() != 4 or output_size is not None or not torch.is_grad_enabled():
            return super().forward(input, output_size)
        return _BiasApart.apply(  # type: ignore[no-any-return, no-untyped-call]
            input, self.weight, self.bias, self.stride, self.padding, self.output_padding
        )


class _BiasApart(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        stride: tuple[int, int],
        padding: tuple[int, int],
        extra: tuple[int, int],
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.place = stride, padding, extra
        return F.conv_transpose2d(x, weight, bias, stride, padding, extra)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (g,) = gradients  # (B, C_out, H_out, W_out)
        x, weight = ctx.saved_tensors
        stride, padding, extra = ctx.place
        need_x, need_w, need_b = ctx.needs_input_grad[:3]
        gx = gw = None
        if need_x or need_w:
            gx, gw, _ = torch.ops.aten.convolution_backward(
                g, x, weight, None, stride, padding, (1, 1), True, extra, 1, (need_x, need_w, False)
            )
        return gx, gw, g.sum((0, 2, 3)) if need_b else None, None, None, None


def _rows(x: Tensor) -> Tensor:
    """(B, C, H, W) → (B·H·W, C), a view when x is channels-last."""
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])


def _unfold(
    x: Tensor,
    kernel: tuple[int, ...],
    stride: tuple[int, int],
    padding: tuple[int, int],
    out: tuple[int, ...],
) -> Tensor:
    """Patches of x (B, C, H, W) as rows (B·out_h·out_w, kh·kw·C), channels innermost so that copies run long."""
    batch, channels, height, width = x.shape
    (kh, kw), (sh, sw), (ph, pw), (oh, ow) = kernel, stride, padding, out
    if (
        channels == 1
    ):  # runs of kw elements are too short to copy: take one shifted plane a kernel element instead
        below, right = (
            max(0, (o - 1) * s + k - p - n) for o, s, k, p, n in _axes(out, stride, kernel, padding, x)
        )
        flat = F.pad(x[:, 0], (pw, right, ph, below))
        planes = [
            flat[:, i : i + (oh - 1) * sh + 1 : sh, j : j + (ow - 1) * sw + 1 : sw]
            for i in range(kh)
            for j in range(kw)
        ]
        return torch.stack(planes).view(kh * kw, -1).t()
    padded = x.new_zeros(
        batch, max(ph + height, (oh - 1) * sh + kh), max(pw + width, (ow - 1) * sw + kw), channels
    )
    padded[:, ph : ph + height, pw : pw + width] = x.permute(0, 2, 3, 1)
    b, h, w, c = padded.stride()
    patches = padded.as_strided((batch, oh, ow, kh, kw * channels), (b, h * sh, w * sw, h, c))
    return patches.reshape(batch * oh * ow, kh * kw * channels)


def _axes(out: Any, stride: Any, kernel: Any, padding: Any, x: Tensor) -> Any:
    return zip(out, stride, kernel, padding, x.shape[2:], strict=True)


_FEW_CHANNELS = 4  # up to here a transposed convolution is bound by reading its input, not by arithmetic


def _scatter(x: Tensor, weight: Tensor, bias: Tensor | None, padding: tuple[int, int]) -> Tensor:
    """A transposed convolution of stride 1 to few channels: one plane a kernel element, added at its offset.

    x (B, C_in, H, W), weight (C_in, C_out, kh, kw) → (B, C_out, H + kh - 1 - 2·ph, W + kw - 1 - 2·pw); sums
    are in float32, or wider where x is.
    """
    batch, _, height, width = x.shape
    channels_in, channels, kh, kw = weight.shape
    planes = weight.reshape(channels_in, -1).t().mm(_rows(x).t()).view(channels, kh, kw, batch, height, width)
    wide = torch.promote_types(x.dtype, torch.float32)
    total = torch.zeros(channels, batch, height + kh - 1, width + kw - 1, dtype=wide)
    for i in range(kh):
        for j in range(kw):
            total[:, :, i : i + height, j : j + width] += planes[:, i, j]
    (ph, pw), (h, w) = padding, total.shape[2:]
    y = total[:, :, ph : h - ph, pw : w - pw]
    if bias is not None:
        y = y + bias.to(wide).view(-1, 1, 1, 1)
    return y.transpose(0, 1).to(x.dtype)


class Dropout(nn.Dropout):
    """`nn.Dropout` with masks from one random byte an element.

    An element is kept when its byte is below a threshold; the threshold itself is drawn for each call between the
    two neighbouring 256ths, so that every element is kept with probability exactly 1 - p.
    """

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or input.device.type != "cpu" or input.dtype not in _BITS:
            return super().forward(input)
        return input * byte_mask(input, 1 - self.p)


_BITS = {torch.bfloat16: torch.int16, torch.float16: torch.int16, torch.float32: torch.int32}


def byte_mask(like: Tensor, keep: float) -> Tensor:
    """A mask shaped, typed and laid out as `like`: 1/keep with probability `keep`, else 0 (default generator)."""
    bits = _BITS[like.dtype]
    lane = 8 * torch.empty((), dtype=bits).element_size()  # bits in one element
    per = lane // 8  # random bytes in one lane: each is moved to the top and compared there
    count = like.numel()
    lanes = -(-count // per)
    words = torch.empty(-(-lanes * lane // 64), dtype=torch.int64)
    dither = torch.rand(()).item()
    threshold = min(int(keep * 256 + dither), 255)
    random = words.random_(-(2**63), None).view(bits)[:lanes]
    # One more than the type's smallest value is the top byte -128: bytes below -128 + threshold are kept.
    # Halving first keeps the difference inside the type; its sign, spread over all bits, selects the bits of
    # 1/keep.
    limit = (threshold - 128) << (lane - 9)
    scale = torch.tensor(1 / keep, dtype=like.dtype).view(bits).item()
    mask = torch.empty((per, lanes), dtype=bits)
    for i in range(per):
        torch.bitwise_left_shift(random, 8 * i, out=mask[i])
    mask.bitwise_right_shift_(1).sub_(limit).bitwise_right_shift_(lane - 1).bitwise_and_(scale)
    flat = mask.view(-1)[:count].view(like.dtype)
    return flat.as_strided(like.shape, like.stride()) if _dense(like) else flat.view(like.shape)


def _dense(x: Tensor) -> bool:
    return x.is_contiguous() or x.is_contiguous(memory_format=torch.channels_last)
