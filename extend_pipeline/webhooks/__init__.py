"""The webhook receiver: reads callbacks within limits, checks signatures and stores them in the inbox. It makes
no decision, sends no request, and returns 204 to every request."""
