//! A log as a file of JSON lines: written from one moment of a database, read back into an empty one, the same there as here.
//!
//! `docs/log-format.md` describes it. Invariants:
//! - what is written is what is stored: payload and metadata byte for byte, instants to the microsecond;
//! - the last line holds a SHA-256 of all lines before it, so that a file that was cut or altered is refused;
//! - an import is one transaction: all of the file is in the log then, or nothing;
//! - memory is bounded, whatever the log's length.
//!
//! Keys are never in it: neither those of persons nor those of the API.
mod export;
mod import;
mod line;

pub use export::{ExportError, export, position};
pub use import::{Fault, ImportError, import};

use serde::{Deserialize, Serialize};

/// What the first line says that the file is.
pub const FORMAT: &str = "waybill-log";
/// Raised when a reader of the version before would misread the file.
pub const FORMAT_VERSION: u32 = 1;
/// The longest line that is read, in bytes: the longest payload and metadata, escaped, and room to spare.
pub const MAX_LINE_BYTES: usize = 4 * 1024 * 1024;

/// How many lines of each kind a file holds; header and end are not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    pub events: u64,
    pub claims: u64,
    pub balances: u64,
    pub timers: u64,
    pub sealed: u64,
    pub checkpoints: u64,
}

impl Counts {
    pub fn lines(&self) -> u64 {
        self.events + self.claims + self.balances + self.timers + self.sealed + self.checkpoints
    }
}
