/* Depthwise correlation of float maps, each channel with taps of its own.

   out[b, c, i, j] = bias[c] + sum over u, v of taps[., c, u, v] * maps[b, c, i + u - ph, j + v - pw]

   with zeros beside the maps. With the kernel as taps this is the forward pass, with the kernel
   turned by 180 degrees the input gradient; with the output gradient as taps, the sum over the
   batch is the weight gradient.

   LANES neighbouring channels are copied into one vector a cell, so that any strides will do. A
   tile of 2 x WIDTH outputs stays in registers while taps and cells pass by: each value loaded is
   used twice or more. Rows beside the map are not visited at all, columns only where some output
   of the tile still needs a neighbouring one. */

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifndef LANES
#define LANES 4
#endif
#define WIDTH 6 /* outputs of a row that a tile holds: 2 x 6 sums, 2 taps, a cell in 16 registers */

/* Else gcc loads a cell anew for each of its two uses: measured a tenth slower. */
#if defined(__x86_64__)
#define KEEP_IN_REGISTER(value) __asm__("" : "+v"(value))
#else
#define KEEP_IN_REGISTER(value)
#endif

typedef float vec __attribute__((vector_size(4 * LANES)));
typedef struct { int64_t batch, channel, row, column; } strides;

typedef struct {
    int64_t batch, channels, height, width;
    int64_t tap_rows, tap_columns, rows, columns; /* of the taps, and of the output */
    int64_t top, left;                            /* zeros before the map: ph, pw */
    int64_t turn;                                 /* whether to turn the taps by 180 degrees */
    strides map, tap, out; /* in floats; 0 for the batch: the same taps, or one sum, for all */
} shape;

static int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t max(int64_t a, int64_t b) { return a > b ? a : b; }

/* Copy rows x columns cells of `lanes` channels into vectors, `pitch` a row. */
static void pack(vec *to, const float *from, const strides *s, int64_t rows, int64_t columns,
                 int64_t pitch, int64_t lanes)
{
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < columns; j++) {
            const float *cell = from + i * s->row + j * s->column;
            vec *target = to + i * pitch + j;
            if (lanes == LANES && s->channel == 1)
                memcpy(target, cell, sizeof(vec));
            else
                for (int64_t k = 0; k < lanes; k++)
                    (*target)[k] = cell[k * s->channel];
        }
}

/* Sums of 2 x n outputs over `rows` rows of cells and `columns` taps of each. */
static inline __attribute__((always_inline)) void
sum_tile(const int n, vec sums[2][WIDTH], const vec *cells, int64_t pitch, const vec *taps,
         int64_t tap_pitch, int64_t rows, int64_t columns)
{
    vec upper[WIDTH], lower[WIDTH];
    for (int k = 0; k < n; k++)
        upper[k] = sums[0][k], lower[k] = sums[1][k];
    for (int64_t i = 0; i < rows; i++, cells += pitch, taps += tap_pitch)
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
    for (int k = 0; k < n; k++)
        sums[0][k] = upper[k], sums[1][k] = lower[k];
}

/* Outputs of rows `row` and `row + 1`, columns `column` to `column + n - 1`, added to `sums`. */
static void tile(const shape *s, vec sums[2][WIDTH], const vec *cells, const vec *taps,
                 int64_t row, int64_t column, int n)
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
    case 1: sum_tile(1, sums, cell, pitch, tap, s->tap_columns, rows, columns); break;
    case 2: sum_tile(2, sums, cell, pitch, tap, s->tap_columns, rows, columns); break;
    case 3: sum_tile(3, sums, cell, pitch, tap, s->tap_columns, rows, columns); break;
    case 4: sum_tile(4, sums, cell, pitch, tap, s->tap_columns, rows, columns); break;
    case 5: sum_tile(5, sums, cell, pitch, tap, s->tap_columns, rows, columns); break;
    default: sum_tile(6, sums, cell, pitch, tap, s->tap_columns, rows, columns);
    }
}

/* Two rows of one image's outputs, for `lanes` channels. */
static void row_pair(const shape *s, const vec *cells, const vec *taps, vec bias, float *out,
                     int64_t row, int64_t lanes, int add)
{
    const int64_t tiles = (s->columns + WIDTH - 1) / WIDTH;
    for (int64_t t = 0; t < tiles; t++) {
        const int64_t column = t * s->columns / tiles;
        const int n = (int)((t + 1) * s->columns / tiles - column);
        vec sums[2][WIDTH];
        for (int k = 0; k < n; k++)
            sums[0][k] = sums[1][k] = bias;
        tile(s, sums, cells, taps, row, column, n);
        for (int64_t i = row; i < min(row + 2, s->rows); i++)
            for (int k = 0; k < n; k++) {
                float *to = out + i * s->out.row + (column + k) * s->out.column;
                const vec value = sums[i - row][k];
                if (lanes == LANES && s->out.channel == 1 && !add)
                    memcpy(to, &value, sizeof(vec));
                else
                    for (int64_t lane = 0; lane < lanes; lane++)
                        to[lane * s->out.channel] =
                            value[lane] + (add ? to[lane * s->out.channel] : 0);
            }
    }
}

static void pack_taps(const shape *s, vec *to, const float *from, int64_t lanes)
{
    strides step = s->tap;
    if (s->turn) {
        from += (s->tap_rows - 1) * step.row + (s->tap_columns - 1) * step.column;
        step.row = -step.row, step.column = -step.column;
    }
    pack(to + s->tap_columns, from, &step, s->tap_rows, s->tap_columns, s->tap_columns, lanes);
}

/* Pairs of output rows `first` to `last - 1` of LANES channels from `channel` on. */
static void block(const shape *s, const float *maps, const float *taps, const float *bias,
                  float *out, int64_t channel, int64_t first, int64_t last, vec *cells, vec *packed)
{
    const int64_t lanes = min(LANES, s->channels - channel);
    const int64_t pitch = s->width + 2 * (WIDTH - 1);
    vec start = {0};
    for (int64_t k = 0; bias && k < lanes; k++)
        start[k] = bias[channel + k];
    for (int64_t b = 0; b < s->batch; b++) {
        const float *map = maps + b * s->map.batch + channel * s->map.channel;
        pack(cells + WIDTH - 1, map, &s->map, s->height, s->width, pitch, lanes);
        if (b == 0 || s->tap.batch)
            pack_taps(s, packed, taps + b * s->tap.batch + channel * s->tap.channel, lanes);
        for (int64_t pair = first; pair < last; pair++)
            row_pair(s, cells, packed, start, out + b * s->out.batch + channel * s->out.channel,
                     2 * pair, lanes, b > 0 && s->out.batch == 0);
    }
}

/* Share `part` of `parts` of the work; 0 if all went well. */
static int share(const shape *s, const float *maps, const float *taps, const float *bias,
                 float *out, int part, int parts)
{
    const int64_t pairs = (s->rows + 1) / 2;
    const int64_t units = (s->channels + LANES - 1) / LANES * pairs;
    const int64_t cells = s->height * (s->width + 2 * (WIDTH - 1));
    const int64_t vectors = cells + (s->tap_rows + 2) * s->tap_columns;
    vec *memory = aligned_alloc(sizeof(vec), vectors * sizeof(vec));
    if (!memory)
        return 1;
    memset(memory, 0, vectors * sizeof(vec));
    int64_t unit = units * part / parts, end = units * (part + 1) / parts;
    while (unit < end) {
        const int64_t number = unit / pairs, first = unit % pairs;
        const int64_t last = min(pairs, first + end - unit);
        block(s, maps, taps, bias, out, number * LANES, first, last, memory, memory + cells);
        unit += last - first;
    }
    free(memory);
    return 0;
}

/* Correlate; see the top. `bias` may be null. Returns 0, or else there was no memory. */
int correlate(const shape *s, const float *maps, const float *taps, const float *bias, float *out,
              int threads)
{
    int failed = 0;
#pragma omp parallel for num_threads(threads) if (threads > 1) reduction(| : failed)
    for (int part = 0; part < threads; part++)
        failed |= share(s, maps, taps, bias, out, part, threads);
    return failed;
}
