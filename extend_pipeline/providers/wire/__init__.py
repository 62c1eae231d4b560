"""Parse bodies that no provider owns alone: JSON, error shapes, responses, credentials, presigned links."""
