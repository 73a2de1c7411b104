//! Payment and shipping: over HTTP, or the same simulators inside this process.
use super::Addresses;
use crate::embedded::data_dir::DataDir;
use anyhow::Result;
use sagas::participants::{
    DEFAULT_TIME_LIMIT, Lasts,
    payment::{HttpPayment, InProcessPayment, PaymentPort, PaymentSimulator},
    shipping::{HttpShipping, InProcessShipping, ShippingPort, ShippingSimulator},
};
use std::{path::PathBuf, sync::Arc};

pub(super) fn participants(
    data_dir: &DataDir,
    at: &Addresses,
) -> Result<(Arc<dyn PaymentPort>, Arc<dyn ShippingPort>)> {
    let ledger = |name: &str| -> Result<PathBuf> { Ok(data_dir.folder(name)?.join("ledger.jsonl")) };
    let payment: Arc<dyn PaymentPort> = match &at.payment {
        Some(url) => Arc::new(HttpPayment::new(url, DEFAULT_TIME_LIMIT)?.forgetting_keys_after(at.payment_keys)),
        None => {
            let simulator = PaymentSimulator::open(&ledger("payment")?, at.payment_keys, Lasts::BeyondTheProcess)?;
            Arc::new(InProcessPayment::new(simulator, DEFAULT_TIME_LIMIT))
        }
    };
    let shipping: Arc<dyn ShippingPort> = match &at.shipping {
        Some(url) => Arc::new(HttpShipping::new(url, DEFAULT_TIME_LIMIT)?.forgetting_keys_after(at.shipping_keys)),
        None => {
            let simulator = ShippingSimulator::open(&ledger("shipping")?, at.shipping_keys, Lasts::BeyondTheProcess)?;
            Arc::new(InProcessShipping::new(simulator, DEFAULT_TIME_LIMIT))
        }
    };
    Ok((payment, shipping))
}
