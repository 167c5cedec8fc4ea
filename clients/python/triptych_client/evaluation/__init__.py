"""How well a served model does on a labelled set: read, ask, score, compare, report."""
