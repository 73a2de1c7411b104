//! What is there before a measurement: shops, goods, orders that have ended and orders that wait for the warehouse.
use super::{
    seed,
    shop::{Shop, Shops},
    stack::Stack,
};
use crate::{cli::bench::histories::At, config::Settings, wiring};
use anyhow::{Result, ensure};
use clap::Args;
use eventstore::{ApiKeys, EventStore, Log, PgEventStore, Role, sql};
use serde_json::json;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

const MAX_SHOPS: usize = 1_000;
/// A million orders are nine million events, of which relay and read model take some tens of thousands a second.
const CATCH_UP_WITHIN: Duration = Duration::from_secs(6 * 3_600);
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How much is there before.
#[derive(Args, Clone, Copy, Debug)]
pub(super) struct Growth {
    /// Orders that have ended before the measurement
    #[arg(long, default_value_t = 0, value_name = "N")]
    stored: usize,
    /// Orders whose sagas wait for warehouse staff meanwhile
    #[arg(long, default_value_t = 0, value_name = "N")]
    waiting: usize,
    /// Shops that place orders in turn, each with goods of its own
    #[arg(long, default_value_t = 1, value_name = "N")]
    shops: usize,
}

impl Growth {
    pub(super) const NONE: Growth = Growth { stored: 0, waiting: 0, shops: 1 };

    pub(super) fn check(self) -> Result<()> {
        ensure!((1..=MAX_SHOPS).contains(&self.shops), "shops must be 1 to {MAX_SHOPS}");
        Ok(())
    }

    fn seeds(self) -> bool {
        self.stored + self.waiting > 0
    }

    /// `stored1000000`, for the names of figures.
    pub(super) fn names(self) -> impl Iterator<Item = String> {
        let parts = [("stored", self.stored, 0), ("waiting", self.waiting, 0), ("shops", self.shops, 1)];
        parts.into_iter().filter(|(_, n, none)| n > none).map(|(name, n, _)| format!("{name}{n}"))
    }

    /// What is appended beside the API is no placement for a runner to hear of: until all is there no sagas run.
    pub(super) fn first_roles(self) -> &'static [&'static str] {
        if self.seeds() { &["--role", "api"] } else { &[] }
    }

    /// Answers once relay and read model have reached all of it.
    pub(super) async fn prepare(self, stack: &mut Stack, settings: &Settings, skus: usize) -> Result<Arc<Shops>> {
        let pool = wiring::pool(stack.postgres()?).await?;
        let store = Arc::new(PgEventStore::connect(pool.clone(), Log::MAIN, sql::Options::default()).await?);
        let shops = self.open_shops(stack, settings, &store).await?;
        shops.receive(skus).await?;
        if !self.seeds() {
            pool.close().await;
            return Ok(Arc::new(shops));
        }
        let began = Instant::now();
        let seed = seed::Seed::new(stack.settings(settings), store.clone(), &shops, skus).await?;
        seed.append(self.stored, At::End).await?;
        seed.append(self.waiting, At::Warehouse).await?;
        sql::bench::settle(stack.postgres()?).await?;
        let (head, appended) = (store.head().await?.position.0, began.elapsed());
        pool.close().await;
        stack.restart().await?;
        let shops = Shops { address: stack.address()?, ..shops };
        caught_up(&shops.address, head).await?;
        sql::bench::settle(stack.postgres()?).await?;
        say!(
            "# {} orders stored, {} waiting: appended in {:.0} s, in Kafka and in the read model after {:.0} s",
            self.stored,
            self.waiting,
            appended.as_secs_f64(),
            began.elapsed().as_secs_f64()
        );
        Ok(Arc::new(shops))
    }

    /// One is the shop that is there anyway.
    async fn open_shops(self, stack: &Stack, settings: &Settings, store: &Arc<PgEventStore>) -> Result<Shops> {
        let keys = stack.keys(settings)?;
        let dev = Shop { id: crate::bootstrap::DEV_SHOP.to_owned(), key: keys.shop };
        let mut shops = Shops { address: stack.address()?, warehouse: keys.warehouse, all: vec![dev] };
        if self.shops == 1 {
            return Ok(shops);
        }
        shops.all.clear();
        let (names, api_keys) = (eventstore::Shops::new(store.clone()), ApiKeys::new(store.clone()));
        for number in 0..self.shops {
            let id = format!("shop-{number:03}");
            let shop = eventstore::Shop { id: id.clone(), time_zone: "UTC".to_owned(), defaults: json!({}) };
            names.create_shop(&shop).await?;
            let (_, key) = api_keys.create("bench", Role::Shop, Some(&id)).await?;
            shops.all.push(Shop { id, key });
        }
        shops.ship_by_themselves().await?;
        Ok(shops)
    }
}

/// Waits until relay and projections have come to this position.
async fn caught_up(address: &str, head: i64) -> Result<()> {
    let (http, began) = (reqwest::Client::builder().no_proxy().build()?, Instant::now());
    loop {
        let told = http.get(format!("http://{address}/metrics")).send().await?.error_for_status()?.text().await?;
        let at = |gauge: &str| value(&told, gauge).unwrap_or_default();
        let (relay, read) = (at("waybill_relay_position"), at("waybill_projection_position"));
        if relay.min(read) >= head as f64 {
            return Ok(());
        }
        let late = began.elapsed() > CATCH_UP_WITHIN;
        ensure!(!late, "of {head} events the relay has come to {relay} and the read model to {read}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// A gauge of `/metrics`, whatever its labels.
fn value(metrics: &str, gauge: &str) -> Option<f64> {
    let mut lines = metrics.lines().filter_map(|line| line.strip_prefix(gauge));
    let line = lines.find(|rest| rest.starts_with([' ', '{']))?;
    line.split_whitespace().last()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_before_stands_in_the_names_of_figures() {
        let names = |growth: Growth| growth.names().collect::<Vec<_>>();
        assert_eq!(names(Growth::NONE), Vec::<String>::new());
        let all = Growth { stored: 10, waiting: 20, shops: 100 };
        assert_eq!(names(all), ["stored10", "waiting20", "shops100"]);
        assert!(!Growth::NONE.seeds() && all.seeds());
    }

    #[test]
    fn a_gauge_is_found_by_its_whole_name() {
        let metrics = "# TYPE waybill_relay_position gauge\nwaybill_relay_position_x 1\nwaybill_relay_position{log=\"0\"} 42\n\
                       waybill_projection_position 41\n";
        assert_eq!(value(metrics, "waybill_relay_position"), Some(42.0));
        assert_eq!(value(metrics, "waybill_projection_position"), Some(41.0));
        assert_eq!(value(metrics, "waybill_projection"), None);
    }
}
