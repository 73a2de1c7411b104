//! Sagas on a store in memory and the simulated providers, with a clock that jumps: each story, each fault, each point of a crash or a cancel.
mod crashes;
mod erasure;
mod faults;
mod forgotten;
mod invariants;
mod matrix;
mod newer;
mod outages;
mod owners;
mod postgres;
mod restores;
mod seeds;
mod store;
mod stories;
mod storms;
mod threads;
mod world;
