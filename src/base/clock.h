/* The monotonic clock. */
#ifndef IMP_BASE_CLOCK_H
#define IMP_BASE_CLOCK_H

double imp_seconds(void); /* since some fixed moment */

#endif
