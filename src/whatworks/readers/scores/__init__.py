"""Exports of tracing tools: one module a tool, and what reads files of any of them (``forms``)."""
