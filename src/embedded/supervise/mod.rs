//! Servers under supervision: a handle here, a supervisor process ([`supervisor`]) for each.
//!
//! Invariants: a server never outlives its `waybill` by more than its stop time; a server that dies is started again, with
//! growing pauses; so is a supervisor that dies, after what it left running has been stopped. A `waybill` that starts on a data
//! folder first sees to it that nothing from before is running ([`clear`]).

mod identity;
mod server;
mod spec;
mod supervisor;

pub use server::{Error, Server, State};
pub use spec::{Account, Spec, StopSignal};
pub use supervisor::run;

pub(crate) use server::{clear, failed, run_once};
