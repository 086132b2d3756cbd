/* Chooses the table of kernels by what the CPU can do. */
#include "kernels/kernels.h"

#include "kernels/tables.h"

const imp_kernels *imp_kernels_get(unsigned cpu_features) {
    (void)cpu_features;
    return &imp_kernels_c;
}
