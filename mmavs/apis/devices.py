"""Whether a device can be used."""

import torch


def check_device(device: str | None) -> None:
    """Check that torch can use a device.

    Raises:
        ValueError: If it cannot; the message says what to pass instead.
    """
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, ValueError) as error:
        raise ValueError(f'device={device!r} cannot be used here ({str(error).splitlines()[0].rstrip(".")}); pass '
                         "device='cpu'.") from None
