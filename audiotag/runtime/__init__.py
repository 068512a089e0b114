"""How the package uses the machine: files, devices, processes, threads, memory, the terminal.

Nothing here knows about audio or models. In: paths, names of devices, text, functions. Out: files,
devices, results.

- Files: `files` writes a file whole or not at all; `lock` lets one process at a time write an
  output; `json_text` and `records` read JSON that others wrote.
- Computing: `devices` and `precision` choose where and how torch computes; `distributed` joins the
  processes of torchrun; `shares` divides work between machines; `ordered_threads` computes results
  ahead, in order; `allocator` and `free_memory` are about memory; `compiled` loads C libraries.
- Messages: `escapes` makes text safe to print; `progress` shows how far work is; `missing` and
  `keywords` explain a missing package or a wrong argument; `figures` draws; `timing` measures.
"""
