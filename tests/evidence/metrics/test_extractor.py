"""An extractor is known by its weights, and its features do not depend on how images come."""

import hashlib
import struct

import numpy as np
import torch
from torch import nn

from epochal.evidence.metrics.extractor import Extractor, fingerprint
from epochal.systems.nets.feature_classifier import FeatureClassifier


def test_hash_is_of_the_weights_in_a_stated_order() -> None:
    """By hand for a layer of three numbers: names in order, shapes, little-endian float32."""
    layer = nn.Linear(2, 1)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.5, -2.0]]))
        layer.bias.fill_(0.25)
    expected = b"bias (1,)\n" + struct.pack("<f", 0.25) + b"weight (1, 2)\n" + struct.pack("<2f", 1.5, -2.0)
    assert fingerprint(layer) == hashlib.sha256(expected).hexdigest()
    assert fingerprint(layer.double()) == hashlib.sha256(expected).hexdigest()


def test_any_weight_or_running_mean_changes_the_hash() -> None:
    """Also the buffers of norms, which features depend on; the number of batches they have seen does not count."""
    net = FeatureClassifier(width=2)
    norm = next(module for module in net.modules() if isinstance(module, nn.BatchNorm2d))
    assert norm.num_batches_tracked is not None and norm.running_mean is not None
    before = fingerprint(net)
    norm.num_batches_tracked += 1
    assert fingerprint(net) == before
    norm.running_mean[0] += 1e-3
    assert fingerprint(net) != before


def test_identity_is_name_and_eight_digits() -> None:
    """As it is shown beside each distance."""
    eye = Extractor.of(FeatureClassifier(width=2), "image-features/mnist")
    assert eye.identity == f"image-features/mnist {fingerprint(eye.net)[:8]}"
    assert not eye.net.training


def test_features_of_an_image_do_not_depend_on_its_batch() -> None:
    """In eval mode each image is looked at alone; grey and colour, several sizes."""
    eye = Extractor.of(FeatureClassifier(width=4, halvings=1), "x")
    for shape in ((40, 28, 28, 1), (40, 64, 64, 3)):
        images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        together = eye.features(images)
        assert together.shape == (40, 16) and together.dtype == np.float32
        apart = np.concatenate([eye.features(images[k : k + 1]) for k in range(40)])
        np.testing.assert_allclose(together, apart, rtol=1e-4, atol=1e-6)
        np.testing.assert_array_equal(np.concatenate([*eye.of_batches(images)]), together)


def test_features_are_what_the_head_reads() -> None:
    """Penultimate activations: the logits are the head's answer to them."""
    net = FeatureClassifier(width=2).eval()
    x = torch.rand(3, 1, 28, 28)
    torch.testing.assert_close(net(x), net.head(net.features(x)))


def test_channels_are_standardised_by_the_training_images() -> None:
    """Mean and deviation over all pixels as NumPy has them; grey images have the same for three channels."""
    rng = np.random.default_rng(0)
    colour = rng.integers(0, 200, (30, 8, 8, 3), dtype=np.uint8)
    net = FeatureClassifier(width=2)
    net.fit(colour)
    np.testing.assert_allclose(net.mean, (colour / 255).mean((0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(net.deviation, (colour / 255).std((0, 1, 2)), rtol=1e-5)
    net.fit(colour[..., 0])
    np.testing.assert_allclose(net.mean, np.full(3, (colour[..., 0] / 255).mean()), rtol=1e-5)
