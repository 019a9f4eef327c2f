"""Python side of the emulation: builds the library and runs the scan's passes on torch CPU tensors.

Letters: B clips, K orders, L tokens, C channels, N states, R rank of the low-rank delta.
"""

import ctypes
import os
import shutil
import subprocess
from pathlib import Path

import torch
from torch import Tensor

HERE = Path(__file__).parent
KERNELS = HERE.parents[2] / 'mmavs' / 'ops' / 'csrc' / 'common' / 'cuda'
KINDS = {torch.float32: 0, torch.float64: 1, torch.bfloat16: 2, torch.float16: 3}
GRADIENTS = ('u', 'delta', 'A', 'Bm', 'Cm', 'D', 'delta_bias', 'dt_weight')


def find_compiler() -> str | None:
    """Name of a C++ compiler, or None."""
    return os.environ.get('CXX') or shutil.which('g++') or shutil.which('clang++')


def build(folder: Path) -> ctypes.CDLL:
    """Compile the kernels and the emulation into a library in ``folder``, with a process per source file."""
    objects, jobs = [], []
    for source in ('emulated_scan.cpp', 'cuda_emulation.cpp'):
        objects.append(str(folder / f'{source}.o'))
        jobs.append(subprocess.Popen([find_compiler(), '-std=c++17', '-O0', '-fPIC', '-DMMAVS_CUDA_EMULATION',
                                      f'-I{HERE}', f'-I{KERNELS}', '-c', str(HERE / source), '-o', objects[-1]]))
    assert [job.wait() for job in jobs] == [0, 0], 'the emulated kernels do not compile'
    library = folder / 'libemulated_scan.so'
    subprocess.run([find_compiler(), '-shared', *objects, '-o', str(library), '-lpthread'], check=True)
    return ctypes.CDLL(str(library))


def _pointers(tensors: list) -> ctypes.Array:
    return (ctypes.c_void_p * len(tensors))(*[None if x is None else x.data_ptr() for x in tensors])


class EmulatedScan:
    """Forward and backward of one problem through the emulated kernels.

    Args:
        library: What :func:`build` returned.
        inputs: u (B, L, C) or with ``merge=False`` (B, K, L, C); delta (B, K, L, C or R); A (K*C, N);
            Bm, Cm (B, K, L, N); and, if wanted, D (K*C,), delta_bias (K*C,), index (K, L), dt_weight (K, C, R).
        merge: Whether orders share u and their outputs are summed.
    """

    def __init__(self, library: ctypes.CDLL, inputs: dict[str, Tensor], *, softplus: bool = True, y_start: int = 0,
                 y_length: int | None = None, merge: bool = True) -> None:
        self.library, self.inputs, self.merge = library, inputs, merge
        u, delta, Bm, Cm = (inputs[name] for name in ('u', 'delta', 'Bm', 'Cm'))
        self.length, self.channels = u.shape[-2:]
        self.batch, self.orders = Bm.shape[:2]
        self.dtype = torch.float64 if u.dtype == torch.float64 else torch.float32
        self.y_start, self.y_length = y_start, self.length - y_start if y_length is None else y_length
        weight = inputs.get('dt_weight')
        self.rank = 0 if weight is None else weight.shape[2]
        self.weight = None if weight is None else weight.transpose(1, 2).contiguous()
        states = Bm.shape[-1]
        interval = library.emulated_interval(states)
        self.saved = self._nan(self.batch, self.orders, -(-self.length // interval), states, self.channels)
        row = self.y_length * self.channels
        out_strides = (row, 0) if merge else (row * self.orders, row)
        strides = [(u.stride(0), 0 if merge else u.stride(1), u.stride(-2)), delta.stride()[:3], Bm.stride()[:3],
                   Cm.stride()[:3], (*out_strides, self.channels)]
        sizes = [self.batch, self.orders, self.length, self.channels, states, self.rank, y_start, self.y_length,
                 softplus, merge, *(s for group in strides for s in group)]
        self.sizes = (ctypes.c_int64 * len(sizes))(*sizes)
        self.arguments = [u, delta, inputs['A'], Bm, Cm, inputs.get('D'), inputs.get('delta_bias'),
                          inputs.get('index'), self.weight]

    def _nan(self, *shape: int) -> Tensor:
        return torch.full(shape, torch.nan, dtype=self.dtype)

    def forward(self) -> tuple[Tensor, Tensor]:
        """Output, (B, y_length, C) or without ``merge`` (K, B, y_length, C), and last state, (B, K, C, N)."""
        outer = () if self.merge else (self.orders,)
        out = self._nan(*outer, self.batch, self.y_length, self.channels)
        last = self._nan(self.batch, self.orders, self.channels, self.inputs['Bm'].shape[-1])
        error = self.library.emulated_forward(KINDS[self.inputs['u'].dtype], self.sizes, _pointers(self.arguments),
                                              _pointers([out, self.saved, last]))
        assert error == 0
        return out, last

    def backward(self, dout: Tensor) -> dict[str, Tensor]:
        """Gradients by name; ``dout`` is contiguous, (B, y_length, C) or without ``merge`` (B, K, y_length, C)."""
        grads = {name: self._nan(*self.inputs[name].shape) for name in GRADIENTS if name in self.inputs}
        if not self.merge:
            grads['u'] = self._nan(self.orders, self.batch, self.length, self.channels)
        error = self.library.emulated_backward(KINDS[self.inputs['u'].dtype], self.sizes,
                                               _pointers([*self.arguments, dout, self.saved]),
                                               _pointers([grads.get(name) for name in GRADIENTS]))
        assert error == 0
        return grads
