"""The search for hyperparameters: spaces, rounds, the journal, and the Hydra sweeper that runs them."""
