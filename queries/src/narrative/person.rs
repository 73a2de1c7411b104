//! What happens to a person's data, in words that name nobody.
use super::{Count, actor::subject};
use domain::person::PersonEvent;
use eventstore::Actor;

pub(super) fn sentence(event: &PersonEvent, actor: &Actor) -> String {
    match event {
        PersonEvent::ErasureRequested(event) => {
            format!("{} asked to erase customer {}", subject(actor.kind), event.customer_ref)
        }
        PersonEvent::PersonErased(event) => {
            format!("Customer {} was erased, with {}", event.customer_ref, Count(event.orders, "order"))
        }
    }
}
