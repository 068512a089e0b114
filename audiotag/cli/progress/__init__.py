"""Progress on standard error, and how a command ends that is stopped.

Files, whose number may not be known, are counted by a line of ours (`line`). Work whose total is
known has tqdm's (`runtime.progress`), in the same form: importing tqdm would add a sixth to the
time until `audiotag tag` shows its first tags.
"""
