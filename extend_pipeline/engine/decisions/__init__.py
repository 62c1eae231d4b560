"""Record what an operator has decided: about one hop, or about edits of the catalogue."""
