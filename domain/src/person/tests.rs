//! The rules of a person, one sentence each.
use super::{Command, ErasureRequested, Person, PersonErased, PersonEvent, Rejection};
use crate::testing::given;

fn request() -> Command {
    Command::RequestErasure { customer_ref: "hh-900".to_owned(), note_id: None }
}

fn requested() -> PersonEvent {
    ErasureRequested { customer_ref: "hh-900".to_owned(), note_id: None }.into()
}

fn erased() -> PersonEvent {
    PersonErased { customer_ref: "hh-900".to_owned(), orders: 3 }.into()
}

#[test]
fn an_erasure_asked_for_twice_is_recorded_once() {
    assert_eq!(given::<Person>(&[], request()), Ok(vec![requested()]));
    assert_eq!(given::<Person>(&[requested()], request()), Ok(vec![]));
    assert_eq!(given::<Person>(&[requested(), erased()], request()), Ok(vec![]));
}

#[test]
fn a_person_is_erased_once_and_only_on_request() {
    let erase = Command::RecordErased { orders: 3 };
    assert_eq!(given::<Person>(&[], erase.clone()), Err(Rejection::NotRequested));
    assert_eq!(given::<Person>(&[requested()], erase.clone()), Ok(vec![erased()]));
    assert_eq!(given::<Person>(&[requested(), erased()], erase), Ok(vec![]));
}
