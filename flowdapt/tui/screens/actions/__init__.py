"""What a person does to things: one file per kind of thing, mixed into the screens that show it.

Each asks before it destroys, tells the record (`ctrl+l`) the command that does the same, and says in
`why_not` when it cannot be done.
"""
