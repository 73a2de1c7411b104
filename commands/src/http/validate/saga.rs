//! What an operator says with a verb.
use super::{note, reader::Value, short};
use domain::saga::operator::{Command, Done, Verb};

pub(crate) const SKIP_FIELDS: &[&str] = &["reason", "evidence"];
pub(crate) const MARK_DONE_FIELDS: &[&str] = &["reason", "reference", "carrier"];

/// A verb, with what was said for it.
pub(crate) struct Asked {
    pub(crate) command: Command,
    pub(crate) reason: String,
    pub(crate) evidence: Option<String>,
}

pub(crate) fn asked(verb: Verb, body: Value<'_>) -> Option<Asked> {
    let known = match verb {
        Verb::Skip => SKIP_FIELDS,
        Verb::MarkDone => MARK_DONE_FIELDS,
        Verb::Retry | Verb::Compensate | Verb::Pause | Verb::Resume => super::REASON_FIELDS,
    };
    let fields = body.object(known)?;
    let reason = fields.required("reason", note);
    let evidence = (verb == Verb::Skip).then(|| fields.required("evidence", note));
    let command = match verb {
        Verb::Retry => Some(Command::Retry),
        Verb::Skip => Some(Command::Skip),
        Verb::MarkDone => {
            let (reference, carrier) = (fields.required("reference", short), fields.optional("carrier", short));
            reference.map(|reference| Command::MarkDone(Done { reference, carrier }))
        }
        Verb::Compensate => Some(Command::Compensate),
        Verb::Pause => Some(Command::Pause),
        Verb::Resume => Some(Command::Resume),
    };
    let evidence = match evidence {
        Some(evidence) => Some(evidence?),
        None => None,
    };
    Some(Asked { command: command?, reason: reason?, evidence })
}
