from .effects import ProbeSettings as ProbeSettings
from .effects import probe_motifs as probe_motifs
from .sites import choose_motifs as choose_motifs
from .sites import peak_places as peak_places
from .sites import read_peak_hits as read_peak_hits
from .window_scorer import Scorer as Scorer
