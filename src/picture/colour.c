/* Colour management by Little CMS, in a context of its own for each conversion: no global state, no caches that threads
 * could race for, its memory from the caller's context, its errors kept as words for a warning. */
#include "picture/colour.h"

#include <lcms2.h>
#include <lcms2_plugin.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/thread.h"

#define MAX_LCMS_BLOCK ((size_t)512 << 20) /* bytes; Little CMS' own bound for one block */
#define BLOCK_HEADER 64                    /* bytes in front of its blocks; keeps their alignment */
#define SRGB_GAMMA 0.45455                 /* what PNG writes for sRGB */
#define GAMMA_TOLERANCE 0.05               /* relative; rounding in files, and too little to see */

struct imp_colour {
    imp_context *context;
    cmsContext lcms;
    cmsHTRANSFORM transform;
    int out_of_memory;
    char words[128]; /* of the first error */
};

/* ---- Memory and errors of Little CMS ----------------------------------------------------------------------------- */

/* A block remembers whose it is: Little CMS takes its very first block before its context can
   be asked for user data. */
typedef struct block_header {
    imp_colour *owner;
    size_t bytes;
} block_header;

/* Little CMS crashes here and there when an allocation fails. So what the context refuses is taken by malloc, and
   remembered: the conversion then fails as soon as Little CMS returns. */
static void *lcms_allocate(cmsContext lcms, cmsUInt32Number bytes) {
    imp_colour *owner = cmsGetContextUserData(lcms);
    block_header *block = NULL;
    if (bytes > MAX_LCMS_BLOCK) return NULL;
    if (owner) block = imp_allocate(owner->context, BLOCK_HEADER + (size_t)bytes);
    if (owner && !block) owner->out_of_memory = 1;
    block_header header = {block ? owner : NULL, bytes};
    if (!block) block = malloc(BLOCK_HEADER + (size_t)bytes);
    if (!block) return NULL;
    *block = header;
    return (char *)block + BLOCK_HEADER;
}

static void lcms_release(cmsContext lcms, void *memory) {
    (void)lcms;
    if (!memory) return;
    block_header *block = (block_header *)(void *)((char *)memory - BLOCK_HEADER);
    if (block->owner)
        imp_release(block->owner->context, block);
    else
        free(block);
}

static void *lcms_reallocate(cmsContext lcms, void *memory, cmsUInt32Number bytes) {
    void *grown = lcms_allocate(lcms, bytes);
    if (!grown || !memory) return grown;
    size_t kept = ((block_header *)(void *)((char *)memory - BLOCK_HEADER))->bytes;
    memcpy(grown, memory, kept < bytes ? kept : bytes);
    lcms_release(lcms, memory);
    return grown;
}

static void keep_words(cmsContext lcms, cmsUInt32Number code, const char *words) {
    imp_colour *owner = cmsGetContextUserData(lcms);
    (void)code;
    if (owner && !owner->words[0]) snprintf(owner->words, sizeof owner->words, "%s", words);
}

void imp_colour_close(imp_colour *colour) {
    if (!colour) return;
    if (colour->transform) cmsDeleteTransform(colour->transform);
    if (colour->lcms) cmsDeleteContext(colour->lcms);
    imp_release(colour->context, colour);
}

/* A colour with its Little CMS context, no transform yet. */
static imp_colour *colour_create(imp_context *context) {
    imp_colour *colour = imp_allocate_zero(context, 1, sizeof *colour);
    if (!colour) return NULL;
    /* The members left out have defaults in Little CMS that are built from those given. */
    cmsPluginMemHandler memory = {
        .base = {.Magic = cmsPluginMagicNumber, .ExpectedVersion = 2000, .Type = cmsPluginMemHandlerSig},
        .MallocPtr = lcms_allocate,
        .FreePtr = lcms_release,
        .ReallocPtr = lcms_reallocate};
    colour->context = context;
    colour->lcms = cmsCreateContext(&memory, colour);
    if (!colour->lcms || colour->out_of_memory) {
        imp_colour_close(colour);
        imp_fail(context, IMP_ERR_MEMORY, "out of memory: colour conversion");
        return NULL;
    }
    cmsSetLogErrorHandlerTHR(colour->lcms, keep_words);
    return colour;
}

/* ---- Profiles ---------------------------------------------------------------------------------------------------- */

/* IEC 61966-2-1, as Little CMS' parametric curve of type 4. */
static cmsToneCurve *srgb_curve(cmsContext lcms) {
    const cmsFloat64Number parameters[5] = {2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045};
    return cmsBuildParametricToneCurve(lcms, 4, parameters);
}

static cmsHPROFILE grey_profile(cmsContext lcms, cmsToneCurve *curve) {
    return curve ? cmsCreateGrayProfileTHR(lcms, cmsD50_xyY(), curve) : NULL;
}

static cmsHPROFILE srgb_profile(cmsContext lcms, int grey) {
    if (!grey) return cmsCreate_sRGBProfileTHR(lcms);
    cmsToneCurve *curve = srgb_curve(lcms);
    cmsHPROFILE profile = grey_profile(lcms, curve);
    if (curve) cmsFreeToneCurve(curve);
    return profile;
}

/* A profile for a PNG's gAMA and cHRM; either may be missing. */
static cmsHPROFILE gamma_profile(cmsContext lcms, const imp_colour_origin *origin, int grey) {
    static const double srgb[8] = {0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06};
    const double *at = origin->has_primaries ? origin->primaries : srgb;
    int as_srgb = origin->gamma <= 0 || fabs(origin->gamma / SRGB_GAMMA - 1) < GAMMA_TOLERANCE;
    cmsToneCurve *curve = as_srgb ? srgb_curve(lcms) : cmsBuildGamma(lcms, 1 / origin->gamma);
    cmsHPROFILE profile = NULL;
    if (curve && grey) {
        profile = grey_profile(lcms, curve);
    } else if (curve) {
        cmsCIExyY white = {at[0], at[1], 1};
        cmsCIExyYTRIPLE primaries = {{at[2], at[3], 1}, {at[4], at[5], 1}, {at[6], at[7], 1}};
        cmsToneCurve *curves[3] = {curve, curve, curve};
        profile = cmsCreateRGBProfileTHR(lcms, &white, &primaries, curves);
    }
    if (curve) cmsFreeToneCurve(curve);
    return profile;
}

/* The file's profile, where it fits the space of its pixels. NULL with words otherwise. */
static cmsHPROFILE origin_profile(imp_colour *colour, const imp_colour_origin *origin, imp_colour_space space) {
    static const cmsColorSpaceSignature signatures[] = {cmsSigGrayData, cmsSigRgbData, cmsSigCmykData, cmsSigCmykData};
    if (!origin->profile) return gamma_profile(colour->lcms, origin, space == IMP_SPACE_GREY);
    if (origin->length > UINT32_MAX) return NULL;
    cmsHPROFILE profile = cmsOpenProfileFromMemTHR(colour->lcms, origin->profile, (cmsUInt32Number)origin->length);
    if (!profile) return NULL;
    cmsProfileClassSignature kind = cmsGetDeviceClass(profile);
    int usable = kind == cmsSigInputClass || kind == cmsSigDisplayClass || kind == cmsSigOutputClass ||
                 kind == cmsSigColorSpaceClass;
    if (usable && cmsGetColorSpace(profile) == signatures[space]) return profile;
    snprintf(colour->words, sizeof colour->words, "it is made for other colours than the picture's");
    cmsCloseProfile(profile);
    return NULL;
}

/* ---- The transform ----------------------------------------------------------------------------------------------- */

static cmsHTRANSFORM make_transform(imp_colour *colour, cmsHPROFILE from, imp_colour_space space, imp_depth depth,
                                    int alpha) {
    int grey = space == IMP_SPACE_GREY, cmyk = space == IMP_SPACE_CMYK || space == IMP_SPACE_CMYK_INVERTED;
    cmsUInt32Number common = EXTRA_SH(alpha ? 1 : 0) | BYTES_SH((cmsUInt32Number)depth);
    cmsUInt32Number out =
        common | (grey ? COLORSPACE_SH(PT_GRAY) | CHANNELS_SH(1) : COLORSPACE_SH(PT_RGB) | CHANNELS_SH(3));
    cmsUInt32Number in = cmyk ? common | COLORSPACE_SH(PT_CMYK) | CHANNELS_SH(4) : out;
    if (space == IMP_SPACE_CMYK_INVERTED) in |= FLAVOR_SH(1);
    cmsHPROFILE srgb = srgb_profile(colour->lcms, grey);
    if (!srgb) return NULL;
    /* Without its cache of one colour a transform has no state, and threads may share it. What Little CMS makes of a
       grey curve to be faster has 33 points, too few for the darks. */
    cmsUInt32Number flags = cmsFLAGS_NOCACHE | cmsFLAGS_BLACKPOINTCOMPENSATION | (grey ? cmsFLAGS_NOOPTIMIZE : 0);
    cmsHTRANSFORM transform =
        cmsCreateTransformTHR(colour->lcms, from, in, srgb, out, INTENT_RELATIVE_COLORIMETRIC, flags);
    cmsCloseProfile(srgb);
    return transform;
}

static const int probe_levels[] = {0, 16, 32, 64, 96, 128, 160, 208, 255};
#define PROBE_LEVELS ((int)(sizeof probe_levels / sizeof probe_levels[0]))
#define PROBE_PIXELS 729 /* PROBE_LEVELS to the third */

static int probe_sample(const void *samples, int index, imp_depth depth) {
    if (depth == IMP_DEPTH_8) return ((const uint8_t *)samples)[index] * 257;
    return ((const uint16_t *)samples)[index];
}

/* Whether the transform moves no colour by more than one step of 8 bits: the profile is sRGB by another name, and
   pixels are better left exactly as they are. */
static int changes_nothing(const imp_colour *colour, imp_colour_space space, imp_depth depth, int alpha) {
    if (space != IMP_SPACE_GREY && space != IMP_SPACE_RGB) return 0;
    int colours = space == IMP_SPACE_GREY ? 1 : 3, channels = colours + (alpha ? 1 : 0);
    uint16_t before[PROBE_PIXELS * 4] = {0}, after[PROBE_PIXELS * 4];
    for (int pixel = 0; pixel < PROBE_PIXELS; pixel++) {
        int rest = pixel;
        for (int c = 0; c < colours; c++, rest /= PROBE_LEVELS) {
            int level = probe_levels[rest % PROBE_LEVELS], index = pixel * channels + c;
            if (depth == IMP_DEPTH_8)
                ((uint8_t *)before)[index] = (uint8_t)level;
            else
                before[index] = (uint16_t)(level * 257);
        }
    }
    memcpy(after, before, sizeof after);
    cmsDoTransform(colour->transform, before, after, PROBE_PIXELS);
    for (int i = 0; i < PROBE_PIXELS * channels; i++)
        if (abs(probe_sample(before, i, depth) - probe_sample(after, i, depth)) > 257) return 0;
    return 1;
}

int imp_colour_open(imp_context *context, const imp_colour_origin *origin, imp_colour_space space, imp_depth depth,
                    int alpha, const char *name, imp_colour **result) {
    *result = NULL;
    if (!origin->profile && origin->gamma <= 0 && !origin->has_primaries) return IMP_OK;
    imp_colour *colour = colour_create(context);
    if (!colour) return IMP_ERR_MEMORY;
    cmsHPROFILE from = origin_profile(colour, origin, space);
    if (from) {
        colour->transform = make_transform(colour, from, space, depth, alpha);
        cmsCloseProfile(from);
    }
    if (colour->out_of_memory) {
        imp_colour_close(colour);
        return imp_fail(context, IMP_ERR_MEMORY, "out of memory: colour conversion");
    }
    if (!colour->transform)
        imp_log(context, IMP_LOG_WARNING, "%s: its colour profile is ignored: %s", name,
                colour->words[0] ? colour->words : "it cannot be used");
    if (!colour->transform || changes_nothing(colour, space, depth, alpha)) {
        imp_colour_close(colour);
        return IMP_OK;
    }
    *result = colour;
    return IMP_OK;
}

void imp_colour_row(const imp_colour *colour, const void *in, void *out, int pixels) {
    cmsDoTransform(colour->transform, in, out, (cmsUInt32Number)pixels);
}

/* ---- Whole images ------------------------------------------------------------------------------------------------ */

typedef struct image_conversion {
    const imp_colour *colour;
    imp_image *image;
} image_conversion;

static void convert_rows(void *user, int64_t begin, int64_t end, int thread) {
    const image_conversion *job = user;
    (void)thread;
    for (int64_t y = begin; y < end; y++) {
        uint8_t *row = (uint8_t *)job->image->pixels + (size_t)y * job->image->stride;
        imp_colour_row(job->colour, row, row, job->image->width);
    }
}

int imp_colour_apply(imp_context *context, const imp_colour_origin *origin, imp_image *image, const char *name) {
    imp_colour *colour;
    imp_colour_space space = image->channels >= 3 ? IMP_SPACE_RGB : IMP_SPACE_GREY;
    int status = imp_colour_open(context, origin, space, image->depth, image->channels % 2 == 0, name, &colour);
    if (status || !colour) return status;
    image_conversion job = {colour, image};
    imp_parallel(context, image->height, convert_rows, &job);
    imp_colour_close(colour);
    return IMP_OK;
}

/* ---- The profile that is written --------------------------------------------------------------------------------- */

#define ICC_DATE 24 /* offset in the header: six 16-bit numbers */
#define ICC_DATE_BYTES 12

static int save_profile(imp_colour *colour, cmsHPROFILE profile, uint8_t **bytes, size_t *length) {
    static const uint8_t date[ICC_DATE_BYTES] = {2000 >> 8, 2000 & 255, 0,
                                                 1,         0,          1}; /* else every run writes another file */
    cmsUInt32Number needed = 0;
    if (!cmsSaveProfileToMem(profile, NULL, &needed) || needed < ICC_DATE + ICC_DATE_BYTES) return 0;
    *bytes = imp_allocate(colour->context, needed);
    if (!*bytes) return 0;
    if (!cmsSaveProfileToMem(profile, *bytes, &needed)) {
        imp_release(colour->context, *bytes);
        *bytes = NULL;
        return 0;
    }
    memcpy(*bytes + ICC_DATE, date, sizeof date);
    *length = needed;
    return 1;
}

int imp_colour_srgb_profile(imp_context *context, int grey, uint8_t **bytes, size_t *length) {
    *bytes = NULL;
    *length = 0;
    imp_colour *colour = colour_create(context);
    if (!colour) return IMP_ERR_MEMORY;
    cmsHPROFILE profile = srgb_profile(colour->lcms, grey);
    int saved = profile && save_profile(colour, profile, bytes, length);
    if (profile) cmsCloseProfile(profile);
    if (colour->out_of_memory) saved = 0;
    imp_colour_close(colour);
    if (saved) return IMP_OK;
    imp_release(context, *bytes);
    *bytes = NULL;
    return imp_fail(context, IMP_ERR_MEMORY, "out of memory: colour profile");
}
