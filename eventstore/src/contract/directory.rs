//! API keys, shops and the vault.
use super::given::append;
use crate::keys::KeyStore;
use crate::shops::ShopStore;
use crate::vault::{PersonKeys, VaultError};
use crate::{ApiKeys, AppendError, EventStore, Role, Shop, Shops, Vault};
use std::sync::Arc;
use uuid::Uuid;

fn shop(id: &str) -> Shop {
    Shop { id: id.into(), time_zone: "Europe/Zurich".into(), defaults: serde_json::json!({"payment": "tok_ok"}) }
}

pub async fn a_key_stands_for_its_role_until_it_is_revoked(store: Arc<impl KeyStore + ShopStore + 'static>) {
    Shops::new(store.clone()).create_shop(&shop("dev")).await.unwrap();
    let keys = ApiKeys::new(store.clone());
    for role in Role::ALL {
        let of_shop = (role == Role::Shop).then_some("dev");
        let (key, plaintext) = keys.create("first", role, of_shop).await.unwrap();
        assert_eq!((key.role, key.shop.as_deref(), key.name.as_str()), (role, of_shop, "first"));
        assert_eq!(keys.authenticate(&plaintext).await.unwrap().as_deref(), Some(&key));
        assert_eq!(keys.authenticate(&plaintext).await.unwrap().as_deref(), Some(&key), "from the cache");
        let flipped = if plaintext.ends_with('0') { "1" } else { "0" };
        let wrong = format!("{}{flipped}", &plaintext[..plaintext.len() - 1]);
        assert_eq!(keys.authenticate(&wrong).await.unwrap(), None);

        let elsewhere = ApiKeys::new(store.clone());
        assert_eq!(elsewhere.authenticate(&plaintext).await.unwrap().as_deref(), Some(&key));
        assert!(keys.revoke(key.id).await.unwrap());
        assert!(!keys.revoke(key.id).await.unwrap());
        assert_eq!(keys.authenticate(&plaintext).await.unwrap(), None);
    }
    for nonsense in ["", "wbk_", "Bearer x", &"x".repeat(68)] {
        assert_eq!(keys.authenticate(nonsense).await.unwrap(), None);
    }
    for no_such in [keys.create("x", Role::Shop, Some("other")).await, keys.create("x", Role::Shop, None).await] {
        assert!(matches!(no_such, Err(AppendError::Invalid(_))), "{no_such:?}");
    }
}

pub async fn a_shop_is_made_once(store: Arc<impl ShopStore + 'static>) {
    let shops = Shops::new(store.clone());
    assert_eq!(shops.get("dev").await.unwrap(), None);
    assert!(shops.create_shop(&shop("dev")).await.unwrap());
    let other = Shop { time_zone: "UTC".into(), ..shop("dev") };
    assert!(!shops.create_shop(&other).await.unwrap(), "it is left as it is");
    assert_eq!(shops.get("dev").await.unwrap().as_deref(), Some(&shop("dev")));
    shops.create_shop(&shop("a")).await.unwrap();
    assert_eq!(shops.list(10).await.unwrap(), ["a", "dev"]);
    assert_eq!(shops.list(1).await.unwrap(), ["a"]);
}

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
    let moved = crate::VaultEntry { subject: another, ..entry.clone() };
    store.append(append().sealing(entry).sealing(moved)).await.unwrap();
    assert!(vault.open(subject).await.unwrap().is_some());
    assert!(matches!(vault.open(another).await, Err(VaultError::Sealed(_))));
    assert!(matches!(other.open(subject).await, Err(VaultError::Sealed(_))));
    assert!(matches!(other.person("dev", "hh-1").await, Err(VaultError::Sealed(_))));

    assert_eq!(vault.fingerprint(b"body"), vault.fingerprint(b"body"));
    assert_ne!(vault.fingerprint(b"body"), vault.fingerprint(b"other"));
    assert_ne!(vault.fingerprint(b"body"), other.fingerprint(b"body"), "keyed");
    assert_ne!(vault.master_key_id(), other.master_key_id());
}
