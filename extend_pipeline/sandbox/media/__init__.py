"""The sandbox's films: drawing of frames, encoding of hops, and a library of finished files."""
