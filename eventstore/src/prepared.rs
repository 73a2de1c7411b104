//! An append that has been checked and put in order: what every implementation of the store takes in.
//!
//! It decides what is malformed, in which order events take their positions, and what several changes of one account or timer
//! amount to. It sees no stored state.
use crate::append::{
    MAX_APPEND_BYTES, MAX_CHANGES_PER_APPEND, MAX_DELTA, MAX_EVENTS_PER_APPEND, MAX_KEY_BYTES, MAX_PAYLOAD_BYTES,
    MAX_TEXT_BYTES,
};
use crate::{Append, AppendError, BalanceChange, CheckpointWrite, Expected, Position, StreamId, TimerChange};
use std::collections::{HashMap, HashSet};
use uuid::Uuid;

/// The part of the log that an append touches; two members of a batch never share one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Touched {
    Stream(StreamId),
    Subject(Uuid),
    Checkpoint(String),
}

/// An append that is sound in itself.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// As given, but with one balance change an account and the last word on each timer and vault subject.
    pub(crate) append: Append,
    /// The metadata's JSON, shared by all its events.
    pub(crate) metadata: String,
    /// In the order of their positions.
    pub(crate) events: Vec<EventAt>,
    /// About how much there is to send.
    pub(crate) bytes: usize,
}

/// Where an event of the append is found, and which of its stream's new events it is, from 1.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EventAt {
    pub(crate) stream: usize,
    pub(crate) event: usize,
    pub(crate) nth: i32,
}

impl Prepared {
    pub(crate) fn new(mut append: Append) -> Result<Prepared, AppendError> {
        check(&append)?;
        append.balances = merge_balances(append.balances)?;
        append.timers = last_of_each(append.timers, |timer| {
            let (TimerChange::Set { stream, name, .. } | TimerChange::Clear { stream, name }) = timer;
            (stream.clone(), name.clone())
        });
        append.vault = last_of_each(append.vault, |entry| entry.subject);
        let metadata = serde_json::to_string(&append.metadata).map_err(|e| invalid(format!("metadata: {e}")))?;
        if metadata.len() > MAX_TEXT_BYTES * 8 || escapes_nul(&metadata) {
            return Err(invalid("the metadata is too long or holds U+0000".into()));
        }
        let events = in_position_order(&append);
        let payloads: usize = append.streams.iter().flat_map(|s| &s.events).map(|e| e.payload.get().len()).sum();
        let sealed: usize = append.vault.iter().map(|v| v.sealed.len()).sum();
        let claimed: usize = append.claims.iter().map(|c| c.scope.len() + c.key.len() + c.holder.len()).sum();
        let changed: usize = append.balances.iter().map(|change| change.account.len()).sum();
        let rows = events.len() + append.balances.len() + append.claims.len() + append.timers.len();
        let bytes = payloads + sealed + claimed + changed + metadata.len() + 64 * rows;
        if bytes > MAX_APPEND_BYTES {
            return Err(invalid(format!("the append has {bytes} bytes, more than {MAX_APPEND_BYTES}")));
        }
        Ok(Prepared { append, metadata, events, bytes })
    }

    /// What it reads or changes, and whether it changes it: many may read a stream that none of them changes.
    pub(crate) fn touched(&self) -> impl Iterator<Item = (Touched, bool)> + '_ {
        let streams = self.append.streams.iter().map(|s| (Touched::Stream(s.stream.clone()), !s.events.is_empty()));
        let timers = self.append.timers.iter().map(|timer| {
            let (TimerChange::Set { stream, .. } | TimerChange::Clear { stream, .. }) = timer;
            Touched::Stream(stream.clone())
        });
        let subjects = self.append.vault.iter().map(|entry| Touched::Subject(entry.subject));
        let checkpoint = self.append.checkpoint.iter().map(|moved| Touched::Checkpoint(moved.name.clone()));
        streams.chain(timers.chain(subjects).chain(checkpoint).map(|part| (part, true)))
    }
}

/// By rank, then as given. An event's version in its stream follows its position.
fn in_position_order(append: &Append) -> Vec<EventAt> {
    let mut events: Vec<EventAt> = Vec::new();
    for (stream, part) in append.streams.iter().enumerate() {
        events.extend((0..part.events.len()).map(|event| EventAt { stream, event, nth: 0 }));
    }
    events.sort_by_key(|at| append.streams[at.stream].events[at.event].rank);
    let mut counts = vec![0; append.streams.len()];
    for at in &mut events {
        counts[at.stream] += 1;
        at.nth = counts[at.stream];
    }
    events
}

/// One change an account: the sum, under the highest floor.
fn merge_balances(changes: Vec<BalanceChange>) -> Result<Vec<BalanceChange>, AppendError> {
    let mut merged: Vec<BalanceChange> = Vec::with_capacity(changes.len());
    let mut places: HashMap<String, usize> = HashMap::with_capacity(changes.len());
    for change in changes {
        match places.get(&change.account) {
            Some(&place) => {
                let sum = &mut merged[place];
                sum.delta = sum.delta.checked_add(change.delta).ok_or_else(|| invalid("a balance overflows".into()))?;
                sum.floor = sum.floor.max(change.floor);
            }
            None => {
                places.insert(change.account.clone(), merged.len());
                merged.push(change);
            }
        }
    }
    match merged.iter().find(|change| change.delta.unsigned_abs() > MAX_DELTA.unsigned_abs()) {
        Some(change) => Err(invalid(format!("{} can't change by {}", change.account, change.delta))),
        None => Ok(merged),
    }
}

fn last_of_each<T, K: Eq + std::hash::Hash>(all: Vec<T>, key: impl Fn(&T) -> K) -> Vec<T> {
    if all.len() < 2 {
        return all;
    }
    let mut seen = HashSet::new();
    let mut kept: Vec<T> = all.into_iter().rev().filter(|each| seen.insert(key(each))).collect();
    kept.reverse();
    kept
}

fn check(append: &Append) -> Result<(), AppendError> {
    text("the shop", &append.shop, MAX_TEXT_BYTES)?;
    bounded("streams", append.streams.len(), MAX_EVENTS_PER_APPEND)?;
    bounded("claims", append.claims.len(), MAX_CHANGES_PER_APPEND)?;
    bounded("balance changes", append.balances.len(), MAX_CHANGES_PER_APPEND)?;
    bounded("timer changes", append.timers.len(), MAX_CHANGES_PER_APPEND)?;
    bounded("vault entries", append.vault.len(), MAX_CHANGES_PER_APPEND)?;
    bounded("events", append.streams.iter().map(|s| s.events.len()).sum(), MAX_EVENTS_PER_APPEND)?;

    let mut streams = HashSet::with_capacity(append.streams.len());
    for part in &append.streams {
        text("a stream's kind", &part.stream.kind, MAX_TEXT_BYTES)?;
        if !streams.insert(&part.stream) {
            return Err(invalid(format!("stream {} stands twice", part.stream)));
        }
        if matches!(part.expected, Expected::Exact(version) if version.0 < 0) {
            return Err(invalid(format!("stream {} can't have a negative version", part.stream)));
        }
        for event in &part.events {
            text("an event's type", &event.event_type, MAX_TEXT_BYTES)?;
            let payload = event.payload.get();
            if payload.len() > MAX_PAYLOAD_BYTES {
                return Err(invalid(format!("{} has {} bytes", event.event_type, payload.len())));
            }
            if escapes_nul(payload) {
                return Err(invalid(format!("{} holds U+0000", event.event_type)));
            }
        }
    }
    let mut keys = HashSet::with_capacity(append.claims.len());
    for claim in &append.claims {
        text("a claim's scope", &claim.scope, MAX_KEY_BYTES)?;
        text("a claim's key", &claim.key, MAX_KEY_BYTES)?;
        text("a claim's holder", &claim.holder, MAX_TEXT_BYTES)?;
        if !keys.insert((&claim.scope, &claim.key)) {
            return Err(invalid(format!("claim {}:{} stands twice", claim.scope, claim.key)));
        }
    }
    for change in &append.balances {
        text("an account", &change.account, 2 * MAX_KEY_BYTES)?;
    }
    for timer in &append.timers {
        let (TimerChange::Set { stream, name, .. } | TimerChange::Clear { stream, name }) = timer;
        text("a timer's name", name, MAX_TEXT_BYTES)?;
        text("a stream's kind", &stream.kind, MAX_TEXT_BYTES)?;
    }
    if let Some(CheckpointWrite { name, from, to }) = &append.checkpoint {
        text("a checkpoint's name", name, MAX_KEY_BYTES)?;
        if to.1 < Position::ZERO || from.is_some_and(|from| *to <= from) {
            return Err(invalid(format!("checkpoint {name} can't go from {from:?} to {to:?}")));
        }
    }
    Ok(())
}

fn text(what: &str, given: &str, most: usize) -> Result<(), AppendError> {
    match given.len() {
        0 => Err(invalid(format!("{what} is empty"))),
        n if n > most => Err(invalid(format!("{what} has {n} bytes, more than {most}"))),
        _ if given.contains('\0') => Err(invalid(format!("{what} holds U+0000"))),
        _ => Ok(()),
    }
}

fn bounded(what: &str, given: usize, most: usize) -> Result<(), AppendError> {
    if given > most { Err(invalid(format!("{given} {what}, more than {most}"))) } else { Ok(()) }
}

fn invalid(detail: String) -> AppendError {
    AppendError::Invalid(detail)
}

/// Whether JSON text has the escape of U+0000; a backslash that is itself escaped doesn't begin one.
fn escapes_nul(json: &str) -> bool {
    json.match_indices(r"\u0000").any(|(at, _)| {
        let before = json.as_bytes()[..at].iter().rev().take_while(|&&byte| byte == b'\\').count();
        before % 2 == 0
    })
}

#[cfg(test)]
mod tests {
    use super::escapes_nul;

    #[test]
    fn an_escaped_nul_is_told_from_an_escaped_backslash() {
        assert!(escapes_nul(r#"{"a":"\u0000"}"#));
        assert!(escapes_nul(r#"{"a":"\\\u0000"}"#));
        assert!(!escapes_nul(r#"{"a":"\\u0000"}"#));
        assert!(!escapes_nul(r#"{"a":"u0000"}"#));
    }
}
