//! What the store in memory holds, and the rules of an append, each in its plainest form: `append_batch` does the same by sets.
use super::claims::Claims;
use super::people::People;
use crate::keys::ApiKey;
use crate::prepared::Prepared;
use crate::shops::Shop;
use crate::{
    Abandoned, AppendError, Appended, CheckpointWrite, Expected, Incarnation, Lease, Life, Lives, Log, Position,
    RecordedEvent, Refusal, Slot, StreamId, TimerChange, Version,
};
use chrono::{DateTime, NaiveDate, SubsecRound, TimeDelta, Utc};
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;
use uuid::Uuid;

#[derive(Clone, Debug, Default)]
pub(super) struct State {
    /// The event of position n lies at n − 1.
    pub(super) events: Vec<RecordedEvent>,
    /// Positions by stream id, of all kinds.
    streams: HashMap<Uuid, Vec<Position>>,
    versions: HashMap<StreamId, Version>,
    pub(super) claims: Claims,
    pub(super) balances: BTreeMap<String, i64>,
    pub(super) timers: BTreeMap<(StreamId, String), Due>,
    pub(super) leases: HashMap<Slot, Held>,
    /// Who is there to hold slots, and until when.
    pub(super) owners: BTreeMap<Uuid, DateTime<Utc>>,
    pub(super) checkpoints: HashMap<String, Checkpoint>,
    pub(super) sealed: HashMap<Uuid, (Uuid, Vec<u8>)>,
    pub(super) keys: Vec<(ApiKey, [u8; 32])>,
    pub(super) shops: BTreeMap<String, Shop>,
    pub(super) people: People,
    last_recorded_at: DateTime<Utc>,
    /// Of the lives after the first.
    lives: Vec<Life>,
    abandoned: Vec<Abandoned>,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Held {
    pub(super) owner: Option<Uuid>,
    epoch: i64,
    expires_at: DateTime<Utc>,
}

impl Held {
    /// Past all epochs that another copy of this state may come to.
    pub(super) fn release(&mut self) {
        self.owner = None;
        self.epoch += 1 << 32;
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Checkpoint {
    pub(super) at: (Incarnation, Position),
    /// The append that put it there.
    command: Uuid,
    last: Position,
    recorded_at: DateTime<Utc>,
}

/// Of a timer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Due {
    pub(super) at: DateTime<Utc>,
    pub(super) set_at: DateTime<Utc>,
    /// The last position of the append that set it.
    pub(super) position: Position,
}

impl Due {
    pub(super) fn of(at: DateTime<Utc>, set_at: DateTime<Utc>, position: Position) -> Due {
        Due { at: at.trunc_subsecs(6), set_at: set_at.trunc_subsecs(6), position }
    }
}

impl State {
    pub(super) fn position(&self) -> Position {
        Position(self.events.len() as i64)
    }

    pub(super) fn lives(&self) -> Lives {
        let lives = Lives::first().all().iter().chain(&self.lives).cloned().collect();
        Lives::new(lives, self.abandoned.clone()).unwrap_or_else(Lives::first)
    }

    pub(super) fn incarnation(&self) -> Incarnation {
        self.lives.last().map_or(Incarnation(1), |life| life.incarnation)
    }

    pub(super) fn begin_incarnation(&mut self, after: Position, at_least: Incarnation, reason: &str) -> Life {
        let incarnation = at_least.max(Incarnation(self.incarnation().0 + 1));
        let after = after.min(self.position());
        for event in self.events.iter_mut().skip(after.0 as usize) {
            event.incarnation = incarnation;
        }
        let life = Life { incarnation, after, began_at: super::now(), reason: reason.to_owned() };
        self.lives.push(life.clone());
        life
    }

    pub(super) fn abandon(&mut self, range: Abandoned) {
        self.abandoned.push(range);
    }

    /// It never goes back.
    fn recorded_at(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        now.max(self.last_recorded_at)
    }

    fn event(&self, position: Position) -> &RecordedEvent {
        &self.events[position.0 as usize - 1]
    }

    pub(super) fn read_streams(&self, id: Uuid) -> Vec<RecordedEvent> {
        self.streams.get(&id).into_iter().flatten().map(|position| self.event(*position).clone()).collect()
    }

    pub(super) fn append(&mut self, log: Log, prepared: Prepared, now: DateTime<Utc>) -> Result<Appended, AppendError> {
        match self.judge(&prepared, self.recorded_at(now).date_naive()) {
            Err(error) if error.may_be_its_own() => self.recall(&prepared).ok_or(error),
            Err(error) => Err(error),
            Ok(()) => Ok(self.write(log, prepared, now)),
        }
    }

    /// First its lease, then its checkpoint, its claims, its streams, its balances.
    fn judge(&self, prepared: &Prepared, today: NaiveDate) -> Result<(), AppendError> {
        let append = &prepared.append;
        if let Some(fence) = append.fence {
            let held = self.leases.get(&fence.slot).copied().unwrap_or_default();
            if held.owner.is_none() || held.epoch != fence.epoch {
                return Err(AppendError::Fenced { slot: fence.slot.0 });
            }
        }
        if let Some(CheckpointWrite { name, from, .. }) = &append.checkpoint {
            let actual = self.checkpoints.get(name).map(|checkpoint| checkpoint.at);
            if actual != *from {
                return Err(AppendError::CheckpointMoved { name: name.clone(), expected: *from, actual });
            }
        }
        for claim in &append.claims {
            if let Some(taken) = self.claims.get(&claim.scope, &claim.key, today) {
                return Err(Refusal::ClaimTaken(taken.clone()).into());
            }
        }
        for part in &append.streams {
            let actual = self.versions.get(&part.stream).copied().unwrap_or_default();
            match part.expected {
                Expected::Exact(expected) if expected != actual => {
                    return Err(AppendError::Conflict { stream: part.stream.clone(), expected, actual });
                }
                _ => {}
            }
        }
        for change in &append.balances {
            let balance = self.balances.get(&change.account).copied().unwrap_or(0);
            let after = balance
                .checked_add(change.delta)
                .ok_or_else(|| AppendError::Invalid(format!("{} overflows", change.account)))?;
            if change.floor.is_some_and(|floor| after < floor) {
                let account = change.account.clone();
                return Err(Refusal::BelowFloor { account, balance, delta: change.delta }.into());
            }
        }
        Ok(())
    }

    /// Where this very append was written, if it was.
    fn recall(&self, prepared: &Prepared) -> Option<Appended> {
        let append = &prepared.append;
        if prepared.events.is_empty() {
            let wanted = append.checkpoint.as_ref()?;
            let Checkpoint { at, command, last, recorded_at } = *self.checkpoints.get(&wanted.name)?;
            let own = command == append.metadata.command_id && at == wanted.to;
            return own.then_some(Appended { first: last, last, recorded_at });
        }
        let mut written = Vec::new();
        for part in append.streams.iter().filter(|part| !part.events.is_empty()) {
            let positions = self.streams.get(&part.stream.id)?;
            let own = positions
                .iter()
                .map(|position| self.event(*position))
                .filter(|event| event.stream == part.stream && event.metadata.command_id == append.metadata.command_id);
            for event in own {
                if let Expected::Exact(before) = part.expected
                    && !(before.0 + 1..=before.0 + part.events.len() as i32).contains(&event.version.0)
                {
                    return None;
                }
                written.push(event.position);
            }
        }
        let (first, last) = (written.iter().min()?, written.iter().max()?);
        (written.len() == prepared.events.len()).then(|| Appended {
            first: *first,
            last: *last,
            recorded_at: self.event(*first).recorded_at,
        })
    }

    fn write(&mut self, log: Log, prepared: Prepared, now: DateTime<Utc>) -> Appended {
        let Prepared { append, events, .. } = prepared;
        let recorded_at = self.recorded_at(now);
        self.last_recorded_at = recorded_at;
        let (before, incarnation) = (self.position(), self.incarnation());
        for at in &events {
            let part = &append.streams[at.stream];
            let event = &part.events[at.event];
            let position = Position(self.position().0 + 1);
            let version = self.versions.entry(part.stream.clone()).or_default();
            *version = version.next();
            self.streams.entry(part.stream.id).or_default().push(position);
            self.events.push(RecordedEvent {
                log,
                incarnation,
                position,
                stream: part.stream.clone(),
                version: *version,
                shop: append.shop.clone(),
                event_type: event.event_type.clone(),
                schema_version: event.schema_version,
                payload: event.payload.clone(),
                metadata: append.metadata.clone(),
                recorded_at,
            });
        }
        let last = self.position();
        for claim in append.claims {
            self.claims.take(claim, last, recorded_at.date_naive());
        }
        for change in append.balances {
            *self.balances.entry(change.account).or_default() += change.delta;
        }
        for timer in append.timers {
            match timer {
                TimerChange::Set { stream, name, due_at, set_at } => {
                    self.timers.insert((stream, name.into_owned()), Due::of(due_at, set_at, last));
                }
                TimerChange::Clear { stream, name } => {
                    self.timers.remove(&(stream, name.into_owned()));
                }
            }
        }
        for entry in append.vault {
            self.sealed.insert(entry.subject, (entry.person, entry.sealed));
        }
        if let Some(CheckpointWrite { name, to, .. }) = append.checkpoint {
            let command = append.metadata.command_id;
            self.checkpoints.insert(name, Checkpoint { at: to, command, last, recorded_at });
        }
        let first = if events.is_empty() { last } else { Position(before.0 + 1) };
        Appended { first, last, recorded_at }
    }

    pub(super) fn take_leases(&mut self, slots: &[Slot], owner: Uuid, ttl: Duration, now: DateTime<Utc>) -> Vec<Lease> {
        let expires_at = now + TimeDelta::from_std(ttl).unwrap_or(TimeDelta::MAX);
        let mut slots: Vec<Slot> = slots.to_vec();
        slots.sort_unstable();
        slots.dedup();
        let mut taken = Vec::new();
        for slot in slots {
            let held = self.leases.entry(slot).or_default();
            if held.owner != Some(owner) {
                if held.owner.is_some() && held.expires_at >= now {
                    continue;
                }
                held.epoch += 1;
            }
            held.owner = Some(owner);
            held.expires_at = expires_at;
            taken.push(Lease { slot, epoch: held.epoch, expires_at });
        }
        taken
    }

    pub(super) fn free_leases(&mut self, owner: Uuid, which: impl Fn(Slot) -> bool) {
        let ours = |(slot, held): &(&Slot, &mut Held)| held.owner == Some(owner) && which(**slot);
        self.leases.iter_mut().filter(ours).for_each(|(_, held)| held.owner = None);
    }

    pub(super) fn attend(&mut self, owner: Uuid, ttl: Duration, now: DateTime<Utc>) -> Vec<Uuid> {
        self.owners.retain(|_, until| *until >= now);
        self.owners.insert(owner, now + TimeDelta::from_std(ttl).unwrap_or(TimeDelta::MAX));
        self.owners.keys().copied().collect()
    }
}
