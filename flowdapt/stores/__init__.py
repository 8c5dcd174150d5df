"""Keep the state: resources, runs and the journal, in SQLite, PostgreSQL or memory.

`factory.create_store` chooses by URL. The rows and statements are private to this package.
"""
