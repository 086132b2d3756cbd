/* The pace: how fast this machine, as it is now, evaluates a criterion. */
#ifndef IMP_STYLE_PACE_H
#define IMP_STYLE_PACE_H

#include "style/settings.h"

/* An evaluation takes fixed + each x operations seconds. The fixed part is what does not depend on the size of the
   picture: Winograd's transforms of the weights, the losses of statistics. */
typedef struct imp_pace {
    double fixed, each;
} imp_pace;

/* That of the scales which are not the sketch's, and of those which are. */
typedef struct imp_paces {
    imp_pace main, sketch;
} imp_paces;

/* Times evaluations of batch small pictures, which takes some hundredths of the run. The scales have
   their budget. */
int imp_pace_measure(imp_context *context, const imp_settings *settings, int batch, imp_paces *paces);

/* Seconds from the start of a run until so many iterations are done on a scale; all of it where there is no such
   scale. */
double imp_pace_run(const imp_paces *paces, const imp_settings *settings, int scale, double iterations);

#endif
