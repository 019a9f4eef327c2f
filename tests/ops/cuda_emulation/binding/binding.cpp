// The CUDA binding for CPU tensors: torch's headers first, then the binding with its dispatch key renamed.
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include "cuda_emulation.h"

inline const char* cudaGetErrorString(cudaError_t) { return "error"; }

#include "scan_bfloat16.cu"
#include "scan_double.cu"
#include "scan_float.cu"
#include "scan_half.cu"

#define CUDA CPU
#include "scan.cu"
