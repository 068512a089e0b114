"""The machine below: files, devices, processes, memory, and drawing.

Nothing here knows of audio or of models. `files` writes whole files or none, `devices` and
`precision` say where and how torch computes, `distributed` joins the processes of torchrun,
`compiled` loads what was built from C, `figures` draws.
"""
