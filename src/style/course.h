/* The course of a scale: how much the content counts as it goes on, and when going on no longer pays. */
#ifndef IMP_STYLE_COURSE_H
#define IMP_STYLE_COURSE_H

#include "style/settings.h"

/* Iterations over which the gain is taken: L-BFGS and Adam rise for some before they fall. */
#define IMP_COURSE_WINDOW 10

typedef struct imp_course {
    double best[IMP_COURSE_WINDOW]; /* least loss so far, of the last iterations: a ring */
    int noted;
} imp_course;

/* How much of something is done, 0 to 1, where it goes from begin to end; 1 where it has no length. */
double imp_course_share(double begin, double now, double end);

/* What the content weight is multiplied by when this share, 0 to 1, of a scale's iterations is done: from the preset's
   lead down to 1 by equal factors. */
double imp_course_lead(const imp_preset *preset, double share);

/* Notes an iteration's loss, by the weights that the caller asked for; 1 when the last IMP_COURSE_WINDOW iterations
   have lowered the least loss by less than least_gain of it. course begins as zeros. */
int imp_course_note(imp_course *course, double least_gain, double loss);

#endif
