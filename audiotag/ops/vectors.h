/* Cells of LANES neighbouring channels, one vector each, and how they come from maps and go back. */

#ifndef VECTORS_H
#define VECTORS_H

#include <stdint.h>
#include <string.h>

#ifndef LANES
#define LANES 4
#endif

typedef float vec __attribute__((vector_size(4 * LANES)));
typedef struct { int64_t batch, channel, row, column; } strides; /* in floats */

/* Else gcc loads a value anew for each of its uses: measured a tenth slower. */
#if defined(__x86_64__)
#define KEEP_IN_REGISTER(value) __asm__("" : "+v"(value))
#else
#define KEEP_IN_REGISTER(value)
#endif
#define INLINE static inline __attribute__((always_inline))

static int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t max(int64_t a, int64_t b) { return a > b ? a : b; }
static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

/* Copy rows x columns cells of `lanes` channels into vectors, `pitch` a row. */
static void pack(vec *to, const float *from, const strides *s, int64_t rows, int64_t columns,
                 int64_t pitch, int64_t lanes)
{
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < columns; j++) {
            const float *cell = from + i * s->row + j * s->column;
            vec *target = to + i * pitch + j;
            if (s->channel == 1 && lanes == LANES)
                memcpy(target, cell, sizeof(vec));
            else if (s->channel == 1 && lanes == LANES / 2)
                memcpy(target, cell, sizeof(vec) / 2);
            else
                for (int64_t k = 0; k < lanes; k++)
                    (*target)[k] = cell[k * s->channel];
        }
}

/* Put a cell of `lanes` channels into a map, or add it. */
INLINE void put(float *to, vec value, int64_t channel, int64_t lanes, int add)
{
    if (channel == 1 && lanes == LANES && !add)
        memcpy(to, &value, sizeof(vec));
    else if (channel == 1 && lanes == LANES / 2 && !add)
        memcpy(to, &value, sizeof(vec) / 2);
    else
        for (int64_t k = 0; k < lanes; k++)
            to[k * channel] = value[k] + (add ? to[k * channel] : 0);
}

#endif
