//! `waybill demo`: plays a shop against a running server with the reference simulators, breaks a provider and mends it, and tells what one
//! sees.
//!
//! It is a client like any other. However it ends, the simulators are left as they should behave.
mod books;
mod provider;
mod returned;
mod shop;
mod site;
mod story;
mod tell;

use super::{CANNOT_RUN, FAULTS, fail};
use crate::{config::Settings, lifecycle};
use clap::Args;
use site::Site;
use std::{process::ExitCode, time::Duration};
use story::Story;
use tell::Teller;

/// So many are needed for a breaker to open.
const FEWEST_ORDERS: i64 = 60;
/// The demo keeps each in mind, and waits for it.
const MOST_ORDERS: i64 = 5_000;
const LONGEST: i64 = 3_600;

/// Plays a shop against a running `waybill up`: orders, an outage, a cancel, a declined card, a return; and tells what one sees
///
/// It takes the keys of dev-keys.json and the simulated providers that `up` brings along; with others it refuses.
#[derive(Args, Clone, Debug)]
pub struct Demo {
    /// How many orders are placed
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(FEWEST_ORDERS..=MOST_ORDERS))]
    pub orders: u32,
    /// Over how many seconds; the whole takes a little longer
    #[arg(long, value_name = "S", default_value_t = 40, value_parser = clap::value_parser!(u32).range(3..=LONGEST))]
    pub seconds: u32,
}

pub async fn run(settings: &Settings, demo: &Demo) -> ExitCode {
    let (site, stop) = match (Site::open(settings).await, lifecycle::stop_on_signal()) {
        (Ok(site), Ok(stop)) => (site, stop),
        (Err(error), _) | (_, Err(error)) => return fail(&error, CANNOT_RUN),
    };
    let tell = Teller::new();
    let played = tokio::select! {
        biased;
        () = stop.cancelled() => None,
        played = play(&site, &tell, demo) => Some(played),
    };
    tell.quiet();
    // Whatever has happened.
    let mended = site.mend().await;
    match (played, mended) {
        (_, Err(error)) => fail(&error, FAULTS),
        (None, Ok(())) => {
            tell.paragraph("Stopped. The providers answer again; orders that are under way end by themselves.");
            ExitCode::from(FAULTS)
        }
        (Some(Err(error)), Ok(())) => fail(&error, FAULTS),
        (Some(Ok(agrees)), Ok(())) => {
            if agrees {
                ExitCode::SUCCESS
            } else {
                ExitCode::from(FAULTS)
            }
        }
    }
}

/// `false`: the providers' ledgers and the orders do not agree.
async fn play(site: &Site, tell: &Teller, demo: &Demo) -> anyhow::Result<bool> {
    Story::begin(site, tell, demo.orders, Duration::from_secs(demo.seconds.into())).await?.tell().await
}
