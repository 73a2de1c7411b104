//! The projections on a real PostgreSQL, fed from a store in memory.
mod evolved;
mod past;
mod rows;
mod running;
