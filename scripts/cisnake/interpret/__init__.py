"""Attributions, the peaks in them, and the motifs behind the peaks."""
