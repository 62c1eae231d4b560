"""`sql`: query the warehouse and write the result as a table, CSV, JSON or a workbook."""
