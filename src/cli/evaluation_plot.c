/* The trade-off of `impasto evaluate` as SVG: how much of the photo is kept, against how much of the painting is there. */
#include <math.h>
#include <string.h>

#include "cli/evaluation.h"
#include "cli/html.h"

enum { WIDTH = 640, HEIGHT = 420, LEFT = 60, RIGHT = 20, TOP = 20, BOTTOM = 50, LEGEND_LINE = 18 };
#define TICK 0.1 /* between two lines of the grid, where there are not more than MOST_TICKS */
#define MOST_TICKS 10

/* Okabe and Ito's, told apart by the colour-blind too. */
static const char *const colors[] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#b0a000"};

const char *imp_cli_row_color(const imp_cli_row *row) {
    return colors[row->label % (int)(sizeof colors / sizeof colors[0])];
}

typedef struct plot_axis {
    double low, high, tick;
    int begin, end; /* pixels of low and high */
} plot_axis;

static void widen(plot_axis *axis, double value) {
    if (value < axis->low) axis->low = value;
    if (value > axis->high) axis->high = value;
}

static void settle(plot_axis *axis) {
    axis->tick = TICK;
    while ((axis->high - axis->low) / axis->tick > MOST_TICKS) axis->tick *= 2;
    axis->low = axis->tick * floor(axis->low / axis->tick);
    axis->high = axis->tick * ceil(axis->high / axis->tick);
    if (axis->high - axis->low < axis->tick) axis->high = axis->low + axis->tick;
}

static double at(const plot_axis *axis, double value) {
    return axis->begin + (value - axis->low) / (axis->high - axis->low) * (axis->end - axis->begin);
}

static void write_grid(const plot_axis *across, const plot_axis *up, FILE *stream) {
    fputs("<g stroke=\"#ddd\" fill=\"#555\">\n", stream);
    for (int i = 0; across->low + i * across->tick < across->high + across->tick / 2; i++) {
        double value = across->low + i * across->tick, x = at(across, value);
        fprintf(stream,
                "<path d=\"M%.1f %dV%d\"/><text stroke=\"none\" x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%.1f"
                "</text>\n",
                x, up->begin, up->end, x, up->begin + 18, value);
    }
    for (int i = 0; up->low + i * up->tick < up->high + up->tick / 2; i++) {
        double value = up->low + i * up->tick, y = at(up, value);
        fprintf(stream,
                "<path d=\"M%d %.1fH%d\"/><text stroke=\"none\" x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.1f</text>\n",
                across->begin, y, across->end, across->begin - 8, y + 4, value);
    }
    fprintf(stream,
            "</g>\n<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">Gram similarity to the painting</text>\n"
            "<text transform=\"translate(16 %d) rotate(-90)\" text-anchor=\"middle\">SSIM to the photo</text>\n",
            (across->begin + across->end) / 2, HEIGHT - 10, (up->begin + up->end) / 2);
}

static void write_point(const plot_axis *across, const plot_axis *up, const imp_scores *scores, const char *style,
                        const char *title, FILE *stream) {
    fprintf(stream, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"5\" %s><title>", at(across, scores->gram_similarity),
            at(up, scores->ssim), style);
    imp_cli_write_html(stream, title);
    fprintf(stream, ": SSIM %.4f, Gram similarity %.4f</title></circle>\n", scores->ssim, scores->gram_similarity);
}

/* The means of floors and ceilings, named beside their points. */
static void write_candidates(const imp_cli_rows *rows, const plot_axis *across, const plot_axis *up, FILE *stream) {
    for (int i = IMP_CLI_UNTOUCHED; i < IMP_CLI_CANDIDATES; i++) {
        int count;
        imp_scores mean = imp_cli_mean(rows, -1, (imp_cli_candidate)i, &count);
        if (!count) continue;
        double x = at(across, mean.gram_similarity), y = at(up, mean.ssim);
        int right = x > (across->begin + across->end) / 2.0; /* the name stands where there is room */
        write_point(across, up, &mean, "fill=\"#fff\" stroke=\"#333\" stroke-width=\"2\"", imp_cli_candidate_titles[i],
                    stream);
        fprintf(stream, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">%s</text>\n", x + (right ? -10 : 10), y + 4,
                right ? "end" : "start", imp_cli_candidate_titles[i]);
    }
}

static void write_legend(const imp_cli_rows *rows, const plot_axis *across, const plot_axis *up, FILE *stream) {
    int line = 0;
    for (int i = 0; i < rows->count; i++) {
        const imp_cli_row *row = &rows->items[i];
        if (!row->first_of_label || !*row->triple->label) continue;
        int y = up->end + 14 + LEGEND_LINE * line++;
        fprintf(stream, "<circle cx=\"%d\" cy=\"%d\" r=\"5\" fill=\"%s\"/><text x=\"%d\" y=\"%d\" text-anchor=\"end\">",
                across->end - 12, y, imp_cli_row_color(row), across->end - 24, y + 4);
        imp_cli_write_html(stream, row->triple->label);
        fputs("</text>\n", stream);
    }
}

void imp_cli_write_plot(const imp_cli_rows *rows, FILE *stream) {
    const imp_scores *first = &rows->items[0].scores[IMP_CLI_OUTPUT];
    plot_axis across = {.low = first->gram_similarity, .high = 1, .begin = LEFT, .end = WIDTH - RIGHT};
    plot_axis up = {.low = first->ssim, .high = 1, .begin = HEIGHT - BOTTOM, .end = TOP};
    for (int i = 0; i < rows->count; i++)
        for (int j = 0; j < IMP_CLI_CANDIDATES; j++) {
            if (j == IMP_CLI_OTHER && !rows->items[i].other) continue;
            widen(&across, rows->items[i].scores[j].gram_similarity);
            widen(&up, rows->items[i].scores[j].ssim);
        }
    settle(&across);
    settle(&up);
    fprintf(stream,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" font-family=\"sans-serif\" "
            "font-size=\"13\" role=\"img\" aria-label=\"SSIM against Gram similarity\">\n",
            WIDTH, HEIGHT, WIDTH);
    write_grid(&across, &up, stream);
    write_candidates(rows, &across, &up, stream);
    for (int i = 0; i < rows->count; i++) {
        const imp_cli_row *row = &rows->items[i];
        char style[64];
        snprintf(style, sizeof style, "fill=\"%s\" fill-opacity=\"0.8\"", imp_cli_row_color(row));
        write_point(&across, &up, &row->scores[IMP_CLI_OUTPUT], style, row->triple->output, stream);
    }
    write_legend(rows, &across, &up, stream);
    fputs("</svg>\n", stream);
}
