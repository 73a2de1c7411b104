//! Ids that follow from names: the same SKU at the same location is the same stream, whoever asks.
use domain::{LocationCode, Sku, StreamKind, location, stock};
use eventstore::StreamId;
use uuid::{Uuid, uuid};

/// What the ids of stock streams are made under. Never changed: every stream's id hangs on it.
const STOCK: Uuid = uuid!("3f0d7a52-6c1e-4b8e-9a63-0d3d5a1f7c01");
/// What the ids of location streams are made under. Never changed.
const LOCATION: Uuid = uuid!("3f0d7a52-6c1e-4b8e-9a63-0d3d5a1f7c02");

/// The stream of one SKU at one location of a shop.
pub fn stock_stream_id(shop: &str, location: &LocationCode, sku: &Sku) -> StreamId {
    let name = stock::stream_name(shop, location, sku);
    StreamId::new(Uuid::new_v5(&STOCK, name.as_bytes()), StreamKind::Stock.name())
}

/// The stream of one location of a shop.
pub fn location_stream_id(shop: &str, location: &LocationCode) -> StreamId {
    let name = location::stream_name(shop, &location.0);
    StreamId::new(Uuid::new_v5(&LOCATION, name.as_bytes()), StreamKind::Location.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_s_id_follows_from_its_name_for_ever() {
        let stock = stock_stream_id("dev", &LocationCode::from("main"), &Sku::from("1095275"));
        assert_eq!(stock.to_string(), "stock-9c3cfa824de956929029e24f95aeadce");
        let location = location_stream_id("dev", &LocationCode::from("main"));
        assert_eq!(location.to_string(), "location-2acce14c9e225575869d7e21b07f9d90");
    }
}
