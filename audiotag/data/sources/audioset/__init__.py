"""AudioSet in all its usual forms.

In: a folder or a file. Out: a source of its clips; `open` recognises the form.
"""
