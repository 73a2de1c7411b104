//! The rules of a person.
use super::{Command, ErasureRequested, Person, PersonErased, PersonEvent};
use crate::Decider;
use thiserror::Error;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Rejection {
    #[error("nobody asked for this person to be erased")]
    NotRequested,
}

impl Decider for Person {
    type State = Person;
    type Command = Command;
    type Event = PersonEvent;
    type Rejection = Rejection;

    fn initial() -> Person {
        Person::default()
    }

    fn decide(person: &Person, command: Command) -> Result<Vec<PersonEvent>, Rejection> {
        match (command, &person.requested) {
            (Command::RequestErasure { .. }, Some(_)) => Ok(vec![]),
            (Command::RequestErasure { customer_ref, note_id }, None) => {
                Ok(vec![ErasureRequested { customer_ref, note_id }.into()])
            }
            (Command::RecordErased { .. }, None) => Err(Rejection::NotRequested),
            (Command::RecordErased { .. }, Some(_)) if person.erased => Ok(vec![]),
            (Command::RecordErased { orders }, Some(customer_ref)) => {
                Ok(vec![PersonErased { customer_ref: customer_ref.clone(), orders }.into()])
            }
        }
    }

    fn evolve(person: &mut Person, event: &PersonEvent) {
        match event {
            PersonEvent::ErasureRequested(event) => person.requested = Some(event.customer_ref.clone()),
            PersonEvent::PersonErased(_) => person.erased = true,
        }
    }
}
