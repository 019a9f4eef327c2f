"""Safe opening of checkpoints for a whole process, and whether its user has chosen otherwise."""

from mmavs.utils.safe_load import use_safe_checkpoint_loading

_CHOICE: dict[str, bool] = {}


def install_safe_loading(trust: bool = False) -> None:
    """Make every loading of a checkpoint in this process (resume, ``load_from``, ``init_cfg``) run no code from it.

    The tools call it before they build anything; a runner that finds it not called calls it with the default.

    Args:
        trust: The tools' ``--trust-checkpoint``: open files as ordinary pickles, which may run code. Default False.
    """
    use_safe_checkpoint_loading(trust=trust)
    _CHOICE['trust'] = trust


def trusts_checkpoints() -> bool:
    """Whether the user chose ``--trust-checkpoint``; installs safe loading where no choice has been made."""
    if 'trust' not in _CHOICE:
        install_safe_loading()
    return _CHOICE['trust']
