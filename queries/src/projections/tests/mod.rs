//! The projections on a real PostgreSQL, fed from a store in memory.
mod past;
mod rows;
mod running;
