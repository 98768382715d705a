"""Batch augmentation does to every image what a plain loop over images does with the same draws."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from epochal.systems.data import augment

LAYOUTS = pytest.mark.parametrize(
    ("dtype", "layout"),
    [
        (torch.float32, torch.contiguous_format),
        (torch.float32, torch.channels_last),
        (torch.bfloat16, torch.channels_last),
        (torch.uint8, torch.contiguous_format),
        (torch.uint8, torch.channels_last),
    ],
)


def _images(dtype: torch.dtype, layout: torch.memory_format, count: int = 40) -> torch.Tensor:
    x = torch.randint(1, 256, (count, 3, 10, 13), generator=torch.Generator().manual_seed(1))
    return x.to(dtype).contiguous(memory_format=layout)


def _equals_loop(
    x: torch.Tensor,
    batched: Callable[[torch.Tensor, torch.Generator], torch.Tensor],
    plain: Callable[[np.ndarray, int], np.ndarray],
) -> None:
    before = x.clone()
    y = batched(x, torch.Generator().manual_seed(7))
    assert torch.equal(x, before)
    assert (y.dtype, y.shape, y.stride()) == (x.dtype, x.shape, x.stride())
    for k, image in enumerate(x):
        assert np.array_equal(y[k].float().numpy(), plain(image.float().numpy(), k))


@LAYOUTS
@pytest.mark.parametrize(("border", "mode"), [("zero", "constant"), ("reflect", "reflect")])
@pytest.mark.parametrize("pad", [1, 4, 9])
def test_crop_equals_a_loop(
    dtype: torch.dtype, layout: torch.memory_format, border: str, mode: str, pad: int
) -> None:
    """Pad one image with NumPy, slice it at the drawn corner: the same pixels, for either border."""
    x = _images(dtype, layout)
    top, left = torch.randint(2 * pad + 1, (2, len(x)), generator=torch.Generator().manual_seed(7)).numpy()

    def plain(image: np.ndarray, k: int) -> np.ndarray:
        padded = np.pad(image, ((0, 0), (pad, pad), (pad, pad)), mode=mode)  # type: ignore[call-overload]
        return padded[:, top[k] : top[k] + 10, left[k] : left[k] + 13]

    _equals_loop(x, lambda x, rng: augment.crop(x, rng, pad, border=border), plain)  # type: ignore[arg-type]


def test_crops_lie_everywhere_and_no_pad_changes_nothing() -> None:
    """Each of the (2 pad + 1)² places is as likely as the others; without a border there is one place."""
    marked = torch.zeros(5000, 1, 5, 5)
    marked[:, :, 2, 2] = 1
    y = augment.crop(marked, torch.Generator().manual_seed(0), pad=2)
    shares = y.mean((0, 1))
    assert float(shares.sum()) == pytest.approx(1)
    assert float((shares - 1 / 25).abs().max()) < 0.01
    assert torch.equal(augment.crop(marked, torch.Generator(), pad=0), marked)


@LAYOUTS
def test_flip_equals_a_loop(dtype: torch.dtype, layout: torch.memory_format) -> None:
    """Images whose bit was drawn are read from right to left, the others stay."""
    x = _images(dtype, layout)
    bits = torch.randint(2, (len(x),), generator=torch.Generator().manual_seed(7), dtype=torch.bool)
    _equals_loop(x, augment.flip, lambda image, k: image[:, :, ::-1] if bits[k] else image)


def test_blur_equals_scipys_away_from_the_border() -> None:
    """Every image is blurred by its own draw, as scipy blurs it; an even image stays even up to the border."""
    x = torch.rand(6, 3, 40, 44, generator=torch.Generator().manual_seed(0))
    y = augment.blur(x, torch.Generator().manual_seed(7), 2.0)
    own = 2.0 * torch.rand(6, generator=torch.Generator().manual_seed(7))
    assert y.shape == x.shape and float(own.max() - own.min()) > 0.5
    for image, blurred, deviation in zip(x, y, own, strict=True):
        wanted = gaussian_filter(image.numpy(), (0, float(deviation), float(deviation)), truncate=8.0)
        np.testing.assert_allclose(blurred[:, 14:-14, 14:-14], wanted[:, 14:-14, 14:-14], atol=1e-4)
    even = torch.full((2, 3, 12, 12), 0.7)
    torch.testing.assert_close(augment.blur(even, torch.Generator().manual_seed(7), 3.0), even)
    assert augment.blur(x, torch.Generator(), 0.0) is x


def test_flip_mirrors_half_of_the_images() -> None:
    """Probability 1/2 over many images, and mirroring twice with the same draws gives the images back."""
    x = torch.arange(2.0).repeat(4000, 1, 1, 1)
    y = augment.flip(x, torch.Generator().manual_seed(3))
    assert abs(float((y != x).any(3).float().mean()) - 0.5) < 0.03
    assert torch.equal(augment.flip(y, torch.Generator().manual_seed(3)), x)


@LAYOUTS
@pytest.mark.parametrize("size", [0, 1, 4, 5, 16, 40])
def test_cutout_equals_a_loop(dtype: torch.dtype, layout: torch.memory_format, size: int) -> None:
    """The published procedure, image by image: a centre anywhere, the square clipped at the image's edge."""
    x = _images(dtype, layout)
    rng = torch.Generator().manual_seed(7)
    rows = torch.randint(10, (len(x), 1), generator=rng)[:, 0].tolist()
    columns = torch.randint(13, (len(x), 1), generator=rng)[:, 0].tolist()

    def plain(image: np.ndarray, k: int) -> np.ndarray:
        image = image.copy()
        top, left = rows[k] - size // 2, columns[k] - size // 2
        image[:, max(top, 0) : max(top + size, 0), max(left, 0) : max(left + size, 0)] = 0
        return image

    _equals_loop(x, lambda x, rng: augment.cutout(x, rng, size), plain)


def test_the_same_generator_state_gives_the_same_batch() -> None:
    """All randomness comes from the generator, and every call moves it on: resuming is exact."""
    x = _images(torch.float32, torch.contiguous_format)
    for change in (augment.crop, augment.flip, augment.cutout):
        torch.manual_seed(0)
        rng = torch.Generator().manual_seed(5)
        state = rng.get_state()
        first, second = change(x, rng), change(x, rng)
        torch.manual_seed(1)
        rng.set_state(state)
        assert torch.equal(change(x, rng), first)
        assert not torch.equal(first, second)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu_too() -> None:
    """On the device, inside a captured graph: nothing is synchronised, and each replay draws anew."""
    x = torch.rand(64, 3, 32, 32, device="cuda")
    rng = torch.Generator("cuda").manual_seed(0)

    def change() -> torch.Tensor:
        y = augment.crop(x, rng, 4)
        return augment.cutout(augment.flip(augment.crop(y, rng, border="reflect"), rng), rng, 8)

    change()
    graph = torch.cuda.CUDAGraph()
    graph.register_generator_state(rng)
    with torch.cuda.graph(graph):
        y = change()
    graph.replay()
    first = y.clone()
    graph.replay()
    assert y.device == x.device and not torch.equal(first, y)
