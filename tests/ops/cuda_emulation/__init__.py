"""CUDA kernels on the CPU, for tests of their logic on machines without a GPU."""
