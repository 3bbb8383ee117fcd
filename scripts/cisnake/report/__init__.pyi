from .recovery import measure_recovery as measure_recovery
from .recovery import measure_variants as measure_variants
from .recovery import possible_pearson as possible_pearson
from .recovery import read_expression as read_expression
from .recovery import read_findings as read_findings
from .recovery import read_true_effects as read_true_effects
