//! What the saga decided, in words.
use super::{actor::subject, order::because};
use domain::fulfillment::{SagaEvent, SagaPaused, Step, StepRetrying};
use domain::saga::Direction;
use eventstore::Actor;

pub(super) fn sentence(event: &SagaEvent, actor: &Actor) -> String {
    match event {
        SagaEvent::SagaStarted(_) => "Waybill began to carry the order out".to_owned(),
        SagaEvent::StepRetrying(event) => retrying(event),
        SagaEvent::SagaPaused(event) => paused(event),
        SagaEvent::RetryRequested(_) => format!("{} let it try again", subject(actor.kind)),
        SagaEvent::StepSkipped(event) => {
            let (who, what) = (subject(actor.kind), doing(event.step, event.direction));
            format!("{who} passed over {what}: it needn't be done, as was shown")
        }
        SagaEvent::StepMarkedDone(event) => {
            let (who, what) = (subject(actor.kind), doing(event.step, event.direction));
            format!("{who} said that {what} was done elsewhere ({})", event.reference)
        }
        SagaEvent::CompensationForced(_) => format!("{} wants everything undone", subject(actor.kind)),
        SagaEvent::PauseRequested(_) => format!("{} stopped it: nothing more is begun", subject(actor.kind)),
        SagaEvent::ResumeRequested(_) => format!("{} let it go on", subject(actor.kind)),
        SagaEvent::CompensationStarted(event) => {
            format!("What was done so far is being undone, because {}", because(event.reason))
        }
        SagaEvent::SagaCompleted(_) => "Nothing is left to do".to_owned(),
        SagaEvent::SagaCompensated(_) => "Everything is undone; nothing is left to do".to_owned(),
    }
}

fn retrying(event: &StepRetrying) -> String {
    let who = participant(event.step);
    match event.cause.as_str() {
        "unavailable" => format!("Waiting: {who} can't be reached; trying again"),
        "unknown_outcome" => format!("Waiting: {who} didn't answer, so it isn't known whether it acted; asking again"),
        cause => format!("Waiting for {who} ({cause}); trying again"),
    }
}

fn paused(event: &SagaPaused) -> String {
    let what = doing(event.step, event.direction);
    match event.cause.as_str() {
        "retries_exhausted" => format!("Stopped while {what}: tried too often without an answer. A person has to look"),
        "capture_declined" => {
            "Stopped: the money could not be taken, though the goods have left. A person has to look".to_owned()
        }
        cause => format!("Stopped while {what} ({cause}). A person has to look"),
    }
}

fn participant(step: Step) -> &'static str {
    match step {
        Step::AuthorizePayment | Step::CapturePayment => "the payment provider",
        Step::Ship => "the carrier",
        Step::ReserveStock => "the stock",
        Step::ReleaseToWarehouse => "the warehouse",
        Step::Complete => "Waybill",
    }
}

fn doing(step: Step, direction: Direction) -> &'static str {
    match (step, direction) {
        (Step::ReserveStock, Direction::Forward) => "setting the goods aside",
        (Step::ReserveStock, Direction::Compensate) => "freeing what was set aside",
        (Step::AuthorizePayment, Direction::Forward) => "having the payment authorized",
        (Step::AuthorizePayment, Direction::Compensate) => "giving the authorization back",
        (Step::ReleaseToWarehouse, Direction::Forward) => "releasing it to the warehouse",
        (Step::ReleaseToWarehouse, Direction::Compensate) => "taking it back from the warehouse",
        (Step::Ship, Direction::Forward) => "having it shipped",
        (Step::Ship, Direction::Compensate) => "giving the shipping label back",
        (Step::CapturePayment, _) => "taking the payment",
        (Step::Complete, _) => "completing the order",
    }
}
