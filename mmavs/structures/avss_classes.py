"""The 71 classes of AVSBench's semantic subset (AVSS) and the colours that its masks are painted with."""

from functools import lru_cache

import numpy as np

# Index 0 is the background. A data set's own label2idx.json has the last word on the names.
AVSS_CLASSES = (
    'background', 'accordion', 'airplane', 'axe', 'baby', 'bassoon', 'bell', 'bird', 'boat', 'boy', 'bus', 'car', 'cat',
    'cello', 'clarinet', 'clipper', 'clock', 'dog', 'donkey', 'drum', 'duck', 'elephant', 'emergency-car', 'erhu',
    'flute', 'frying-food', 'girl', 'goose', 'guitar', 'gun', 'guzheng', 'hair-dryer', 'handpan', 'harmonica', 'harp',
    'helicopter', 'hen', 'horse', 'keyboard', 'leopard', 'lion', 'man', 'marimba', 'missile-rocket', 'motorcycle',
    'mower', 'parrot', 'piano', 'pig', 'pipa', 'saw', 'saxophone', 'sheep', 'sitar', 'sorna', 'squirrel', 'tabla',
    'tank', 'tiger', 'tractor', 'train', 'trombone', 'truck', 'trumpet', 'tuba', 'ukulele', 'utv', 'vacuum-cleaner',
    'violin', 'wolf', 'woman')


@lru_cache(maxsize=4)
def avss_palette(num_classes: int = 71) -> np.ndarray:
    """PASCAL VOC's colours: the bits of the index, three by three, fill R, G, B from the highest bit down.

    Args:
        num_classes (int): Number of colours, 1..256. Defaults to 71.

    Returns:
        np.ndarray: Read-only RGB colours, shape (num_classes, 3), uint8. Index 1 is (128, 0, 0), index 70 is
        (32, 128, 128).

    Raises:
        ValueError: ``num_classes`` is not in 1..256.
    """
    if not 1 <= num_classes <= 256:
        raise ValueError(f'avss_palette: num_classes must be in 1..256, got {num_classes}.')
    index = np.arange(num_classes)
    palette = np.zeros((num_classes, 3), dtype=np.uint8)
    for bit in range(8):
        for channel in range(3):
            palette[:, channel] |= (((index >> (3 * bit + channel)) & 1) << (7 - bit)).astype(np.uint8)
    palette.setflags(write=False)
    return palette
