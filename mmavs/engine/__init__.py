"""Training and testing: hooks, optimizer wrapper, samplers and runner."""

from mmavs.engine import hooks, optim_wrapper

__all__ = ['hooks', 'optim_wrapper']
