"""Read an invoice that a provider has exported as CSV."""
