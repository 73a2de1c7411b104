//! All SQL of the read side.
//!
//! What the projections write names its tables without a schema: their connections' `search_path` says which, so that a replay
//! fills tables beside the live ones with the very same statements. What answers queries names `read.` in full. A batch is written by two functions of
//! the schema (`migrations/0111_write_rows.sql`, `0112_read_in_motion.sql`), called by `write` alone.
//!
//! Statements are checked at compile time (`.sqlx/`). Lists with optional filters and either direction are built at run time, in
//! `list`, so that each combination gets the plan that fits it; values are always bound.
pub(crate) mod audit;
pub(crate) mod checkpoint;
pub(crate) mod incidents;
pub(crate) mod list;
pub(crate) mod parked;
pub(crate) mod read;
pub(crate) mod replay;
pub(crate) mod requests;
pub(crate) mod returns;
pub(crate) mod sagas;
pub(crate) mod watch;
pub(crate) mod write;
