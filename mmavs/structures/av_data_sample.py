"""One clip with its ground truth and its prediction; time is the leading axis."""

from mmengine.structures import PixelData
from mmseg.structures import SegDataSample


class AVDataSample(SegDataSample):
    """Ground truth and prediction of one clip of T frames of H x W pixels.

    mmseg keeps one image in a ``SegDataSample``; here the first axis of every field is time, so that one sample is one
    clip and a metric counts clips.

    Fields:
        gt_sem_seg (PixelData): ``data`` of shape (T, H, W), uint8. Binary tasks: 0 silent, 1 sounding. AVSS: class
            0..70. A pixel without a label is 255; a frame without a label is 255 all over.
        pred_sem_seg (PixelData): ``data`` of shape (T, H, W), uint8, in the same values without 255.
        pred_scores (PixelData): binary tasks only, ``data`` of shape (T, H, W), float32, the probability in [0, 1] that
            the pixel makes the sound.
        seg_logits (PixelData): binary tasks only, ``data`` of shape (T, h, w), floating point, the logits at the
            network's own size, from which ``pred_scores`` come.

    Meta information set by ``PackAVSInputs``: ``video_id``, ``category``, ``subset``, ``split``, ``img_path`` (list of
    T), ``seg_map_path`` (list of T, None where a frame has no label), ``audio_path``, ``ori_shape`` and ``img_shape``
    as (H, W), ``flip`` (bool, or a list of T), ``flip_direction``; ``sound`` where ``LogMelSpectrogram`` keeps it.
    """

    @property
    def pred_scores(self) -> PixelData:
        """Probability of sounding; ``data`` of shape (T, H, W), float32."""
        return self._pred_scores

    @pred_scores.setter
    def pred_scores(self, value: PixelData) -> None:
        self.set_field(value, '_pred_scores', dtype=PixelData)

    @pred_scores.deleter
    def pred_scores(self) -> None:
        del self._pred_scores

    @property
    def num_frames(self) -> int:
        """T, the number of frames of the clip.

        Raises:
            AttributeError: The sample has neither a ground truth, nor a prediction, nor ``img_path``.
        """
        for field in ('gt_sem_seg', 'pred_sem_seg', 'pred_scores'):
            if field in self:
                return int(self.get(field).data.shape[0])
        if 'img_path' in self:
            return len(self.get('img_path'))
        raise AttributeError('The number of frames of this AVDataSample is unknown: it has neither gt_sem_seg, '
                             'pred_sem_seg, pred_scores nor img_path.')
