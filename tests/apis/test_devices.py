import pytest
import torch

from mmavs.apis.devices import check_device


def test_devices():
    check_device(None)
    check_device('cpu')
    with pytest.raises(ValueError, match=r"device='gpu' cannot be used here .*; pass device='cpu'"):
        check_device('gpu')
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="device='cuda:0' cannot be used here"):
            check_device('cuda:0')
