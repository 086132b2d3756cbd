/* The lead of the content, and the rule for stopping. */
#include "style/course.h"

#include <math.h>

double imp_course_share(double begin, double now, double end) {
    return end > begin ? fmin(fmax((now - begin) / (end - begin), 0), 1) : 1;
}

double imp_course_lead(const imp_preset *preset, double share) {
    if (!(preset->content_lead > 1) || share >= preset->lead_share) return 1;
    return pow(preset->content_lead, 1 - share / preset->lead_share);
}

int imp_course_note(imp_course *course, double least_gain, double loss) {
    int slot = course->noted % IMP_COURSE_WINDOW, full = course->noted >= IMP_COURSE_WINDOW;
    double before = course->best[slot];
    double last = course->noted ? course->best[(course->noted - 1) % IMP_COURSE_WINDOW] : INFINITY;
    double best = loss < last ? loss : last; /* a loss that is not a number is not less */
    course->best[slot] = best;
    course->noted++;
    return full && isfinite(before) && before - best < least_gain * fabs(before);
}
