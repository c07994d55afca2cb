"""One memory for several machines, which exchange their journals through a Postgres database.

A machine keeps an ordinary store, answers from it, and records without a connection.
"""
