"""The clients of the upstream APIs: typed requests and responses. The only package that uses HTTP."""
