/* Which input a VGG's first convolution expects.
 *
 * Files of torchvision's weights and of the original ones (Oxford's, converted from Caffe) have the same keys and
 * shapes. Sizes of numbers tell nothing: although one sees pixels of +-128 and the other of +-2, the first biases have
 * an RMS of 0.55 in Oxford's VGG19 and of 0.52 in torchvision's VGG16. What differs is which network it is. All of
 * Oxford's VGGs were started from one small network, and their first biases stayed nearly the same: those of VGG16
 * correlate with VGG19's by 0.99. torchvision's were trained from other random numbers: -0.03. Chance gives 0 +- 1/8
 * with 64 channels, so that a bound of 0.9 is not met by accident.
 */
#include <math.h>

#include "models/model.h"

#define LEAST_CORRELATION 0.9
/* RMS of the biases over that of the weights. Who rescales the input to [0, 1] or by its deviation changes
   it by 58 or more. */
#define OXFORD_RATIO 2.89
#define MOST_RATIO_CHANGE 2.0

const float imp_oxford_biases[IMP_OXFORD_CHANNELS] = {
    0.7302f, 0.0649f, 0.0343f, 0.8260f, 0.2578f, 0.5487f, -0.0124f, 0.3479f, 0.5511f, 0.0630f, 0.6070f,
    0.2670f, 0.6494f, 0.1707f, 0.4772f, 0.3825f, 0.4637f, 0.2150f,  0.4691f, 0.2383f, 0.4752f, 0.7061f,
    0.2701f, 0.6855f, 0.0322f, 0.6025f, 0.3503f, 0.4468f, 0.7733f,  0.5819f, 0.3908f, 1.7519f, 0.6612f,
    0.3021f, 0.5306f, 0.6774f, 0.3327f, 0.4913f, 0.2655f, 0.1881f,  0.0741f, 1.1081f, 0.2822f, 0.8676f,
    0.1942f, 0.8103f, 0.3606f, 0.5072f, 0.4247f, 0.4963f, 0.1512f,  0.7945f, 0.3349f, 0.4728f, 0.4155f,
    0.0850f, 0.3795f, 0.6007f, 0.4717f, 0.8131f, 0.4552f, 1.0892f,  0.4776f, 0.4072f,
};

static double rms(const float *values, size_t count) {
    double sum = 0;

    for (size_t i = 0; i < count; i++) sum += (double)values[i] * values[i];
    return sqrt(sum / (double)count);
}

static double correlation(const float *a, const float *b, size_t count) {
    double mean_a = 0, mean_b = 0, product = 0, square_a = 0, square_b = 0;

    for (size_t i = 0; i < count; i++) {
        mean_a += a[i] / (double)count;
        mean_b += b[i] / (double)count;
    }
    for (size_t i = 0; i < count; i++) {
        product += (a[i] - mean_a) * (b[i] - mean_b);
        square_a += (a[i] - mean_a) * (a[i] - mean_a);
        square_b += (b[i] - mean_b) * (b[i] - mean_b);
    }
    return square_a > 0 && square_b > 0 ? product / sqrt(square_a * square_b) : 0;
}

const char *imp_model_guess_preprocessing(imp_context *context, const imp_parameter *weight,
                                          const imp_parameter *bias) {
    size_t inputs = (size_t)(weight->shape[1] * weight->shape[2] * weight->shape[3]);
    double ratio;

    if (bias->shape[0] != IMP_OXFORD_CHANNELS ||
        correlation(bias->data, imp_oxford_biases, IMP_OXFORD_CHANNELS) < LEAST_CORRELATION)
        return "torchvision";
    ratio = rms(bias->data, IMP_OXFORD_CHANNELS) / rms(weight->data, IMP_OXFORD_CHANNELS * inputs) / OXFORD_RATIO;
    if (ratio < MOST_RATIO_CHANGE && ratio > 1 / MOST_RATIO_CHANGE) return "caffe";
    imp_fail(
        context, IMP_ERR_UNSUPPORTED,
        "Oxford's network, rescaled for another range of pixels than 0..255; use the original weights, or name the "
        "preprocessing");
    return NULL;
}
