// The scan's passes for double tokens.
#include "../../common/cuda/launch.cuh"

namespace mmavs {
namespace cuda {

template cudaError_t run_forward<double>(ScanParams<double>, bool, double*, const Allocator<double>&, cudaStream_t);
template cudaError_t run_backward<double>(ScanParams<double>, bool, const Gradients<double>&, const Allocator<double>&,
                                      cudaStream_t);

}  // namespace cuda
}  // namespace mmavs
