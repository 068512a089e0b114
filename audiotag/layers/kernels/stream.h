/* Memory that will be needed soon is prefetched cell by cell during other computations. Prefetched
   all at once, it would stall them: a core can only have a few requests under way. */

#ifndef STREAM_H
#define STREAM_H

#include <unistd.h>

#include "vectors.h"

#define LINE 64 /* bytes that are fetched at once */

/* Bytes of a core's second-level cache, which holds prefetched memory until it is used. */
static int64_t second_cache = 1 << 19;

__attribute__((constructor)) static void measure_second_cache(void)
{
#ifdef _SC_LEVEL2_CACHE_SIZE
    const int64_t size = sysconf(_SC_LEVEL2_CACHE_SIZE); /* 0 where it isn't known */
    second_cache = size > 0 ? size : second_cache;
#endif
}

typedef struct {
    const char *at;
    int64_t cell, row;           /* bytes to the next cell, and from the end of a row to the next */
    int64_t columns, left, rows; /* cells of a row, and those of this one and rows that are left */
    int64_t each;                /* cells that a step fetches; 0 at the end */
} stream;

/* Rows of cells, in about `steps` steps; none if a cell's channels aren't neighbours. */
static stream to_come(const char *from, const strides *s, int64_t rows, int64_t columns,
                      int64_t steps)
{
    if (s->channel != s->size || columns < 1 || rows < 1)
        return (stream){0};
    int64_t cell = s->column;
    if (s->row == columns * cell)
        columns *= rows, rows = 1;
    const int64_t row = s->row - columns * cell;
    if (cell > LINE && cell % LINE) /* vectors lie across lines: two for each cell */
        cell /= 2, columns *= 2;
    const int64_t each = ceil_div(rows * columns, max(1, steps));
    return (stream){from, cell, row, columns, columns, rows, each};
}

/* Advance by this many cells; those fetched beyond the end of a row are not used. */
INLINE void go_on(stream *s, int64_t cells)
{
    s->at += cells * s->cell, s->left -= cells;
    if (s->left > 0 || s->each == 0)
        return;
    s->at += s->left * s->cell + s->row, s->left = s->columns;
    if (--s->rows == 0)
        s->each = 0;
}

/* Fetch the cells of one step, from `at` on; returns the next one's. */
INLINE const char *fetch(const stream *s, const char *at)
{
    for (int64_t k = 0; k < s->each; k++, at += s->cell)
        __builtin_prefetch(at, 0, 2);
    return at;
}

#endif
