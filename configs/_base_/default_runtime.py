import importlib.util

# Types of this package are written `mmavs.Name`; everything else is looked up in mmseg and mmengine.
default_scope = 'mmseg'

env_cfg = dict(cudnn_benchmark=False, mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
               dist_cfg=dict(backend='nccl'))
vis_backends = [dict(type='LocalVisBackend')]
# Curves for TensorBoard as well, wherever it is installed (pip install tensorboard).
if importlib.util.find_spec('tensorboard') is not None:
    vis_backends.append(dict(type='TensorboardVisBackend'))
visualizer = dict(type='mmavs.AVSLocalVisualizer', vis_backends=vis_backends, name='visualizer')
log_processor = dict(by_epoch=True)
log_level = 'INFO'
load_from = None
resume = False
