from .discover import Pattern as Pattern
from .discover import discover_patterns as discover_patterns
from .files import read_patterns as read_patterns
from .files import write_patterns as write_patterns
from .tomtom import match_motifs as match_motifs
