// Body of the source files that compile the kernels for one instruction set; MMAVS_ISA names it.
#include "scan_backward.h"
#include "scan_forward.h"

namespace mmavs {
namespace MMAVS_ISA {

template <typename T>
void exp2_all(const T* x, T* y, int64_t size) {
  for (int64_t i = 0; i < size; i += kLanes<T>) store(y + i, exp2(load(x + i)));
}

extern const ScanKernel<float> kFloatKernel;
extern const ScanKernel<double> kDoubleKernel;
const ScanKernel<float> kFloatKernel = {kLanes<float>, forward<float>, backward<float>, exp2_all<float>};
const ScanKernel<double> kDoubleKernel = {kLanes<double>, forward<double>, backward<double>,
                                                 exp2_all<double>};

}  // namespace MMAVS_ISA
}  // namespace mmavs
