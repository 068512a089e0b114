"""What the package needs of the machine: files, devices, processes, threads, memory, figures.

Nothing here knows about audio or models. `files` writes whole files or none; `devices` and
`precision` say where and how torch computes; `distributed` joins the processes of torchrun, and
`shares` divides work between machines; `ordered_threads` computes results ahead; `allocator` and
`free_memory` are about memory; `compiled` loads what was built from C; `timing` measures; `figures`
draws.
"""
