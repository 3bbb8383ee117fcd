from .batches import GeneBatches as GeneBatches
from .examples import training_data as training_data
from .tracking import Tracker as Tracker
from .trainer import Trainer as Trainer
