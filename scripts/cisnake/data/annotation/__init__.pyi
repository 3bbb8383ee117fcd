from .features import exons_of_genome as exons_of_genome
from .features import read_genes as read_genes
from .features import read_tss as read_tss
