// The scan's passes for BFloat16 tokens.
#include "../../common/cuda/launch.cuh"

namespace mmavs {
namespace cuda {

template cudaError_t run_forward<BFloat16>(ScanParams<float>, bool, float*, const Allocator<float>&, cudaStream_t);
template cudaError_t run_backward<BFloat16>(ScanParams<float>, bool, const Gradients<float>&, const Allocator<float>&,
                                      cudaStream_t);

}  // namespace cuda
}  // namespace mmavs
