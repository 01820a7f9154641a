"""`hybridllm top`: what running processes do now, drawn again and again.

`looks` remembers what was told and makes rates of it, `events` says what has changed between two looks,
`values` reads what may be of another version or of somebody else. `backends`, `overflows` and `volumes` are
the tables, `columns` fits them to a terminal, `screen` draws, `command` holds the options.
"""
