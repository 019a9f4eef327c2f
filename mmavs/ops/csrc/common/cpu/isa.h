// Body of the source files that compile the kernels for one instruction set; MMAVS_ISA names it.
#include "scan_backward.h"
#include "scan_forward.h"

namespace mmavs {
namespace MMAVS_ISA {

extern const ScanKernel<float> kFloatKernel;
extern const ScanKernel<double> kDoubleKernel;
const ScanKernel<float> kFloatKernel = {kLanes<float>, forward<float>, backward<float>};
const ScanKernel<double> kDoubleKernel = {kLanes<double>, forward<double>, backward<double>};

}  // namespace MMAVS_ISA
}  // namespace mmavs
