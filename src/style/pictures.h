/* The pictures of a painting: photos of one size, side by side in memory, so that the network is run for all of them at
 * once; what is painted of each at the scale at work; and an optimiser each, which knows nothing of the others. */
#ifndef IMP_STYLE_PICTURES_H
#define IMP_STYLE_PICTURES_H

#include "style/course.h"
#include "style/criterion.h"
#include "style/descent.h"

typedef struct imp_picture {
    imp_descent *descent; /* NULL before the first evaluation */
    int bad_steps;        /* losses in a row that were not finite */
    int steps;            /* done so far, over all scales */
    int failed;           /* too many bad ones in a row: it stays at the last good picture */
    imp_course course;    /* of this scale */
    int settled;          /* going on no longer pays at this scale: it waits for the others */
} imp_picture;

typedef struct imp_pictures {
    imp_context *context;
    const imp_settings *settings;
    imp_canvas canvas; /* of the scale at work */
    int count;
    imp_picture *each;  /* [count] */
    imp_losses *losses; /* [count] of the last evaluation */
    float *photos;      /* [count, 3, height, width] on the last scale's canvas without its margin; NULL once nobody
                           needs them any more */
    float *planes;      /* [count, 3, height, width] on the canvas at work */
    float *gradient;    /* of planes; NULL before imp_pictures_make_gradient */
} imp_pictures;

/* The final picture, without a margin. */
imp_canvas imp_pictures_final(const imp_pictures *pictures);

/* A photo more, brought to the final size, and where it starts: start, where that is not NULL, else what the settings
   say. After a failure all is as before. */
int imp_pictures_add(imp_pictures *pictures, const imp_image *photo, const imp_image *start);

/* Makes descents for the scale at work. Once a scale, or again after a failure of it or of what followed. */
int imp_pictures_prepare(imp_pictures *pictures, int scale);

/* Makes the gradient, unless it is there. */
int imp_pictures_make_gradient(imp_pictures *pictures);

/* The photos on the canvas at work: pictures->photos itself where that is the final one, or else new memory. */
int imp_pictures_content(const imp_pictures *pictures, float **content);

/* Brings all to the canvas of the next scale. */
int imp_pictures_enlarge(imp_pictures *pictures, const imp_canvas *canvas);

/* A step of a picture's optimiser, by its loss and gradient. judge: 1 to see whether it pays to go on. IMP_ERR_NUMERIC,
   without words: it has failed, and is back at its last good point. */
int imp_pictures_step(imp_pictures *pictures, int index, int judge);

/* The picture as it stands, at the final size. iterations: done at this scale. */
int imp_pictures_image(const imp_pictures *pictures, int index, int iterations, imp_depth depth, imp_image *out);

void imp_pictures_release_gradient(imp_pictures *pictures);
void imp_pictures_release_photos(imp_pictures *pictures); /* unless the resulting images take their colours from them */
void imp_pictures_release(imp_pictures *pictures);        /* all of them, not the struct itself */

#endif
