//! One case: a log in PostgreSQL, the model, and what a plan's small numbers stand for in both.
use super::plan::{Expect, Op, Plan};
use eventstore::contract::given::{append, at, everything, stream};
use eventstore::sql::Options;
use eventstore::{
    Append, AppendError, Appended, Claim, EventStore, Expected, Fence, Incarnation, Lifetime, Log, MemoryEventStore,
    PgEventStore, Position, Slot, StreamAppend, StreamId, TimerMove, VaultEntry, Version,
};
use proptest::test_runner::TestCaseError;
use proptest::{prop_assert, prop_assert_eq};
use sqlx::PgPool;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

const KINDS: [&str; 2] = ["order", "saga"];
const TIMERS: [&str; 2] = ["saga", "other"];
const LEASE: Duration = Duration::from_secs(600);
/// Members of a round at most.
const MEMBERS: usize = 12;

pub(super) struct World {
    postgres: Arc<PgEventStore>,
    model: MemoryEventStore,
    /// Claims, balances and subjects are shared by all logs of a database: each case has names of its own.
    prefix: String,
    ids: Vec<Uuid>,
    subjects: Vec<Uuid>,
    owners: [Uuid; 2],
    given: Vec<Append>,
}

/// All that an answer says but the time.
fn told(outcome: &Result<Appended, AppendError>) -> String {
    match outcome {
        Ok(appended) => format!("{} to {}", appended.first, appended.last),
        Err(error) => format!("{error:?}"),
    }
}

impl World {
    pub(super) async fn new(pool: PgPool, log: i16) -> World {
        let fresh = |count| (0..count).map(|_| stream().id).collect();
        World {
            postgres: Arc::new(PgEventStore::connect(pool, Log(log), Options::default()).await.unwrap()),
            model: MemoryEventStore::new(Log(log)),
            prefix: format!("case-{log}"),
            ids: fresh(MEMBERS),
            subjects: fresh(MEMBERS),
            owners: [Uuid::now_v7(), Uuid::now_v7()],
            given: Vec::new(),
        }
    }

    pub(super) async fn perform(&mut self, op: Op) -> Result<(), TestCaseError> {
        match op {
            Op::Append(plan) => {
                let given = self.append(plan).await;
                self.append_to_both(given).await?;
            }
            Op::Repeat(_) if self.given.is_empty() => {}
            Op::Repeat(index) => self.append_to_both(index.get(&self.given).clone()).await?,
            Op::TakeLease { owner, slot } => {
                let (slots, owner) = ([Slot(slot)], self.owners[owner]);
                let leases = |held: Vec<eventstore::Lease>| held.iter().map(|l| (l.slot, l.epoch)).collect::<Vec<_>>();
                let expected = self.model.take_leases(&slots, owner, LEASE).await.unwrap();
                let actual = self.postgres.take_leases(&slots, owner, LEASE).await.unwrap();
                prop_assert_eq!(leases(actual), leases(expected));
            }
            Op::Release { owner } => {
                self.model.depart(self.owners[owner]).await.unwrap();
                self.postgres.depart(self.owners[owner]).await.unwrap();
            }
            Op::MoveTimer { stream, name, due } => {
                let stream = StreamId::new(self.ids[stream], KINDS[0]);
                let (name, due_at) = (TIMERS[name].into(), at(due));
                let moves = [TimerMove { stream, name, due_at, set_at: at(due - 1), upto: Position(i64::MAX) }];
                self.model.move_timers(&moves).await.unwrap();
                self.postgres.move_timers(&moves).await.unwrap();
            }
        }
        Ok(())
    }

    async fn append_to_both(&mut self, given: Append) -> Result<(), TestCaseError> {
        let expected = self.model.append(given.clone()).await;
        let actual = self.postgres.append(given.clone()).await;
        prop_assert_eq!(told(&actual), told(&expected), "{:#?}", given);
        self.given.push(given);
        Ok(())
    }

    /// Hands in all of them before the first is answered.
    pub(super) async fn perform_at_once(&mut self, round: Vec<Plan>) -> Result<(), TestCaseError> {
        for (slot, owner) in [(0, 0), (1, 1)] {
            self.perform(Op::TakeLease { owner, slot }).await?;
        }
        let mut given = Vec::new();
        for (mut plan, member) in round.into_iter().zip(0..) {
            plan.streams.iter_mut().for_each(|(id, ..)| *id = member);
            plan.timers.iter_mut().for_each(|(id, ..)| *id = member);
            plan.vault.iter_mut().for_each(|(subject, _)| *subject = member);
            plan.checkpoint.iter_mut().for_each(|(name, ..)| *name = member);
            given.push(self.append(plan).await);
        }
        let pending = given.iter().cloned().map(|given| {
            let store = self.postgres.clone();
            tokio::spawn(async move { store.append(given).await })
        });
        let pending: Vec<_> = pending.collect();
        for (given, actual) in given.iter().zip(pending) {
            let expected = self.model.append(given.clone()).await;
            prop_assert_eq!(told(&actual.await.unwrap()), told(&expected), "{:#?}", given);
        }
        Ok(())
    }

    /// What the plan means as things stand.
    async fn append(&self, plan: Plan) -> Append {
        let mut given = append();
        for (id, kind, expect, events) in plan.streams {
            let stream = StreamId::new(self.ids[id], KINDS[kind]);
            let known = self.model.read_streams(stream.id).await.unwrap().iter().filter(|e| e.stream == stream).count();
            let known = known as i32;
            let expected = match expect {
                Expect::Known => Expected::Exact(Version(known)),
                Expect::Off(by) => Expected::Exact(Version(known + by)),
                Expect::NoStream => Expected::NO_STREAM,
                Expect::Any => Expected::Any,
            };
            let events = (0..events).map(|n| {
                let rank = (n + kind) as u16 % 2;
                eventstore::NewEvent { rank, ..eventstore::contract::given::event("Happened") }
            });
            given.streams.push(StreamAppend { stream, expected, events: events.collect() });
        }
        for (key, day) in plan.claims {
            let (scope, lifetime) = if day { ("day", Lifetime::Day) } else { ("ever", Lifetime::Forever) };
            let holder = given.metadata.command_id.to_string();
            let fingerprint = (key % 2 == 0).then_some([key as u8; 32]);
            let (scope, key) = (format!("{}:{scope}", self.prefix), format!("key-{key}"));
            given.claims.push(Claim { scope, key, holder, fingerprint, lifetime });
        }
        for (account, delta, floor) in plan.balances {
            given = given.changing(&format!("{}/{account}", self.prefix), delta, floor);
        }
        for (id, name, due) in plan.timers {
            let stream = StreamId::new(self.ids[id], KINDS[0]);
            given = match due {
                Some(due) => given.setting(&stream, TIMERS[name], at(due)),
                None => given.clearing(&stream, TIMERS[name]),
            };
        }
        for (subject, person) in plan.vault {
            let sealed = given.metadata.command_id.as_bytes().to_vec();
            given =
                given.sealing(VaultEntry { subject: self.subjects[subject], person: Uuid::from_u128(person), sealed });
        }
        if let Some((slot, off)) = plan.fence {
            // The epoch that holds, as the model would say it to its owner.
            let mut epoch = 0;
            for owner in self.owners {
                let held = self.postgres.take_leases(&[Slot(slot)], owner, LEASE).await.unwrap();
                let known = self.model.take_leases(&[Slot(slot)], owner, LEASE).await.unwrap();
                epoch = known.first().or(held.first()).map_or(epoch, |lease| lease.epoch);
            }
            given = given.fenced(Fence { slot: Slot(slot), epoch: epoch + off });
        }
        if let Some((name, right, by)) = plan.checkpoint {
            let name = format!("reader-{name}");
            let at = self.model.checkpoint(&name).await.unwrap().map(|(_, position)| position.0);
            let from = if right { at } else { Some(at.unwrap_or(0) + 1) };
            given = given.moving(&name, from, from.unwrap_or(0) + by);
        }
        given
    }

    /// All that is kept.
    pub(super) async fn compare(&self) -> Result<(), TestCaseError> {
        let (actual, expected) = (everything(&*self.postgres).await, everything(&self.model).await);
        prop_assert_eq!(actual.len(), expected.len());
        for (actual, expected) in actual.iter().zip(&expected) {
            prop_assert_eq!(actual.position, expected.position);
            prop_assert_eq!((&actual.stream, actual.version), (&expected.stream, expected.version));
            prop_assert_eq!(&actual.metadata, &expected.metadata);
            prop_assert_eq!(actual.payload.get(), expected.payload.get());
        }
        prop_assert!(actual.is_sorted_by_key(|event| event.recorded_at));
        let (postgres, model) = (self.postgres.head().await.unwrap(), self.model.head().await.unwrap());
        prop_assert_eq!(postgres, model);
        prop_assert_eq!(postgres.incarnation, Incarnation(1));
        prop_assert_eq!(*self.postgres.watch_head().borrow(), Position(actual.len() as i64));

        let prefix = format!("{}/", self.prefix);
        let balances = self.postgres.list_balances(&prefix, "", 100).await.unwrap();
        prop_assert_eq!(balances, self.model.list_balances(&prefix, "", 100).await.unwrap());
        for scope in ["day", "ever"].map(|scope| format!("{}:{scope}", self.prefix)) {
            for key in (0..6).map(|key| format!("key-{key}")) {
                let claim = self.postgres.claim(&scope, &key).await.unwrap();
                prop_assert_eq!(claim, self.model.claim(&scope, &key).await.unwrap());
            }
        }
        for name in (0..MEMBERS).map(|name| format!("reader-{name}")) {
            let checkpoint = self.postgres.checkpoint(&name).await.unwrap();
            prop_assert_eq!(checkpoint, self.model.checkpoint(&name).await.unwrap(), "{}", name);
        }
        for subject in &self.subjects {
            let sealed = self.postgres.sealed(*subject).await.unwrap();
            prop_assert_eq!(sealed, self.model.sealed(*subject).await.unwrap());
        }
        let slots: Vec<Slot> = (0..=u8::MAX).map(Slot).collect();
        let sorted = |mut timers: Vec<eventstore::Timer>| {
            timers.sort_by(|a, b| (a.due_at, &a.stream.id, &a.name).cmp(&(b.due_at, &b.stream.id, &b.name)));
            timers
        };
        let timers = sorted(self.postgres.timers(&slots, None, 1_000).await.unwrap());
        prop_assert_eq!(timers, sorted(self.model.timers(&slots, None, 1_000).await.unwrap()));
        Ok(())
    }
}
