from .effects import ProbeSettings as ProbeSettings
from .probed_clusters import choose_clusters as choose_clusters
from .probed_clusters import probe_clusters as probe_clusters
from .sites import peak_places as peak_places
from .sites import read_peak_hits as read_peak_hits
from .window_scorer import Scorer as Scorer
