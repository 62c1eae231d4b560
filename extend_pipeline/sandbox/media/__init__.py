"""The sandbox's films: what is drawn on a frame, how a hop is encoded, and where finished files are kept."""
