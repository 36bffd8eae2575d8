"""The small networks of the tasks, as flax modules from a batch of inputs to a batch of outputs."""

from __future__ import annotations

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array


class Mlp(nn.Module):
    """Dense layers with ReLU between them; inputs are flattened.

    Attributes:
        widths: outputs of each layer, the last one included.
    """

    widths: Sequence[int]

    @nn.compact
    def __call__(self, x: Array) -> Array:
        x = x.reshape(len(x), -1)
        for width in self.widths[:-1]:
            x = nn.relu(nn.Dense(width)(x))
        return nn.Dense(self.widths[-1])(x)


class PatchConv(nn.Module):
    """A 3 x 3 convolution with zero padding and a kernel (3, 3, in, out), as one product of patches and kernel.

    Under `vmap` over networks a plain convolution becomes a grouped one, which XLA runs very slowly on CPUs.
    """

    features: int
    stride: int = 1

    @nn.compact
    def __call__(self, x: Array) -> Array:
        channels = x.shape[-1]
        kernel = self.param("kernel", nn.initializers.lecun_normal(), (3, 3, channels, self.features))
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        height, width = x.shape[1:3]
        padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
        patches = [
            padded[:, i : i + height : self.stride, j : j + width : self.stride] for i in range(3) for j in range(3)
        ]
        return jnp.concatenate(patches, axis=-1) @ kernel.reshape(-1, self.features) + bias


class Cnn(nn.Module):
    """Two 3 x 3 convolutions of stride 2, then a dense layer."""

    channels: tuple[int, int]
    classes: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        for features in self.channels:
            x = nn.relu(PatchConv(features, stride=2)(x))
        return nn.Dense(self.classes)(x.reshape(len(x), -1))


class CharMlp(nn.Module):
    """The next character from an embedding of the ones before: inputs (batch, context), outputs (batch, vocabulary)."""

    vocabulary: int
    embedding: int
    widths: Sequence[int]

    @nn.compact
    def __call__(self, tokens: Array) -> Array:
        x = nn.Embed(self.vocabulary, self.embedding)(tokens)
        return Mlp((*self.widths, self.vocabulary))(x)


class CharGru(nn.Module):
    """A gated recurrent net over characters: (batch, time) to (batch, time, vocabulary)."""

    vocabulary: int
    embedding: int
    width: int

    @nn.compact
    def __call__(self, tokens: Array) -> Array:
        x = nn.Embed(self.vocabulary, self.embedding)(tokens)
        x = nn.RNN(nn.GRUCell(self.width))(x)
        return nn.Dense(self.vocabulary)(x)


def _read(tokens: Array, vocabulary: int, width: int) -> Array:
    """Return what a transformer reads: an embedding of each token (batch, time), and one of its place."""
    time = tokens.shape[-1]
    return nn.Embed(vocabulary, width)(tokens) + nn.Embed(time, width)(jnp.arange(time))


class CharTransformer(nn.Module):
    """A causal transformer, normalized before each block: (batch, time) to (batch, time, vocabulary)."""

    vocabulary: int
    width: int
    layers: int
    heads: int

    @nn.compact
    def __call__(self, tokens: Array) -> Array:
        x, mask = _read(tokens, self.vocabulary, self.width), nn.make_causal_mask(tokens)
        for _ in range(self.layers):
            x = x + nn.SelfAttention(self.heads)(nn.LayerNorm()(x), mask)
            hidden = nn.Dense(4 * self.width)(nn.LayerNorm()(x))
            x = x + nn.Dense(self.width)(jax.nn.gelu(hidden))
        return nn.Dense(self.vocabulary)(nn.LayerNorm()(x))


class ResidualMlp(nn.Module):
    """Blocks that are added to what they read, each normalized first (layer norm): (batch, inputs) to (batch, outputs).

    Attributes:
        width: of what the blocks read and add to.
        blocks: number of them.
        outputs: of the last layer.
    """

    width: int
    blocks: int
    outputs: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        x = nn.Dense(self.width)(x)
        for _ in range(self.blocks):
            hidden = nn.relu(nn.Dense(self.width)(nn.LayerNorm()(x)))
            x = x + nn.Dense(self.width)(hidden)
        return nn.Dense(self.outputs)(nn.LayerNorm()(x))


class Denoiser(nn.Module):
    """Convolutions with batch norm at half the resolution. Inputs (batch, height, width, channels)
    and outputs (batch, pixels, channels).

    Attributes:
        width: channels of the convolutions.
        channels: of the patches; each place at half the resolution gives four pixels.
    """

    width: int
    channels: int

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        batch, height, width, _ = x.shape
        for stride in (2, 1, 1):
            x = nn.BatchNorm(use_running_average=not train, momentum=0.9)(PatchConv(self.width, stride=stride)(x))
            x = nn.relu(x)
        x = nn.Dense(4 * self.channels)(x).reshape(batch, height // 2, width // 2, 2, 2, self.channels)
        return x.transpose(0, 1, 3, 2, 4, 5).reshape(batch, -1, self.channels)


class SequenceClassifier(nn.Module):
    """A gated recurrent net that reads a sequence, and then names its class: (batch, time) to (batch, classes)."""

    vocabulary: int
    embedding: int
    width: int
    classes: int

    @nn.compact
    def __call__(self, tokens: Array) -> Array:
        x = nn.Embed(self.vocabulary, self.embedding)(tokens)
        x = jnp.asarray(nn.RNN(nn.GRUCell(self.width))(x))
        return nn.Dense(self.classes)(x[:, -1])


class GatedTransformer(nn.Module):
    """A causal transformer with RMS norm and gated units (SwiGLU): (batch, time) to (batch, time, vocabulary).

    The gated layers are 8/3 as wide as the rest, so that they have as many weights as plain ones of four times the
    width (Shazeer 2020).
    """

    vocabulary: int
    width: int
    layers: int
    heads: int

    @nn.compact
    def __call__(self, tokens: Array) -> Array:
        x, mask = _read(tokens, self.vocabulary, self.width), nn.make_causal_mask(tokens)
        wide = 8 * self.width // 3
        for _ in range(self.layers):
            x = x + nn.SelfAttention(self.heads, use_bias=False)(nn.RMSNorm()(x), mask)
            y = nn.RMSNorm()(x)
            gate = nn.silu(nn.Dense(wide, use_bias=False)(y))
            x = x + nn.Dense(self.width, use_bias=False)(gate * nn.Dense(wide, use_bias=False)(y))
        return nn.Dense(self.vocabulary, use_bias=False)(nn.RMSNorm()(x))
