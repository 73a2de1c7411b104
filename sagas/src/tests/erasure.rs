//! Erasures: they wait for open orders, tell both participants, destroy the key, and say so; whatever fails in between.
use super::world::{Running, SHOP, World};
use crate::erasure::{Destroyed, ErasureDeps, ErasureRecord};
use crate::participants::payment::PaymentOutcome;
use crate::participants::{Forgotten, Mode};
use async_trait::async_trait;
use commands::people::{ERASURE_TIMER, PersonHistory, person_stream};
use domain::location::LocationMode;
use domain::person::Command;
use eventstore::{EventStore, MemoryEventStore, Person, TimerChange, Vault};
use std::borrow::Cow;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

const MINUTE: Duration = Duration::from_secs(60);

/// What was written down outside the store, and how often that fails first.
#[derive(Debug, Default)]
struct Record {
    kept: Mutex<Vec<Destroyed>>,
    fails: Mutex<u32>,
}

#[async_trait]
impl ErasureRecord for Record {
    async fn keep(&self, destroyed: &Destroyed) -> Result<(), String> {
        let mut fails = self.fails.lock().unwrap();
        if *fails > 0 {
            *fails -= 1;
            return Err("the disk is full".to_owned());
        }
        self.kept.lock().unwrap().push(destroyed.clone());
        Ok(())
    }
}

struct People {
    world: World,
    store: Arc<MemoryEventStore>,
    vault: Arc<Vault>,
    record: Arc<Record>,
}

impl People {
    async fn new(seed: u64) -> People {
        let store = Arc::new(MemoryEventStore::default());
        let vault = Arc::new(Vault::new(&[1; 32], store.clone(), store.clone()));
        let people = People { world: World::on(store.clone(), seed, MINUTE), store, vault, record: Arc::default() };
        people.world.stock("a", 1_000).await;
        people
    }

    fn run(&self) -> Running {
        let running = self.world.run();
        running.handle.erase_with(ErasureDeps { vault: self.vault.clone(), record: self.record.clone() });
        running
    }

    async fn person(&self) -> Person {
        self.vault.person(SHOP, "c-1").await.unwrap()
    }

    /// As the API does.
    async fn ask(&self, person: Uuid) {
        let history = self.history(person).await;
        let command = Command::RequestErasure { customer_ref: "c-1".to_owned(), note_id: None };
        let mut append = history.decide(SHOP, self.world.operator(person), command).unwrap().unwrap();
        let (stream, name) = (person_stream(person), Cow::Borrowed(ERASURE_TIMER));
        append.timers.push(TimerChange::Set {
            stream,
            name,
            due_at: chrono::DateTime::UNIX_EPOCH,
            set_at: chrono::DateTime::UNIX_EPOCH,
        });
        self.store.append(append).await.unwrap();
    }

    async fn history(&self, person: Uuid) -> PersonHistory {
        PersonHistory::load(&*self.store, person).await.unwrap()
    }

    async fn erased(&self, person: Uuid) {
        let start = Instant::now();
        while !self.history(person).await.state.erased {
            assert!(start.elapsed() < 100 * MINUTE, "seed {}: never erased", self.world.seed);
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Everything that an erasure leaves behind.
    async fn check(&self, person: &Person, orders: &[domain::OrderId]) {
        for order in orders {
            let types = self.world.types(*order).await;
            assert_eq!(types.iter().filter(|name| *name == "CustomerErased").count(), 1, "{types:?}");
            assert_eq!(types.last().unwrap(), "CustomerErased");
            assert_eq!(self.vault.open(order.0).await.unwrap(), None);
            assert!(self.vault.is_erased(order.0).await.unwrap());
        }
        let events = self.store.read_streams(person.id).await.unwrap();
        assert_eq!(events.len(), 2, "asked for, and done");
        assert!(events[1].payload.get().contains(&format!(r#""orders":{}"#, orders.len())));
        let kept = self.record.kept.lock().unwrap().clone();
        assert!(!kept.is_empty());
        assert!(kept.iter().all(|kept| kept.person == person.id && kept.customer_ref == "c-1" && kept.shop == SHOP));
        assert_eq!(
            self.store.timers(&(0..=u8::MAX).map(eventstore::Slot).collect::<Vec<_>>(), None, 10).await.unwrap(),
            []
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_erasure_waits_for_open_orders_and_then_goes_on_by_itself() {
    let people = People::new(60).await;
    let person = people.person().await;
    let done = people.world.place_for("tok_ok", &[("a", 1)], &people.vault, &person).await.order;
    let running = people.run();
    people.world.settle(MINUTE).await;
    *people.world.mode.lock().unwrap() = LocationMode::Manual;
    let open = people.world.place_for("tok_ok", &[("a", 1)], &people.vault, &person).await.order;
    people.world.settle(MINUTE).await;

    people.ask(person.id).await;
    sleep(MINUTE).await;
    assert!(!people.history(person.id).await.state.erased);
    assert!(people.vault.open(done.0).await.unwrap().is_some(), "nothing is destroyed while an order needs it");
    assert_ne!(people.person().await.id, person.id, "the ref stands for someone new from the request on");

    let before = Instant::now();
    assert!(people.world.ship(open).await);
    people.erased(person.id).await;
    assert!(before.elapsed() < MINUTE, "woken by the order's end, not by looking again");
    people.check(&person, &[done, open]).await;
    running.stop().await;
    people.world.check().await;
}

#[tokio::test(start_paused = true)]
async fn both_participants_are_told_which_orders_to_forget_before_the_key_is_destroyed() {
    let people = People::new(61).await;
    let person = people.person().await;
    let order = people.world.place_for("tok_ok", &[("a", 1)], &people.vault, &person).await.order;
    let running = people.run();
    people.world.settle(MINUTE).await;
    let ledger = people.world.ledger().await;
    people.world.shipping.control(Mode::Down);
    people.ask(person.id).await;
    sleep(MINUTE).await;
    assert!(people.vault.open(order.0).await.unwrap().is_some(), "not before everybody knows");
    people.world.shipping.control(Mode::Ok);
    people.erased(person.id).await;
    people.check(&person, &[order]).await;
    let key = Uuid::new_v5(&person.id, order.to_string().as_bytes());
    let key = format!("per_{}/forget/{}", person.id.simple(), key.simple());
    let told = people.world.payment.query(&key).await.unwrap();
    assert_eq!(told, Some(PaymentOutcome::Forgotten(Forgotten { orders: 1 })));
    assert!(people.world.shipping.query(&key).await.unwrap().is_some());
    assert_eq!(people.world.ledger().await, ledger, "no money and no parcel moved");
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_erasure_ends_once_whatever_fails_and_whoever_is_killed() {
    for seed in 70..80 {
        let people = People::new(seed).await;
        let person = people.person().await;
        let mut orders = vec![];
        for token in ["tok_ok", "tok_decline", "tok_ok"] {
            orders.push(people.world.place_for(token, &[("a", 1)], &people.vault, &person).await.order);
        }
        *people.record.fails.lock().unwrap() = 2;
        *people.world.faults.rate.lock().unwrap() = 0.3;
        people.ask(person.id).await;
        let mut running = people.run();
        for _ in 0..10 {
            sleep(Duration::from_millis(people.world.faults.up_to(3_000))).await;
            running.handle.crash();
            // A killed process keeps its leases. Who it was is known here, so that nobody has to wait for their end.
            people.world.inner().depart(running.owner).await.unwrap();
            running = people.run();
        }
        people.erased(person.id).await;
        people.check(&person, &orders).await;
        running.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_person_without_orders_is_erased_at_once() {
    let people = People::new(90).await;
    let person = people.person().await;
    let running = people.run();
    people.ask(person.id).await;
    people.erased(person.id).await;
    people.check(&person, &[]).await;
    running.stop().await;
}
