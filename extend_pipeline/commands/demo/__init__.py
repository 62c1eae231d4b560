"""`demo`, `dev` and `sandbox`: verbs that keep programs running in a home."""
