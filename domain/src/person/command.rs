//! What can be asked of a person's stream.
use uuid::Uuid;

#[derive(Clone, Debug)]
pub enum Command {
    RequestErasure {
        customer_ref: String,
        note_id: Option<Uuid>,
    },
    /// The key is gone, the participants know, and so does the history of each of the person's orders.
    RecordErased {
        orders: u64,
    },
}
