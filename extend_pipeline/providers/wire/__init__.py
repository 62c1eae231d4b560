"""Code that several providers share: calls, JSON, error bodies, responses, credentials, presigned URLs."""
