"""PVTv2, the visual network of the paper's best results (Wang et al., arXiv 2106.13797)."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.model import BaseModule
from torch import Tensor, nn

from mmavs.models.backbones.pvt_v2_block import BLOCK_NORM_EPS, OverlapPatchEmbed, PVTv2Block
from mmavs.models.layers.checkpointing import run_block
from mmavs.models.layers.token_maps import tokens_to_map
from mmavs.registry import MODELS
from mmavs.utils.arguments import check_number, check_wholes
from mmavs.utils.safe_load import load_pretrained, pretrained_from_init_cfg

# Table 1 of the paper: what differs between the sizes.
ARCHITECTURES = {
    'b0': dict(embed_dims=(32, 64, 160, 256), depths=(2, 2, 2, 2), mlp_ratios=(8, 8, 4, 4)),
    'b1': dict(embed_dims=(64, 128, 320, 512), depths=(2, 2, 2, 2), mlp_ratios=(8, 8, 4, 4)),
    'b2': dict(embed_dims=(64, 128, 320, 512), depths=(3, 4, 6, 3), mlp_ratios=(8, 8, 4, 4)),
    'b3': dict(embed_dims=(64, 128, 320, 512), depths=(3, 4, 18, 3), mlp_ratios=(8, 8, 4, 4)),
    'b4': dict(embed_dims=(64, 128, 320, 512), depths=(3, 8, 27, 3), mlp_ratios=(8, 8, 4, 4)),
    'b5': dict(embed_dims=(64, 128, 320, 512), depths=(3, 6, 40, 3), mlp_ratios=(4, 4, 4, 4)),
}
COMMON = dict(num_heads=(1, 2, 5, 8), sr_ratios=(8, 4, 2, 1))
PATCH_SIZES = (7, 3, 3, 3)
STRIDES = (4, 2, 2, 2)
WEIGHTS_HINT = ('The official pvt_v2_b0.pth ... pvt_v2_b5.pth (ImageNet) are in the releases of the GitHub project '
                'whai362/PVT (README, "Pretrained weights").')


@MODELS.register_module()
class PVTv2(BaseModule):
    """PVTv2: an image -> four maps at strides 4, 8, 16 and 32.

    Parameter names are those of the official checkpoints (``block1.0.attn.q.weight`` ...), which load as they are;
    their classification head is left out. Attention runs on PyTorch's fused kernels.

    Args:
        arch: ``'b0'`` ... ``'b5'`` (default ``'b5'``), or a dict with ``embed_dims``, ``depths``, ``mlp_ratios`` and
            optionally ``num_heads`` (default 1, 2, 5, 8) and ``sr_ratios`` (default 8, 4, 2, 1), four entries each.
        out_indices: The stages to return, from 0 to 3, rising. Default: all four.
        drop_path_rate: Stochastic depth of the last block; it rises linearly from 0 at the first. Default 0.1.
        frozen: True keeps the whole net in eval mode without gradients. Default False.
        with_cp: Activation checkpointing of every block: less memory, about a third more time. Default False.
        init_cfg: ``dict(type='Pretrained', checkpoint='.../pvt_v2_b5.pth')``, a local path. None: the random
            initialisation of the paper's code.

    Attributes:
        out_channels: Channels of the returned maps.

    Raises:
        ValueError: If ``arch``, ``out_indices`` or ``drop_path_rate`` is not among the above.
    """

    def __init__(self, arch: str | Mapping[str, Sequence[int]] = 'b5', out_indices: Sequence[int] = (0, 1, 2, 3),
                 drop_path_rate: float = 0.1, frozen: bool = False, with_cp: bool = False,
                 init_cfg: Any = None) -> None:
        super().__init__(init_cfg=init_cfg)
        settings = _architecture(arch)
        check_number('drop_path_rate of PVTv2', drop_path_rate, 0, 1, open_end=True)
        if not isinstance(out_indices, Sequence) or not out_indices or (
                list(out_indices) != sorted(set(out_indices) & {0, 1, 2, 3})):
            raise ValueError(f'PVTv2: out_indices must be rising numbers from 0 to 3, got {out_indices!r}.')
        self.out_indices = tuple(out_indices)
        self.frozen = frozen
        self.with_cp = with_cp
        dims, depths = settings['embed_dims'], settings['depths']
        self.out_channels = tuple(dims[index] for index in self.out_indices)
        drop_paths = [drop_path_rate * index / max(sum(depths) - 1, 1) for index in range(sum(depths))]
        # The last stages are left out where nothing needs them, so that no parameter is without a gradient.
        for stage in range(max(self.out_indices) + 1):
            name = stage + 1
            blocks = nn.ModuleList(
                PVTv2Block(dims[stage], settings['num_heads'][stage], settings['mlp_ratios'][stage],
                           settings['sr_ratios'][stage], drop_paths.pop(0)) for _ in range(depths[stage]))
            in_channels = dims[stage - 1] if stage else 3
            self.add_module(f'patch_embed{name}',
                            OverlapPatchEmbed(in_channels, dims[stage], PATCH_SIZES[stage], STRIDES[stage]))
            self.add_module(f'block{name}', blocks)
            self.add_module(f'norm{name}', nn.LayerNorm(dims[stage], eps=BLOCK_NORM_EPS))
        self._init_random()
        if frozen:
            self.requires_grad_(False)
            self.eval()

    def init_weights(self) -> None:
        """Load the file named by ``init_cfg``; without one, the random initialisation.

        Raises:
            FileNotFoundError: If the file is missing.
            ValueError: If it does not fit (see :func:`mmavs.utils.safe_load.load_pretrained`).
        """
        pretrained = pretrained_from_init_cfg(self.init_cfg)
        if pretrained is None:
            self._init_random()
            super().init_weights()
            return
        unused = [f'{part}{stage}.' for stage in range(max(self.out_indices) + 2, 5)
                  for part in ('patch_embed', 'block', 'norm')]
        load_pretrained(self, pretrained[0], prefix=pretrained[1], ignore=('head.', *unused), hint=WEIGHTS_HINT)
        self._is_init = True

    def train(self, mode: bool = True) -> 'PVTv2':
        """Set the mode; a frozen net stays in eval mode."""
        return super().train(mode and not self.frozen)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Compute the maps.

        Args:
            image: Normalised frames. Shape (N, 3, H, W), H and W at least 32 (multiples of 32 avoid uneven halving).

        Returns:
            One map for each of ``out_indices``, channels-last in memory. Shapes (N, C_i, H/s_i, W/s_i).

        Raises:
            ValueError: If ``image`` has another number of axes or channels, or is too small.
        """
        if image.dim() != 4 or image.shape[1] != 3 or min(image.shape[2:]) < 32:
            raise ValueError('PVTv2: image must have shape (N, 3, H, W) with H and W at least 32, '
                             f'got {tuple(image.shape)}.')
        outputs = []
        feature = image
        for stage in range(1, max(self.out_indices) + 2):
            tokens, size = getattr(self, f'patch_embed{stage}')(feature)
            for block in getattr(self, f'block{stage}'):
                tokens = run_block(block, tokens, size, with_cp=self.with_cp and self.training)
            feature = tokens_to_map(getattr(self, f'norm{stage}')(tokens), size)
            if stage - 1 in self.out_indices:
                outputs.append(feature)
        return tuple(outputs)

    def _init_random(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Conv2d):
                fan_out = math.prod(module.kernel_size) * module.out_channels // module.groups
                nn.init.normal_(module.weight, std=math.sqrt(2 / fan_out))
                nn.init.zeros_(module.bias)


def _architecture(arch: str | Mapping[str, Sequence[int]]) -> dict[str, Sequence[int]]:
    """Settings of every stage."""
    if isinstance(arch, str):
        if arch not in ARCHITECTURES:
            raise ValueError(f'PVTv2: unknown arch {arch!r}; take one of {", ".join(ARCHITECTURES)} or give a dict.')
        return COMMON | ARCHITECTURES[arch]
    settings = COMMON | dict(arch)
    names = ('embed_dims', 'depths', 'mlp_ratios', 'num_heads', 'sr_ratios')
    if set(settings) != set(names):
        raise ValueError('PVTv2: a custom arch needs embed_dims, depths and mlp_ratios and may have num_heads and '
                         f'sr_ratios, but it has {", ".join(sorted(arch))}.')
    for name in names:
        check_wholes(f'{name} of the arch of PVTv2', settings[name], 4)
    return settings
