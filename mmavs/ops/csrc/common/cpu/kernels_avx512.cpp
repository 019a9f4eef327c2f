// The kernels for AVX-512 (F, DQ); setup.py gives this file its compiler flags.
#define MMAVS_ISA avx512
#include "isa.h"
