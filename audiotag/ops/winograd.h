/* Correlation of large kernels by Winograd's F(4x4, 4x4), nested: taps in tiles of 4 x 4.

   Windows of 7 x 7 cells, one every 4, and tiles of 4 x 4 taps are taken to the 7 x 7 points
   {0, 1, -1, 2, -2, 1/2, infinity}^2 (Toom and Cook; arXiv 1509.09308). There, the map of windows
   is correlated with the map of tap tiles, a product for each of 16 x 16 pairs of an output and a
   tap being 49; then each tile of 4 x 4 outputs comes back from its 7 x 7 sums. A 23x23 kernel has
   6 x 6 tiles: 110 products an output instead of 529. The rounding error is about five times that
   of plain sums. */

#ifndef WINOGRAD_H
#define WINOGRAD_H

#include "shape.h"

#define TILE 4    /* outputs, and taps, along a side of a tile */
#define WINDOW 7  /* cells along a side of what a tile of outputs meets in a tile of taps */
#define POINTS 49
#define MOST_OUTPUTS 8 /* 8 sums, 6 taps and a cell fit into 16 registers */
#define MOST_TAPS 6
#define FEWEST_OUTPUTS 4
#define FEWEST_TAPS 3
#define IN_FLIGHT 8 /* sums that keep the multipliers busy: two of them, four cycles each */

/* Sizes, in tiles unless said. A plane holds one point of all windows, or of all taps. */
typedef struct {
    int64_t rows, columns;         /* outputs */
    int64_t outputs;               /* of a row that are summed at once */
    int64_t tap_rows, tap_columns; /* columns: with zeros, to a multiple of the next */
    int64_t taps;                  /* of a row that are in registers at once */
    int64_t first, last;           /* rows of windows that touch the map, `last` not included, */
    int64_t first_column, last_column; /* and columns */
    int64_t pitch;                 /* of planes of windows and of outputs, */
    int64_t plane, tap_plane;      /* and sizes of planes, in vectors; taps lie between zeros */
    int64_t strip, sheet;          /* cells along a row of windows, and along all rows */
} tiling;

static tiling tile_up(const shape *s)
{
    tiling t = {.rows = ceil_div(s->rows, TILE), .columns = ceil_div(s->columns, TILE)};
    const int64_t parts = ceil_div(t.columns, MOST_OUTPUTS);
    t.outputs = max(FEWEST_OUTPUTS, ceil_div(t.columns, parts));
    t.tap_rows = ceil_div(s->tap_rows, TILE);
    const int64_t tap_tiles = ceil_div(s->tap_columns, TILE);
    const int64_t tap_parts = ceil_div(tap_tiles, MOST_TAPS);
    t.taps = max(FEWEST_TAPS, ceil_div(tap_tiles, tap_parts));
    t.tap_columns = tap_parts * t.taps;
    t.first = max(0, ceil_div(s->top - WINDOW + 1, TILE));
    t.last = min(t.rows + t.tap_rows - 1, ceil_div(s->height + s->top, TILE));
    t.first_column = max(0, ceil_div(s->left - WINDOW + 1, TILE));
    t.pitch = parts * t.outputs + t.tap_columns - 1;
    t.last_column = min(t.pitch, ceil_div(s->width + s->left, TILE));
    t.plane = (t.rows + t.tap_rows - 1) * t.pitch;
    t.tap_plane = (t.tap_rows + 2) * t.tap_columns;
    t.strip = TILE * (t.pitch - 1) + WINDOW;
    t.sheet = max(t.rows, t.last) * t.strip;
    return t;
}

/* 7 cells to points. Each point's row of the inverse Vandermonde matrix, transposed, is multiplied
   by what makes it whole numbers; `taps_to_points` divides by it. */
INLINE void cells_to_points(const vec *x, int64_t step, vec *to, int64_t stride)
{
    const vec x1 = x[step], x2 = x[2 * step], x3 = x[3 * step], x4 = x[4 * step], x5 = x[5 * step];
    const vec odd = 4 * x1 - 5 * x3 + x5;
    const vec near = 4 * x2 - x4, far = x2 - x4, sides = -4 * x1 + 9 * x3 - 2 * x5;
    to[0] = 4 * x[0] - 5 * x2 + x4 - 2 * odd;
    to[stride] = near + sides;
    to[2 * stride] = 3 * near - 4 * x1 - 7 * x3 + 2 * x5;
    to[3 * stride] = 2 * (x1 - 2 * x3 + x5) - 3 * far;
    to[4 * stride] = 2 * (x1 - x5) - 5 * far;
    to[5 * stride] = odd;
    to[6 * stride] = 2 * (near - 4 * x4 + x[6 * step]) - odd;
}

/* 4 taps to points: the values there of the polynomial that has them as coefficients. */
INLINE void taps_to_points(const vec *w, int64_t step, vec *to, int64_t stride)
{
    const vec w0 = w[0], w1 = w[step], w2 = w[2 * step], w3 = w[3 * step];
    const vec even = w0 + w2, odd = w1 + w3, even2 = w0 + 4 * w2, odd2 = 2 * w1 + 8 * w3;
    to[0] = w0 * (1 / 4.0f);
    to[stride] = (even + odd) * (1 / 6.0f);
    to[2 * stride] = (even - odd) * (1 / 18.0f);
    to[3 * stride] = (even2 + odd2) * (1 / 72.0f);
    to[4 * stride] = (even2 - odd2) * (1 / 120.0f);
    to[5 * stride] = (8 * w0 + 4 * w1 + 2 * w2 + w3) * (4 / 45.0f);
    to[6 * stride] = w3 * (1 / 2.0f);
}

/* Sums at points to 4 outputs: the powers 0 to 3 of the points. */
INLINE void from_points(const vec *m, int64_t step, vec *to, int64_t stride)
{
    const vec m5 = m[5 * step];
    const vec even = m[step] + m[2 * step], odd = m[step] - m[2 * step];
    const vec even2 = m[3 * step] + m[4 * step], odd2 = m[3 * step] - m[4 * step];
    to[0] = m[0] + even + even2 + m5;
    to[stride] = odd + 2 * odd2 + m5 * 0.5f;
    to[2 * stride] = even + 4 * even2 + m5 * 0.25f;
    to[3 * stride] = odd + 8 * odd2 + m5 * 0.125f + m[6 * step];
}

/* All tiles of taps, from rows of `pitch` vectors, to planes. */
static void tiles_to_points(const tiling *t, const vec *taps, int64_t pitch, vec *planes)
{
    vec half[WINDOW * TILE];
    for (int64_t i = 0; i < t->tap_rows; i++)
        for (int64_t j = 0; j < t->tap_columns; j++) {
            for (int64_t k = 0; k < TILE; k++)
                taps_to_points(taps + TILE * (i * pitch + j) + k, pitch, half + k, TILE);
            vec *to = planes + (i + 1) * t->tap_columns + j;
            for (int64_t a = 0; a < WINDOW; a++)
                taps_to_points(half + a * TILE, 1, to + a * WINDOW * t->tap_plane, t->tap_plane);
        }
}

/* n sums of a row, over `rows` rows of windows and `parts` times `taps` taps of each. */
INLINE void sum_row(const int n, const int taps, vec *to, const vec *from, const vec *cells,
                    int64_t pitch, const vec *weights, int64_t rows, int64_t parts)
{
    vec sums[MOST_OUTPUTS];
    for (int k = 0; k < n; k++)
        sums[k] = from ? from[k] : (vec){0};
    for (int64_t part = 0; part < parts; part++)
        for (int64_t i = 0; i < rows; i++) {
            const vec *row = cells + i * pitch + part * taps;
            const vec *weight = weights + (i * parts + part) * taps;
            vec tap[MOST_TAPS];
#pragma GCC unroll 6
            for (int k = 0; k < taps; k++) {
                tap[k] = weight[k];
                KEEP_IN_REGISTER(tap[k]);
            }
#pragma GCC unroll 13
            for (int q = 0; q < n + taps - 1; q++) {
                vec cell = row[q];
                KEEP_IN_REGISTER(cell);
#pragma GCC unroll 8
                for (int k = 0; k < n; k++)
                    if (q >= k && q < k + taps)
                        sums[k] += cell * tap[q - k];
            }
        }
    for (int k = 0; k < n; k++)
        to[k] = sums[k];
}

/* The same of two rows, in one part: 2 n sums that do not wait for each other. Zeros lie above and
   below the taps, for the window rows that only one of the two meets. */
INLINE void sum_two_rows(const int n, const int taps, vec *to, int add, const vec *cells,
                         int64_t pitch, const vec *weights, int64_t rows)
{
    vec upper[FEWEST_OUTPUTS], lower[FEWEST_OUTPUTS];
    for (int k = 0; k < n; k++) {
        upper[k] = add ? to[k] : (vec){0};
        lower[k] = add ? to[pitch + k] : (vec){0};
    }
    for (int64_t i = 0; i < rows; i++) {
        const vec *row = cells + i * pitch, *tap = weights + i * taps;
#pragma GCC unroll 13
        for (int q = 0; q < n + taps - 1; q++) {
            vec cell = row[q];
            KEEP_IN_REGISTER(cell);
#pragma GCC unroll 8
            for (int k = 0; k < n; k++)
                if (q >= k && q < k + taps) {
                    upper[k] += cell * tap[q - k];
                    lower[k] += cell * tap[q - k - taps];
                }
        }
    }
    for (int k = 0; k < n; k++)
        to[k] = upper[k], to[pitch + k] = lower[k];
}

/* Whether rows of sums are made by twos: where one alone has too few to keep multipliers busy, four
   of the eight IN_FLIGHT. */
static int is_paired(const tiling *t)
{
    return t->columns <= FEWEST_OUTPUTS && t->taps == t->tap_columns;
}

/* One row of sums at one point, in one piece or more, or two. */
INLINE void sum_pieces(const int n, const int taps, vec *to, int add, const vec *cells,
                       const tiling *t, const vec *weights, int64_t rows, int paired)
{
    if (paired && n == FEWEST_OUTPUTS)
        sum_two_rows(n, taps, to, add, cells, t->pitch, weights, rows);
    else
        for (int64_t j = 0; j < t->columns; j += n)
            sum_row(n, taps, to + j, add ? to + j : 0, cells + j, t->pitch, weights, rows,
                    t->tap_columns / taps);
}

#define WITH_TAPS(n)                                                                          \
    switch (t->taps) {                                                                        \
    case 3: sum_pieces(n, 3, to, add, cells, t, weights, rows, paired); break;                \
    case 4: sum_pieces(n, 4, to, add, cells, t, weights, rows, paired); break;                \
    case 5: sum_pieces(n, 5, to, add, cells, t, weights, rows, paired); break;                \
    default: sum_pieces(n, 6, to, add, cells, t, weights, rows, paired);                      \
    }                                                                                         \
    break

static void sum_at_point(const tiling *t, vec *to, int add, const vec *cells, const vec *weights,
                         int64_t rows, int paired)
{
    switch (t->outputs) {
    case 4: WITH_TAPS(4);
    case 5: WITH_TAPS(5);
    case 6: WITH_TAPS(6);
    case 7: WITH_TAPS(7);
    default: WITH_TAPS(8);
    }
}

/* Sums at one point, row by row or by twos, so that they may take the place of the windows. */
static void correlate_plane(const tiling *t, const vec *windows, const vec *taps, vec *sums,
                            int add)
{
    const int64_t most = is_paired(t) ? 2 : 1;
    for (int64_t i = 0; i < t->rows; i += most) {
        const int64_t together = min(most, t->rows - i);
        const int64_t low = max(i, t->first), high = min(i + together - 1 + t->tap_rows, t->last);
        sum_at_point(t, sums + i * t->pitch, add, windows + low * t->pitch,
                     taps + (1 + low - i) * t->tap_columns, max(0, high - low), together == 2);
    }
}

/* One row of the map, `lanes` channels, into the middle of a strip's row; zeros beside the map. */
static void load_row(const shape *s, const char *map, int64_t row, vec *to, int64_t lanes)
{
    if (row < 0 || row >= s->height)
        memset(to + s->left, 0, s->width * sizeof(vec));
    else
        pack(to + s->left, map + row * s->map.row, &s->map, 1, s->width, 0, lanes);
}

/* An image, `lanes` channels: windows are taken to points from top to bottom, into WINDOW sheets of
   a row for each row of windows, by way of WINDOW rows of cells. */
static void map_to_sheets(const shape *s, const tiling *t, const char *map, vec *cells,
                          vec *sheets, int64_t lanes)
{
    for (int64_t i = t->first; i < t->last; i++) {
        const int64_t kept = i == t->first ? 0 : WINDOW - TILE;
        memmove(cells, cells + TILE * t->strip, kept * t->strip * sizeof(vec));
        for (int64_t k = kept; k < WINDOW; k++)
            load_row(s, map, TILE * i - s->top + k, cells + k * t->strip, lanes);
        const int64_t end = TILE * (t->last_column - 1) + WINDOW;
        for (int64_t j = TILE * t->first_column; j < end; j++)
            cells_to_points(cells + j, t->strip, sheets + i * t->strip + j, t->sheet);
    }
}

/* From left to right, a sheet to WINDOW planes. */
static void sheet_to_planes(const tiling *t, const vec *sheet, vec *planes)
{
    const int64_t first = t->first_column, last = t->last_column;
    for (int64_t i = t->first; i < t->last; i++) {
        vec *to = planes + i * t->pitch;
        for (int64_t b = 0; b < WINDOW; b++) {
            memset(to + b * t->plane, 0, first * sizeof(vec));
            memset(to + b * t->plane + last, 0, (t->pitch - last) * sizeof(vec));
        }
        for (int64_t j = first; j < last; j++)
            cells_to_points(sheet + i * t->strip + TILE * j, 1, to + j, t->plane);
    }
}

/* And the way back, for sums. */
static void planes_to_sheet(const tiling *t, const vec *planes, vec *sheet)
{
    for (int64_t i = 0; i < t->rows; i++)
        for (int64_t j = 0; j < t->columns; j++)
            from_points(planes + i * t->pitch + j, t->plane, sheet + i * t->strip + TILE * j, 1);
}

static void sheets_to_map(const shape *s, const tiling *t, const vec *sheets, vec bias, char *out,
                          int64_t lanes)
{
    vec outputs[TILE];
    for (int64_t i = 0; i < s->rows; i += TILE)
        for (int64_t j = 0; j < s->columns; j++) {
            from_points(sheets + i / TILE * t->strip + j, t->sheet, outputs, 1);
            for (int64_t k = 0; k < min(TILE, s->rows - i); k++)
                put(out + (i + k) * s->out.row + j * s->out.column, outputs[k] + bias,
                    &s->out, lanes);
        }
}

/* Vectors of memory that `winograd_block` takes: packed taps, rows of cells and planes of taps,
   zeros at first, */
static int64_t packed_taps(const tiling *t) { return TILE * TILE * t->tap_rows * t->tap_columns; }

static int64_t winograd_zeros(const shape *s)
{
    const tiling t = tile_up(s);
    return packed_taps(&t) + WINDOW * t.strip + POINTS * t.tap_plane;
}

/* and sheets, and planes of windows, and of sums where they outlast an image. */
static int64_t winograd_memory(const shape *s)
{
    const tiling t = tile_up(s);
    const int64_t planes = s->out.batch ? WINDOW : WINDOW + POINTS;
    return winograd_zeros(s) + WINDOW * t.sheet + planes * t.plane;
}

/* Images that are worked on apart: not where all are summed up. */
static int64_t winograd_units(const shape *s) { return s->out.batch ? s->batch : 1; }

/* Vector operations of one image, about; those of a window, a tile of outputs and a tile of taps are
   one and a half times those counted in the functions that transform them, as measured. */
static int64_t winograd_cost(const shape *s)
{
    const tiling t = tile_up(s);
    const int paired = is_paired(&t);
    const int64_t rows = overlaps(t.rows, t.tap_rows, t.last - t.first, t.first) + paired * t.rows;
    const int64_t sums = paired ? t.outputs : max(t.outputs, IN_FLIGHT);
    const int64_t columns = ceil_div(t.columns, t.outputs) * sums;
    const int64_t windows = (t.last - t.first) * (t.last_column - t.first_column);
    const int64_t taps = t.tap_rows * t.tap_columns / (s->tap.batch ? 1 : s->batch);
    const int64_t outputs = t.rows * t.columns / (s->out.batch ? 1 : s->batch);
    return POINTS * rows * columns * t.tap_columns + 450 * windows + 300 * outputs + 330 * taps;
}

/* Images `first` to `last - 1`, or the sum over all, of LANES channels from `channel` on. */
static void winograd_block(const shape *s, const char *maps, const char *taps, const float *bias,
                           char *out, int64_t channel, int64_t first, int64_t last, vec *memory)
{
    const tiling t = tile_up(s);
    const int64_t lanes = min(LANES, s->channels - channel), summed = s->out.batch == 0;
    vec *cells = memory + packed_taps(&t), *tap_planes = cells + WINDOW * t.strip;
    vec *sheets = tap_planes + POINTS * t.tap_plane, *windows = sheets + WINDOW * t.sheet;
    maps += channel * s->map.channel, taps += channel * s->tap.channel;
    out += channel * s->out.channel;
    if (summed)
        last = s->batch;
    for (int64_t b = first; b < last; b++) {
        if (b == first || s->tap.batch) {
            pack_taps(s, memory, taps + b * s->tap.batch, TILE * t.tap_columns, lanes);
            tiles_to_points(&t, memory, TILE * t.tap_columns, tap_planes);
        }
        map_to_sheets(s, &t, maps + b * s->map.batch, cells, sheets, lanes);
        for (int64_t a = 0; a < WINDOW; a++) {
            vec *sums = summed ? windows + (1 + a) * WINDOW * t.plane : windows;
            sheet_to_planes(&t, sheets + a * t.sheet, windows);
            for (int64_t k = 0; k < WINDOW; k++)
                correlate_plane(&t, windows + k * t.plane,
                                tap_planes + (a * WINDOW + k) * t.tap_plane, sums + k * t.plane,
                                summed && b > first);
            if (!summed || b == last - 1)
                planes_to_sheet(&t, sums, sheets + a * t.sheet);
        }
        if (!summed || b == last - 1)
            sheets_to_map(s, &t, sheets, pack_bias(bias, channel, lanes), out + b * s->out.batch,
                          lanes);
    }
}

#endif
