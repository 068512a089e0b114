/* Correlation of large kernels by Fourier transforms, all channels of a vector at once.

   Rows are transformed first, two at a time, as the real and the imaginary part of one transform,
   whose symmetry separates them. The lower half of a row's frequencies, its bins, is enough. Each
   bin is a column. It is transformed, multiplied by that of the taps (conjugate, as this is
   correlation) and transformed back while it is in the nearest cache. Maps that would need a longer
   transform than LONGEST are cut into tiles of outputs, each with its own piece of the map (overlap
   and save). */

#ifndef FOURIER_H
#define FOURIER_H

#include "fft.h"
#include "shape.h"

#define LONGEST 128

/* One axis of a map: its outputs are computed in `tiles`, with `outputs` of them in each. */
typedef struct {
    int64_t size, taps, before, all; /* cells of the map, taps, zeros before the map, outputs */
    int64_t tiles, outputs, length;  /* length: of the transform */
} axis;

/* The input of a tile: values `low` to `high - 1` of the transform hold cells of the map from
   `start` on. The first of its outputs is number `first`. */
typedef struct {
    int64_t low, high, start, first, outputs;
} piece;

typedef struct {
    axis rows, columns;
    int64_t bins;           /* frequencies of a row */
    int64_t column, size;   /* vectors from one bin to the next, and of all */
    transform across, down; /* of rows, of columns */
} spectrum;

static piece piece_of(const axis *a, int64_t tile)
{
    const int64_t first = tile * a->outputs, outputs = min(a->outputs, a->all - first);
    const int64_t low = max(0, a->before - first);
    const int64_t high = min(outputs + a->taps - 1, a->size + a->before - first);
    return (piece){low, max(low, high), first + low - a->before, first, outputs};
}

/* The least length at which no output of a tile contains values that wrapped around. */
static int64_t least_length(const axis *a)
{
    int64_t least = a->taps;
    for (int64_t tile = 0; tile < a->tiles; tile++) {
        const piece p = piece_of(a, tile);
        least = max(max(least, p.outputs), max(p.high, p.outputs + a->taps - 1 - p.low));
    }
    return least;
}

/* Cut an axis into tiles, or into a single one if `whole`. Returns `least_length`. */
static int64_t cut(axis *a, int whole)
{
    a->tiles = 1, a->outputs = a->all;
    if (!whole && least_length(a) > LONGEST) {
        a->tiles = ceil_div(a->all, max(a->taps, LONGEST + 1 - a->taps));
        a->outputs = ceil_div(a->all, a->tiles);
        a->tiles = ceil_div(a->all, a->outputs);
    }
    return least_length(a);
}

/* Estimated vector operations of a transform, and `more` for each of its values, which are also
   copied or multiplied; 0 if there is no transform of that length. */
static int64_t whole_cost(int64_t length, int64_t more)
{
    const int64_t cost = transform_cost(length);
    return cost ? cost + more * length : 0;
}

static int64_t line_cost(int64_t length) { return whole_cost(length, 20); }

static int64_t column_cost(int64_t length) { return whole_cost(length, 8); }

/* The cheapest length of at least `least`, for this number of `transforms` and the work of `each`
   bin. */
static int64_t best_length(int64_t least, int64_t cost_of(int64_t), int64_t transforms,
                           int64_t each)
{
    int64_t best = 0, lowest = INT64_MAX;
    for (int64_t n = least; n <= 2 * least; n++) {
        const int64_t one = cost_of(n), cost = transforms * one + each * (n / 2 + 1);
        if (one && cost < lowest)
            lowest = cost, best = n;
    }
    return best;
}

/* Choose the sizes; `fourier_prepare` makes the transforms. */
static spectrum plan(const shape *s)
{
    const int whole = s->out.batch == 0;
    const axis rows = {.size = s->height, .taps = s->tap_rows, .before = s->top, .all = s->rows};
    const axis columns = {
        .size = s->width, .taps = s->tap_columns, .before = s->left, .all = s->columns};
    spectrum t = {.rows = rows, .columns = columns};
    t.rows.length = best_length(cut(&t.rows, whole), column_cost, 1, 0);
    t.columns.length = best_length(cut(&t.columns, whole), line_cost, t.rows.outputs,
                                   2 * column_cost(t.rows.length));
    t.bins = t.columns.length / 2 + 1;
    t.column = 2 * t.rows.length + 1; /* odd: the same row of all bins fits a cache's sets */
    t.size = t.bins * t.column;
    return t;
}

/* A tile of one image. Tiles are numbered image after image. */
typedef struct {
    int64_t image;
    piece rows, columns;
} tile_of_image;

static int64_t tiles(const spectrum *t) { return t->rows.tiles * t->columns.tiles; }

/* Tile `number`, counted from image `first` on; only every `apart`-th image is counted. */
static tile_of_image tile_number(const spectrum *t, int64_t number, int64_t first, int64_t apart)
{
    const int64_t tile = number % tiles(t);
    return (tile_of_image){first + number / tiles(t) * apart,
                           piece_of(&t->rows, tile / t->columns.tiles),
                           piece_of(&t->columns, tile % t->columns.tiles)};
}

/* The first cell of a tile's input. */
static const char *seen(const shape *s, const char *maps, const tile_of_image *at)
{
    return maps + at->image * s->map.batch + at->rows.start * s->map.row +
           at->columns.start * s->map.column;
}

/* Set all values to zero except `low` to `high - 1`. */
static void clear_outside(const transform *f, vec *x, int64_t low, int64_t high)
{
    for (int64_t i = 0; i < low; i++)
        memset(x + 2 * f->cell[i], 0, 2 * sizeof(vec));
    for (int64_t i = high; i < f->length; i++)
        memset(x + 2 * f->cell[i], 0, 2 * sizeof(vec));
}

/* Transform a line, which holds two rows as real and imaginary parts, to the doubled bins of
   `row` and `row + 1`; or of `row` alone if not `both`. */
static void line_to_bins(const spectrum *t, vec *line, vec *bins, int64_t row, int both,
                         stream *soon)
{
    const transform *f = &t->across;
    vec *to = bins + 2 * t->down.cell[row], *next = bins + 2 * t->down.cell[row + both];
    forward(f, line, soon);
    for (int64_t k = 0; k < t->bins; k++, to += t->column, next += t->column) {
        const vec *here = line + 2 * f->place[k];
        const vec *there = line + 2 * f->place[k ? f->length - k : 0];
        const vec a = here[0], b = here[1], c = there[0], d = there[1];
        if (both)
            next[0] = b + d, next[1] = c - a;
        to[0] = a + c, to[1] = b - d;
    }
}

/* Transform the bins of two rows, or of one, back to a line, times the length. */
static void bins_to_line(const spectrum *t, const vec *bins, int64_t row, int both, vec *line,
                         stream *soon)
{
    const transform *f = &t->across;
    const int64_t last = t->rows.length - 1;
    const vec *from = bins + 2 * t->down.cell[row], *next = bins + 2 * t->down.cell[row + both];
    /* The next rows are needed as soon as these are done. */
    const vec *then = bins + 2 * t->down.cell[min(last, row + 2)];
    const vec *at_last = bins + 2 * t->down.cell[min(last, row + 3)];
    for (int64_t k = 0, at = 0; k < t->bins; k++, at += t->column) {
        vec *here = line + 2 * f->place[k], *there = line + 2 * f->place[k ? f->length - k : 0];
        const vec none = {0}, a = from[at], b = from[at + 1];
        const vec c = both ? next[at] : none, d = both ? next[at + 1] : none;
        there[0] = a + d, there[1] = c - b;
        here[0] = a - d, here[1] = c + b;
        __builtin_prefetch(then + at);
        __builtin_prefetch(then + at + 1);
        __builtin_prefetch(at_last + at);
        __builtin_prefetch(at_last + at + 1);
    }
    inverse(f, line, soon);
}

/* Transform the rows of a piece of a map to bins. With a `twin`, the next map is in the upper
   halves of the vectors. Prefetches `soon`, or else the next rows. */
static void map_to_bins(const shape *s, const spectrum *t, const char *map, const tile_of_image *at,
                        int twin, vec *line, vec *bins, int64_t lanes, stream *soon)
{
    const piece *rows = &at->rows, *columns = &at->columns;
    const int64_t width = columns->high - columns->low;
    const int32_t *place = t->across.cell + columns->low;
    for (int64_t i = rows->low; i < rows->high; i += 2) {
        const int both = i + 1 < rows->high;
        clear_outside(&t->across, line, both ? columns->low : 0, both ? columns->high : 0);
        for (int part = 0; part <= both; part++, map += s->map.row) {
            pack_row(line + part, 2, place, map, &s->map, width, lanes, 0, s->plus);
            if (twin)
                pack_row(line + part, 2, place, map + s->map.batch, &s->map, width, lanes, 1,
                         s->plus);
        }
        stream next = {0};
        if (!soon)
            next = to_come(map, &s->map, min(2, rows->high - i - 2), width,
                           butterflies(&t->across));
        line_to_bins(t, line, bins, i, both, soon ? soon : &next);
    }
}

/* Transform bins back to rows of the output. Prefetches `soon`, or else the output. */
static void bins_to_map(const shape *s, const spectrum *t, const vec *bins, const tile_of_image *at,
                        int twin, vec *line, vec bias, char *out, int64_t lanes, stream *soon)
{
    const float scale = 0.25f / ((float)t->rows.length * (float)t->columns.length);
    for (int64_t i = 0; i < at->rows.outputs; i += 2) {
        const int both = i + 1 < at->rows.outputs;
        stream goal = {0};
        if (!soon)
            goal = to_come(out, &s->out, 1 + both, at->columns.outputs, butterflies(&t->across));
        bins_to_line(t, bins, i, both, line, soon ? soon : &goal);
        for (int part = 0; part <= both; part++, out += s->out.row) {
            unpack_row(out, &s->out, line + part, t->across.cell, scale, bias, at->columns.outputs,
                       lanes, 0);
            if (twin)
                unpack_row(out + s->out.batch, &s->out, line + part, t->across.cell, scale, bias,
                           at->columns.outputs, lanes, 1);
        }
    }
}

/* Transform taps along rows, then along columns. */
static void transform_taps(const shape *s, const spectrum *t, const char *taps, int64_t channel,
                           vec *packed, vec *line, vec *bins, stream *soon)
{
    pack_taps(s, packed, taps, channel);
    for (int64_t i = 0; i < s->tap_rows; i += 2) {
        const int both = i + 1 < s->tap_rows;
        clear_outside(&t->across, line, 0, both ? s->tap_columns : 0);
        for (int part = 0; part <= both; part++, packed += s->tap_columns)
            for (int64_t j = 0; j < s->tap_columns; j++)
                line[2 * t->across.cell[j] + part] = packed[j];
        line_to_bins(t, line, bins, i, both, soon);
    }
    for (int64_t k = 0; k < t->size; k += t->column) {
        clear_outside(&t->down, bins + k, 0, s->tap_rows);
        forward(&t->down, bins + k, soon);
    }
}

/* Add frequencies of the map times those of the taps, conjugate. */
static void accumulate(vec *sum, const vec *map, const vec *taps, int64_t length)
{
    for (int64_t i = 0; i < 2 * length; i += 2) {
        const vec a = map[i], b = map[i + 1], c = taps[i], d = taps[i + 1];
        sum[i] += a * c + b * d;
        sum[i + 1] += b * c - a * d;
    }
}

/* Memory, counted in vectors: the plan with its tables, packed taps, a line, and the spectra of a
   map, of taps and of a sum. */
static int64_t tables(const spectrum *t)
{
    return ceil_div(transform_memory(t->rows.length) + transform_memory(t->columns.length),
                    sizeof(vec));
}

static int64_t plans(void) { return ceil_div(sizeof(spectrum), sizeof(vec)); }

static int64_t fourier_memory(const shape *s, const spectrum *t)
{
    return plans() + tables(t) + s->tap_rows * s->tap_columns + 2 * t->columns.length +
           (s->out.batch ? 2 : 3) * t->size;
}

static void fourier_prepare(const spectrum *t, vec *memory)
{
    spectrum *const made = (spectrum *)memory;
    char *const to = (char *)(memory + plans());
    *made = *t;
    made->down = make_transform(t->rows.length, to);
    made->across = make_transform(t->columns.length, to + transform_memory(t->rows.length));
}

/* Images that are computed independently: one if all are summed up. */
static int64_t fourier_units(const shape *s) { return s->out.batch ? s->batch : 1; }

/* How many images share the vectors: two if the remaining channels fill at most half the lanes. */
static int64_t images_at_once(const shape *s, int64_t channel)
{
    return s->out.batch && 2 * (s->channels - channel) <= LANES ? 2 : 1;
}

/* Estimated vector operations of one image. */
static int64_t fourier_cost(const shape *s, const spectrum *t)
{
    const int64_t line = line_cost(t->columns.length);
    const int64_t columns = t->bins * column_cost(t->rows.length);
    const int64_t taps = (s->tap_rows + 1) / 2 * line + columns;
    const int64_t map = (min(s->height, t->rows.length) + 1) / 2 * line + columns;
    const int64_t out = (t->rows.outputs + 1) / 2 * line + columns;
    return t->rows.tiles * t->columns.tiles * (map + out / (s->out.batch ? 1 : s->batch)) +
           taps / (s->tap.batch ? 1 : s->batch);
}

/* The input of tile n + 1 of `count`, to prefetch; after the last, the next channels' first. */
static stream next_to_come(const shape *s, const spectrum *t, const char *maps, int64_t channel,
                           int64_t n, int64_t count, int64_t first, int64_t apart, int64_t steps)
{
    const int64_t step = n + 1 < count ? 0 : LANES;
    const tile_of_image next = tile_number(t, step ? 0 : n + 1, first, apart);
    const int64_t rows = next.rows.high - next.rows.low;
    return to_come(seen(s, maps, &next) + step * s->map.channel, &s->map,
                   channel + step < s->channels ? rows : 0,
                   next.columns.high - next.columns.low, rows * steps);
}

/* Filter images `first` to `last - 1` in LANES channels from `channel` on. While columns are
   transformed, the output is prefetched; while rows are transformed, the input of the next tile.
   Nothing is prefetched with large tiles: they would push it out of the cache before it is used. */
static void filter_images(const shape *s, const spectrum *t, const char *maps, const char *taps,
                          const float *bias, char *out, int64_t channel, int64_t first,
                          int64_t last, vec *memory)
{
    const int64_t lanes = min(LANES, s->channels - channel), apart = images_at_once(s, channel);
    const int64_t column_steps = t->bins * butterflies(&t->down), steps = butterflies(&t->across);
    const int64_t cells = t->rows.outputs * t->columns.outputs; /* there are about as many inputs */
    const int near = 2 * (t->size + cells) * (int64_t)sizeof(vec) <= second_cache;
    const int64_t count = ceil_div(last - first, apart) * tiles(t);
    vec *line = memory, *packed = line + 2 * t->columns.length;
    vec *of_taps = packed + s->tap_rows * s->tap_columns, *bins = of_taps + t->size;
    vec start = pack_bias(bias, channel, lanes);
    stream soon = kernels_to_come(s, taps, channel, s->tap_rows / 2 * steps + column_steps);
    transform_taps(s, t, taps, channel, packed, line, of_taps, &soon);
    if (apart == 2) {
        start = beside(start, start);
        for (int64_t k = 0; k < t->size; k++)
            of_taps[k] = beside(of_taps[k], of_taps[k]);
    }
    soon = (stream){0};
    for (int64_t n = 0; n < count; n++) {
        const tile_of_image at = tile_number(t, n, first, apart);
        const int twin = at.image + apart - 1 < last ? apart - 1 : 0;
        char *to = out + at.image * s->out.batch + at.rows.first * s->out.row +
                   at.columns.first * s->out.column;
        map_to_bins(s, t, seen(s, maps, &at), &at, twin, line, bins, lanes, near ? &soon : 0);
        if (near)
            soon = to_come(to, &s->out, at.rows.outputs, at.columns.outputs, 2 * column_steps);
        for (int64_t k = 0; k < t->size; k += t->column) {
            clear_outside(&t->down, bins + k, at.rows.low, at.rows.high);
            filter(&t->down, bins + k, of_taps + k, &soon);
        }
        if (near)
            soon = next_to_come(s, t, maps, channel, n, count, first, apart, steps);
        bins_to_map(s, t, bins, &at, twin, line, start, to, lanes, near ? &soon : 0);
    }
}

/* Sum up all images, each correlated with taps of its own, in LANES channels from `channel` on.
   While taps are transformed, the map is prefetched, and the next taps while the map is. */
static void sum_images(const shape *s, const spectrum *t, const char *maps, const char *taps,
                       char *out, int64_t channel, vec *memory)
{
    const int64_t lanes = min(LANES, s->channels - channel);
    const int64_t column_steps = t->bins * butterflies(&t->down), steps = butterflies(&t->across);
    const tile_of_image whole = tile_number(t, 0, 0, 1);
    const piece *rows = &whole.rows;
    vec *line = memory, *packed = line + 2 * t->columns.length;
    vec *of_taps = packed + s->tap_rows * s->tap_columns, *bins = of_taps + t->size;
    vec *sums = bins + t->size;
    memset(sums, 0, t->size * sizeof(vec));
    for (int64_t b = 0; b < s->batch; b++, maps += s->map.batch, taps += s->tap.batch) {
        stream soon = to_come(maps, &s->map, s->height, s->width,
                              s->tap_rows / 2 * steps + column_steps);
        transform_taps(s, t, taps, channel, packed, line, of_taps, &soon);
        const char *next = taps + s->tap.batch + channel * s->tap.channel;
        soon = to_come(next, &s->tap, b + 1 < s->batch ? s->tap_rows : 0,
                       s->tap_columns, s->height / 2 * steps + column_steps);
        map_to_bins(s, t, seen(s, maps, &whole), &whole, 0, line, bins, lanes, &soon);
        for (int64_t k = 0; k < t->size; k += t->column) {
            clear_outside(&t->down, bins + k, rows->low, rows->high);
            forward(&t->down, bins + k, &soon);
            accumulate(sums + k, bins + k, of_taps + k, t->rows.length);
        }
    }
    stream none = {0};
    for (int64_t k = 0; k < t->size; k += t->column)
        inverse(&t->down, sums + k, &none);
    bins_to_map(s, t, sums, &whole, 0, line, (vec){0}, out, lanes, &none);
}

/* Images `first` to `last - 1`, or the sum over all, of LANES channels from `channel` on. */
static void fourier_block(const shape *s, const char *maps, const char *taps, const float *bias,
                          char *out, int64_t channel, int64_t first, int64_t last, vec *memory)
{
    const spectrum *t = (const spectrum *)memory;
    memory += plans() + tables(t);
    maps += channel * s->map.channel;
    out += channel * s->out.channel;
    if (s->out.batch)
        filter_images(s, t, maps, taps, bias, out, channel, first, last, memory);
    else
        sum_images(s, t, maps, taps, out, channel, memory);
}

#endif
