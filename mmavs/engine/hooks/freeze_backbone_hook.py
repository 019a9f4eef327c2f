"""Train the new parts first, the visual backbone later."""

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import IterBasedTrainLoop, Runner
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from mmavs.registry import HOOKS


@HOOKS.register_module()
class FreezeBackboneHook(Hook):
    """Freeze ``model.backbone`` for the first epochs (the released training settings of S4 and MS3: 20 epochs).

    While frozen, its parameters take no gradient, so autograd neither keeps its activations nor goes back through it;
    and it is in evaluation mode, so BatchNorm uses and keeps its statistics and stochastic depth is off. The optimiser
    passes over parameters without a gradient: neither weight decay nor its moments move.

    The state follows from ``runner.epoch`` alone and is checked before every iteration, since the training loop puts
    the whole model back in training mode for each epoch. So a resumed run is in the state that the uninterrupted one
    would be in, and nothing needs to be stored.

    ``DistributedDataParallel`` notes at construction which parameters take gradients and then waits for exactly those.
    Whenever the state changes, every process therefore wraps the bare model anew, in the same iteration. The old
    wrapper's hooks on the parameters are removed, and ``find_unused_parameters`` is not needed. Optimiser, checkpoints
    and other hooks hold the bare model and notice nothing.

    Args:
        end_epoch: Epochs to stay frozen; the backbone trains from the epoch with this number (counted from 0) on.
            0 never freezes. Default: 20.

    Raises:
        ValueError: If ``end_epoch`` is negative, the model has no ``backbone``, or the training loop counts iterations
            instead of epochs.
        TypeError: If the model is wrapped in something else than ``DistributedDataParallel``.
    """

    priority = 'NORMAL'

    def __init__(self, end_epoch: int = 20) -> None:
        if end_epoch < 0:
            raise ValueError(f'end_epoch of FreezeBackboneHook must not be negative, but got {end_epoch}')
        self.end_epoch = end_epoch
        self._frozen: bool | None = None
        self._trainable: list[nn.Parameter] = []

    def before_train(self, runner: Runner) -> None:
        """Check that the hook fits model and loop.

        Args:
            runner: The runner.
        """
        if isinstance(runner.train_loop, IterBasedTrainLoop):
            raise ValueError('FreezeBackboneHook counts epochs: use EpochBasedTrainLoop or remove the hook')
        model = _bare_model(runner)
        if not hasattr(model, 'backbone'):
            raise ValueError(f'FreezeBackboneHook needs a model with a backbone, but {type(model).__name__} has none')
        if self._frozen is None:
            self._frozen = False
            # What the config has frozen for good must stay frozen afterwards.
            self._trainable = [parameter for parameter in model.backbone.parameters() if parameter.requires_grad]

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None) -> None:
        """Freeze or release the backbone if its epoch has come.

        Args:
            runner: The runner.
            batch_idx: Not used.
            data_batch: Not used.
        """
        frozen = runner.epoch < self.end_epoch
        if frozen != self._frozen:
            self._set_frozen(runner, frozen)
        if frozen:
            _bare_model(runner).backbone.eval()

    def _set_frozen(self, runner: Runner, frozen: bool) -> None:
        self._frozen = frozen
        for parameter in self._trainable:
            parameter.requires_grad_(not frozen)
            parameter.grad = None
        runner.logger.info(f'Epoch {runner.epoch + 1}: the visual backbone is {"frozen" if frozen else "trained"}.')
        if is_model_wrapper(runner.model):
            _wrap_anew(runner)


def _bare_model(runner: Runner) -> nn.Module:
    return runner.model.module if is_model_wrapper(runner.model) else runner.model


def _wrap_anew(runner: Runner) -> None:
    wrapper = runner.model
    if not isinstance(wrapper, DistributedDataParallel):
        raise TypeError(f'FreezeBackboneHook can wrap the model anew in DistributedDataParallel only, '
                        f'but it is in {type(wrapper).__name__}: train without the hook')
    training = wrapper.training
    # Otherwise the old reducer would go on averaging gradients for as long as somebody refers to it.
    wrapper._remove_autograd_hooks()
    runner.model = runner.wrap_model(runner.cfg.get('model_wrapper_cfg'), wrapper.module)
    # Not train(): the frozen backbone's mode must stay.
    runner.model.training = training
