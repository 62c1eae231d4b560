"""The wire: one module a protocol, typed requests and answers. The only package that knows HTTP."""
