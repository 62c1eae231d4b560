"""The same hop in other engines: submit → poll → download → record, each step durable. The scripts run in environments
of their own, which have the engine, httpx and PyJWT, and nothing of extend_pipeline."""
