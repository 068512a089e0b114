"""Live: which sound begins and ends now, at a microphone, a camera, a stream?

In: sources that have no end, and an engine. Out: an event as it begins and as it ends, with the
time of day.

- `sources`: what can be listened to. `clock`: from a place in its sound to the time of day.
- `listen`: sources to events. `news`: what it tells.
- `rules`, `limits`, `actions`: what is done about an event, and how often.
- `tape`, `recorder`: the sound of an event, kept with the seconds before it.
"""
