//! What was written years ago, as it means today.
//!
//! A recorded event is read as no event of the domain (its type was retired), as one (as a rule) or as several (it was split).
//! Whatever it becomes, it keeps its one place: positions and versions count what is recorded.
//!
//! Old shapes lie here, one small file each, with `From` into the next; `events!` names them beside the version that is
//! written. `examples` shows each kind of change, and docs/evolution.md tells them.
#[cfg(test)]
mod examples;

use crate::Event;
use std::ops::Deref;

/// What a recorded event is today, in order. One event costs no allocation.
#[derive(Clone, Debug, PartialEq)]
pub enum Decoded<E = Event> {
    Retired,
    One(E),
    Several(Vec<E>),
}

impl<E> Decoded<E> {
    pub(crate) fn into_events(self) -> Decoded
    where
        Event: From<E>,
    {
        match self {
            Decoded::Retired => Decoded::Retired,
            Decoded::One(event) => Decoded::One(event.into()),
            Decoded::Several(events) => Decoded::Several(events.into_iter().map(Event::from).collect()),
        }
    }
}

impl<E> Deref for Decoded<E> {
    type Target = [E];

    fn deref(&self) -> &[E] {
        match self {
            Decoded::Retired => &[],
            Decoded::One(event) => std::slice::from_ref(event),
            Decoded::Several(events) => events,
        }
    }
}

impl<'a, E> IntoIterator for &'a Decoded<E> {
    type Item = &'a E;
    type IntoIter = std::slice::Iter<'a, E>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Reads one old shape; see `events!`.
#[cfg_attr(not(test), expect(unused_macros, reason = "no event of Waybill has changed its shape yet"))]
macro_rules! upcast {
    ($payload:ident, retired) => {{
        let _ = $payload;
        Ok($crate::upcast::Decoded::Retired)
    }};
    ($payload:ident, $shape:ident => several) => {
        <$shape as serde::Deserialize>::deserialize($payload)
            .map(|old| $crate::upcast::Decoded::Several(Vec::<Self>::from(old)))
    };
    ($payload:ident, $shape:ident $(=> $to:ident)+) => {
        <$shape as serde::Deserialize>::deserialize($payload).map(|event| {
            $(let event = <$to>::from(event);)+
            $crate::upcast::Decoded::One(Self::from(event))
        })
    };
}
#[cfg_attr(not(test), expect(unused_imports, reason = "no event of Waybill has changed its shape yet"))]
pub(crate) use upcast;
