"""How published evaluations pool frames and clips.

They agree on the formulas of a frame and differ in what they average, so their tables cannot be mixed. Read in the
public evaluation code of the projects named.

J, unless said otherwise, is the mean IoU of all labelled frames, where a silent frame scores its share of true
negatives. F leaves silent frames out; a group of clips that has no others counts 0.

The preset ``'dataset'`` pools as semantic segmentation does (CAVP and DDESeg): the pixels of **all** labelled frames of
the set, silent ones too, are one big picture. J is its intersection over its union at 0.5, and F the best of its 255
values ``1.3 P R / (0.3 P + R)``. So what is marked in a silent frame is a false positive in both, and true negatives
count in neither.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class BinaryPreset:
    """Pooling for S4 and MS3.

    Attributes:
        name: As in ``AVSMetric(preset=...)``.
        group: What one F comes from: ``'clips'``, ``'frame'`` or ``'dataset'``.
        group_size: Clips in a group, in the order of the dataset; the last group may be smaller.
        batch_mean: True: J is the mean of the groups' means, as if each group were a batch. False: of all frames.
        description: For tables.
        warning: Why the numbers must not stand beside others, or empty.
    """

    name: str
    description: str
    group: str = 'clips'
    group_size: int = 1
    batch_mean: bool = False
    warning: str = ''


@dataclass(frozen=True)
class SemanticPreset:
    """Pooling for AVSS.

    Attributes:
        name: As in ``AVSSemanticMetric(preset=...)``.
        padded_length: Clips count as if padded to so many frames, which are background and predicted as background;
            0: frames without labels never count.
        drop_last_class: The scores without background leave out the last class in its place, which is a slip of the
            published code.
        description: For tables.
    """

    name: str
    description: str
    padded_length: int = 0
    drop_last_class: bool = False


BINARY_PRESETS = {preset.name: preset for preset in (
    BinaryPreset('avsbench', 'J: mean of frames; F: best threshold of each video, silent videos count 0'),
    BinaryPreset('avsegformer', 'J: mean of frames; F: best threshold of every 2 videos', group_size=2),
    BinaryPreset('selm', 'J: mean of frames; F: best threshold of every 2 videos', group_size=2),
    BinaryPreset('combo', 'J: mean of frames; F: best threshold of every 8 videos', group_size=8),
    BinaryPreset('avsmamba', 'as avsbench; the published table was measured with eval_size=512'),
    BinaryPreset('batch_mean', 'J and F: mean over batches of batch means', batch_mean=True),
    BinaryPreset('frame', 'J: mean of frames; F: best threshold of each sounding frame', group='frame',
                 warning='the best threshold of every single frame is taken: F is higher than in other protocols, '
                         'do not compare'),
    BinaryPreset('dataset', 'J and F: pixels of all frames of the set pooled, F at its best threshold', group='dataset',
                 warning='pixels of the whole set are pooled, so large objects dominate: 10 to 17 points above '
                         'per-frame protocols, do not compare'),
)}
SEMANTIC_PRESETS = {preset.name: preset for preset in (
    SemanticPreset('clean', 'mean over frames of each class, then over classes; only labelled frames count'),
    SemanticPreset('avsbench', 'as published: padded frames count as background, no_bg leaves out the wrong class',
                   padded_length=10, drop_last_class=True),
)}


def find_preset(presets: dict, name: str, metric: str) -> BinaryPreset | SemanticPreset:
    """Look a preset up.

    Raises:
        ValueError: If there is none of that name; the message lists them.
    """
    if name not in presets:
        raise ValueError(f'{metric}: unknown preset {name!r}; take one of {", ".join(presets)}.')
    return presets[name]
