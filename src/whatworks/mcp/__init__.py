"""The memory as an MCP server: ``whatworks mcp``, with the extra ``mcp``."""
