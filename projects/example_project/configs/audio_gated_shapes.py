_base_ = '../../../configs/avs_mamba/tiny_shapes.py'

# Often changed.
custom_imports = dict(imports=['projects.example_project.audio_gated_pixel_decoder'])
model = dict(
    decode_head=dict(
        pixel_decoder=dict(
            _delete_=True,
            type='mmavs.AudioGatedPixelDecoder',
            channels={{_base_.model.decode_head.channels}})))
