//! What a participant holds under our reference, where it may have forgotten the keys: the last thing that can be asked.
//!
//! Invariants:
//! - of a step forward the answer is the one thing that is there and fits what was asked for; none, several, or one that does not fit is
//!   no answer, and nothing is sent;
//! - an undo goes by what is there: it names the one thing that stands. Is there none, it goes by its forward key, which blocks what may
//!   yet come. Among several it does not choose;
//! - what came under a key that is still known and is not ours is not counted.
use crate::metrics;
use crate::participants::StepError;
use crate::participants::payment::{HeldAuthorization, PaymentPort, VoidRequest};
use crate::participants::shipping::{HeldLabel, ShippingPort, VoidLabelRequest};
use crate::perform::{Answer, Request, labelled};
use domain::saga::Reply;
use tokio::time::Instant;

/// What asking comes to.
pub(crate) enum LookUp {
    Answered(Answer),
    /// Nothing is known of it: it may go out as it is.
    Nothing,
    /// An undo may go out like this.
    Send(Request),
}

impl Request {
    /// An undo of something that we have no name for.
    pub(crate) fn is_nameless_undo(&self) -> bool {
        match self {
            Request::Void(request) => request.authorization_id.is_none(),
            Request::VoidLabel(request) => request.label_id.is_none(),
            Request::Authorize(_) | Request::Capture(_) | Request::Refund(..) | Request::Label(..) => false,
        }
    }

    fn reference(&self) -> &str {
        match self {
            Request::Authorize(request) => &request.reference,
            Request::Void(request) => &request.reference,
            Request::Capture(request) => &request.reference,
            Request::Refund(request, _) => &request.reference,
            Request::Label(request, _) => &request.reference,
            Request::VoidLabel(request) => &request.reference,
        }
    }

    /// Asks by our reference.
    pub(crate) async fn look_up(&self, payment: &dyn PaymentPort, shipping: &dyn ShippingPort) -> LookUp {
        let begun = Instant::now();
        let reference = self.reference();
        let found = match self {
            Request::Authorize(_) | Request::Void(_) | Request::Capture(_) | Request::Refund(..) => {
                payment.find(reference).await.map(|held| self.among(held))
            }
            Request::Label(..) | Request::VoidLabel(_) => {
                shipping.find(reference).await.map(|held| self.among_labels(held))
            }
        };
        let found = found.unwrap_or_else(|error| LookUp::Answered(self.missing(error, true)));
        let outcome = match &found {
            LookUp::Answered(answer) => answer.outcome(),
            LookUp::Nothing => "nothing",
            LookUp::Send(_) => "found",
        };
        metrics::call(self.participant(), "find", outcome, begun.elapsed());
        found
    }

    fn among(&self, held: Vec<HeldAuthorization>) -> LookUp {
        let reply = match self {
            Request::Authorize(request) => {
                let ours = held.into_iter().filter(|held| may_be(held.key.as_deref(), &request.key));
                let fits = |held: &HeldAuthorization| {
                    !held.voided && held.captures.is_empty() && held.authorization.amount == request.amount
                };
                match only(ours) {
                    Only::One(held) if fits(&held) => Some(self.authorized(held.authorization)),
                    Only::None => return LookUp::Nothing,
                    Only::One(_) | Only::Several => None,
                }
            }
            Request::Capture(request) => {
                let of =
                    held.into_iter().filter(|held| held.authorization.authorization_id == request.authorization_id);
                let ours = of.flat_map(|held| held.captures).filter(|held| may_be(held.key.as_deref(), &request.key));
                match only(ours) {
                    Only::One(held) if held.capture.amount == request.amount => Some(self.captured(held.capture)),
                    Only::None => return LookUp::Nothing,
                    Only::One(_) | Only::Several => None,
                }
            }
            Request::Void(request) => {
                let ours = held.into_iter().filter(|held| match &request.authorization_id {
                    Some(id) => held.authorization.authorization_id == *id,
                    None => may_be(held.key.as_deref(), &request.forward_key),
                });
                let ours: Vec<_> = ours.map(|held| (held.authorization.authorization_id, held.voided)).collect();
                return undo(&ours, request.authorization_id.is_some(), Reply::AuthorizationVoided, |id| {
                    Request::Void(VoidRequest { authorization_id: id, ..request.clone() })
                });
            }
            Request::Refund(request, known) => {
                let captures = held.into_iter().flat_map(|held| held.captures);
                let refunds = captures.filter(|held| held.capture.capture_id == request.capture_id);
                let ours = refunds.flat_map(|held| held.refunds).filter(|held| !known.contains(&held.refund_id));
                match only(ours) {
                    Only::One(held) if held.amount == request.amount => Some(self.refunded(held)),
                    Only::None => return LookUp::Nothing,
                    Only::One(_) | Only::Several => None,
                }
            }
            Request::Label(..) | Request::VoidLabel(_) => None,
        };
        LookUp::Answered(reply.map_or(Answer::Forgotten, |reply| self.answer(reply, Ok)))
    }

    fn among_labels(&self, held: Vec<HeldLabel>) -> LookUp {
        let reply: Option<Result<Reply, StepError>> = match self {
            Request::Label(request, known) => {
                let others = held.into_iter().filter(|held| !known.contains(&held.label.tracking_number));
                let ours = others.filter(|held| may_be(held.key.as_deref(), &request.key));
                match only(ours) {
                    Only::One(held) if !held.voided => Some(Ok(labelled(request, held.label))),
                    Only::None => return LookUp::Nothing,
                    Only::One(_) | Only::Several => None,
                }
            }
            Request::VoidLabel(request) => {
                let ours = held.into_iter().filter(|held| match &request.label_id {
                    Some(id) => held.label.label_id == *id,
                    None => may_be(held.key.as_deref(), &request.forward_key),
                });
                let ours: Vec<_> = ours.map(|held| (held.label.label_id, held.voided)).collect();
                return undo(&ours, request.label_id.is_some(), Reply::LabelVoided, |id| {
                    Request::VoidLabel(VoidLabelRequest { label_id: id, ..request.clone() })
                });
            }
            Request::Authorize(_) | Request::Void(_) | Request::Capture(_) | Request::Refund(..) => None,
        };
        LookUp::Answered(reply.map_or(Answer::Forgotten, |reply| self.answer(reply, Ok)))
    }
}

/// How to undo the one that stands. `ours`: what there is, and whether it is undone already; `named`: it was asked for by its id.
fn undo(ours: &[(String, bool)], named: bool, undone: Reply, request: impl Fn(Option<String>) -> Request) -> LookUp {
    let mut standing = ours.iter().filter(|(_, is_undone)| !is_undone).map(|(id, _)| id);
    match (standing.next(), standing.next()) {
        (Some(id), None) => LookUp::Send(request(Some(id.clone()))),
        (Some(_), Some(_)) => LookUp::Answered(Answer::Forgotten),
        // What we have a name for was there once.
        (None, _) if named && ours.is_empty() => LookUp::Answered(Answer::Forgotten),
        (None, _) if named => LookUp::Answered(Answer::Definite(undone)),
        (None, _) => LookUp::Send(request(None)),
    }
}

/// It came under our key, or nobody knows any more under which.
fn may_be(key: Option<&str>, ours: &str) -> bool {
    key.is_none_or(|key| key == ours)
}

enum Only<T> {
    None,
    One(T),
    Several,
}

fn only<T>(mut items: impl Iterator<Item = T>) -> Only<T> {
    match (items.next(), items.next()) {
        (None, _) => Only::None,
        (Some(item), None) => Only::One(item),
        (Some(_), Some(_)) => Only::Several,
    }
}
