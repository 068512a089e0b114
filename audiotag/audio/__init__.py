"""From a file to samples.

In: a path, or the bytes of a file or an array (`in_memory`). Out: mono float32 blocks at the rate
that a model wants (`streams`), cut into windows (`windows`). `find_files` says which files a path
stands for, `standard_input` whether a pipe holds audio or a list of paths; `decoders` chooses the
decoder: soundfile, miniaudio or FFmpeg (`ffmpeg`, for formats in `containers`). Decoders run in
processes of their own: `helpers` starts and asks them, `helper_process` is what runs there.
"""
