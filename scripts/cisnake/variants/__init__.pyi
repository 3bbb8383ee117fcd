from .effects import find_genes as find_genes
from .effects import replicate_names as replicate_names
from .effects import score_variants as score_variants
from .effects import write_effects as write_effects
from .keras_dataset import VariantDataset as VariantDataset
from .vcf import read_variants as read_variants
