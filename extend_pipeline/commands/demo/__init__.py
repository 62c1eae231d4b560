"""`demo`, `dev` and `sandbox`: homes in which programs run until they are ended."""
