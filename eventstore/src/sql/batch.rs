//! A batch as the columns that `append_batch` takes. Indices count from 1, as in SQL.
use super::versions::Versions;
use crate::checksum::Sent;
use crate::prepared::Prepared;
use crate::{CheckpointWrite, Expected, Lifetime, TimerChange, slot_of};
use chrono::{DateTime, Utc};
use std::collections::HashMap;
use uuid::Uuid;

#[derive(Default)]
pub(super) struct Columns<'a> {
    pub(super) m_command: Vec<Uuid>,
    pub(super) m_shop: Vec<&'a str>,
    pub(super) m_metadata: Vec<&'a str>,
    pub(super) m_events: Vec<i32>,
    pub(super) m_before: Vec<i32>,
    pub(super) s_member: Vec<i32>,
    pub(super) s_id: Vec<Uuid>,
    pub(super) s_kind: Vec<&'a str>,
    pub(super) s_expected: Vec<Option<i32>>,
    pub(super) s_as_of: Vec<Option<i64>>,
    pub(super) e_member: Vec<i32>,
    pub(super) e_stream: Vec<i32>,
    pub(super) e_nth: Vec<i32>,
    pub(super) e_type: Vec<&'a str>,
    pub(super) e_schema: Vec<i16>,
    pub(super) e_payload: Vec<&'a str>,
    pub(super) e_checksum: Vec<i32>,
    pub(super) k_scope: Vec<&'a str>,
    pub(super) k_key: Vec<&'a str>,
    /// `None`: not known, or not to be relied on; looked for everywhere and kept for ever.
    pub(super) k_day: Vec<Option<bool>>,
    pub(super) c_member: Vec<i32>,
    pub(super) c_key: Vec<i32>,
    pub(super) c_holder: Vec<&'a str>,
    pub(super) c_fingerprint: Vec<Option<&'a [u8]>>,
    pub(super) a_name: Vec<&'a str>,
    pub(super) a_delta: Vec<i64>,
    pub(super) a_worst: Vec<i64>,
    pub(super) a_floor: Vec<Option<i64>>,
    pub(super) b_member: Vec<i32>,
    pub(super) b_account: Vec<i32>,
    pub(super) b_delta: Vec<i64>,
    pub(super) b_floor: Vec<Option<i64>>,
    pub(super) f_member: Vec<i32>,
    pub(super) f_slot: Vec<i16>,
    pub(super) f_epoch: Vec<i64>,
    pub(super) r_member: Vec<i32>,
    pub(super) r_name: Vec<&'a str>,
    pub(super) r_from_incarnation: Vec<Option<i32>>,
    pub(super) r_from: Vec<Option<i64>>,
    pub(super) r_to_incarnation: Vec<i32>,
    pub(super) r_to: Vec<i64>,
    pub(super) t_member: Vec<i32>,
    pub(super) t_id: Vec<Uuid>,
    pub(super) t_slot: Vec<i16>,
    pub(super) t_kind: Vec<&'a str>,
    pub(super) t_name: Vec<&'a str>,
    pub(super) t_due: Vec<Option<DateTime<Utc>>>,
    pub(super) t_set: Vec<Option<DateTime<Utc>>>,
    pub(super) v_member: Vec<i32>,
    pub(super) v_subject: Vec<Uuid>,
    pub(super) v_person: Vec<Uuid>,
    pub(super) v_sealed: Vec<&'a [u8]>,
}

impl<'a> Columns<'a> {
    pub(super) fn of(batch: &[&'a Prepared], versions: &mut Versions) -> Columns<'a> {
        let mut columns = Columns::default();
        let mut keys: HashMap<(&'a str, &'a str), i32> = HashMap::new();
        let mut accounts: HashMap<&'a str, i32> = HashMap::new();
        for (prepared, member) in batch.iter().zip(1..) {
            let append = &prepared.append;
            columns.m_command.push(append.metadata.command_id);
            columns.m_shop.push(&append.shop);
            columns.m_metadata.push(&prepared.metadata);
            columns.m_before.push(count(&columns.e_member));
            columns.m_events.push(count(&prepared.events));
            columns.add_events(prepared, member, versions);
            columns.add_claims(prepared, member, &mut keys);
            columns.add_balances(prepared, member, &mut accounts);
            columns.add_timers(prepared, member);
            if let Some(fence) = append.fence {
                columns.f_member.push(member);
                columns.f_slot.push(i16::from(fence.slot.0));
                columns.f_epoch.push(fence.epoch);
            }
            if let Some(CheckpointWrite { name, from, to }) = &append.checkpoint {
                columns.r_member.push(member);
                columns.r_name.push(name);
                columns.r_from_incarnation.push(from.map(|(incarnation, _)| incarnation.0));
                columns.r_from.push(from.map(|(_, position)| position.0));
                columns.r_to_incarnation.push(to.0.0);
                columns.r_to.push(to.1.0);
            }
            for entry in &append.vault {
                columns.v_member.push(member);
                columns.v_subject.push(entry.subject);
                columns.v_person.push(entry.person);
                columns.v_sealed.push(&entry.sealed);
            }
        }
        columns
    }

    /// As it has to be while there is no partition for those that expire. Whether that changes anything.
    pub(super) fn keep_claims_for_ever(&mut self) -> bool {
        let kept = self.k_day.iter_mut().filter_map(Option::take);
        kept.count() > 0
    }

    /// As it has to be where a stream has begun already. Whether that changes anything.
    pub(super) fn look_up_versions(&mut self) -> bool {
        let known = self.s_as_of.iter_mut().filter_map(Option::take);
        known.count() > 0
    }

    fn add_events(&mut self, prepared: &'a Prepared, member: i32, versions: &mut Versions) {
        let first_stream = count(&self.s_id) + 1;
        for part in &prepared.append.streams {
            self.s_member.push(member);
            self.s_id.push(part.stream.id);
            self.s_kind.push(&part.stream.kind);
            self.s_expected.push(match part.expected {
                Expected::Exact(version) => Some(version.0),
                Expected::Any => None,
            });
            self.s_as_of.push(versions.as_of(part));
        }
        for at in &prepared.events {
            let event = &prepared.append.streams[at.stream].events[at.event];
            self.e_member.push(member);
            self.e_stream.push(first_stream + at.stream as i32);
            self.e_nth.push(at.nth);
            self.e_type.push(&event.event_type);
            self.e_schema.push(event.schema_version);
            self.e_payload.push(event.payload.get());
            let stream = &prepared.append.streams[at.stream].stream;
            let sent = Sent::of(&prepared.append, stream, event, &prepared.metadata);
            self.e_checksum.push(sent.checksum());
        }
    }

    fn add_claims(&mut self, prepared: &'a Prepared, member: i32, keys: &mut HashMap<(&'a str, &'a str), i32>) {
        for claim in &prepared.append.claims {
            let key = *keys.entry((&claim.scope, &claim.key)).or_insert_with(|| {
                self.k_scope.push(&claim.scope);
                self.k_key.push(&claim.key);
                self.k_day.push(Some(claim.lifetime == Lifetime::Day));
                count(&self.k_key)
            });
            self.c_member.push(member);
            self.c_key.push(key);
            self.c_holder.push(&claim.holder);
            self.c_fingerprint.push(claim.fingerprint.as_ref().map(|f| f.as_slice()));
        }
    }

    fn add_balances(&mut self, prepared: &'a Prepared, member: i32, accounts: &mut HashMap<&'a str, i32>) {
        for change in &prepared.append.balances {
            let account = *accounts.entry(&change.account).or_insert_with(|| {
                self.a_name.push(&change.account);
                self.a_delta.push(0);
                self.a_worst.push(0);
                self.a_floor.push(None);
                count(&self.a_name)
            });
            let at = account as usize - 1;
            // Can't overflow: a change is at most `MAX_DELTA`, a batch has no more than some hundred members.
            self.a_delta[at] += change.delta;
            self.a_worst[at] += change.delta.min(0);
            self.a_floor[at] = self.a_floor[at].max(change.floor);
            self.b_member.push(member);
            self.b_account.push(account);
            self.b_delta.push(change.delta);
            self.b_floor.push(change.floor);
        }
    }

    fn add_timers(&mut self, prepared: &'a Prepared, member: i32) {
        for timer in &prepared.append.timers {
            let (stream, name, due, set) = match timer {
                TimerChange::Set { stream, name, due_at, set_at } => (stream, name, Some(*due_at), Some(*set_at)),
                TimerChange::Clear { stream, name } => (stream, name, None, None),
            };
            self.t_member.push(member);
            self.t_id.push(stream.id);
            self.t_slot.push(i16::from(slot_of(stream.id).0));
            self.t_kind.push(&stream.kind);
            self.t_name.push(name);
            self.t_due.push(due);
            self.t_set.push(set);
        }
    }
}

/// Batches are bounded far below `i32::MAX`.
fn count<T>(all: &[T]) -> i32 {
    all.len() as i32
}
