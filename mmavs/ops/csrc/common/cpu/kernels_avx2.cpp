// The kernels for AVX2 with FMA; setup.py gives this file its compiler flags.
#define MMAVS_ISA avx2
#include "isa.h"
