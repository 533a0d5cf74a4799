//! One file per promise: the harness, the simulation, the attacks and the tidy test.
