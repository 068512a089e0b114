/* Correlation by its definition. A tile of 2 x WIDTH outputs stays in registers while taps and
   cells are loaded; each loaded value is used at least twice. Rows outside the map are skipped;
   columns outside it too, unless some output of the tile needs a neighbouring column. */

#ifndef DIRECT_H
#define DIRECT_H

#include "shape.h"

#define WIDTH 6 /* outputs of a row that a tile holds: 2 x 6 sums, 2 taps, a cell in 16 registers */

/* Sums of 2 x n outputs over `rows` rows of cells and `columns` taps of each. */
INLINE void sum_tile(const int n, vec sums[2][WIDTH], const vec *cells, int64_t pitch,
                     const vec *taps, int64_t tap_pitch, int64_t rows, int64_t columns,
                     stream *soon)
{
    vec upper[WIDTH], lower[WIDTH];
    for (int k = 0; k < n; k++)
        upper[k] = sums[0][k], lower[k] = sums[1][k];
    for (int64_t i = 0; i < rows; i++, cells += pitch, taps += tap_pitch) {
        for (int k = 0; k < 2; k++)
            fetch(soon + k, soon[k].at), go_on(soon + k, soon[k].each);
        for (int64_t j = 0; j < columns; j++) {
            const vec tap = taps[j], tap_above = taps[j - tap_pitch];
#pragma GCC unroll 6
            for (int k = 0; k < n; k++) {
                vec cell = cells[j + k];
                KEEP_IN_REGISTER(cell);
                upper[k] += tap * cell;
                lower[k] += tap_above * cell;
            }
        }
    }
    for (int k = 0; k < n; k++)
        sums[0][k] = upper[k], sums[1][k] = lower[k];
}

/* Outputs of rows `row` and `row + 1`, columns `column` to `column + n - 1`, added to `sums`. */
static void tile(const shape *s, vec sums[2][WIDTH], const vec *cells, const vec *taps,
                 int64_t row, int64_t column, int n, stream *soon)
{
    const int64_t pitch = s->width + 2 * (WIDTH - 1);
    const int64_t low = max(0, row - s->top);
    const int64_t high = min(s->height, row + 1 - s->top + s->tap_rows);
    const int64_t left = max(0, s->left - column - n + 1);
    const int64_t right = min(s->tap_columns, s->width + s->left - column);
    const vec *cell = cells + low * pitch + WIDTH - 1 + column + left - s->left;
    /* One row of zeros lies above the taps, one below: for the other output row's ends. */
    const vec *tap = taps + (1 + low - row + s->top) * s->tap_columns + left;
    const int64_t rows = high - low, columns = right - left;
    switch (n) {
    case 1: sum_tile(1, sums, cell, pitch, tap, s->tap_columns, rows, columns, soon); break;
    case 2: sum_tile(2, sums, cell, pitch, tap, s->tap_columns, rows, columns, soon); break;
    case 3: sum_tile(3, sums, cell, pitch, tap, s->tap_columns, rows, columns, soon); break;
    case 4: sum_tile(4, sums, cell, pitch, tap, s->tap_columns, rows, columns, soon); break;
    case 5: sum_tile(5, sums, cell, pitch, tap, s->tap_columns, rows, columns, soon); break;
    default: sum_tile(6, sums, cell, pitch, tap, s->tap_columns, rows, columns, soon);
    }
}

/* Two rows of one image's outputs, for `lanes` channels. */
static void row_pair(const shape *s, const vec *cells, const vec *taps, vec bias, char *out,
                     int64_t row, int64_t lanes, int add, stream *soon)
{
    const int64_t tiles = ceil_div(s->columns, WIDTH);
    for (int64_t t = 0; t < tiles; t++) {
        const int64_t column = t * s->columns / tiles;
        const int n = (int)((t + 1) * s->columns / tiles - column);
        vec sums[2][WIDTH];
        for (int k = 0; k < n; k++)
            sums[0][k] = sums[1][k] = bias;
        tile(s, sums, cells, taps, row, column, n, soon);
        for (int64_t i = row; i < min(row + 2, s->rows); i++)
            for (int k = 0; k < n; k++) {
                char *to = out + i * s->out.row + (column + k) * s->out.column;
                put(to, add ? sums[i - row][k] + load(to, &s->out, lanes) : sums[i - row][k],
                    &s->out, lanes);
            }
    }
}

static int64_t direct_units(const shape *s) { return ceil_div(s->rows, 2); }

/* Vectors of memory that `direct_block` needs: the map's cells, then the taps. */
static int64_t direct_cells(const shape *s) { return s->height * (s->width + 2 * (WIDTH - 1)); }

static int64_t direct_memory(const shape *s)
{
    return direct_cells(s) + (s->tap_rows + 2) * s->tap_columns;
}

/* Estimated vector operations of one image: a pair of rows takes one tap row more than a single
   row, and each tile has a start and an end. Fitted, with AVX-512, to the times of fourier.h. */
static int64_t direct_cost(const shape *s)
{
    const int64_t rows = overlaps(s->rows, s->tap_rows, s->height, s->top) + s->rows;
    const int64_t sums = rows * overlaps(s->columns, s->tap_columns, s->width, s->left);
    return sums * 6 / 5 + 350 * direct_units(s) * ceil_div(s->columns, WIDTH);
}

/* The map after that of image `b`: of the next image, or the first one of the next channels. */
static stream next_map(const shape *s, const char *maps, int64_t channel, int64_t b, int64_t calls)
{
    const int64_t more = b + 1 < s->batch, step = more ? 0 : LANES;
    return to_come(maps + (more ? b + 1 : 0) * s->map.batch + step * s->map.channel, &s->map,
                   channel + step < s->channels ? s->height : 0, s->width, calls);
}

/* Pairs of output rows `first` to `last - 1` of LANES channels from `channel` on. */
static void direct_block(const shape *s, const char *maps, const char *taps, const float *bias,
                         char *out, int64_t channel, int64_t first, int64_t last, vec *memory)
{
    const int64_t lanes = min(LANES, s->channels - channel);
    const int64_t pitch = s->width + 2 * (WIDTH - 1);
    const vec start = pack_bias(bias, channel, lanes);
    vec *packed = memory + direct_cells(s);
    maps += channel * s->map.channel;
    /* On average a pair of rows overlaps half the tap rows. */
    const int64_t calls = (last - first) * ceil_div(s->columns, WIDTH) * s->tap_rows / 2;
    stream soon[] = {kernels_to_come(s, taps, channel, s->batch * calls), {0}};
    for (int64_t b = 0; b < s->batch; b++) {
        pack(memory + WIDTH - 1, maps + b * s->map.batch, &s->map, s->height, s->width, pitch,
             lanes, s->plus);
        soon[1] = next_map(s, maps, channel, b, calls);
        if (b == 0 || s->tap.batch)
            pack_taps(s, packed + s->tap_columns, taps + b * s->tap.batch, channel);
        for (int64_t pair = first; pair < last; pair++)
            row_pair(s, memory, packed, start, out + b * s->out.batch + channel * s->out.channel,
                     2 * pair, lanes, b > 0 && s->out.batch == 0, soon);
    }
}

#endif
