//! The vault: what is sealed, whose it is, and under which master key.
use super::given::append;
use crate::vault::{Keyring, KeyringSource, MasterKey, PersonKeys, VaultError};
use crate::{Append, EventStore, StreamId, TimerChange, Vault, VaultEntry};
use chrono::DateTime;
use std::sync::{Arc, Mutex};
use uuid::Uuid;

pub async fn a_sealed_entry_opens_until_its_person_is_erased(store: Arc<impl EventStore + PersonKeys + 'static>) {
    let vault = Vault::new(&[1; 32], store.clone(), store.clone());
    let (first, second) = tokio::join!(vault.person("dev", "hh-900"), vault.person("dev", "hh-900"));
    let person = first.unwrap();
    assert_eq!(second.unwrap().id, person.id, "made once");
    assert_eq!(vault.person("dev", "hh-900").await.unwrap().id, person.id, "from the cache");
    assert_ne!(vault.person("other", "hh-900").await.unwrap().id, person.id, "a shop's own");

    let subject = Uuid::now_v7();
    assert_eq!(vault.open(subject).await.unwrap(), None);
    let entry = vault.seal(&person, subject, b"Ada").unwrap();
    assert!(!entry.sealed.windows(3).any(|window| window == b"Ada"));
    store.append(append().sealing(entry)).await.unwrap();
    let elsewhere = Vault::new(&[1; 32], store.clone(), store.clone());
    for vault in [&vault, &vault, &elsewhere] {
        assert_eq!(vault.open(subject).await.unwrap().as_deref(), Some(b"Ada".as_slice()));
    }
    assert_eq!(elsewhere.person("dev", "hh-900").await.unwrap().id, person.id);

    assert!(vault.erase(person.id).await.unwrap());
    assert!(!vault.erase(person.id).await.unwrap());
    assert_eq!(vault.open(subject).await.unwrap(), None);
    assert_ne!(vault.person("dev", "hh-900").await.unwrap().id, person.id, "who comes back is a new person");
}

pub async fn an_entry_opens_only_under_its_master_key_and_for_its_subject(
    store: Arc<impl EventStore + PersonKeys + 'static>,
) {
    let vault = Vault::new(&[1; 32], store.clone(), store.clone());
    let other = Vault::new(&[2; 32], store.clone(), store.clone());
    let (subject, another) = (Uuid::now_v7(), Uuid::now_v7());
    let person = vault.person("dev", "hh-1").await.unwrap();
    let entry = vault.seal(&person, subject, b"Ada").unwrap();
    let moved = VaultEntry { subject: another, ..entry.clone() };
    store.append(append().sealing(entry).sealing(moved)).await.unwrap();
    assert!(vault.open(subject).await.unwrap().is_some());
    assert!(matches!(vault.open(another).await, Err(VaultError::Sealed(_))));
    assert!(matches!(other.open(subject).await, Err(VaultError::UnknownMaster { .. })));
    assert!(matches!(other.person("dev", "hh-1").await, Err(VaultError::UnknownMaster { .. })));

    assert_eq!(vault.fingerprint(b"body"), vault.fingerprint(b"body"));
    assert_ne!(vault.fingerprint(b"body"), vault.fingerprint(b"other"));
    assert_ne!(vault.fingerprint(b"body"), other.fingerprint(b"body"), "keyed");
    assert_ne!(vault.master_key_id(), other.master_key_id());
}

/// A key file that a test changes.
#[derive(Debug)]
struct Files(Mutex<Keyring>);

impl KeyringSource for Files {
    fn load(&self) -> Result<Keyring, String> {
        Ok(self.0.lock().unwrap().clone())
    }
}

fn master(n: u8) -> MasterKey {
    MasterKey::new([n; 32])
}

fn ring(current: u8, earlier: &[u8]) -> Keyring {
    Keyring::new(master(current), earlier.iter().map(|n| master(*n)).collect())
}

async fn connect<S: EventStore + PersonKeys + 'static>(store: &Arc<S>, ring: Keyring) -> Result<Vault, VaultError> {
    Vault::connect(Arc::new(ring), store.clone(), store.clone()).await
}

async fn sealed<S: EventStore + PersonKeys + 'static>(store: &Arc<S>, vault: &Vault, reference: &str) -> (Uuid, Uuid) {
    let person = vault.person("dev", reference).await.unwrap();
    let subject = Uuid::now_v7();
    store.append(append().sealing(vault.seal(&person, subject, b"Ada").unwrap())).await.unwrap();
    (person.id, subject)
}

pub async fn who_parted_from_a_ref_leaves_it_to_someone_new_and_is_read_as_before(
    store: Arc<impl EventStore + PersonKeys + 'static>,
) {
    let vault = connect(&store, ring(1, &[])).await.unwrap();
    let elsewhere = connect(&store, ring(1, &[])).await.unwrap();
    let (person, subject) = sealed(&store, &vault, "hh-900").await;
    vault.part(person).await.unwrap();
    vault.part(person).await.unwrap();
    let new = vault.person("dev", "hh-900").await.unwrap().id;
    assert_ne!(new, person);
    assert_eq!(elsewhere.person("dev", "hh-900").await.unwrap().id, new);
    for vault in [&vault, &elsewhere] {
        assert_eq!(vault.open(subject).await.unwrap().as_deref(), Some(b"Ada".as_slice()));
        assert!(!vault.is_erased(subject).await.unwrap());
    }
    assert_eq!(vault.person_of_id(person).await.unwrap().unwrap().id, person);

    vault.erase(person).await.unwrap();
    assert!(vault.is_erased(subject).await.unwrap());
    vault.part(person).await.unwrap();
    let known = store.known_as("dev", "hh-900", 10).await.unwrap();
    let seen: Vec<_> = known.iter().map(|p| (p.person, p.parted, p.erased_at.is_some())).collect();
    assert_eq!(seen, [(new, false, false), (person, true, true)], "the latest first");
    assert!(known.iter().all(|person| person.reference == "hh-900" && person.shop == "dev"));
    assert_eq!(store.known_as("dev", "hh-900", 1).await.unwrap().len(), 1);
    assert_eq!(store.known_as("other", "hh-900", 10).await.unwrap(), []);
    assert_eq!(store.find_person(person).await.unwrap().as_ref(), Some(&known[1]));
    assert_eq!(store.find_person(Uuid::now_v7()).await.unwrap(), None);
}

pub async fn what_is_sealed_of_a_person_is_found_and_what_waits_among_it(
    store: Arc<impl EventStore + PersonKeys + 'static>,
) {
    let vault = connect(&store, ring(1, &[])).await.unwrap();
    let person = vault.person("dev", "hh-1").await.unwrap();
    let mut subjects: Vec<Uuid> = (0..5).map(|_| Uuid::now_v7()).collect();
    subjects.sort();
    for subject in &subjects {
        store.append(append().sealing(vault.seal(&person, *subject, b"Ada").unwrap())).await.unwrap();
    }
    sealed(&store, &vault, "hh-2").await;
    let first = store.subjects_of(person.id, None, 3).await.unwrap();
    assert_eq!(first, subjects[..3]);
    assert_eq!(store.subjects_of(person.id, Some(first[2]), 3).await.unwrap(), subjects[3..]);

    assert_eq!(store.subjects_with_timer(person.id, "saga", 10).await.unwrap(), (vec![], 0));
    let timer = |subject| {
        let stream = StreamId::new(subject, "order");
        TimerChange::Set { stream, name: "saga".into(), due_at: DateTime::UNIX_EPOCH, set_at: DateTime::UNIX_EPOCH }
    };
    let timers = subjects[1..4].iter().map(|subject| timer(*subject)).collect();
    store.append(Append { timers, ..append().with(&super::given::stream(), 0, &["A"]) }).await.unwrap();
    assert_eq!(store.subjects_with_timer(person.id, "saga", 2).await.unwrap(), (subjects[1..3].to_vec(), 3));
    assert_eq!(store.subjects_with_timer(person.id, "other", 2).await.unwrap().1, 0);
}

pub async fn a_new_master_key_takes_over_while_others_go_on(store: Arc<impl EventStore + PersonKeys + 'static>) {
    let files = Arc::new(Files(Mutex::new(ring(1, &[]))));
    let running = Vault::connect(files.clone(), store.clone(), store.clone()).await.unwrap();
    let (_, before) = sealed(&store, &running, "before").await;
    let (parted, of_parted) = sealed(&store, &running, "parted").await;
    running.part(parted).await.unwrap();

    // The files first, then the database: whoever runs learns of it when it must.
    *files.0.lock().unwrap() = ring(2, &[1]);
    let rotating = connect(&store, ring(2, &[1])).await.unwrap();
    let (_, between) = sealed(&store, &running, "between").await;
    assert_eq!(running.master_key_id(), master(2).id(), "a fresh key lies under the new one");
    assert_eq!(rotating.left_under_earlier().await.unwrap(), [(master(1).id().to_owned(), 3)]);
    let rotated = rotating.rewrap(|_| {}).await.unwrap();
    assert_eq!((rotated.current.as_str(), rotated.rewrapped, rotated.left), (master(2).id(), 3, vec![]));

    // Now without the old one, also for those that knew neither.
    for vault in [running, rotating, connect(&store, ring(2, &[])).await.unwrap()] {
        for subject in [before, of_parted, between] {
            assert_eq!(vault.open(subject).await.unwrap().as_deref(), Some(b"Ada".as_slice()));
        }
        vault.person("dev", "before").await.unwrap();
    }
}

pub async fn bodies_compare_the_same_under_every_master_key(store: Arc<impl EventStore + PersonKeys + 'static>) {
    let fresh = connect(&store, ring(1, &[])).await.unwrap();
    let fingerprint = fresh.fingerprint(b"body");
    let derived = Vault::new(&[1; 32], store.clone(), store.clone());
    assert_ne!(fingerprint, derived.fingerprint(b"body"), "it hangs on no master key");
    connect(&store, ring(2, &[1])).await.unwrap().rewrap(|_| {}).await.unwrap();
    assert_eq!(connect(&store, ring(2, &[])).await.unwrap().fingerprint(b"body"), fingerprint);
    assert_eq!(fresh.fingerprint(b"body"), fingerprint);
}

pub async fn an_interrupted_rotation_goes_on_and_undoes_no_erasure(store: Arc<impl EventStore + PersonKeys + 'static>) {
    let vault = connect(&store, ring(1, &[])).await.unwrap();
    let mut subjects = Vec::new();
    for n in 0..4 {
        subjects.push(sealed(&store, &vault, &format!("hh-{n}")).await);
    }
    // Interrupted after the announcement and one key: that one was read before it is erased, and comes too late.
    let rotating = connect(&store, ring(2, &[1])).await.unwrap();
    let page = store.keys_not_under(master(2).id(), None, 10).await.unwrap();
    assert_eq!(page.len(), 4);
    let erased = page.iter().find(|kept| kept.person == subjects[0].0).unwrap();
    vault.erase(erased.person).await.unwrap();
    let new = crate::vault::WrappedKey { master_key: master(2).id().to_owned(), ..erased.clone() };
    assert!(!store.replace_key(erased, &new).await.unwrap());
    assert_eq!(rotating.rewrap(|_| {}).await.unwrap().left, []);
    assert_eq!(rotating.rewrap(|_| {}).await.unwrap().rewrapped, 0, "nothing is left to do");
    let after = connect(&store, ring(2, &[])).await.unwrap();
    assert_eq!(after.open(subjects[0].1).await.unwrap(), None);
    assert!(after.open(subjects[1].1).await.unwrap().is_some());
}

pub async fn a_master_key_that_does_not_fit_is_refused_in_plain_words(
    store: Arc<impl EventStore + PersonKeys + 'static>,
) {
    connect(&store, ring(1, &[])).await.unwrap();
    let wrong = connect(&store, ring(9, &[8])).await.unwrap_err();
    assert!(
        matches!(&wrong, VaultError::UnknownMaster { needed, held } if needed == master(1).id() && held.len() == 2)
    );
    assert!(wrong.to_string().contains(master(1).id()), "{wrong}");
    connect(&store, ring(2, &[1])).await.unwrap();
    let old = connect(&store, ring(1, &[2])).await.unwrap_err();
    assert!(matches!(&old, VaultError::OutdatedMaster { current, .. } if current == master(2).id()), "{old}");
}
