"""Give the demo's visual backbone a start: teach it to name the shapes of SoundingShapes, without any sound.

The paper's backbones come from ImageNet. The small one of ``configs/avs_mamba/tiny_shapes.py`` has no such file, so the
demo makes one: frames of SoundingShapes scenes (other scenes than the dataset's) with the kind of shape at each pixel.
Nothing is learned about which shape sounds.
"""

import argparse
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import Tensor, nn
from tqdm import tqdm

from mmavs.datasets.sounding_shapes import KINDS
from mmavs.datasets.sounding_shapes.render import render_scene
from mmavs.datasets.sounding_shapes.scene import SceneStyle, sample_scene
from mmavs.registry import MODELS
from mmavs.utils.safe_load import use_safe_checkpoint_loading

STRIDE = 4
BACKGROUND_WEIGHT = 0.2


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Command line of the script."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config whose model.backbone is trained')
    parser.add_argument('out', help='file for the weights, to be loaded by init_cfg=dict(type="Pretrained", ...)')
    parser.add_argument('--frames', type=int, default=4000, help='frames to generate (default: %(default)s)')
    parser.add_argument('--steps', type=int, default=300, help='training steps (default: %(default)s)')
    parser.add_argument('--batch-size', type=int, default=32, help='frames per step (default: %(default)s)')
    parser.add_argument('--seed', type=int, default=0, help='seed of frames and weights')
    parser.add_argument('--trust-checkpoint', action='store_true',
                        help='open a file named by init_cfg that executes code when it is loaded; only for your own')
    return parser.parse_args(argv)


def make_frame(size: tuple[int, int], seed: int, index: int) -> tuple[np.ndarray, np.ndarray]:
    """One frame (3, H, W), uint8 RGB, and the kind at each fourth pixel (H/4, W/4): 0 background, 1.. as ``KINDS``."""
    # The third number keeps these scenes apart from every dataset of the generator.
    rng = np.random.default_rng([seed, index, 0xB0D1E5])
    scene = sample_scene(SceneStyle(num_frames=1, size=size, kinds=KINDS, num_shapes=(1, 3)), rng)
    frames, shapes = render_scene(scene, rng)
    kinds = np.array([0] + [1 + KINDS.index(kind) for kind in scene.kinds])
    return frames[0, ..., ::-1].transpose(2, 0, 1).copy(), kinds[shapes[0, ::STRIDE, ::STRIDE]]


def make_frames(count: int, size: tuple[int, int], seed: int) -> tuple[Tensor, Tensor]:
    """Frames (count, 3, H, W), uint8 RGB, and labels (count, H/4, W/4), int64."""
    with ProcessPoolExecutor(2) as pool:
        made = list(tqdm(pool.map(partial(make_frame, size, seed), range(count), chunksize=64), total=count,
                         desc='frames', mininterval=1))
    return torch.from_numpy(np.stack([frame for frame, _ in made])), torch.from_numpy(np.stack([y for _, y in made]))


class KindPredictor(nn.Module):
    """A backbone and one linear map per level; the levels' votes for each kind are added at stride 4."""

    def __init__(self, backbone: nn.Module, image: Tensor) -> None:
        super().__init__()
        self.backbone = backbone
        with torch.no_grad():
            channels = [level.shape[1] for level in backbone(image)]
        self.votes = nn.ModuleList(nn.Conv2d(width, 1 + len(KINDS), 1) for width in channels)

    def forward(self, images: Tensor) -> Tensor:
        """Scores (N, 1 + kinds, H/4, W/4) of normalised images (N, 3, H, W)."""
        levels = [vote(level) for vote, level in zip(self.votes, self.backbone(images), strict=True)]
        size = levels[0].shape[2:]
        return sum(F.interpolate(level, size=size, mode='bilinear', align_corners=False) for level in levels)


def train(predictor: KindPredictor, images: Tensor, labels: Tensor, normalise: nn.Module, args: argparse.Namespace,
          ) -> float:
    """Train on random batches; returns the share of right pixels on shapes in the last tenth of the steps."""
    optimizer = torch.optim.AdamW(predictor.parameters(), lr=3e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=args.steps)
    weight = torch.tensor([BACKGROUND_WEIGHT] + [1.0] * len(KINDS))
    right = []
    predictor.train()
    progress = tqdm(range(args.steps), desc='backbone', mininterval=1)
    for step in progress:
        chosen = torch.randint(0, len(images), (args.batch_size,))
        x, y = normalise(images[chosen]), labels[chosen]
        if step % 2:
            x, y = x.flip(3), y.flip(2)
        scores = predictor(x)
        loss = F.cross_entropy(scores, y, weight=weight)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        right.append((scores.argmax(1) == y)[y > 0].float().mean().item())
        progress.set_postfix(loss=f'{loss.item():.2f}', right=f'{100 * right[-1]:.0f} %', refresh=False)
    return float(np.mean(right[-max(1, args.steps // 10):]))


def main(argv: list[str] | None = None) -> int:
    """Run the script; returns the exit code."""
    args = parse_args(argv)
    use_safe_checkpoint_loading(trust=args.trust_checkpoint)
    cfg = Config.fromfile(args.config)
    init_default_scope('mmseg')
    torch.manual_seed(args.seed)
    size = tuple(cfg.input_size)
    images, labels = make_frames(args.frames, size, args.seed)
    mean, std = (torch.tensor(cfg.model.data_preprocessor[key]).view(3, 1, 1) for key in ('mean', 'std'))
    backbone = MODELS.build(cfg.model.backbone)
    backbone.init_weights()
    predictor = KindPredictor(backbone, torch.zeros(2, 3, *size))
    right = train(predictor, images, labels, lambda batch: (batch.float() - mean) / std, args)
    path = Path(args.out)
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(backbone.state_dict(), path)
    print(f'{100 * right:.1f} % of the pixels on shapes named rightly; weights: {path}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
