"""AVS-Mamba on ResNet-50 with VGGish; only the visual backbone differs from `avs_mamba_pvt.py`."""

_base_ = './avs_mamba_pvt.py'

# torchvision's ResNet-50 file loads as it is.
backbone_weights = '{{$MMAVS_WEIGHTS_ROOT:weights}}/resnet50.pth'
model = dict(
    backbone=dict(
        _delete_=True, type='mmseg.ResNet', depth=50, num_stages=4, out_indices=(0, 1, 2, 3), strides=(1, 2, 2, 2),
        dilations=(1, 1, 1, 1), norm_cfg=dict(type='BN', requires_grad=True), style='pytorch',
        with_cp={{_base_.with_cp}},
        # The statistics stay ImageNet's: those of a few clips are poor, and would make a clip's features depend on the
        # clips beside it, so that two processes could not train what one does. From scratch: norm_eval=False.
        norm_eval=True,
        init_cfg=dict(type='Pretrained', checkpoint=backbone_weights)),
    neck=dict(in_channels=(256, 512, 1024, 2048)))
