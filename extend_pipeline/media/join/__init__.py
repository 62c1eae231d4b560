"""Assembly of one film from a parent and a segment: compatible packets are copied, others are encoded again."""
