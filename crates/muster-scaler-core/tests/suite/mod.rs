mod faults;
mod invariants;
mod scene;
mod world;
