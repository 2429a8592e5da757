mod faults;
mod invariants;
mod rules;
mod scene;
mod speed;
mod world;
