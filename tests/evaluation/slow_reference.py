"""The metrics' formulas written out slowly, one frame, threshold and pixel sum at a time; nothing of mmavs is used."""

import numpy as np
import torch

THRESHOLDS = torch.linspace(0, 1 - 1e-10, 255, dtype=torch.float32)


def iou_of_frame(scores, target):
    """One frame; target may be soft."""
    predicted = (scores.float() > 0.5).double()
    target = target.double()
    if target.sum() == 0:
        intersection = ((1 - predicted) * (1 - target)).sum()
        union = torch.tensor(float(target.numel()), dtype=torch.float64)
    else:
        intersection = (predicted * target).sum()
        union = torch.maximum(predicted, target).sum()
    return (intersection / (union + 1e-7)).item()


def curve_of_frame(scores, target):
    """F at each threshold, or None for a silent frame."""
    scores, target = scores.float().numpy(), target.double().numpy()
    if target.sum() == 0:
        return None
    values = []
    for threshold in THRESHOLDS.numpy():
        above = scores >= threshold
        hit = target[above].sum()
        precision = hit / (above.sum() + 1e-20)
        recall = hit / (target.sum() + 1e-20)
        below = 0.3 * precision + recall
        values.append(1.3 * precision * recall / below if below > 0 else 0.0)
    return np.array(values)


def f_of_frames(frames):
    """F of a group, given (scores, target) of its frames."""
    curves = [curve_of_frame(*frame) for frame in frames]
    curves = [curve for curve in curves if curve is not None]
    return max(np.mean(curves, axis=0)) if curves else 0.0


def frames_of(clips):
    return [frame for clip in clips for frame in zip(clip['scores'], clip['target'], strict=True)
            if not (frame[1] == 255).all()]


def pooled(clips):
    """J and F of one long list of pixels, those of all labelled frames: a confusion matrix at each threshold."""
    pixels = [(score, label) for clip in clips
              for score, label in zip(clip['scores'].float().flatten().tolist(), clip['target'].flatten().tolist(),
                                      strict=True) if label != 255]
    score, label = np.array(pixels).T

    def confusion(above):
        return (above & (label == 1)).sum(), (above & (label == 0)).sum(), (~above & (label == 1)).sum()

    true, false, missed = confusion(score > 0.5)
    j = true / (true + false + missed + 1e-7)
    curve = []
    for threshold in THRESHOLDS.tolist():
        true, false, missed = confusion(score >= threshold)
        precision, recall = true / max(true + false, 1), true / max(true + missed, 1)
        curve.append(1.3 * precision * recall / (0.3 * precision + recall) if true else 0.0)
    return j, max(curve)


def binary_scores(clips, preset, group_size=None):
    """J and F in percent. clips: dicts with scores and target (T, H, W), in dataset order."""
    if preset == 'dataset':
        j, f = pooled(clips)
        return 100 * j, 100 * f
    size = dict(avsbench=1, avsmamba=1, avsegformer=2, selm=2, combo=8, frame=1, batch_mean=group_size)[preset]
    groups = [frames_of(clips[start:start + size]) for start in range(0, len(clips), size)]
    frame_ious = [[iou_of_frame(*frame) for frame in group] for group in groups]
    if preset == 'batch_mean':
        j = np.mean([np.mean(ious) for ious in frame_ious])
    else:
        j = np.mean([iou for ious in frame_ious for iou in ious])
    if preset == 'frame':
        groups = [[frame] for group in groups for frame in group if frame[1].sum() > 0] or [[]]
    f = np.mean([f_of_frames(group) for group in groups])
    return 100 * j, 100 * f


def semantic_scores(clips, num_classes, preset):
    """The six scores in percent. clips: dicts with prediction and target (T, H, W)."""
    iou_sum, f_sum, count = np.zeros(num_classes), np.zeros(num_classes), np.zeros(num_classes)
    pool_i, pool_u = np.zeros(num_classes), np.zeros(num_classes)
    for clip in clips:
        frames = [(p.numpy(), t.numpy()) for p, t in zip(clip['prediction'], clip['target'], strict=True)
                  if not (t == 255).all()]
        if preset == 'avsbench':
            blank = np.zeros_like(frames[0][1])
            frames += [(blank, blank)] * (10 - len(frames))
        for prediction, target in frames:
            valid = target != 255
            for c in range(num_classes):
                p, t = (prediction == c) & valid, (target == c) & valid
                union = (p | t).sum()
                if union == 0:
                    continue
                hit = (p & t).sum()
                precision, recall = hit / (p.sum() + 2.2e-16), hit / (t.sum() + 2.2e-16)
                iou_sum[c] += hit / (union + 2.2e-16)
                f_sum[c] += 1.3 * precision * recall / (0.3 * precision + recall) if hit else 0.0
                count[c] += 1
                pool_i[c] += hit
                pool_u[c] += union
    iou = np.array([s / n if n else 0.0 for s, n in zip(iou_sum, count, strict=True)])
    f = np.array([s / n if n else 0.0 for s, n in zip(f_sum, count, strict=True)])
    # The published code meant to leave out the background, but leaves out the last class.
    no_bg = slice(0, num_classes - 1) if preset == 'avsbench' else slice(1, num_classes)
    return {'mIoU': 100 * iou.mean(), 'F': 100 * f.mean(), 'mIoU_no_bg': 100 * iou[no_bg].mean(),
            'F_no_bg': 100 * f[no_bg].mean(), 'mIoU_seen': 100 * iou[count > 0].mean(),
            'mIoU_dataset': 100 * (pool_i[pool_u > 0] / pool_u[pool_u > 0]).mean()}
