"""Files: store them whole, probe them, measure the seam, draw the poster. Knows no HTTP and no ledger."""
