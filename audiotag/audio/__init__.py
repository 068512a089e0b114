"""From a file to samples.

In: a path, the bytes of a file, or an array (`in_memory`). Out: mono float32 blocks at a model's
sample rate (`streams`), cut into windows (`windows`).

- `find_files`: the files that a path stands for. `standard_input`: audio, or a list of paths?
- `decoders` chooses soundfile, miniaudio or FFmpeg (`ffmpeg`, for formats in `containers`).
- `parts`, `chunks`, `headers`, `repaired`: files with wrong headers, or several files in one.
- `clock`, `levels`, `mono`: silence where samples are missing, level, and one channel.
- `helpers`, `helper_process`, `forked`: decoders run in processes of their own.
"""
