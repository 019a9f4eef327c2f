// Stands in for torch's header where the binding runs on CPU tensors.
#pragma once

#include <c10/core/Device.h>

namespace c10 {
namespace cuda {

struct CUDAGuard {
  explicit CUDAGuard(c10::Device) {}
  ~CUDAGuard() {}
};

}  // namespace cuda
}  // namespace c10
