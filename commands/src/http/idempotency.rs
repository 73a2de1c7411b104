//! Idempotency keys: how they are written, and who in this process is at work under one.
//!
//! What a key was used for is the store's to know: a claim that travels with the append. Here is only what is not yet committed, so
//! that a repeat waits for the first instead of racing it. Bounded by the requests that are under way.
use super::{
    App,
    problem::Problem,
    validate::fault::{Fault, Place},
};
use axum::http::HeaderMap;
use eventstore::{Claim, TakenClaim};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{sync::watch, time::Instant};

pub(crate) const KEY: &str = "idempotency-key";
pub(crate) const REPLAYED: &str = "idempotent-replayed";
/// In characters, without quotes.
pub(crate) const MAX_KEY: usize = 255;
/// How long a repeat waits for the commit of the first.
const PATIENCE: Duration = Duration::from_secs(1);

/// The key, bare or as a quoted string of RFC 8941; `None` when there is none.
pub(crate) fn read_key(headers: &HeaderMap) -> Option<Result<String, Fault>> {
    let fault = |message: &'static str| {
        Some(Err(Fault::new(Place::Root.field("headers").field(KEY).pointer(), "invalid_key", message)))
    };
    let mut all = headers.get_all(KEY).iter();
    let given = all.next()?;
    if all.next().is_some() {
        return fault("must be given once");
    }
    let Ok(text) = std::str::from_utf8(given.as_bytes()) else { return fault("must be text") };
    let text = text.trim();
    let key = if text.starts_with('"') {
        match unquote(text) {
            Some(key) => key,
            None => return fault("must be bare, or a quoted string of RFC 8941"),
        }
    } else {
        text.to_owned()
    };
    match key.chars().count() {
        0 => None,
        n if n > MAX_KEY => fault("must have at most 255 characters"),
        _ => Some(Ok(key)),
    }
}

fn unquote(text: &str) -> Option<String> {
    let inner = text.strip_prefix('"')?;
    let mut key = String::with_capacity(inner.len());
    let mut characters = inner.chars();
    loop {
        match characters.next()? {
            '"' => return characters.as_str().is_empty().then_some(key),
            '\\' => key.push(characters.next().filter(|escaped| matches!(escaped, '"' | '\\'))?),
            other => key.push(other),
        }
    }
}

/// The keys under which something is under way in this process.
#[derive(Debug, Default)]
pub(crate) struct InFlight(Mutex<HashMap<(String, String), watch::Receiver<()>>>);

/// Held until the append is done, whatever came of it.
#[derive(Debug)]
pub(crate) struct Guard {
    registry: Arc<InFlight>,
    key: (String, String),
    /// Dropping it wakes whoever waits.
    _done: watch::Sender<()>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.registry.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

/// Whether a request is the first under its key.
#[derive(Debug)]
pub(crate) enum Turn {
    First(Guard),
    /// Another was, and has committed.
    Repeat(TakenClaim),
}

impl Turn {
    /// For whoever finds by itself what the first has left.
    pub(crate) fn guard(self) -> Option<Guard> {
        match self {
            Turn::First(guard) => Some(guard),
            Turn::Repeat(_) => None,
        }
    }
}

impl InFlight {
    fn enter(self: &Arc<Self>, scope: &str, key: &str) -> Result<Guard, watch::Receiver<()>> {
        let key = (scope.to_owned(), key.to_owned());
        let mut under_way = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(done) = under_way.get(&key) {
            return Err(done.clone());
        }
        let (sender, receiver) = watch::channel(());
        under_way.insert(key.clone(), receiver);
        Ok(Guard { registry: self.clone(), key, _done: sender })
    }

    /// Waits for whoever is at work under this key, but not for ever.
    pub(crate) async fn turn(self: &Arc<Self>, app: &App, claim: &Claim) -> Result<Turn, Problem> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut done = match self.enter(&claim.scope, &claim.key) {
                Ok(guard) => return Ok(Turn::First(guard)),
                Err(done) => done,
            };
            // The sender says nothing; that it is gone is the news.
            let finished = async { while done.changed().await.is_ok() {} };
            if tokio::time::timeout_at(deadline, finished).await.is_err() {
                return Err(Problem::in_flight());
            }
            if let Some(taken) = app.store.claim(&claim.scope, &claim.key).await? {
                return Ok(Turn::Repeat(taken));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn read(text: &[u8]) -> Option<Result<String, &'static str>> {
        let mut headers = HeaderMap::new();
        headers.insert(KEY, HeaderValue::from_bytes(text).unwrap());
        read_key(&headers).map(|key| key.map_err(|fault| fault.code))
    }

    #[test]
    fn a_key_is_the_same_bare_or_quoted() {
        assert_eq!(read(b"abc"), Some(Ok("abc".to_owned())));
        assert_eq!(read(br#""abc""#), Some(Ok("abc".to_owned())));
        assert_eq!(read(br#""a\"b\\""#), Some(Ok(r#"a"b\"#.to_owned())));
    }

    #[test]
    fn an_empty_key_is_no_key_and_a_long_or_broken_one_a_fault() {
        assert_eq!((read(b""), read(b"  "), read(br#""""#)), (None, None, None));
        assert!(matches!(read(&[b'k'; 255]), Some(Ok(_))));
        for bad in [&[b'k'; 256][..], br#""abc"#, br#""abc"d"#, br#""a\b""#, b"\xff"] {
            assert_eq!(read(bad), Some(Err("invalid_key")), "{bad:?}");
        }
    }
}
