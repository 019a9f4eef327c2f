"""AVS-Mamba on PVTv2-b5 with VGGish, one output channel (sounding or not)."""

# Often changed: the pretrained files (README, "Pretrained weights"); `model.backbone.init_cfg=None`: from scratch.
backbone_weights = '{{$MMAVS_WEIGHTS_ROOT:weights}}/pvt_v2_b5.pth'
vggish_weights = '{{$MMAVS_WEIGHTS_ROOT:weights}}/vggish-10086976.pth'
# Compute activations again in the backward pass: slower, but training at 512x512 takes far less memory.
with_cp = True

# Rarely changed.
channels = 256
data_preprocessor = dict(
    type='mmavs.AVDataPreprocessor', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True)
model = dict(
    type='mmavs.AVSegmentor',
    data_preprocessor=data_preprocessor,
    backbone=dict(
        type='mmavs.PVTv2', arch='b5', drop_path_rate=0.1, with_cp=with_cp,
        init_cfg=dict(type='Pretrained', checkpoint=backbone_weights)),
    audio_backbone=dict(
        type='mmavs.VGGish', frozen=True, init_cfg=dict(type='Pretrained', checkpoint=vggish_weights)),
    neck=dict(
        type='mmavs.MTENeck', in_channels=(64, 128, 320, 512), out_channels=channels, num_layers=2, num_orders=8,
        drop_path_rate=0.1, with_cp=with_cp),
    decode_head=dict(
        type='mmavs.MADHead', in_channels=(channels, ) * 4, channels=channels, audio_channels=128, num_classes=1,
        num_layers=2, drop_path_rate=0.1, threshold=0.5, deep_supervision_weight=1.0, with_cp=with_cp,
        pixel_decoder=dict(
            type='mmavs.CIPPixelDecoder', channels=channels, num_orders=8, drop_path_rate=0.1, with_cp=with_cp),
        loss_decode=dict(type='mmavs.AVSDiceLoss')),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'))
