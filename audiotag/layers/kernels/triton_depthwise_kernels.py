"""The Triton kernels of `triton_depthwise`, which explains how they work."""

import triton
import triton.language as tl

# Arguments for whose values a kernel is not compiled again.
SIZES = (
    "batch channels height width words other_words pad segments bands reach start lead tap_rows "
    "kh kw top left total positions share parts splits first_row window_rows turn"
).split()


@triton.jit(do_not_specialize=SIZES)
def planes_kernel(
    x, planes, channels, height, width, words, pad,
    CELLS: tl.constexpr, BLOCK: tl.constexpr, CHANNELS_LAST: tl.constexpr, UNIT: tl.constexpr,
):  # fmt: skip
    size = height * words * 8
    tiles = tl.cdiv(size, CELLS)
    blocks = tl.cdiv(channels, BLOCK)
    block = tl.program_id(0) % blocks  # fastest: neighbours read the same lines of the maps
    tile = tl.program_id(0) // blocks % tiles
    image = (tl.program_id(0) // (blocks * tiles)).to(tl.int64)
    known = channels // UNIT * UNIT  # so that the compiler knows a divisor
    cell = tile * CELLS + tl.arange(0, CELLS)
    channel = block * BLOCK + tl.arange(0, BLOCK)
    row = cell // (words * 8)
    column = cell % (words * 8) - pad
    exists = (channel < known)[None, :]
    inside = exists & ((cell < size) & (column >= 0) & (column < width))[:, None]
    place = row * width + column
    if CHANNELS_LAST:
        offset = place[:, None] * known + channel[None, :]
    else:
        offset = place[:, None] + channel[None, :] * (height * width)
    value = tl.load(x + image * known * height * width + offset, mask=inside, other=0.0)
    offset = channel[None, :] * size + cell[:, None]
    tl.store(planes + image * known * size + offset, value, mask=exists & (cell < size)[:, None])


@triton.jit(do_not_specialize=SIZES)
def taps_kernel(
    weight, taps, kh, kw, top, turn, tap_rows, total,
    COLUMNS: tl.constexpr, WINDOW: tl.constexpr, SIZE: tl.constexpr, FLIP: tl.constexpr,
):  # fmt: skip
    index = tl.program_id(0) * SIZE + tl.arange(0, SIZE)
    column = index % WINDOW - index // WINDOW % COLUMNS + turn
    row = index // (WINDOW * COLUMNS) % tap_rows - top
    channel = index // (WINDOW * COLUMNS) // tap_rows
    inside = (row >= 0) & (row < kh) & (column >= 0) & (column < kw) & (index < total)
    if FLIP:
        row = kh - 1 - row
        column = kw - 1 - column
    value = tl.load(weight + (channel * kh + row) * kw + column, mask=inside, other=0.0)
    tl.store(taps + index, value.to(taps.dtype.element_ty), mask=index < total)


@triton.jit(do_not_specialize=SIZES)
def correlate_kernel(
    planes, taps, bias, y, batch, channels, height, width, words,
    segments, bands, reach, start, lead, tap_rows,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, WINDOW: tl.constexpr, GROUP: tl.constexpr,
    SIZE: tl.constexpr, HAS_BIAS: tl.constexpr, PRECISION: tl.constexpr,
    CHANNELS_LAST: tl.constexpr, UNIT: tl.constexpr,
):  # fmt: skip
    ACROSS: tl.constexpr = min(4, WINDOW // 8)  # words of a step that lie in a row
    DOWN: tl.constexpr = 4 // ACROSS
    blocks = tl.cdiv(channels, GROUP)
    block = tl.program_id(0) % blocks  # fastest: neighbours write the same lines of the maps
    band = tl.program_id(0) // blocks % bands
    tile = tl.program_id(0) // (blocks * bands)
    first = tile * SIZE // segments

    # A warp takes a channel, a thread's load a word of one patch's window or one output's taps.
    i = tl.arange(0, SIZE * GROUP * 4)
    word, channel = i % 4, tl.minimum(block * GROUP + i // 32 % GROUP, channels - 1)
    patch = tile * SIZE + i // (32 * GROUP) * 8 + i // 4 % 8
    image = patch // segments
    column = patch % segments * (COLUMNS // 8) - lead + word % ACROSS
    top = band * ROWS - reach
    low = tl.maximum(0, -top)
    high = tl.minimum(ROWS + 2 * reach, height - top)
    below = word // ACROSS
    cell = ((image - first) * channels + channel) * height + top + low + below
    cell = cell * words + column
    planes += first.to(tl.int64) * channels * height * words * 8

    j = tl.arange(0, 64 * GROUP * 4)
    part, turned = j % 4, tl.minimum(block * GROUP + j // 32 % GROUP, channels - 1)
    output = j // (32 * GROUP) * 8 + j // 4 % 8
    tap = turned * tap_rows + low + part // ACROSS - output // COLUMNS + ROWS - 1
    tap = (tap * COLUMNS + output % COLUMNS) * (WINDOW // 8) + part % ACROSS

    e = tl.arange(0, 8)[None, :]
    acc = tl.zeros([GROUP, SIZE, 64], tl.float32)
    for chunk in tl.static_range(0, WINDOW // 8, ACROSS):
        inside = (image < batch) & (column + chunk >= 0) & (column + chunk < words)
        source = planes + ((cell + chunk)[:, None] * 8 + e)
        wanted = taps + ((tap + chunk)[:, None] * 8 + e)
        for row in range(low, high, DOWN):
            if DOWN == 1:
                mask = inside
            else:
                mask = inside & (row + below < high)
            a = tl.load(source, mask=mask[:, None], other=0.0)
            b = tl.load(wanted)
            a = a.reshape(SIZE // 8, GROUP, 8, 4, 2, 2, 2).permute(1, 0, 2, 4, 5, 3, 6)
            b = b.reshape(8, GROUP, 8, 4, 2, 2, 2).permute(1, 4, 5, 3, 6, 0, 2)
            a, b = a.reshape(GROUP, SIZE, 32), b.reshape(GROUP, 32, 64)
            acc = tl.dot(a, b, acc, input_precision=PRECISION)
            source += DOWN * words * 8
            wanted += DOWN * COLUMNS * WINDOW

    known = channels // UNIT * UNIT  # so that the compiler knows a divisor
    channel = block * GROUP + tl.arange(0, GROUP)
    if HAS_BIAS:
        acc += tl.load(bias + tl.minimum(channel, channels - 1)).to(tl.float32)[:, None, None]
    patch = (tile * SIZE + tl.arange(0, SIZE))[:, None]
    output = tl.arange(0, 64)[None, :]
    row = band * ROWS + output // COLUMNS
    column = start + patch % segments * COLUMNS + output % COLUMNS
    image = patch // segments
    inside = (image < batch) & (row < height) & (column >= 0) & (column < width)
    place = row * width + column
    if CHANNELS_LAST:
        offset = ((image - first) * height * width + place)[:, :, None] * known + channel
    else:
        offset = ((image - first) * known * height * width + place)[:, :, None]
        offset += channel * (height * width)
    y += first.to(tl.int64) * known * height * width
    value = acc.permute(1, 2, 0).to(y.dtype.element_ty)
    tl.store(y + offset, value, mask=inside[:, :, None] & (channel < known))


@triton.jit(do_not_specialize=SIZES)
def outer_kernel(
    x, grad, sums, channels, height, words, other_words, segments, bands,
    reach, lead, positions, share, parts, first_row,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, WINDOW: tl.constexpr, GROUP: tl.constexpr,
    TOGETHER: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    APART: tl.constexpr = GROUP // TOGETHER  # channels of a program
    part_blocks = tl.cdiv(parts, TOGETHER)
    channel_blocks = tl.cdiv(channels, APART)
    part_block = tl.program_id(0) % part_blocks
    channel_block = tl.program_id(0) // part_blocks % channel_blocks
    split = tl.program_id(0) // (part_blocks * channel_blocks)

    # A warp takes a part, which is eight words of a channel's window; a thread's load one of them,
    # or one of the patch's eight words, at one of 16 positions.
    i = tl.arange(0, 128 * GROUP)
    position = i // (64 * GROUP) * 8 + i % 4 * 2 + i // (32 * GROUP) % 2
    line, warp = i // 4 % 8, i // 32 % GROUP
    channel = tl.minimum(channel_block * APART + warp // TOGETHER, channels - 1)
    window = (part_block * TOGETHER + warp % TOGETHER) * 8 + line
    window_row = first_row + window // (WINDOW // 8)
    window_word = window % (WINDOW // 8) - lead
    patch_row, patch_word = line // (COLUMNS // 8), line % (COLUMNS // 8)
    e = tl.arange(0, 8)[None, :]

    # The bands whose window rows, as far as this program sums them up, touch the map.
    cells = part_block * TOGETHER * 8, (part_block + 1) * TOGETHER * 8 - 1
    upper, lower = first_row + cells[0] // (WINDOW // 8), first_row + cells[1] // (WINDOW // 8)
    low = (tl.maximum(0, reach - lower) + ROWS - 1) // ROWS
    high = tl.minimum(bands, (height - 1 + reach - upper) // ROWS + 1)
    acc = tl.zeros([GROUP, 64, 64], tl.float32)
    for begin in range(split * share, tl.minimum(positions, split * share + share), 16):
        first = begin // segments
        image = (begin + position) // segments - first
        column = (begin + position) % segments * (COLUMNS // 8)
        exists = begin + position < positions
        row, word = low * ROWS - reach + window_row, column + window_word
        x_inside = exists & (word >= 0) & (word < words)
        source = ((image * channels + channel) * height + row) * words + word
        source = x + first.to(tl.int64) * channels * height * words * 8 + (source[:, None] * 8 + e)
        a = tl.load(source, mask=(x_inside & (row >= 0) & (row < height))[:, None], other=0.0)
        row, word = low * ROWS + patch_row, column + patch_word
        g_inside = exists & (word < other_words)
        other = ((image * channels + channel) * height + row) * other_words + word
        base = grad + first.to(tl.int64) * channels * height * other_words * 8
        other = base + (other[:, None] * 8 + e)
        b = tl.load(other, mask=(g_inside & (row < height))[:, None], other=0.0)
        for band in range(low + 1, high + 1):
            # Load the operands of the next product before this product is computed.
            source += ROWS * words * 8
            other += ROWS * other_words * 8
            row = band * ROWS - reach + window_row
            mask = x_inside & (band < high) & (row >= 0) & (row < height)
            next_a = tl.load(source, mask=mask[:, None], other=0.0)
            mask = g_inside & (band < high) & (band * ROWS + patch_row < height)
            next_b = tl.load(other, mask=mask[:, None], other=0.0)
            a = a.reshape(2, 2, GROUP, 8, 4, 8).permute(2, 5, 3, 0, 4, 1).reshape(GROUP, 64, 16)
            b = b.reshape(2, 2, GROUP, 8, 4, 8).permute(2, 0, 4, 1, 5, 3).reshape(GROUP, 16, 64)
            acc = tl.dot(a, b, acc, input_precision=PRECISION)
            a, b = next_a, next_b
    warp = tl.arange(0, GROUP)
    channel = channel_block * APART + warp // TOGETHER
    part = part_block * TOGETHER + warp % TOGETHER
    place = (split * channels + channel).to(tl.int64) * parts + part
    inside = (channel < channels) & (part < parts)
    cell = (place[:, None] * 64 + tl.arange(0, 64)) * 64
    cell = cell[:, :, None] + tl.arange(0, 64)
    tl.store(sums + cell, acc, mask=inside[:, None, None])


@triton.jit(do_not_specialize=SIZES)
def diagonal_kernel(
    sums, weight, channels, kh, kw, parts, splits, first_row, window_rows, turn,
    COLUMNS: tl.constexpr, WINDOW: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    channel = tl.program_id(0) // kh
    ky = tl.program_id(0) % kh
    kx = tl.arange(0, WIDE)
    # The outer products' rows and columns are cell by cell of a word, and in these word by word.
    output = tl.arange(0, 64)
    word = output % 8
    row = (ky - first_row + word // (COLUMNS // 8))[None, :]
    column = kx[:, None] + (word % (COLUMNS // 8) * 8 + output // 8)[None, :] - turn
    inside = (kx < kw)[:, None] & (column >= 0) & (column < WINDOW)
    inside = inside & (row >= 0) & (row < window_rows)
    window = row * (WINDOW // 8) + column // 8
    cell = (window // 8 * 64 + column % 8 * 8 + window % 8) * 64 + output[None, :]
    total = tl.zeros([WIDE, 64], tl.float32)
    for split in range(splits):
        base = (split * channels + channel).to(tl.int64) * parts * 4096
        total += tl.load(sums + base + cell, mask=inside, other=0.0)
    tl.store(weight + (channel * kh + ky) * kw + kx, tl.sum(total, 1), mask=kx < kw)
