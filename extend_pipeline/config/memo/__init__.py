"""Remember a checked catalogue between processes, so that an unchanged file is not read, parsed or checked again."""
