/* Memory that will be needed soon, brought nearer cell by cell while something else is computed.
   All at once, it would have to be waited for: a core has only so many requests under way. */

#ifndef STREAM_H
#define STREAM_H

#include "vectors.h"

#define LINE 64 /* bytes that are brought at once */

typedef struct {
    const char *at;
    int64_t cell, turn;           /* bytes to the next cell, and beyond it to the next row */
    int64_t columns, left, rows;  /* cells of a row, and those of this one and rows that are left */
    int64_t each;                 /* cells that a call brings */
} stream;

/* Rows of cells, in about `calls` calls; none if a cell's channels aren't neighbours. */
static stream to_come(const char *from, const strides *s, int64_t rows, int64_t columns,
                      int64_t calls)
{
    if (s->channel != s->size || columns < 1 || rows < 1)
        return (stream){0};
    return (stream){from, s->column, s->row - columns * s->column, columns, columns, rows,
                    ceil_div(rows * columns, max(1, calls))};
}

INLINE void fetch(stream *s)
{
    for (int64_t k = 0; k < s->each && s->rows; k++) {
        __builtin_prefetch(s->at, 0, 2);
        s->at += s->cell;
        if (--s->left == 0)
            s->at += s->turn, s->left = s->columns, s->rows--;
    }
}

#endif
