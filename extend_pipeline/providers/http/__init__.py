"""HTTP with a deadline per call, checked addresses, and a record of whether any byte of a request was sent."""
