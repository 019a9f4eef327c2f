"""The nine registries of mmavs, children of mmengine's.

Types are written ``mmavs.Name`` in configs. That form works from every default scope and needs no ``custom_imports``:
mmengine imports this module when it meets the scope, and ``locations`` tells it where the classes are.
"""

from mmengine.registry import DATASETS as MMENGINE_DATASETS
from mmengine.registry import HOOKS as MMENGINE_HOOKS
from mmengine.registry import INFERENCERS as MMENGINE_INFERENCERS
from mmengine.registry import METRICS as MMENGINE_METRICS
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import OPTIM_WRAPPERS as MMENGINE_OPTIM_WRAPPERS
from mmengine.registry import RUNNERS as MMENGINE_RUNNERS
from mmengine.registry import TRANSFORMS as MMENGINE_TRANSFORMS
from mmengine.registry import VISUALIZERS as MMENGINE_VISUALIZERS
from mmengine.registry import Registry

MODELS = Registry('model', parent=MMENGINE_MODELS, scope='mmavs', locations=['mmavs.models'])
DATASETS = Registry('dataset', parent=MMENGINE_DATASETS, scope='mmavs', locations=['mmavs.datasets'])
TRANSFORMS = Registry('transform', parent=MMENGINE_TRANSFORMS, scope='mmavs', locations=['mmavs.datasets.transforms'])
METRICS = Registry('metric', parent=MMENGINE_METRICS, scope='mmavs', locations=['mmavs.evaluation'])
HOOKS = Registry('hook', parent=MMENGINE_HOOKS, scope='mmavs', locations=['mmavs.engine'])
OPTIM_WRAPPERS = Registry('optim_wrapper', parent=MMENGINE_OPTIM_WRAPPERS, scope='mmavs', locations=['mmavs.engine'])
RUNNERS = Registry('runner', parent=MMENGINE_RUNNERS, scope='mmavs', locations=['mmavs.engine.runner'])
VISUALIZERS = Registry('visualizer', parent=MMENGINE_VISUALIZERS, scope='mmavs', locations=['mmavs.visualization'])
INFERENCERS = Registry('inferencer', parent=MMENGINE_INFERENCERS, scope='mmavs', locations=['mmavs.apis'])
