"""A model's weights under the names and in the layouts of its checkpoint.

transformers renames and fuses weights while it loads a checkpoint: for example, the experts of a mixture become one
parameter. vLLM and every other reader know only the checkpoint's names. :class:`CheckpointFormat` is the way back, by
the rules of ``save_pretrained``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any

from rl.errors import UserError

if TYPE_CHECKING:
    import torch

Weights = Iterable[tuple[str, "torch.Tensor"]]
Shapes = dict[str, tuple[int, ...]]


class WeightNamesError(UserError):
    """Weights don't fit the model: an unknown name, a missing one, or another shape."""


def weights_of(model: torch.nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """(name, tensor) of everything in a model's checkpoint: parameters, tied ones once, and persistent buffers."""
    import torch

    yield from model.named_parameters()
    saved = model.state_dict().keys()
    yield from ((name, torch.nn.Buffer(buffer)) for name, buffer in model.named_buffers() if name in saved)


class CheckpointFormat:
    """Names of the weights of an architecture, in transformers and in its checkpoints."""

    def __init__(self, config: Any, trust_remote_code: bool = False) -> None:
        """From a Hugging Face configuration. The model is built without memory, on torch's meta device."""
        import torch
        from transformers import AutoModelForCausalLM
        from transformers.conversion_mapping import get_model_conversion_mapping
        from transformers.core_model_loading import PrefixChange

        with torch.device("meta"):
            self._model = AutoModelForCausalLM.from_config(config, trust_remote_code=trust_remote_code)
        # The rules for a model that was not loaded from a checkpoint, whatever names the one on disk has.
        rules = get_model_conversion_mapping(self._model, add_legacy=False)
        self._model._weight_conversions = [rule for rule in rules if not isinstance(rule, PrefixChange)]
        self._held = dict(weights_of(self._model))
        self.shapes: Shapes = {name: tuple(tensor.shape) for name, tensor in self._held.items()}
        """Names and shapes in transformers."""

    @cached_property
    def checkpoint_shapes(self) -> Shapes:
        """Names and shapes in a checkpoint."""
        found = (pair for group in self._groups for pair in self._revert({name: self._held[name] for name in group}))
        return {name: tuple(tensor.shape) for name, tensor in found}

    @cached_property
    def _groups(self) -> list[tuple[str, ...]]:
        """Names whose tensors are converted together, because they share a tensor in the checkpoint."""
        makers: dict[str, set[str]] = defaultdict(set)
        for name, tensor in self._held.items():
            for made, _ in self._revert({name: tensor}):
                makers[made].add(name)
        together = {name: {name} for name in self._held}
        for names in makers.values():
            merged = set().union(*(together[name] for name in names))
            together.update(dict.fromkeys(merged, merged))
        return list(dict.fromkeys(tuple(n for n in self._held if n in group) for group in together.values()))

    def _revert(self, weights: dict[str, torch.Tensor]) -> Iterator[tuple[str, torch.Tensor]]:
        from transformers.core_model_loading import revert_weight_conversion

        yield from revert_weight_conversion(self._model, weights).items()

    def checked(self, weights: Weights, shapes: Shapes | None = None) -> Iterator[tuple[str, torch.Tensor]]:
        """The weights as they come, with these names and shapes (default: :attr:`shapes`).

        Raises:
            WeightNamesError: at the end, or at once where a name or a shape is not the model's.
        """
        missing = dict(self.shapes if shapes is None else shapes)
        for name, tensor in weights:
            wanted = missing.pop(name, None)
            if wanted != tuple(tensor.shape):
                raise WeightNamesError(_stranger(name, tuple(tensor.shape), wanted))
            yield name, tensor
        if missing:
            raise WeightNamesError(
                f"{len(missing)} weights of the model are missing, among them {', '.join(sorted(missing)[:3])}"
            )

    def to_checkpoint(self, weights: Weights) -> Iterator[tuple[str, torch.Tensor]]:
        """Weights in transformers' names to the checkpoint's names and layouts; those already in that form stay.

        Raises:
            WeightNamesError: if one tensor of the checkpoint needs several parameters and one is missing.
        """
        converter = self.converter()
        yield from converter.feed(weights)
        converter.finish()

    def converter(self) -> Converter:
        """A converter for weights that come in several parts."""
        return Converter(self._groups, self._revert)


class Converter:
    """Turns weights into the checkpoint's form as they come. Parts of one tensor wait for each other."""

    def __init__(self, groups: list[tuple[str, ...]], revert: Callable[[dict[str, torch.Tensor]], Weights]) -> None:
        self._group_of = {name: group for group in groups for name in group}
        self._revert = revert
        self._waiting: dict[tuple[str, ...], dict[str, torch.Tensor]] = defaultdict(dict)

    def feed(self, weights: Weights) -> Iterator[tuple[str, torch.Tensor]]:
        """The tensors that are complete now."""
        for name, tensor in weights:
            group = self._group_of.get(name)
            if group is None:
                yield name, tensor
                continue
            self._waiting[group][name] = tensor
            if len(self._waiting[group]) == len(group):
                yield from self._revert(self._waiting.pop(group))

    def finish(self) -> None:
        """To be called after the last weight."""
        if self._waiting:
            names = ", ".join(name for group in self._waiting for name in group)
            raise WeightNamesError(f"some parts of tensors are missing; only these came: {names}")


def _stranger(name: str, shape: tuple[int, ...], wanted: tuple[int, ...] | None) -> str:
    if wanted is None:
        return f"the weight {name} of shape {shape} is not in the model, or came twice"
    return f"the weight {name} has shape {shape}, and the model's has {wanted}"
