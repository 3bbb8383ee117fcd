from .features import exons_of_genome as exons_of_genome
from .features import read_genes as read_genes
from .features import read_tss as read_tss
from .gff3 import gene_ids as gene_ids
from .gff3 import is_gene as is_gene
from .gtf import attribute_values as attribute_values
from .regions import read_bed_regions as read_bed_regions
