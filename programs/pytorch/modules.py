"""Which parameters of PyTorch's own layers are matrices, and where their axes divide."""

from __future__ import annotations

from typing import Any

from torch import nn


def torch_leaf_classes(module: nn.Module) -> dict[str, Any]:
    """Return the class of each parameter of a module by its name, for `leaf_classes` of `Rule.to_torch`.

    It knows PyTorch's linear layers, convolutions, transposed ones, recurrent layers, attention and embeddings (which
    are no matrices). Parameters of more than two axes in other layers are "unknown", and refused by rules that look at
    axes. Pass the parameters with their names: ``rule.to_torch(module.named_parameters(), ...)``.

    Args:
        module: the network.
    """
    found: dict[str, Any] = {}
    for prefix, layer in module.named_modules():
        for name, param in layer.named_parameters(recurse=False):
            found.setdefault(f"{prefix}.{name}" if prefix else name, _class_of(layer, param.ndim))
    return found


def _class_of(layer: nn.Module, axes: int) -> Any:
    if axes < 2 or isinstance(layer, (nn.Embedding, nn.EmbeddingBag)):
        return "other"
    if isinstance(layer, (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)):
        return (0, *range(2, axes)), 1
    known = isinstance(layer, (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Bilinear))
    return "matrix" if axes == 2 or known else "unknown"
