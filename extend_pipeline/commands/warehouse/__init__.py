"""The verbs of the warehouse: `publish`, and `sql` with its results as a table, CSV, JSON or a workbook."""
