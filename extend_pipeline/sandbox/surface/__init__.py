"""What the surfaces of all providers share: keys, links, downloads, callbacks, error bodies."""
