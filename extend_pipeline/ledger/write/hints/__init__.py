"""Write what only says when to look again: losing it costs a query, never a task or a credit."""
