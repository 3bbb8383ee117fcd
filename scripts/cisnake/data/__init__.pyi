from .motif_database import Motif as Motif
from .motif_database import load_motifs as load_motifs
from .motif_database import read_meme as read_meme
from .motif_database import read_motifs as read_motifs
from .motif_database import write_meme as write_meme
