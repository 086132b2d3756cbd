/* What network a file of weights seems to hold, by the names of its tensors. */
#include <string.h>

#include "models/model.h"

/* The first row of which every part is in some tensor's name. */
static const struct {
    const char *parts[3];
    const char *words;
} networks[] = {
    {{"lin0.model.1.weight", "lin4.model.1.weight", NULL}, "the linear layers of LPIPS"},
    {{"in1.weight", "res1.conv1.conv2d.weight", NULL}, "a fast style network (PyTorch's example)"},
    {{"style_embedding", NULL, NULL}, "a feed-forward style network"},
    {{"Conv2d_1a_3x3.conv.weight", NULL, NULL}, "an Inception"},
    {{"inception3a.", NULL, NULL}, "a GoogLeNet"},
    {{"denseblock1.", NULL, NULL}, "a DenseNet"},
    {{"squeeze.weight", "expand1x1.weight", NULL}, "a SqueezeNet"},
    {{"layer1.0.conv1.weight", "layer4.", NULL}, "a ResNet"},
    {{"visual.transformer.", NULL, NULL}, "a CLIP"},
    {{"patch_embed", NULL, NULL}, "a vision transformer"},
    {{"conv_proj.weight", "encoder.layers.", NULL}, "a vision transformer"},
    {{"encoder.layer.0.attention", NULL, NULL}, "a BERT"},
    {{"model.diffusion_model.", NULL, NULL}, "a Stable Diffusion"},
    {{"lora_", NULL, NULL}, "a LoRA for a diffusion model"},
    {{"features.0.0.weight", "features.0.1.running_mean", NULL}, "a MobileNet, EfficientNet or ConvNeXt"},
    {{"features.1.running_mean", "features.3.weight", NULL}, "a VGG with batch normalisation, which is not supported"},
    {{"features.3.weight", "features.18.weight", "features.16.weight"}, "a VGG11"},
    {{"features.22.weight", "features.15.weight", NULL}, "a VGG13"},
    {{"features.3.weight", "features.6.weight", "classifier."}, "an AlexNet"},
    {{"generator", "discriminator", NULL}, "a GAN"},
    {{"layers.0.self_attn", NULL, NULL}, "a language model"},
    {{"running_mean", NULL, NULL}, "a network with batch normalisation"},
};

static int contains(const imp_tensors *tensors, const char *part) {
    for (int i = 0; i < tensors->count; i++)
        if (strstr(tensors->tensors[i].name, part)) return 1;
    return 0;
}

const char *imp_identify_network(const imp_tensors *tensors) {
    for (size_t i = 0; i < sizeof networks / sizeof *networks; i++) {
        int all = 1;
        for (size_t k = 0; k < 3 && networks[i].parts[k]; k++) all = all && contains(tensors, networks[i].parts[k]);
        if (all) return networks[i].words;
    }
    return NULL;
}
