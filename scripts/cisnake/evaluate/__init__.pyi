from .coverage_evaluation import evaluate_tiles as evaluate_tiles
from .coverage_evaluation import gene_profiles as gene_profiles
from .evaluation import evaluate_split as evaluate_split
from .evaluation import write_evaluation as write_evaluation
from .export import export_predictions as export_predictions
