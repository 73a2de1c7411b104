//! A saga as GraphQL tells of it.
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// The fields of `Saga` below.
pub(super) const FIELDS: &str =
    "id order { id ref shop status } state step direction attempt cause waitingOn waitingSince expectedBy overdue
    remainingSteps";

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Saga {
    pub(super) id: String,
    pub(super) order: Order,
    pub(super) state: String,
    pub(super) step: String,
    pub(super) direction: Option<String>,
    pub(super) attempt: i32,
    pub(super) cause: Option<String>,
    pub(super) waiting_on: Option<String>,
    pub(super) waiting_since: Option<DateTime<Utc>>,
    pub(super) expected_by: Option<DateTime<Utc>>,
    pub(super) overdue: bool,
    pub(super) remaining_steps: Vec<String>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Order {
    pub(super) id: String,
    #[serde(rename = "ref")]
    pub(super) order_ref: String,
    pub(super) shop: String,
    pub(super) status: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PageInfo {
    pub(super) has_next_page: bool,
    pub(super) end_cursor: Option<String>,
}

impl PageInfo {
    /// Where the next page begins, if there is one.
    pub(super) fn next(self) -> Option<String> {
        self.end_cursor.filter(|_| self.has_next_page)
    }
}
