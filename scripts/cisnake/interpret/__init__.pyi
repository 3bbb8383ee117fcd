from .contrasts import Contrast as Contrast
from .contrasts import each_group as each_group
from .contrasts import resolve_contrast as resolve_contrast
from .nulls import dinucleotide_shuffle as dinucleotide_shuffle
from .nulls import markov_bases as markov_bases
from .q_values import bh_q_values as bh_q_values
from .q_values import bh_q_values_of_smallest as bh_q_values_of_smallest
from .q_values import empirical_q_values as empirical_q_values
