//! What may go wrong between Waybill and Kafka.
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use thiserror::Error;

#[derive(Clone, Debug, Error)]
pub enum MirrorError {
    /// Kafka doesn't answer, or not as it should: try again.
    #[error("Kafka: {0}")]
    Kafka(#[from] KafkaError),
    /// Kafka took longer than we wait.
    #[error("Kafka has not answered within {seconds} s while {doing}")]
    Silent { doing: &'static str, seconds: u64 },
    /// Another relay of this log has taken over.
    #[error("another relay of this log has taken over: {0}")]
    Fenced(String),
    /// A topic isn't the one that we knew: it was made anew, or its partitions changed.
    #[error("topic {topic} is not the one it was: {what}")]
    TopicChanged { topic: String, what: String },
    /// The log has begun a new life meanwhile: look again before anything is written.
    #[error("the log has begun incarnation {}", .incarnation.0)]
    NewLife { incarnation: eventstore::Incarnation },
    /// The topics of this log aren't there (yet).
    #[error("this log isn't in Kafka yet")]
    NotMirrored,
    #[error("topic {topic} could not be created: {code}")]
    TopicNotCreated { topic: String, code: RDKafkaErrorCode },
    #[error("the event store: {0}")]
    Store(#[from] eventstore::ReadError),
    /// What is lost can't be read, or can't be written down.
    #[error("what is lost can't be told: {0}")]
    Report(String),
    /// A thread of ours ended early.
    #[error("a task of the mirror ended early: {0}")]
    Task(String),
    /// The stop came before the end of the work.
    #[error("stopped")]
    Stopped,
}

impl MirrorError {
    pub(crate) fn code(&self) -> Option<RDKafkaErrorCode> {
        match self {
            MirrorError::Kafka(error) => kafka_code(error),
            _ => None,
        }
    }

    /// True when the broker says that our epoch as a producer is over.
    pub(crate) fn is_fenced(&self) -> bool {
        matches!(self, MirrorError::Fenced(_)) || self.code().is_some_and(is_fencing)
    }
}

/// rdkafka answers no code for errors of transactions: look inside.
pub(crate) fn kafka_code(error: &KafkaError) -> Option<RDKafkaErrorCode> {
    match error {
        KafkaError::Transaction(error) => Some(error.code()),
        other => other.rdkafka_error_code(),
    }
}

/// What a producer hears once another has called `init_transactions` under its transactional id, or once the broker gave up
/// its transaction while it was frozen.
pub(crate) fn is_fencing(code: RDKafkaErrorCode) -> bool {
    matches!(code, RDKafkaErrorCode::Fenced | RDKafkaErrorCode::ProducerFenced | RDKafkaErrorCode::InvalidProducerEpoch)
}

/// Why a record can't be read as one of ours.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum WireError {
    #[error("header {0} is missing")]
    Missing(&'static str),
    #[error("header {name} can't be read: {why}")]
    Malformed { name: &'static str, why: String },
    #[error("the value is not JSON: {0}")]
    Value(String),
}
