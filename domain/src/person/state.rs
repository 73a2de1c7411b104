//! What a person's events amount to.

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Person {
    /// The ref under which the erasure was asked for; absent before the first event.
    pub requested: Option<String>,
    pub erased: bool,
}
