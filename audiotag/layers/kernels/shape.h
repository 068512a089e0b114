/* The arguments of `correlate`; native.py fills them in, in this order. */

#ifndef SHAPE_H
#define SHAPE_H

#include "stream.h"
#include "vectors.h"

typedef struct {
    int64_t batch, channels, height, width;
    int64_t tap_rows, tap_columns, rows, columns; /* of the taps, and of the output */
    int64_t top, left;                            /* zeros before the map: ph, pw */
    int64_t turn;                                 /* whether to turn the taps by 180 degrees */
    strides map, tap, out; /* 0 for the batch: the same taps, or one sum, for all images */
    const float *plus;     /* if not null: the map's values are squared, and this is added */
} shape;

/* Copy taps of LANES channels from `channel` on, turned or not, into vectors. */
static void pack_taps(const shape *s, vec *to, const char *taps, int64_t channel)
{
    const char *from = taps + channel * s->tap.channel;
    int64_t rows = s->tap_rows, columns = s->tap_columns;
    strides step = s->tap;
    if (step.row == columns * step.column) /* without gaps, all are one row */
        columns *= rows, rows = 1;
    if (s->turn) {
        from += (rows - 1) * step.row + (columns - 1) * step.column;
        step.row = -step.row, step.column = -step.column;
    }
    /* A kernel's taps are neighbours in memory: LANES of a row are read at once, and the last
       LANES overlap those before. Reads of a short row go past its ends, into other channels. */
    const int64_t lanes = min(LANES, s->channels - channel), block = min(LANES, columns);
    const int64_t beyond = 4 * (LANES - block), after = s->channels - channel - LANES;
    const int inside = min(channel, after) * s->tap.channel >= beyond;
    if (s->tap.size != 4 || s->tap.column != 4 || lanes < LANES || !inside) {
        pack(to, from, &step, rows, columns, columns, lanes, 0);
        return;
    }
    for (int64_t i = 0; i < rows; i++, to += columns)
        for (int64_t j = 0; j < columns; j += LANES) {
            const int64_t first = min(j, columns - block);
            pack_transposed(to + first, from + i * step.row + first * step.column, step.channel,
                            block, s->turn);
        }
}

/* The kernels after those of the LANES channels from `channel` on, by lines of memory; none if the
   taps are maps. */
static stream kernels_to_come(const shape *s, const char *taps, int64_t channel, int64_t calls)
{
    const int64_t bytes = (s->tap_rows - 1) * s->tap.row + s->tap_columns * s->tap.column;
    const int64_t lanes = s->tap.batch ? 0 : min(LANES, s->channels - channel - LANES);
    const strides lines = {.row = s->tap.channel, .column = LINE, .channel = 1, .size = 1};
    return to_come(taps + (channel + LANES) * s->tap.channel, &lines, lanes, ceil_div(bytes, LINE),
                   calls);
}

/* The bias of `lanes` channels from `channel` on; zeros without one. */
static vec pack_bias(const float *bias, int64_t channel, int64_t lanes)
{
    vec start = {0};
    for (int64_t k = 0; bias && k < lanes; k++)
        start[k] = bias[channel + k];
    return start;
}

/* Number of pairs (output, tap) that fall on one of the `size` cells after `before` zeros. */
static int64_t overlaps(int64_t outputs, int64_t taps, int64_t size, int64_t before)
{
    int64_t sum = 0;
    for (int64_t i = 0; i < outputs; i++)
        sum += max(0, min(taps, size + before - i) - max(0, before - i));
    return sum;
}

#endif
