from .effects import replicate_names as replicate_names
from .effects import score as score
from .effects import write_effects as write_effects
from .keras_dataset import VariantDataset as VariantDataset
from .vcf import read_variants as read_variants
