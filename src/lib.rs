//! The parts of the `waybill` binary: composition, embedded servers, the command line.
pub mod embedded;
pub mod simulate;
