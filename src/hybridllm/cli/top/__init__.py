"""`hybridllm top`: what running processes do now, drawn again and again.

`looks` remembers what was told and makes rates of it, `events` says what has changed between two looks.
`backends` and `overflows` are the tables, `columns` fits them to a terminal, `screen` draws, `command` holds
the options.
"""
