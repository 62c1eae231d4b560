"""HTTP with the guarantees that money needs: a deadline per call, checked addresses, and whether a byte has left."""
