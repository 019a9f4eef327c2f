"""Counts parameters and floating-point operations of a model, module by module, and says what it left out."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

# Operators that move or make data without arithmetic; leaving them out of a count of FLOPs is right.
_MOVES = frozenset((
    '_copy_from', '_local_scalar_dense', '_to_copy', '_unsafe_view', 'arange', 'cat', 'clone', 'constant_pad_nd',
    'contiguous', 'copy_', 'detach', 'empty', 'empty_like', 'empty_strided', 'eye', 'fill_', 'flip', 'full',
    'full_like', 'gather', 'index', 'index_copy', 'index_put', 'index_put_', 'index_select', 'lift', 'lift_fresh',
    'linspace', 'new_empty', 'new_empty_strided', 'new_full', 'new_ones', 'new_zeros', 'ones', 'ones_like', 'roll',
    'scalar_tensor', 'scatter', 'stack', 'zero_', 'zeros', 'zeros_like'))


@dataclass
class Complexity:
    """What :func:`count` found.

    Attributes:
        flops: Floating-point operations of each module, its children included; '' is the whole model. One
            multiply-add counts as 2.
        parameters: Parameters of each module, its children included; a shared parameter counts once per module.
        by_operator: FLOPs of each operator, e.g. 'aten.convolution'.
        uncounted: Operators that compute but have no formula: name -> (calls, elements written).
    """

    flops: dict[str, int] = field(default_factory=dict)
    parameters: dict[str, int] = field(default_factory=dict)
    by_operator: dict[str, int] = field(default_factory=dict)
    uncounted: dict[str, tuple[int, int]] = field(default_factory=dict)

    @property
    def missing_kernels(self) -> list[str]:
        """Custom operators (not PyTorch's own) without a formula: their work may be large and is not in the count."""
        return sorted(name for name in self.uncounted if not name.startswith(('aten.', 'prim.', 'prims.')))


class _UncountedOperators(TorchDispatchMode):
    """Notes every computing operator that has no FLOP formula; must enclose the flop counter, which decomposes."""

    def __init__(self, registry: dict[Any, Any]) -> None:
        super().__init__()
        self.registry = registry
        self.found: dict[str, tuple[int, int]] = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        packet = getattr(func, 'overloadpacket', None)
        if packet is None or packet in self.registry:
            return result
        is_view = all(out.alias_info is not None and not out.alias_info.is_write for out in func._schema.returns)
        if not is_view and packet.__name__ not in _MOVES:
            outputs = result if isinstance(result, (tuple, list)) else [result]
            written = sum(out.numel() for out in outputs if isinstance(out, torch.Tensor))
            calls, elements = self.found.get(str(packet), (0, 0))
            if written:
                self.found[str(packet)] = (calls + 1, elements + written)
        return result


def count(model: nn.Module, forward: Callable[[], Any]) -> Complexity:
    """Run ``forward`` once without gradients and count what the modules of ``model`` compute.

    Matrix products, convolutions and attention are counted by PyTorch's formulas, the selective scans of
    ``mmavs.ops`` by the formulas registered there with ``torch.utils.flop_counter.register_flop_formula``.
    Element-wise work, normalisation and interpolation have no formula and are listed as uncounted.

    Args:
        model: Its modules are the rows of the result.
        forward: Calls ``model(...)`` (not one of its other methods, whose modules would not be told apart).

    Returns:
        The counts; FLOPs of modules that computed nothing countable are 0.
    """
    # On CPU, fused attention has an operator of its own, for which PyTorch has no formula.
    counter = FlopCounterMode(
        display=False, custom_mapping={torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention_flops})
    watcher = _UncountedOperators(counter.flop_registry)
    with torch.no_grad(), watcher, counter:
        forward()
    counts = counter.get_flop_counts()
    total = counts.get('Global', {})
    return Complexity(
        flops=_flops_by_module(model, counts),
        parameters={name: sum(p.numel() for p in module.parameters()) for name, module in model.named_modules()},
        by_operator={str(operator): int(number) for operator, number in total.items()},
        uncounted=dict(sorted(watcher.found.items(), key=lambda item: -item[1][1])))


def table(complexity: Complexity, depth: int = 2) -> str:
    """Counts as text: one line per module down to ``depth`` levels, with shares of the whole.

    Args:
        complexity: Result of :func:`count`.
        depth: Levels below the model; 0 shows the model alone. Default 2.

    Returns:
        Lines of equal layout: module, parameters, share, GFLOPs, share.
    """
    rows = [name for name in complexity.flops
            if (0 if not name else name.count('.') + 1) <= depth
            and (complexity.flops[name] or complexity.parameters[name])]
    labels = [('  ' * (name.count('.') + 1) + name.split('.')[-1]) if name else '(whole model)' for name in rows]
    width = max(map(len, labels), default=8) + 2
    lines = [f'{"module":<{width}}{"parameters":>14}{"%":>8}{"GFLOPs":>13}{"%":>8}']
    for label, name in zip(labels, rows, strict=True):
        number, flops = complexity.parameters[name], complexity.flops[name]
        lines.append(f'{label:<{width}}{number:>14,}{_percent(number, complexity.parameters[""]):>8}'
                     f'{flops / 1e9:>13.3f}{_percent(flops, complexity.flops[""]):>8}')
    return '\n'.join(lines)


def explain_uncounted(complexity: Complexity, most: int = 8) -> str:
    """Say in words what the count leaves out, the largest first."""
    if not complexity.uncounted:
        return 'Every operator that computes has a formula.'
    listed = [f'{name} ({calls} calls, {elements / 1e6:.1f} M elements)'
              for name, (calls, elements) in list(complexity.uncounted.items())[:most]]
    rest = len(complexity.uncounted) - len(listed)
    text = 'Not counted (no formula; element-wise work, normalisation, interpolation): ' + ', '.join(listed)
    text += f' and {rest} more operators.' if rest else '.'
    if complexity.missing_kernels:
        text += (' Custom operators among them, whose work may be large: ' + ', '.join(complexity.missing_kernels)
                 + '. Register a formula with torch.utils.flop_counter.register_flop_formula.')
    return text


def _flops_by_module(model: nn.Module, counts: dict[str, dict[Any, int]]) -> dict[str, int]:
    root = type(model).__name__
    flops = {'': sum(counts.get('Global', {}).values())}
    # Children first: a list of modules is never called itself, so its count is the sum of theirs.
    for name, module in reversed(list(model.named_modules())):
        if name:
            own = counts.get(f'{root}.{name}')
            children = (flops.get(f'{name}.{child}', 0) for child, _ in module.named_children())
            flops[name] = sum(own.values()) if own else sum(children)
    return {name: flops[name] for name, _ in model.named_modules()}


def _attention_flops(query: torch.Size, key: torch.Size, value: torch.Size, *_: Any, **__: Any) -> int:
    return sdpa_flop_count(query, key, value)


def _percent(part: int, whole: int) -> str:
    return f'{100 * part / whole:.1f}' if whole else '-'
