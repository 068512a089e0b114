/* Depthwise correlation of maps, each channel with taps of its own, summed up in single precision.

   out[b, c, i, j] = bias[c] + sum over u, v of taps[., c, u, v] * maps[b, c, i + u - ph, j + v - pw]

   with zeros outside the maps; with `plus`, maps * maps + plus replaces maps. The taps are

   - for the forward pass, the kernel;
   - for the input gradient, the kernel rotated by 180 degrees;
   - for the weight gradient, the output gradient; the result is summed over the batch.

   LANES neighbouring channels of a cell are copied into one vector, so the maps may have any
   strides. A thread takes LANES channels at a time: pairs of their rows (direct.h) or their images
   (fourier.h), whichever is faster. Or it takes images of its own, with all channels. */

#include <stdlib.h>

#include "direct.h"
#include "fourier.h"

typedef void block(const shape *, const char *, const char *, const float *, char *, int64_t,
                   int64_t, int64_t, vec *);

/* Do share `part` of `parts` of the work, by Fourier transforms if there is a plan for them.
   Returns 0, or 1 if memory ran out. */
static int share(const shape *s, const spectrum *t, const char *maps, const char *taps,
                 const float *bias, char *out, int64_t part, int64_t parts)
{
    block *const run = t ? fourier_block : direct_block;
    const int64_t vectors = t ? fourier_memory(s, t) : direct_memory(s);
    const int64_t pieces = t ? fourier_units(s) : direct_units(s);
    /* If the last vector of channels is not full, it may take several images at once. */
    const int64_t last_block = ceil_div(s->channels, LANES) - 1, before = last_block * pieces;
    const int64_t at_once = t ? images_at_once(s, last_block * LANES) : 1;
    const int64_t units = before + ceil_div(pieces, at_once);
    vec *memory = aligned_alloc(sizeof(vec), vectors * sizeof(vec));
    if (!memory)
        return 1;
    if (t)
        fourier_prepare(t, memory);
    else
        memset(memory, 0, vectors * sizeof(vec));
    int64_t unit = units * part / parts, end = units * (part + 1) / parts;
    while (unit < end) {
        const int64_t number = min(unit / pieces, last_block), first = unit - number * pieces;
        const int64_t next = min(end, number < last_block ? (number + 1) * pieces : units);
        const int64_t each = number < last_block ? 1 : at_once;
        const int64_t last = min(pieces, each * (first + next - unit));
        run(s, maps, taps, bias, out, number * LANES, each * first, last, memory);
        unit = next;
    }
    free(memory);
    return 0;
}

/* Whether each thread takes images of its own, as PyTorch's other layers do. A map then stays in
   the cache of one core, but each thread prepares all taps by itself: only worth it if that takes
   little time compared to its images. */
static int by_images(const shape *s, int64_t threads)
{
    return s->out.batch && s->batch % threads == 0 &&
           s->batch / threads * s->height >= 2 * s->tap_rows;
}

/* Correlate; see the top of this file. `bias` may be null. Returns 0, or 1 if memory ran out. */
int correlate(const shape *s, const char *maps, const char *taps, const float *bias, char *out,
              int threads)
{
    const spectrum t = plan(s), *const chosen = fourier_cost(s, &t) < direct_cost(s) ? &t : 0;
    const int apart = by_images(s, threads);
    shape own = *s;
    if (apart)
        own.batch /= threads;
    int failed = 0;
#pragma omp parallel for num_threads(threads) if (threads > 1) reduction(| : failed)
    for (int part = 0; part < threads; part++)
        if (apart)
            failed |= share(&own, chosen, maps + part * own.batch * s->map.batch, taps, bias,
                            out + part * own.batch * s->out.batch, 0, 1);
        else
            failed |= share(s, chosen, maps, taps, bias, out, part, threads);
    return failed;
}
