//! API keys and shops.
use crate::keys::KeyStore;
use crate::shops::ShopStore;
use crate::{ApiKeys, AppendError, Role, Shop, Shops};
use std::sync::Arc;

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
