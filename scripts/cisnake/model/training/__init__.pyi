from .batches import GeneBatches as GeneBatches
from .blending import blend_with_words as blend_with_words
from .examples import batches_by_head as batches_by_head
from .examples import complete_params as complete_params
from .examples import split_batches as split_batches
from .examples import training_batches as training_batches
from .tracking import Tracker as Tracker
from .trainer import Trainer as Trainer
