//! How each location works today: set by the warehouse, read by the saga when it releases goods.
use crate::{
    history::{HistoryError, decode, encode},
    ids::location_stream_id,
};
use domain::{
    Event, LocationCode, StreamKind,
    location::{LocationEvent, LocationMode, LocationModeSet},
};
use eventstore::{
    Append, AppendError, EventStore, Expected, Metadata, Position, RecordedEvent, StreamAppend, StreamId, Version,
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};
use thiserror::Error;

/// How a location works of which nothing is recorded.
pub const DEFAULT_MODE: LocationMode = LocationMode::Manual;
/// How often a setting that others overtake is tried.
const ATTEMPTS: usize = 5;
/// The most locations that are remembered.
const CACHED: usize = 10_000;

#[derive(Debug, Error)]
pub enum LocationError {
    #[error(transparent)]
    History(#[from] HistoryError),
    #[error(transparent)]
    Append(#[from] AppendError),
}

/// A location's last setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Setting {
    mode: LocationMode,
    version: Version,
    position: Position,
}

/// Believes what it has read for as long as it is told of every location event: [`LocationModes::observe`].
#[derive(Debug)]
pub struct LocationModes {
    store: Arc<dyn EventStore>,
    known: Mutex<HashMap<StreamId, Setting>>,
}

impl LocationModes {
    pub fn new(store: Arc<dyn EventStore>) -> Arc<LocationModes> {
        Arc::new(LocationModes { store, known: Mutex::default() })
    }

    /// How the location works today.
    pub async fn mode(&self, shop: &str, location: &LocationCode) -> Result<LocationMode, HistoryError> {
        let stream = location_stream_id(shop, location);
        if let Some(setting) = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&stream) {
            return Ok(setting.mode);
        }
        Ok(self.read(&stream).await?.mode)
    }

    /// Whether anyone ever set it.
    pub async fn is_set(&self, shop: &str, location: &LocationCode) -> Result<bool, HistoryError> {
        Ok(self.read(&location_stream_id(shop, location)).await?.version != Version::NONE)
    }

    /// Sets it; answers the position of the event that did, now or before. It affects later releases only.
    pub async fn set_mode(
        &self,
        shop: &str,
        location: &LocationCode,
        mode: LocationMode,
        metadata: Metadata,
    ) -> Result<Position, LocationError> {
        let stream = location_stream_id(shop, location);
        let mut attempt = 0;
        loop {
            let setting = self.read(&stream).await?;
            if setting.mode == mode && setting.version != Version::NONE {
                return Ok(setting.position);
            }
            let event = Event::from(LocationModeSet { location: location.clone(), mode });
            let append = Append {
                streams: vec![StreamAppend {
                    stream: stream.clone(),
                    expected: Expected::Exact(setting.version),
                    events: vec![encode(&event, 0)?],
                }],
                ..Append::new(shop, metadata.clone())
            };
            attempt += 1;
            match self.store.append(append).await {
                Ok(appended) => {
                    let (version, position) = (setting.version.next(), appended.last);
                    self.learn(&stream, Setting { mode, version, position });
                    return Ok(position);
                }
                Err(AppendError::Conflict { .. }) if attempt < ATTEMPTS => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Takes in an event of the log, whatever it is.
    pub fn observe(&self, recorded: &RecordedEvent) -> Result<(), HistoryError> {
        if recorded.stream.kind != StreamKind::Location.name() {
            return Ok(());
        }
        let mode = mode_set(recorded);
        match mode {
            Ok(Some(mode)) => {
                let setting = Setting { mode, version: recorded.version, position: recorded.position };
                self.learn(&recorded.stream, setting);
            }
            // What it is after an event that says something else, or that can't be read, the stream must say.
            Ok(None) | Err(_) => {
                self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(&recorded.stream);
            }
        }
        mode.map(|_| ())
    }

    async fn read(&self, stream: &StreamId) -> Result<Setting, HistoryError> {
        let mut last = Setting { mode: DEFAULT_MODE, version: Version::NONE, position: Position::ZERO };
        for recorded in self.store.read_streams(stream.id).await.map_err(HistoryError::Read)? {
            let mode = mode_set(&recorded)?.unwrap_or(last.mode);
            last = Setting { mode, version: recorded.version, position: recorded.position };
        }
        self.learn(stream, last);
        Ok(last)
    }

    /// An older setting never replaces a newer one, whoever was faster.
    fn learn(&self, stream: &StreamId, setting: Setting) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let room = known.len() < CACHED;
        match known.get_mut(stream) {
            Some(held) if held.version < setting.version => *held = setting,
            None if room => {
                known.insert(stream.clone(), setting);
            }
            _ => {}
        }
    }
}

/// The mode that an event of a location sets, if it does.
fn mode_set(recorded: &RecordedEvent) -> Result<Option<LocationMode>, HistoryError> {
    let mode = |event: &Event| match event {
        Event::Location(LocationEvent::LocationModeSet(event)) => Some(event.mode),
        _ => None,
    };
    Ok(decode(recorded)?.iter().filter_map(mode).next_back())
}
