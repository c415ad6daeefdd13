"""The search for hyperparameters: spaces, rounds, the journal, and the Hydra sweeper that runs them."""

from runner.callable_package import make_callable

make_callable(__name__)
