//! Payment and shipping: over HTTP, or the same simulators inside this process.
use super::Addresses;
use crate::embedded::data_dir::DataDir;
use anyhow::Result;
use sagas::participants::{
    DEFAULT_TIME_LIMIT,
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
        Some(url) => Arc::new(HttpPayment::new(url, DEFAULT_TIME_LIMIT)?),
        None => Arc::new(InProcessPayment::new(PaymentSimulator::open(&ledger("payment")?)?, DEFAULT_TIME_LIMIT)),
    };
    let shipping: Arc<dyn ShippingPort> = match &at.shipping {
        Some(url) => Arc::new(HttpShipping::new(url, DEFAULT_TIME_LIMIT)?),
        None => Arc::new(InProcessShipping::new(ShippingSimulator::open(&ledger("shipping")?)?, DEFAULT_TIME_LIMIT)),
    };
    Ok((payment, shipping))
}
