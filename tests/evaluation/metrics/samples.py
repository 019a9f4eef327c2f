"""Clips for the tests of the metrics, and ways to evaluate them."""

import torch
from mmengine.structures import PixelData

from mmavs.evaluation import AVSMetric, AVSSemanticMetric

KINDS = ('random', 'all_silent', 'empty_predictions', 'ties', 'huge_logits', 'half_logits', 'mixed_silence')


def binary_clips(kind='mixed_silence', num_clips=7, size=(12, 10), seed=0):
    """Clips with scores and target (T, H, W), in dataset order, of 5 frames and one of 3."""
    generator = torch.Generator().manual_seed(seed)
    thresholds = torch.linspace(0, 1 - 1e-10, 255)
    clips = []
    for index in range(num_clips):
        frames = 3 if index == 1 else 5
        logits = 2 * torch.randn(frames, *size, generator=generator)
        target = (torch.rand(frames, *size, generator=generator) < 0.2 + 0.05 * index).to(torch.uint8)
        logits += 2 * target
        if kind == 'huge_logits':
            logits = logits.sign() * 1e4
        scores = (logits.half() if kind == 'half_logits' else logits).sigmoid()
        if kind == 'empty_predictions':
            scores = torch.zeros_like(scores)
        if kind == 'ties':
            scores = thresholds[torch.bucketize(scores, thresholds, right=True) - 1]
            scores[:, 0] = 0.5
        if kind == 'all_silent' or (kind == 'mixed_silence' and index in (2, 5)):
            target[:] = 0
        if kind == 'mixed_silence':
            target[::2] = 0
            scores[0] = scores[0] * 0.4    # a silent frame kept clean
        clips.append(dict(video_id=f'clip_{(index * 5) % num_clips:02d}', sample_idx=index,
                          category=('dog', 'cat', 'car')[index % 3], scores=scores, target=target))
    return clips


def semantic_clips(num_classes=7, num_clips=5, size=(9, 8), seed=0):
    """Clips with prediction and target (T, H, W), of 5 frames and one of 10; class 4 is in none of them."""
    generator = torch.Generator().manual_seed(seed)
    clips = []
    for index in range(num_clips):
        frames = 10 if index == 2 else 5
        target = torch.randint(0, num_classes, (frames, *size), generator=generator)
        target[target == 4] = 0
        target[torch.rand(target.shape, generator=generator) < 0.4] = 0
        prediction = torch.where(torch.rand(target.shape, generator=generator) < 0.6, target, (target + 1) % 4)
        clips.append(dict(video_id=f'v{num_clips - index}', sample_idx=index, category='v2', prediction=prediction,
                          target=target))
    return clips


def to_sample(clip):
    """What an mmengine loop hands to a metric."""
    sample = {key: value for key, value in clip.items() if key in ('video_id', 'sample_idx', 'category')}
    sample['gt_sem_seg'] = dict(data=clip['target'])
    if 'scores' in clip:
        sample['pred_scores'] = dict(data=clip['scores'])
    if 'prediction' in clip:
        sample['pred_sem_seg'] = PixelData(data=clip['prediction'])
    if 'logits' in clip:
        sample['seg_logits'] = dict(data=clip['logits'])
    return sample


def evaluate(metric, clips, batch_size=1):
    """Run the metric over the clips in the order given."""
    samples = [to_sample(clip) for clip in clips]
    for start in range(0, len(samples), batch_size):
        metric.process({}, samples[start:start + batch_size])
    return metric.evaluate(len(clips))


def evaluate_in_process(rank, num_processes, kind, folder):
    """One of several processes, each with its share of the clips, as mmengine's DefaultSampler deals them out."""
    torch.distributed.init_process_group('gloo', init_method=f'file://{folder}/rendezvous', rank=rank,
                                         world_size=num_processes)
    binary = AVSMetric(preset='avsegformer', collect_dir=f'{folder}/binary')
    semantic = AVSSemanticMetric(num_classes=7, collect_dir=f'{folder}/semantic')
    scores = {}
    for metric, clips in ((binary, binary_clips(kind)), (semantic, semantic_clips())):
        # The sampler repeats clips so that every process has the same number.
        padded = [*clips, *clips][:num_processes * -(-len(clips) // num_processes)]
        for clip in padded[rank::num_processes]:
            metric.process({}, [to_sample(clip)])
        scores |= metric.evaluate(len(clips))
    torch.save(scores, f'{folder}/rank{rank}.pt')
    torch.distributed.destroy_process_group()
