// The kernels for any processor; setup.py gives this file its compiler flags.
#define MMAVS_ISA generic
#include "isa.h"
