/* Cells of LANES neighbouring channels, one vector each, loaded from maps and stored in them. */

#ifndef VECTORS_H
#define VECTORS_H

#include <stdint.h>
#include <string.h>

#ifndef LANES
#define LANES 4
#endif

typedef float vec __attribute__((vector_size(4 * LANES)));
typedef uint32_t bits __attribute__((vector_size(4 * LANES)));
typedef uint16_t halves __attribute__((vector_size(2 * LANES)));
typedef int32_t lanes_of_two __attribute__((vector_size(4 * LANES)));
typedef struct {
    int64_t batch, channel, row, column; /* in bytes */
    int64_t size;                        /* of an element: 4, or 2 for bfloat16 */
} strides;

/* Otherwise gcc loads a value again at each use: measured a tenth slower. */
#if defined(__x86_64__)
#define KEEP_IN_REGISTER(value) __asm__("" : "+v"(value))
#else
#define KEEP_IN_REGISTER(value)
#endif
#define INLINE static inline __attribute__((always_inline))

static int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t max(int64_t a, int64_t b) { return a > b ? a : b; }
static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

/* bfloat16 is the upper half of a float; rounded to nearest, ties to even. */
INLINE vec from_halves(halves upper) { return (vec)(__builtin_convertvector(upper, bits) << 16); }

INLINE halves to_halves(vec value)
{
    const bits whole = (bits)value, rounded = (whole + 0x7fff + ((whole >> 16) & 1)) >> 16;
    const bits is_number = (bits)(value == value), nan = whole >> 16 | 0x40;
    return __builtin_convertvector((rounded & is_number) | (nan & ~is_number), halves);
}

/* One cell of `lanes` channels; zeros in the others. */
INLINE vec load(const char *from, const strides *s, int64_t lanes)
{
    const int dense = s->channel == s->size;
    vec cell = {0};
    if (s->size == 4) {
        if (dense && lanes == LANES)
            memcpy(&cell, from, sizeof(vec));
        else if (dense && lanes == LANES / 2)
            memcpy(&cell, from, sizeof(vec) / 2);
        else
            for (int64_t k = 0; k < lanes; k++)
                memcpy((float *)&cell + k, from + k * s->channel, 4);
        return cell;
    }
    halves upper = {0};
    if (dense && lanes == LANES)
        memcpy(&upper, from, sizeof(halves));
    else
        for (int64_t k = 0; k < lanes; k++)
            memcpy((uint16_t *)&upper + k, from + k * s->channel, 2);
    return from_halves(upper);
}

/* Store a cell of `lanes` channels in a map. */
INLINE void put(char *to, vec cell, const strides *s, int64_t lanes)
{
    const int dense = s->channel == s->size;
    if (s->size == 4) {
        if (dense && lanes == LANES)
            memcpy(to, &cell, sizeof(vec));
        else if (dense && lanes == LANES / 2)
            memcpy(to, &cell, sizeof(vec) / 2);
        else
            for (int64_t k = 0; k < lanes; k++)
                memcpy(to + k * s->channel, (const float *)&cell + k, 4);
        return;
    }
    const halves upper = to_halves(cell);
    if (dense && lanes == LANES)
        memcpy(to, &upper, sizeof(halves));
    else
        for (int64_t k = 0; k < lanes; k++)
            memcpy(to + k * s->channel, (const uint16_t *)&upper + k, 2);
}

/* The lanes of a and b (b's counted after a's) that `transpose` puts into x[i + step] if `lower`,
   else into x[i]. */
INLINE lanes_of_two picked(int step, int lower)
{
    lanes_of_two from = {0};
#pragma GCC unroll 16
    for (int k = 0; k < LANES; k++)
        from[k] = k & step ? LANES + k - (lower ? 0 : step) : k + (lower ? step : 0);
    return from;
}

/* Transpose LANES vectors: swap off-diagonal blocks of half the size, of a quarter, down to 1. */
INLINE void transpose(vec *x)
{
#pragma GCC unroll 4
    for (int step = LANES / 2; step; step /= 2)
#pragma GCC unroll 16
        for (int i = 0; i < LANES; i++)
            if (!(i & step)) {
                const vec a = x[i], b = x[i + step];
                x[i] = __builtin_shuffle(a, b, picked(step, 0));
                x[i + step] = __builtin_shuffle(a, b, picked(step, 1));
            }
}

/* Read LANES neighbouring floats of each of LANES channels, and write the first `cells` of them as
   cells. If `turn`, floats are taken from right to left. */
static void pack_transposed(vec *to, const char *from, int64_t channel, int64_t cells, int64_t turn)
{
    vec block[LANES];
    const char *first = turn ? from - 4 * (LANES - 1) : from;
    for (int k = 0; k < LANES; k++)
        memcpy(block + k, first + k * channel, sizeof(vec));
    transpose(block);
    for (int64_t k = 0; k < cells; k++)
        to[k] = block[turn ? LANES - 1 - k : k];
}

/* How many cells of a row of `columns` can be read as LANES channels at once. The values after the
   first `lanes` channels do not matter, as lanes do not mix. */
static int64_t whole_cells(const strides *s, int64_t columns, int64_t lanes)
{
    if (s->channel != s->size || s->column < s->size)
        return 0;
    const int64_t beyond = s->size * (LANES - lanes);
    return beyond ? max(0, columns - ceil_div(beyond, s->column)) : columns;
}

/* Read LANES neighbouring channels of a cell, in single precision or bfloat16. */
INLINE vec load_whole(const char *from, const int single)
{
    vec cell;
    halves upper;
    if (single) {
        memcpy(&cell, from, sizeof(vec));
        return cell;
    }
    memcpy(&upper, from, sizeof(halves));
    return from_halves(upper);
}

/* Join the lower halves of two vectors. */
INLINE vec beside(vec a, vec b)
{
    lanes_of_two from = {0};
#pragma GCC unroll 16
    for (int k = 0; k < LANES; k++)
        from[k] = k < LANES / 2 ? k : k + LANES / 2;
    return __builtin_shuffle(a, b, from);
}

/* Move the upper half of a vector to the lower. */
INLINE vec upper_half(vec a)
{
    lanes_of_two from = {0};
#pragma GCC unroll 16
    for (int k = 0; k < LANES; k++)
        from[k] = k % (LANES / 2) + LANES / 2;
    return __builtin_shuffle(a, a, from);
}

/* Copy a row of cells of `lanes` channels into vectors that are `apart`, in the order of `place` if
   it is given; or into the `upper` halves of these vectors. With `plus`, each cell becomes
   cell * cell + plus. */
INLINE void pack_row(vec *to, int64_t apart, const int32_t *place, const char *from,
                     const strides *s, int64_t columns, int64_t lanes, const int upper,
                     const float *plus)
{
    const int64_t whole = whole_cells(s, columns, lanes);
    const int single = s->size == 4;
    const float constant = plus ? *plus : 0;
    for (int64_t j = 0; j < columns; j++, from += s->column) {
        vec *cell = to + apart * (place ? place[j] : j);
        vec value = j < whole ? load_whole(from, single) : load(from, s, lanes);
        if (plus)
            value = value * value + constant;
        *cell = upper ? beside(*cell, value) : value;
    }
}

/* Copy rows x columns cells of `lanes` channels into vectors, `pitch` a row, as `pack_row` does. */
static void pack(vec *to, const char *from, const strides *s, int64_t rows, int64_t columns,
                 int64_t pitch, int64_t lanes, const float *plus)
{
    for (int64_t i = 0; i < rows; i++)
        pack_row(to + i * pitch, 1, 0, from + i * s->row, s, columns, lanes, 0, plus);
}

/* Write every other vector, or its `upper` half, to a row of cells: scaled, plus a bias, in the
   order of `place`. */
INLINE void unpack_row(char *to, const strides *s, const vec *from, const int32_t *place,
                       float scale, vec bias, int64_t columns, int64_t lanes, const int upper)
{
    const int whole = s->size == 4 && s->channel == 4 && lanes == LANES;
    for (int64_t j = 0; j < columns; j++, to += s->column) {
        const vec value = from[2 * place[j]] * scale + bias;
        const vec cell = upper ? upper_half(value) : value;
        if (whole)
            memcpy(to, &cell, sizeof(vec));
        else
            put(to, cell, s, lanes);
    }
}

#endif
