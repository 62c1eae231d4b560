"""The report: one HTML file about the published warehouse, read from its views, with charts by Altair."""
