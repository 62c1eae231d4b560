"""`doctor`: check all that the work needs; one module for each kind of check."""
