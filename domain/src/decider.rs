//! The skeleton every aggregate shares.

/// Pure rules: `decide` says which events a command causes in a state, `evolve` what an event does to the state.
/// A command that was carried out already decides to no event.
pub trait Decider {
    type State;
    type Command;
    type Event;
    type Rejection;

    fn initial() -> Self::State;
    fn decide(state: &Self::State, command: Self::Command) -> Result<Vec<Self::Event>, Self::Rejection>;
    fn evolve(state: &mut Self::State, event: &Self::Event);
}

/// The state after these events.
pub fn fold<'a, D: Decider>(events: impl IntoIterator<Item = &'a D::Event>) -> D::State
where
    D::Event: 'a,
{
    let mut state = D::initial();
    for event in events {
        D::evolve(&mut state, event);
    }
    state
}
