"""Transfer: each word of the group is a class here that says which layers of a trained network learn, and how fast."""

from runner.transfer import feature_files
from runner.transfer.blocks import Blocks, blocks_of, freeze, frozen_norms
from runner.transfer.choice import Auto, Choice, probed_stages, ridge_accuracy, watched
from runner.transfer.features import Pool, StageFeatures, up_to
from runner.transfer.split import Split, split
from runner.transfer.strategies import All, Features, Gradual, Head, LastBlocks, Rate, Transfer, Whole
from runner.transfer.weights import Fitted, Weights, fit_into, read_weights
