/* Power of a waveform in mel bands, LANES frames at once: one frame in each lane of a vector.

   A windowed frame of N real samples x is transformed as N / 2 complex values,
   z[n] = x[2n] + i x[2n + 1], in place, by passes of radix 4 and, if needed, one of radix 2
   (decimation in frequency: after a pass, block r holds the bins 4k + r). With
   w = exp(-2 pi i / N) and Z[N / 2] = Z[0], the bins of x are then

       2 X[k] = Z[k] + conj Z[N/2 - k] - i w^k (Z[k] - conj Z[N/2 - k])  */

#include <stdint.h>
#include <stdlib.h>

#define LANES 8

typedef float vec __attribute__((vector_size(4 * LANES)));
typedef struct {
    vec re, im;
} cell;
typedef struct {
    float re, im;
} wave;
typedef struct { /* filled in by mel_power.py, in this order */
    int64_t n_fft, hop, bands;
    int64_t low, bins;     /* the lowest bin of any band, and how many from there on */
    const float *window;   /* (n_fft) */
    const wave *waves;     /* (n_fft), powers of w */
    const int64_t *places; /* (n_fft / 2), where the passes leave each bin */
    const int64_t *first, *count; /* (bands), bins of each band, from `low` on */
    const float *weights;  /* of those bins, band after band */
} plan;

/* Compiled once for each instruction set; the loader takes the function for this CPU. */
#if defined(__x86_64__) && defined(__gnu_linux__)
#define FOR_EACH_CPU \
    __attribute__((target_clones("fma", "default")))
#else
#define FOR_EACH_CPU
#endif
#define INLINE static inline __attribute__((always_inline))

INLINE void turn(cell *z, const wave w)
{
    const vec re = z->re;
    z->re = re * w.re - z->im * w.im;
    z->im = re * w.im + z->im * w.re;
}

/* Windowed samples of LANES frames, the last repeated where there are fewer. */
INLINE void gather(const plan *p, const float *samples, int64_t frames, cell *z)
{
    const float *from[LANES];
    for (int64_t lane = 0; lane < LANES; lane++)
        from[lane] = samples + p->hop * (lane < frames ? lane : frames - 1);
    for (int64_t n = 0; n < p->n_fft / 2; n++) {
        for (int64_t lane = 0; lane < LANES; lane++) {
            z[n].re[lane] = from[lane][2 * n];
            z[n].im[lane] = from[lane][2 * n + 1];
        }
        z[n].re *= p->window[2 * n];
        z[n].im *= p->window[2 * n + 1];
    }
}

INLINE void butterfly4(cell *z, int64_t quarter, const wave *w1, const wave *w2, const wave *w3)
{
    cell *a = z, *b = z + quarter, *c = b + quarter, *d = c + quarter;
    const cell even = {a->re + c->re, a->im + c->im}, odd = {a->re - c->re, a->im - c->im};
    const cell sum = {b->re + d->re, b->im + d->im}, gap = {b->re - d->re, b->im - d->im};
    *a = (cell){even.re + sum.re, even.im + sum.im};
    *b = (cell){odd.re + gap.im, odd.im - gap.re};
    *c = (cell){even.re - sum.re, even.im - sum.im};
    *d = (cell){odd.re - gap.im, odd.im + gap.re};
    turn(b, *w1);
    turn(c, *w2);
    turn(d, *w3);
}

INLINE void transform(const plan *p, cell *z)
{
    const int64_t half = p->n_fft / 2;
    int64_t size = half;
    for (; size >= 4; size /= 4) {
        const int64_t quarter = size / 4, step = p->n_fft / size;
        for (int64_t j = 0; j < quarter; j++) {
            const wave *w = p->waves;
            for (cell *block = z; block < z + half; block += size)
                butterfly4(block + j, quarter, w + step * j, w + 2 * step * j, w + 3 * step * j);
        }
    }
    if (size == 2)
        for (cell *pair = z; pair < z + half; pair += 2) {
            const cell a = pair[0], b = pair[1];
            pair[0] = (cell){a.re + b.re, a.im + b.im};
            pair[1] = (cell){a.re - b.re, a.im - b.im};
        }
}

/* Power of the bins from `low` on. */
INLINE void power(const plan *p, const cell *z, vec *to)
{
    const int64_t half = p->n_fft / 2, within = half - 1; /* as `% half`, which takes longer */
    for (int64_t k = p->low; k < p->low + p->bins; k++) {
        const cell *a = z + p->places[k & within], *b = z + p->places[(half - k) & within];
        cell sum = {a->re + b->re, a->im - b->im}, gap = {a->re - b->re, a->im + b->im};
        turn(&gap, p->waves[k]);
        sum.re += gap.im;
        sum.im -= gap.re;
        *to++ = (sum.re * sum.re + sum.im * sum.im) * 0.25f;
    }
}

/* Mel bands (bands, frames) of powers. */
INLINE void collect(const plan *p, const vec *powers, float *out, int64_t frames, int64_t pitch)
{
    const float *weight = p->weights;
    for (int64_t band = 0; band < p->bands; band++) {
        vec sum = {0};
        for (int64_t i = 0; i < p->count[band]; i++)
            sum += powers[p->first[band] + i] * *weight++;
        for (int64_t lane = 0; lane < frames; lane++)
            out[band * pitch + lane] = sum[lane];
    }
}

/* Power (bands, frames) of samples ((frames - 1) hop + n_fft). Returns 0; 1 if memory ran out. */
FOR_EACH_CPU
int mel_power(const plan *p, const float *samples, float *out, int64_t frames)
{
    const int64_t half = p->n_fft / 2;
    cell *z = aligned_alloc(sizeof(vec), (2 * half + p->bins) * sizeof(vec));
    if (!z)
        return 1;
    vec *powers = (vec *)(z + half);
    for (int64_t frame = 0; frame < frames; frame += LANES) {
        const int64_t left = frames - frame < LANES ? frames - frame : LANES;
        gather(p, samples + frame * p->hop, left, z);
        transform(p, z);
        power(p, z, powers);
        collect(p, powers, out + frame, left, frames);
    }
    free(z);
    return 0;
}
