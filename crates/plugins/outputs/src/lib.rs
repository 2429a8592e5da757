//! Outputs: write metrics to the world.
