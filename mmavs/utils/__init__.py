"""What several parts of the package need; nothing here imports a part above it."""

from mmavs.utils.setup_env import register_all_modules

__all__ = ['register_all_modules']
