/* Depthwise correlation of maps, each channel with taps of its own, summed up in single precision.

   out[b, c, i, j] = bias[c] + sum over u, v of taps[., c, u, v] * maps[b, c, i + u - ph, j + v - pw]

   with zeros beside the maps. With the kernel as taps this is the forward pass, with the kernel
   turned by 180 degrees the input gradient; with the output gradient as taps, the sum over the
   batch is the weight gradient.

   LANES neighbouring channels are copied into one vector a cell, so that any strides will do. A
   thread takes LANES channels at a time, and of them pairs of rows (direct.h) or images
   (fourier.h), whichever way is the shorter. */

#include <stdlib.h>

#include "direct.h"
#include "fourier.h"

typedef void block(const shape *, const char *, const char *, const float *, char *, int64_t,
                   int64_t, int64_t, vec *);

/* Share `part` of `parts` of the work; 0 if all went well. */
static int share(const shape *s, const char *maps, const char *taps, const float *bias,
                 char *out, int part, int parts)
{
    const spectrum t = plan(s);
    const int fourier = fourier_cost(s, &t) < direct_cost(s);
    block *const run = fourier ? fourier_block : direct_block;
    const int64_t vectors = fourier ? fourier_memory(s, &t) : direct_memory(s);
    const int64_t pieces = fourier ? fourier_units(s) : direct_units(s);
    const int64_t units = ceil_div(s->channels, LANES) * pieces;
    vec *memory = aligned_alloc(sizeof(vec), vectors * sizeof(vec));
    if (!memory)
        return 1;
    if (fourier)
        fourier_prepare(&t, memory);
    else
        memset(memory, 0, vectors * sizeof(vec));
    int64_t unit = units * part / parts, end = units * (part + 1) / parts;
    while (unit < end) {
        const int64_t number = unit / pieces, first = unit % pieces;
        const int64_t last = min(pieces, first + end - unit);
        run(s, maps, taps, bias, out, number * LANES, first, last, memory);
        unit += last - first;
    }
    free(memory);
    return 0;
}

/* Correlate; see the top. `bias` may be null. Returns 0, or else there was no memory. */
int correlate(const shape *s, const char *maps, const char *taps, const float *bias, char *out,
              int threads)
{
    int failed = 0;
#pragma omp parallel for num_threads(threads) if (threads > 1) reduction(| : failed)
    for (int part = 0; part < threads; part++)
        failed |= share(s, maps, taps, bias, out, part, threads);
    return failed;
}
