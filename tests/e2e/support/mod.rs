//! What the end-to-end tests share: a real `waybill up` in a folder of its own, and a client for it.
pub(crate) mod app;
pub(crate) mod client;
pub(crate) mod fleet;
pub(crate) mod random;
pub(crate) mod site;
pub(crate) mod trade;
pub(crate) mod wire;
