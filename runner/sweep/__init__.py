"""The search for hyper-parameters: spaces, rounds, the journal, and the Hydra sweeper that runs them."""
