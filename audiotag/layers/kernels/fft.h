/* Fourier transforms of vectors, in place, each lane separately.

   The length is a product of small factors; each factor is one pass over the values. Powers of
   different primes are separate axes (Good and Thomas); only passes along the same axis need
   twiddle factors (Cooley and Tukey). The forward transform goes from the whole to parts, the
   inverse from parts to the whole, and nothing is sorted: value i lies at cell[i], frequency k at
   place[k], each as a real part and an imaginary part. With these two parts exchanged, a transform
   is its own inverse, up to a factor: the length. */

#ifndef FFT_H
#define FFT_H

#include <math.h>

#include "stream.h"
#include "vectors.h"

#define MOST_PASSES 16
#define LARGEST_RADIX 8

typedef struct {
    int64_t radix, span, stride; /* what is summed lies `span` apart, values of the axis `stride` */
    const float *turns;          /* twiddle factors: cosines, sines */
} pass;

typedef struct {
    int64_t length, passes;
    pass pass[MOST_PASSES];
    const int32_t *cell, *place;
} transform;

/* The butterfly of 3, 5 or 7 values. Frequencies k and -k share the products of sums and of
   differences of opposite values. */
INLINE void odd_butterfly(const int radix, vec *re, vec *im)
{
    static const float cosines[3][3][3] = { /* of whole turns, j m / radix */
        {{-0.5f}},
        {{0.309016994f, -0.809016994f}, {-0.809016994f, 0.309016994f}},
        {{0.623489802f, -0.222520934f, -0.900968868f},
         {-0.222520934f, -0.900968868f, 0.623489802f},
         {-0.900968868f, 0.623489802f, -0.222520934f}}};
    static const float sines[3][3][3] = {
        {{0.866025404f}},
        {{0.951056516f, 0.587785252f}, {0.587785252f, -0.951056516f}},
        {{0.781831482f, 0.974927912f, 0.433883739f},
         {0.974927912f, -0.433883739f, -0.781831482f},
         {0.433883739f, -0.781831482f, 0.974927912f}}};
    const int half = radix / 2;
    vec sum_re[3], sum_im[3], side_re[3], side_im[3], a = re[0], b = im[0];
#pragma GCC unroll 3
    for (int j = 0; j < half; j++) {
        const int other = radix - 1 - j;
        sum_re[j] = re[1 + j] + re[other], sum_im[j] = im[1 + j] + im[other];
        side_re[j] = re[1 + j] - re[other], side_im[j] = im[1 + j] - im[other];
        re[0] += sum_re[j], im[0] += sum_im[j];
    }
#pragma GCC unroll 3
    for (int m = 0; m < half; m++) {
        vec p = a, q = b, u = {0}, v = {0};
#pragma GCC unroll 3
        for (int j = 0; j < half; j++) {
            const float cosine = cosines[half - 1][m][j], sine = sines[half - 1][m][j];
            p += cosine * sum_re[j], q += cosine * sum_im[j];
            u = j ? u + sine * side_re[j] : sine * side_re[j];
            v = j ? v + sine * side_im[j] : sine * side_im[j];
        }
        re[1 + m] = p + v, im[1 + m] = q - u;
        re[radix - 1 - m] = p - v, im[radix - 1 - m] = q + u;
    }
}

/* The butterfly of 4 values. */
INLINE void butterfly_of_4(vec *re, vec *im)
{
    const vec even_re = re[0] + re[2], even_im = im[0] + im[2];
    const vec apart_re = re[0] - re[2], apart_im = im[0] - im[2];
    const vec odd_re = re[1] + re[3], odd_im = im[1] + im[3];
    const vec side_re = re[1] - re[3], side_im = im[1] - im[3];
    re[0] = even_re + odd_re, im[0] = even_im + odd_im;
    re[1] = apart_re + side_im, im[1] = apart_im - side_re;
    re[2] = even_re - odd_re, im[2] = even_im - odd_im;
    re[3] = apart_re - side_im, im[3] = apart_im + side_re;
}

/* The butterfly of 8 values. Even frequencies: a butterfly of 4 of the sums of opposite values. Odd
   frequencies: a butterfly of 4 of their differences times twiddle factors. */
INLINE void butterfly_of_8(vec *re, vec *im)
{
    const float root = 0.707106781f;
    vec p[4], q[4], u[4], v[4];
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) {
        p[j] = re[j] + re[j + 4], q[j] = im[j] + im[j + 4];
        u[j] = re[j] - re[j + 4], v[j] = im[j] - im[j + 4];
    }
    const vec a = u[1], b = v[1], c = u[2], d = u[3], e = v[3];
    u[1] = root * (a + b), v[1] = root * (b - a);
    u[2] = v[2], v[2] = -c;
    u[3] = root * (e - d), v[3] = -root * (d + e);
    butterfly_of_4(p, q);
    butterfly_of_4(u, v);
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++)
        re[2 * j] = p[j], im[2 * j] = q[j], re[2 * j + 1] = u[j], im[2 * j + 1] = v[j];
}

INLINE void butterfly(const int radix, vec *re, vec *im)
{
    if (radix == 2) {
        const vec a = re[0], b = im[0];
        re[0] = a + re[1], im[0] = b + im[1];
        re[1] = a - re[1], im[1] = b - im[1];
    } else if (radix == 4)
        butterfly_of_4(re, im);
    else if (radix == 8)
        butterfly_of_8(re, im);
    else
        odd_butterfly(radix, re, im);
}

/* All but the first of `radix` values, multiplied by their twiddle factors. */
INLINE void turn(const int radix, vec *re, vec *im, const float *turns)
{
#pragma GCC unroll 8
    for (int q = 1; q < radix; q++) {
        const float cosine = turns[2 * q - 2], sine = turns[2 * q - 1];
        const vec a = re[q], b = im[q];
        re[q] = a * cosine + b * sine;
        im[q] = b * cosine - a * sine;
    }
}

/* Where a pass multiplies by its twiddle factors: after the butterflies, or before them. The third
   is the last pass of the forward transform, the product with `by`, and the first pass back. */
enum way { AFTER, BEFORE, THERE_AND_BACK };

/* One pass over values whose parts are at `re` and `im`. */
INLINE void make_pass(const int radix, const enum way way, const pass *p, int64_t length, vec *re,
                      vec *im, const vec *by, stream *soon)
{
    const int64_t span = p->span;
    const int turned = span > p->stride;
    const stream ahead = *soon;
    const char *wanted = ahead.at;
    for (int64_t block = 0; block < length; block += radix * span) {
        const float *turns = p->turns;
        for (int64_t at = 2 * block; at < 2 * (block + span); at += 2, turns += 2 * (radix - 1)) {
            vec x[LARGEST_RADIX], y[LARGEST_RADIX];
            wanted = fetch(&ahead, wanted);
#pragma GCC unroll 8
            for (int q = 0; q < radix; q++)
                x[q] = re[at + 2 * q * span], y[q] = im[at + 2 * q * span];
            if (way == BEFORE && turned)
                turn(radix, x, y, turns);
            butterfly(radix, x, y);
            if (way == AFTER && turned)
                turn(radix, x, y, turns);
            if (way == THERE_AND_BACK) {
#pragma GCC unroll 8
                for (int q = 0; q < radix; q++) {
                    const vec a = x[q], b = y[q];
                    const vec c = by[at + 2 * q * span], d = by[at + 2 * q * span + 1];
                    x[q] = a * c + b * d, y[q] = b * c - a * d;
                }
                butterfly(radix, y, x);
            }
#pragma GCC unroll 8
            for (int q = 0; q < radix; q++)
                re[at + 2 * q * span] = x[q], im[at + 2 * q * span] = y[q];
        }
    }
    go_on(soon, length / radix * ahead.each);
}

#define WITH_RADIX(n)                                                                         \
    case n:                                                                                   \
        if (way == AFTER)                                                                     \
            make_pass(n, AFTER, p, length, re, im, 0, soon);                                  \
        else if (way == BEFORE)                                                               \
            make_pass(n, BEFORE, p, length, re, im, 0, soon);                                 \
        else                                                                                  \
            make_pass(n, THERE_AND_BACK, p, length, re, im, by, soon);                        \
        break

static void pass_over(const pass *p, enum way way, int64_t length, vec *re, vec *im,
                      const vec *by, stream *soon)
{
    switch (p->radix) {
        WITH_RADIX(2);
        WITH_RADIX(3);
        WITH_RADIX(4);
        WITH_RADIX(5);
        WITH_RADIX(7);
        WITH_RADIX(8);
    }
}

/* Transform values to frequencies. */
static void forward(const transform *f, vec *x, stream *soon)
{
    for (int64_t p = 0; p < f->passes; p++)
        pass_over(f->pass + p, AFTER, f->length, x, x + 1, 0, soon);
}

/* Transform frequencies back to values, times the length. */
static void inverse(const transform *f, vec *x, stream *soon)
{
    for (int64_t p = f->passes - 1; p >= 0; p--)
        pass_over(f->pass + p, BEFORE, f->length, x + 1, x, 0, soon);
}

/* Transform values to frequencies, multiply by the conjugate of `by`, and transform back, times
   the length. */
static void filter(const transform *f, vec *x, const vec *by, stream *soon)
{
    const int64_t last = f->passes - 1;
    for (int64_t p = 0; p < last; p++)
        pass_over(f->pass + p, AFTER, f->length, x, x + 1, 0, soon);
    pass_over(f->pass + last, THERE_AND_BACK, f->length, x, x + 1, by, soon);
    for (int64_t p = last - 1; p >= 0; p--)
        pass_over(f->pass + p, BEFORE, f->length, x + 1, x, 0, soon);
}

/* Plan the passes of a length, prime by prime, and return their number: 0 if there would be too
   many, or if the length has a prime factor above 7. */
static int64_t plan_passes(int64_t length, pass *passes)
{
    static const int64_t primes[] = {7, 5, 3, 2};
    int64_t left = length, n = 0;
    for (int k = 0; k < 4; k++) {
        int64_t axis = 1;
        while (left % (axis * primes[k]) == 0)
            axis *= primes[k];
        left /= axis;
        while (axis > 1) {
            /* A power of 2 is made of fours, and of one 8 or 2. */
            const int64_t of_2 = axis == 2 || axis == 8 ? axis : 4;
            const int64_t radix = primes[k] == 2 ? of_2 : primes[k];
            if (n == MOST_PASSES)
                return 0;
            axis /= radix;
            passes[n++] = (pass){.radix = radix, .span = axis * left, .stride = left};
        }
    }
    return left == 1 ? n : 0;
}

/* Estimated vector operations of a transform; 0 if there is no transform of that length. */
static int64_t transform_cost(int64_t length)
{
    static const int64_t each[] = {0, 0, 4, 14, 16, 36, 0, 66, 56};
    pass passes[MOST_PASSES];
    const int64_t n = plan_passes(length, passes);
    int64_t sum = 0;
    for (int64_t k = 0; k < n; k++) {
        const pass *p = passes + k;
        sum += length / p->radix * (each[p->radix] + (p->span > p->stride ? 4 * p->radix - 4 : 0));
    }
    return sum;
}

/* How many butterflies a transform consists of. */
static int64_t butterflies(const transform *f)
{
    int64_t sum = 0;
    for (int64_t p = 0; p < f->passes; p++)
        sum += f->length / f->pass[p].radix;
    return sum;
}

/* Bytes of a transform's tables: cells, places, and turns. */
static int64_t transform_memory(int64_t length)
{
    pass passes[MOST_PASSES];
    return 4 * length * (2 + 2 * plan_passes(length, passes));
}

static transform make_transform(int64_t length, void *memory)
{
    transform f = {.length = length};
    int32_t *cell = memory, *place = cell + length;
    float *turns = (float *)(place + length);
    f.passes = plan_passes(length, f.pass);
    f.cell = cell, f.place = place;
    for (int64_t p = 0; p < f.passes; p++) {
        pass *const one = f.pass + p;
        one->turns = turns;
        for (int64_t j = 0; j < one->span && one->span > one->stride; j++)
            for (int64_t q = 1; q < one->radix; q++) {
                const double parts = (double)(one->radix * one->span / one->stride);
                const double turned = (double)(j / one->stride * q) / parts;
                *turns++ = (float)cos(2 * 3.14159265358979323846 * turned);
                *turns++ = (float)sin(2 * 3.14159265358979323846 * turned);
            }
    }
    /* Good and Thomas: an index of values is the sum over the axes of (digit along the axis) x
       (length of all other axes); the digits of a frequency are its index modulo each axis. The
       passes leave the digits of a frequency in reversed order. */
    for (int64_t i = 0; i < length; i++) {
        int64_t value = 0, at = 0, along = 0;
        for (int64_t p = 0; p < f.passes; p++) {
            const pass *one = f.pass + p;
            const int64_t axis = one->span * one->radix / one->stride;
            if (p == 0 || one->stride != one[-1].stride) {
                value += i / one->stride % axis * (length / axis);
                along = i % axis;
            }
            at += along % one->radix * one->span;
            along /= one->radix;
        }
        cell[value % length] = (int32_t)i;
        place[i] = (int32_t)at;
    }
    return f;
}

#endif
