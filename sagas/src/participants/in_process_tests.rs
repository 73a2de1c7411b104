//! The contract suites on the adapters in process.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::contract::{Harness, Outcome};
use super::payment::{InProcessPayment, PaymentPort, PaymentSimulator};
use super::shipping::{InProcessShipping, ShippingPort, ShippingSimulator};
use super::{Entry, Lasts, Mode};

struct Payment(PaymentSimulator, Duration);
struct Shipping(ShippingSimulator, Duration);

#[async_trait]
impl Harness for Payment {
    type Port = dyn PaymentPort;

    async fn start_forgetting(ledger: &Path, limit: Duration, keys: Option<Duration>) -> Outcome<Self> {
        Ok(Self(PaymentSimulator::open(ledger, keys, Lasts::BeyondTheProcess)?, limit))
    }

    fn port(&self) -> Arc<dyn PaymentPort> {
        Arc::new(InProcessPayment::new(self.0.clone(), self.1))
    }

    async fn entries(&self) -> Outcome<Vec<Entry>> {
        Ok(self.0.entries(0, usize::MAX).await?)
    }

    async fn control(&self, mode: Mode) -> Outcome {
        self.0.control(mode);
        Ok(())
    }

    async fn stop(self) -> Outcome {
        self.0.stop();
        Ok(())
    }
}

#[async_trait]
impl Harness for Shipping {
    type Port = dyn ShippingPort;

    async fn start_forgetting(ledger: &Path, limit: Duration, keys: Option<Duration>) -> Outcome<Self> {
        Ok(Self(ShippingSimulator::open(ledger, keys, Lasts::BeyondTheProcess)?, limit))
    }

    fn port(&self) -> Arc<dyn ShippingPort> {
        Arc::new(InProcessShipping::new(self.0.clone(), self.1))
    }

    async fn entries(&self) -> Outcome<Vec<Entry>> {
        Ok(self.0.entries(0, usize::MAX).await?)
    }

    async fn control(&self, mode: Mode) -> Outcome {
        self.0.control(mode);
        Ok(())
    }

    async fn stop(self) -> Outcome {
        self.0.stop();
        Ok(())
    }
}

mod payment {
    crate::payment_contract!(super::Payment);
}

mod shipping {
    crate::shipping_contract!(super::Shipping);
}
