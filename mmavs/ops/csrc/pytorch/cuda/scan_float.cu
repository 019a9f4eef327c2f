// The scan's passes for float tokens.
#include "../../common/cuda/launch.cuh"

namespace mmavs {
namespace cuda {

template cudaError_t run_forward<float>(ScanParams<float>, bool, float*, const Allocator<float>&, cudaStream_t);
template cudaError_t run_backward<float>(ScanParams<float>, bool, const Gradients<float>&, const Allocator<float>&,
                                      cudaStream_t);

}  // namespace cuda
}  // namespace mmavs
