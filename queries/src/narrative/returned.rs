//! What came back, in words.
use super::{Count, actor::subject};
use domain::{
    returns::{CloseReason, PutAway, ReturnEvent, ReturnLine, ReturnStep},
    saga::Direction,
};
use eventstore::Actor;

pub(super) fn sentence(event: &ReturnEvent, actor: &Actor) -> String {
    let (who, number) = (subject(actor.kind), event.number());
    match event {
        ReturnEvent::ReturnRequested(event) => {
            format!("{who} asked for return {number}: {} to come back", units(&event.lines))
        }
        ReturnEvent::ReturnApproved(_) => format!("{who} approved return {number}"),
        ReturnEvent::ReturnRejected(_) => format!("{who} rejected return {number}"),
        ReturnEvent::ReturnCancelRequested(_) => format!("{who} cancelled return {number}"),
        ReturnEvent::ReturnLabelPurchased(event) => format!(
            "The customer has a label of {} for return {number} ({})",
            event.label.carrier, event.label.tracking_number
        ),
        ReturnEvent::ReturnReceived(event) => format!("Return {number} came back: {}", units(&event.lines)),
        ReturnEvent::ReturnInspected(event) => {
            let sum = |pieces: fn(&domain::returns::InspectedLine) -> i64| event.lines.iter().map(pieces).sum::<i64>();
            let (restock, write_off, refuse) =
                (sum(|line| line.restock), sum(|line| line.write_off), sum(|line| line.refuse));
            format!(
                "Return {number} was inspected: {restock} to restock, {write_off} to write off, {refuse} not taken back"
            )
        }
        ReturnEvent::ReturnRestocked(event) => {
            format!("Of return {number}, {} can be sold again", put_away(&event.lines))
        }
        ReturnEvent::ReturnWrittenOff(event) => format!("Of return {number}, {} is lost", put_away(&event.lines)),
        ReturnEvent::ReturnCompleted(_) => format!("Return {number} is complete"),
        ReturnEvent::ReturnCompensationStarted(event) => {
            format!("What was done for return {number} is being undone, because {}", because(event.reason))
        }
        ReturnEvent::ReturnLabelVoided(_) => format!("The label of return {number} was given back"),
        ReturnEvent::ReturnClosed(event) => format!("Return {number} was closed: {}", because(event.reason)),
        ReturnEvent::ReturnStepRetrying(event) => {
            let whom = if event.step == ReturnStep::Refund { "the payment provider" } else { "the carrier" };
            format!("Return {number} waits: {whom} gave no answer ({}); trying again", event.cause)
        }
        ReturnEvent::ReturnPaused(event) => {
            let what = doing(event.step, event.direction);
            format!("Return {number} stopped while {what} ({}). A person has to look", event.cause)
        }
        ReturnEvent::ReturnRetryRequested(_) => format!("{who} let return {number} try again"),
        ReturnEvent::ReturnStepSkipped(event) => {
            let what = doing(event.step, event.direction);
            format!("{who} passed over {what} in return {number}: it needn't be done, as was shown")
        }
        ReturnEvent::ReturnStepMarkedDone(event) => {
            let what = doing(event.step, event.direction);
            format!("{who} said that {what} was done elsewhere for return {number} ({})", event.reference)
        }
        ReturnEvent::ReturnPauseRequested(_) => format!("{who} stopped return {number}: nothing more is begun"),
        ReturnEvent::ReturnResumeRequested(_) => format!("{who} let return {number} go on"),
    }
}

fn because(reason: CloseReason) -> &'static str {
    match reason {
        CloseReason::Rejected => "it was rejected",
        CloseReason::Requested => "it was cancelled",
        CloseReason::Undeliverable => "no carrier fetches it from that address",
    }
}

fn doing(step: ReturnStep, direction: Direction) -> &'static str {
    match (step, direction) {
        (ReturnStep::Approve, _) => "waiting for its approval",
        (ReturnStep::BuyLabel, Direction::Forward) => "buying a label",
        (ReturnStep::BuyLabel, Direction::Compensate) => "giving its label back",
        (ReturnStep::Receive, _) => "waiting for the goods",
        (ReturnStep::Inspect, _) => "waiting for the inspection",
        (ReturnStep::Refund, _) => "giving the money back",
        (ReturnStep::PutAway, _) => "putting the goods away",
    }
}

fn units(lines: &[ReturnLine]) -> String {
    let units: i64 = lines.iter().map(|line| line.quantity).sum();
    format!("{} of {}", Count(units, "unit"), Count(lines.len(), "line"))
}

fn put_away(lines: &[PutAway]) -> String {
    Count(lines.iter().map(|line| line.quantity).sum::<i64>(), "unit").to_string()
}
